"""What every device whose arrays are NumPy's has in common.

The loops that say what a method of tensor arithmetic and of bookkeeping computes stand in devices/reference: in
elementwise.py, reduce.py, layout.py, draw.py and bookkeeping.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from tinycnn import philox
from tinycnn.devices.base import Array, Device
from tinycnn.shapes import Shape

ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "power": np.power,
    "negative": np.negative,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "equal": np.equal,
    "greater": np.greater,
    "keep": lambda a, b: np.where(np.not_equal(b, 0), a, 0),
}


class NumpyArrays(Device):
    """Arrays, tensor arithmetic and bookkeeping in plain NumPy."""

    # ---------------------------------------------------------------- arrays

    def asarray(self, host: ArrayLike | Array, dtype: DTypeLike | None = None) -> Array:
        return np.asarray(host, dtype=dtype or self.dtype, order="C")

    def numpy(self, array: Array) -> np.ndarray:
        return array

    def empty(self, shape: int | Shape, dtype: DTypeLike | None = None) -> Array:
        return np.empty(shape, dtype=dtype or self.dtype)

    def zeros(self, shape: int | Shape, dtype: DTypeLike | None = None) -> Array:
        return np.zeros(shape, dtype=dtype or self.dtype)

    def copy(self, array: Array) -> Array:
        return np.array(array, order="C")

    def assign(self, destination: Array, source: Array) -> None:
        destination[...] = source

    # ---------------------------------------------------------------- tensor arithmetic

    def elementwise(self, operation: str, *arrays: Array | float) -> Array:
        return np.asarray(ELEMENTWISE[operation](*arrays), dtype=self.dtype)

    def reduce(
        self, operation: str, array: Array, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
    ) -> Array:
        if operation == "max":
            return np.asarray(np.max(array, axis=axis, keepdims=keepdims))
        # NumPy adds along any axis but the last one by one, which costs float32 its digits.
        return np.asarray(np.sum(array, axis=axis, keepdims=keepdims, dtype=np.float64), dtype=array.dtype)

    def matmul(self, a: Array, b: Array) -> Array:
        return a @ b

    def transpose(self, array: Array, axes: tuple[int, ...]) -> Array:
        return np.ascontiguousarray(array.transpose(axes))

    def concatenate(self, arrays: Sequence[Array]) -> Array:
        return np.concatenate(arrays, axis=-1)

    def split(self, array: Array, sizes: Sequence[int]) -> list[Array]:
        return [np.ascontiguousarray(part) for part in np.split(array, np.cumsum(sizes)[:-1], axis=-1)]

    # ---------------------------------------------------------------- training

    def draw(self, array: Array, normal: bool, seed: int, stream: int, step: Array) -> None:
        drawn = (philox.normal if normal else philox.uniform)(array.size, seed, stream, int(step[0]))
        array[...] = drawn.reshape(array.shape)

    def gather_batch(self, images: Array, labels: Array, order: Array, start: Array, size: int) -> tuple[Array, Array]:
        rows = order[start[0] : start[0] + size]
        return images[rows], labels[rows]

    def advance(self, counters: Sequence[tuple[Array, int]]) -> None:
        for counter, amount in counters:
            counter += amount

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        return step
