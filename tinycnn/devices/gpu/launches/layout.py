"""Launches of layout.cu: transposition, concatenation and its inverse."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.devices.gpu.grid import ceil_div, flat
from tinycnn.devices.gpu.launches.strides import contiguous_steps, merged, strided_launches

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice


def transpose(device: KernelDevice, array: Array, axes: tuple[int, ...]) -> Array:
    axes = tuple(a % len(array.shape) for a in axes)
    steps = contiguous_steps(array.shape)
    shape, steps = tuple(array.shape[a] for a in axes), [steps[a] for a in axes]
    y = device.empty(shape)
    extents, (merged_steps,) = merged(shape, [steps])
    if len(extents) == 2 and merged_steps == [1, extents[0]]:
        columns, rows = extents  # of the matrix as it lies
        transpose_matrices(device, array, y, 1, rows, columns)
        return y
    for total, extents, (steps,), (first,), y_first in strided_launches(shape, [steps]):  # noqa: B020
        numbers = [np.int64(n) for n in (*steps, first, y_first)]
        device.launch("layout", "transpose<T>", *flat(total), array, y, np.int64(total), *extents[1:], *numbers)
    return y


def transpose_matrices(device: KernelDevice, x: Array, y: Array, count: int, rows: int, columns: int) -> None:
    """y (count, columns, rows): each matrix of x (count, rows, columns) turned, the last one first."""
    tiles = ceil_div(columns, 32)
    grid = ceil_div(rows, 32) * tiles, count
    device.launch("layout", "transpose_matrix<T>", grid, (32, 8), x, y, rows, columns, tiles)


def turned(device: KernelDevice, w: Array, taps: int, C: int, K: int) -> Array:
    """Filters w (taps, C, K) turned by 180 degrees, for those who come from the other side: (taps, K, C)."""
    y = device.empty((taps, K, C))
    transpose_matrices(device, w, y, taps, C, K)
    return y


def copy_columns(device: KernelDevice, x: Array, y: Array, width: int, x_first: int, y_first: int) -> None:
    """y[..., y_first : y_first + width] = x[..., x_first : x_first + width]"""
    total = x.size // x.shape[-1] * width if x.shape[-1] else 0
    args = (x, y, np.int64(total), width, x.shape[-1], x_first, y.shape[-1], y_first)
    device.launch("layout", "copy_columns<T>", *flat(total), *args)


def concatenate(device: KernelDevice, arrays: Iterable[Array]) -> Array:
    arrays = list(arrays)
    y = device.empty((*arrays[0].shape[:-1], sum(a.shape[-1] for a in arrays)))
    first = 0
    for array in arrays:
        copy_columns(device, array, y, array.shape[-1], 0, first)
        first += array.shape[-1]
    return y


def split(device: KernelDevice, array: Array, sizes: Sequence[int]) -> list[Array]:
    parts, first = [], 0
    for size in sizes:
        part = device.empty((*array.shape[:-1], size))
        copy_columns(device, array, part, size, first, 0)
        parts.append(part)
        first += size
    return parts
