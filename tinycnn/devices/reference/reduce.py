"""Sums and maxima over axes, as loops beside reduce.cu.

The form that computes is one line of NumPy, which the cpu device has too: NumpyArrays.reduce in numpy_arrays.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn.devices.base import Array


def reduce_loops(
    operation: str, array: Array, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> Array:
    axes = range(array.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    reduced = [a % array.ndim for a in axes]
    shape = [1 if i in reduced else n for i, n in enumerate(array.shape)]
    y = np.full(shape, 0 if operation == "sum" else -np.inf, np.float64)
    for place in np.ndindex(array.shape):
        to = tuple(0 if i in reduced else at for i, at in enumerate(place))
        y[to] = joined(operation, y[to], array[place])
    y = y.astype(array.dtype)
    return y if keepdims else y.reshape([n for i, n in enumerate(array.shape) if i not in reduced])


def joined(operation: str, a: Any, b: Any) -> Any:
    """One step of the reduction, of two numbers. Both answer NaN once they have met one."""
    if operation == "sum":
        return a + b
    return a if a > b or a != a else b
