"""What is said of a name that is nearly, but not quite, one that there is, and of a number that is out of bounds;
objects that refuse such attributes."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Sequence
from typing import Any


def nearest(name: str, names: Sequence[str], otherwise: str = "") -> str:
    """'did you mean guard?', or what is said otherwise, all names at first, where none is near.

    >>> nearest("gard", ["guard", "halo"])
    'did you mean guard?'
    >>> nearest("?", ["guard", "halo"])
    'there are: guard, halo'
    """
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]}?" if close else otherwise or f"there are: {', '.join(names)}"


def checked(value: Any, what: str, interval: str) -> float:
    """`value` as a float where it lies in an interval like '(0, inf)' or '[0, 1)'. Raises ValueError that names it.

    >>> checked(0.5, "rate", "[0, 1)")
    0.5
    """
    least, most = (float(end) for end in interval[1:-1].split(","))
    number = float(value) if isinstance(value, numbers.Real) else math.nan
    above = number > least if interval[0] == "(" else number >= least
    below = number < most if interval[-1] == ")" else number <= most
    if not (above and below):  # NaN is neither
        wanted = {"(0, inf)": "positive and finite", "[0, inf)": "finite and not negative"}
        raise ValueError(f"{what} must be {wanted.get(interval, f'in {interval}')}, not {value!r}")
    return number


def whole_number(value: Any, what: str, least: int) -> int:
    """A whole number as an int. Raises ValueError for another value, or one below `least`."""
    if not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"{what} must be a whole number of at least {least}, not {value!r}")
    return int(value)


class Careful:
    """Setting what is nearly the name of a known attribute is an error: it would be kept, and do nothing."""

    settable: tuple[str, ...] = ()

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.settable and not name.startswith("_") and not hasattr(self, name):
            for meant in difflib.get_close_matches(name, self.settable, 1, 0.85):
                raise AttributeError(f"a {type(self).__name__} has no attribute {name!r}; did you mean {meant!r}?")
        super().__setattr__(name, value)
