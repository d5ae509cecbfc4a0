"""The sum of several arrays of one shape, two at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinycnn.devices.cpu.launch import floats, kernel, launch
from tinycnn.devices.cpu.memory import pool

TASK = 8192


@kernel
def add_pass(arguments, task, thread):
    """y = a + b; y may be a."""
    a, b, y, size = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2), arguments[3]
    for i in range(task * TASK, min(task * TASK + TASK, size)):
        y[i] = a[i] + b[i]


def add(arrays: Sequence[np.ndarray]) -> np.ndarray:
    first, *rest = arrays
    y = pool.empty(first.shape, np.float32)
    for array in rest:
        launch(add_pass, -(-y.size // TASK), first, array, y, y.size)
        first = y
    return y
