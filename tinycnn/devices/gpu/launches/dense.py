"""Launches of dense.cu: matrix products, (N, inputs) x (inputs, units)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.devices.gpu.grid import ceil_div, flat, slices_of

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice


def dense_forward(device: KernelDevice, x: Array, w: Array, b: Array | None, relu: bool) -> Array:
    return product(device, "forward", (*x.shape, w.shape[1]), x, w, b, relu)


def dense_backward_data(device: KernelDevice, dy: Array, w: Array) -> Array:
    return product(device, "backward_data", (dy.shape[0], *w.shape), dy, w)


def dense_backward_filter(device: KernelDevice, x: Array, dy: Array) -> Array:
    return product(device, "backward_filter", (*x.shape, dy.shape[1]), x, dy)


def matmul(device: KernelDevice, a: Array, b: Array) -> Array:
    return dense_forward(device, a, b, None, False)


def product(
    device: KernelDevice,
    direction: str,
    sizes: tuple[int, int, int],
    a: Array,
    b: Array,
    bias: Array | None = None,
    relu: bool = False,
) -> Array:
    """One of dense.cu's products of a and b. sizes: (N, inputs, units), whatever the direction."""
    N, inputs, units = sizes
    rows, columns, length = {  # rows x columns numbers that are sums of `length`
        "forward": (N, units, inputs),
        "backward_data": (N, inputs, units),
        "backward_filter": (inputs, units, N),
    }[direction]
    tile = 64 if rows > 32 and columns > 32 else 32
    tiles = ceil_div(rows, tile), ceil_div(columns, tile)
    slices, slice_length = slices_of(length, max(1, tiles[0] * tiles[1]))
    y = device.empty((rows, columns))
    out = y if slices == 1 else device.empty((slices, rows, columns))
    at_once = slices == 1
    args = [a, b, out, *sizes, slice_length]
    if direction == "forward":
        args.insert(2, a if bias is None else bias)
        args += [int(at_once and bias is not None), int(at_once and relu)]
    device.launch("dense", f"dense_{direction}<T, {tile}>", (*tiles, slices), (tile * tile // 16,), *args)
    if not at_once:
        has_bias = int(bias is not None)
        device.launch(
            "dense", "dense_finish<T>", *flat(y.size),
            out, out if bias is None else bias, y, np.int64(y.size), columns, slices, has_bias, int(relu),
        )  # fmt: skip
    return y
