"""Is an output right? And if not: the words that help, and that show nothing of a hidden shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinycnn.exercises.exercise import Case, Exercise, Output


class Wrong(NamedTuple):
    """What is wrong on a shape. detail: for a visible one; kind: all that may be said of a hidden one."""

    detail: str
    kind: str = "wrong numbers"


def compared(exercise: Exercise, case: Case, arguments: Sequence[Any]) -> Wrong | None:
    """What is wrong with a launch's arguments as the kernel left them."""
    for output in case.outputs:
        if text := difference(output, arguments[output.argument]):
            return Wrong(text)
    written = {output.argument: output.name for output in case.outputs}
    for i, (name, before) in enumerate(zip(exercise.parameters, case.launch.args, strict=True)):
        if isinstance(before, np.ndarray) and i not in written and not np.array_equal(before, arguments[i]):
            return overwritten(name, " and ".join(written.values()))
    return None


def overwritten(name: str, outputs: str) -> Wrong:
    """An input that is not as it was."""
    return Wrong(f"{name} was written over; to be written is {outputs}", "an input written over")


def difference(output: Output, got: np.ndarray) -> str:
    """The first wrong place, what stands there, and what many faults look like; '' where all is right."""
    values = np.asarray(got, np.float64)
    wrong = ~(np.abs(values - output.want) <= output.bound)  # NaN is
    if not wrong.any():
        return ""
    place = np.unravel_index(int(wrong.argmax()), wrong.shape)
    name = f"{output.name}[{','.join(str(int(i)) for i in place)}]"
    text = f"{name} is {_number(got[place])}, not {_number(output.want[place])}"
    return f"{text}; {int(wrong.sum())} of {wrong.size} are wrong{_pattern(output, values, wrong)}"


def _number(value: float) -> str:
    return "still NaN, as before the launch" if math.isnan(value) else f"{float(value):.6g}"


def _pattern(output: Output, got: np.ndarray, wrong: np.ndarray) -> str:
    """What the wrong ones have in common."""
    if np.isnan(got).all():
        return f": nothing of {output.name} was written"
    if not got.any():
        return f": all of {output.name} is 0"
    missing = int(np.isnan(got).sum())
    if missing:
        return f"; {missing} were never written, or come from numbers that were not"
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = got[wrong] / output.want[wrong]
    if wrong.sum() > 2 and np.isfinite(ratio).all() and np.ptp(ratio) <= 1e-4 * abs(ratio[0]):
        return f"; all of these are {ratio[0]:.4g} times what is right"
    return ""
