"""Launches of reduce.cu: sums and maxima over axes."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.devices.gpu.grid import BLOCKS, THREADS, ceil_div

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice

REDUCTIONS = ("sum", "max")  # the numbers of reduce.cu
LONGEST_WALK = 64  # what a thread sums before a second launch is worth its cost


def reduce(
    device: KernelDevice,
    operation: str,
    array: Array,
    axis: int | tuple[int, ...] | None = None,
    keepdims: bool = False,
) -> Array:
    ndim = len(array.shape)
    wanted = range(ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    reduced = {a % ndim for a in wanted}
    axes, shape, result = sorted(reduced), list(array.shape), array
    while axes:  # neighbouring axes together, the last ones first
        last = first = axes.pop()
        while axes and axes[-1] == first - 1:
            first = axes.pop()
        outer, length, inner = prod(shape[:first]), prod(shape[first : last + 1]), prod(shape[last + 1 :])
        result = reduce_middle(device, operation, result, outer, length, inner)
        shape[first : last + 1] = [1] * (last + 1 - first)
    if result is array:
        result = device.copy(array)
    if not keepdims and ndim:
        shape = [n for i, n in enumerate(shape) if i not in reduced]
    return result.reshape(tuple(shape))


def reduce_middle(device: KernelDevice, operation: str, x: Array, outer: int, length: int, inner: int) -> Array:
    """(outer, length, inner) -> (outer, inner)."""
    if not outer * inner:
        return device.empty((outer, inner))
    columns = inner if inner < 32 else 32
    rows = THREADS // columns
    column_blocks = ceil_div(inner, columns)
    while True:
        slices = max(1, min(ceil_div(length, LONGEST_WALK * rows), BLOCKS // max(1, outer * column_blocks)))
        slice_length = ceil_div(length, slices)
        slices = max(1, ceil_div(length, slice_length)) if slice_length else 1
        y = device.empty((outer, slices, inner))
        device.launch(
            "reduce", "reduce<T>", (outer * column_blocks, slices), (columns, rows),
            REDUCTIONS.index(operation), x, y, length, np.int64(inner), slice_length, column_blocks,
            shared=columns * rows * device.itemsize,
        )  # fmt: skip
        if slices == 1:
            return y
        x, length = y, slices
