"""Exercises that are judged: a kernel with a hole, or a gradient, to be written by a student.

Each has a folder here, of its name:

    task.md          what is to be done, for the student
    start.cu         where the student begins; start.py of an exercise in Python
    solution.cu      what the judge has to accept; never handed out
    mutants.diff     changes of the solution that the judge has to reject, each at its stage
    __init__.py      EXERCISE: the shapes, what is right on them, and the counts that are asked for

exercise.py says what such a description consists of, judge.py how a file is judged, grade.py judges a folder of them.
"""

from __future__ import annotations

import importlib

from tinycnn.careful import nearest
from tinycnn.exercises.exercise import Exercise

NAMES = (
    "guard",
    "padding",
    "coalesce",
    "barrier",
    "halo",
    "banks",
    "backward_data",
    "backward_filter",
    "registers",
    "fewest_bytes",
    "numba_maxpool",
    "swish_gradient",
)


def load(name: str) -> Exercise:
    """The exercise of that name. Raises ValueError that names the nearest."""
    if name not in NAMES:
        raise ValueError(f"there is no exercise {name!r}; {nearest(name, NAMES)}")
    return importlib.import_module(f"tinycnn.exercises.{name}").EXERCISE
