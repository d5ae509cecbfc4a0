"""Whether what a submission in Python gave on a shape is right. Not in the process that it ran in, which is its own.

An answer is plain data (in_python.py). It may be anything, for the submission can say it in the runner's place.
"""

from __future__ import annotations

import base64
import builtins
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinycnn.exercises.compare import Wrong, compared, difference, overwritten
from tinycnn.exercises.exercise import Case, Exercise, GradientCase, Output
from tinycnn.limited import FORGED

Answer = dict[str, Any]
SEED = 0  # of the upstream gradient


def plain(array: Any) -> Answer:
    """An array as plain data."""
    array = np.asarray(array)
    return {"shape": array.shape, "dtype": str(array.dtype), "bytes": base64.b64encode(array.tobytes()).decode()}


def _array(said: Answer) -> np.ndarray:
    return np.frombuffer(base64.b64decode(said["bytes"]), said["dtype"]).reshape(said["shape"])


def wrong_with(exercise: Exercise, case: Case | GradientCase, answer: Answer, file: str, text: str) -> Wrong | None:
    """What is wrong with an answer to a case; file, text: the submission."""
    try:
        if "raised" in answer:
            return _raised(answer, file, text)
        arrays = [_array(array) for array in answer["arrays"]]
        if isinstance(case, GradientCase):
            return _wrong_gradient(exercise, case, arrays, bool(answer["own"]))
        return compared(exercise, case, arrays) or _wrong_writes(case, answer["writes"])
    except (KeyError, TypeError, ValueError, IndexError):
        return Wrong(FORGED, FORGED)


def _raised(answer: Answer, file: str, text: str) -> Wrong:
    """An exception, and at which line. Its words, and a class's own name, may tell anything: not of hidden shapes."""
    known = getattr(builtins, answer["raised"], None)
    name = answer["raised"] if isinstance(known, type) and issubclass(known, Exception) else "an exception of its own"
    place = f"{file}:{answer['line']}: " if answer["line"] in range(1, len(text.splitlines()) + 1) else ""
    return Wrong(f"{place}{answer['raised']}: {answer['words']}", f"{place}{name}")


def _wrong_writes(case: Case, writes: Sequence[tuple[int, int]]) -> Wrong | None:
    """A thread for each number: no number has two, nor a thread two numbers. writes: (thread, number)."""
    (output,) = case.outputs
    threads: dict[int, list[int]] = {}
    numbers: dict[int, list[int]] = {}
    for thread, number in writes:
        threads.setdefault(number, []).append(thread)
        numbers.setdefault(thread, []).append(number)

    def named(number: int) -> str:
        return f"{output.name}[{','.join(str(int(i)) for i in np.unravel_index(number, output.want.shape))}]"

    for number in range(output.want.size):
        if number not in threads:
            return Wrong(f"no thread was seen to write {named(number)}", "written by no thread")
        if len(threads[number]) > 1:
            first, second = threads[number][:2]
            return Wrong(
                f"threads {first} and {second} of the grid both write {named(number)}", "two threads write a number"
            )
    for thread, several in numbers.items():
        if len(several) > 1:
            two = f"{named(several[0])} and {named(several[1])}"
            words = (
                f"thread {thread} of the grid writes {len(several)} numbers, {two} among them; asked for is one each"
            )
            return Wrong(words, "a thread writes several numbers")
    return None


def _wrong_gradient(exercise: Exercise, case: GradientCase, arrays: list[np.ndarray], own: bool) -> Wrong | None:
    """The result beside what is right, and the gradients beside differences of it."""
    from tinycnn.gradcheck import pair

    y, rest = arrays[0], arrays[1:]
    gradients, inputs = rest[: len(case.inputs)], rest[len(case.inputs) :]
    if y.shape != case.want.shape:
        return Wrong(f"the result has shape {y.shape}, not {case.want.shape}", "a wrong shape")
    if text := difference(Output("y", 0, case.want, 1e-9 * (1 + np.abs(case.want))), y):
        return Wrong(text)
    for name, before, after in zip(exercise.parameters, case.inputs, inputs, strict=True):
        if not np.array_equal(before, after):
            return overwritten(name, "y")
    if not own:
        return Wrong(f"y comes from no output_of('{exercise.function}', ...)", "no way back of its own")

    @functools.wraps(case.function)
    def forward(*inputs: np.ndarray) -> tuple[np.ndarray, None]:
        return case.function(*inputs), None

    report = pair(forward, lambda dy, _: gradients, case.inputs, raise_exception=False, seed=SEED)
    return None if report else Wrong(str(report), "a wrong gradient")
