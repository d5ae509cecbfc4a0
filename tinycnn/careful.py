"""Objects that refuse attributes which are nearly, but not quite, called like one that does something."""

from __future__ import annotations

import difflib
from typing import Any


class Careful:
    """Setting what is nearly the name of a known attribute is an error: it would be kept, and do nothing."""

    settable: tuple[str, ...] = ()

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.settable and not name.startswith("_") and not hasattr(self, name):
            for meant in difflib.get_close_matches(name, self.settable, 1, 0.85):
                raise AttributeError(f"a {type(self).__name__} has no attribute {name!r}; did you mean {meant!r}?")
        super().__setattr__(name, value)
