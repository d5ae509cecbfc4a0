"""Launches of conv1x1.cu: a matrix product over the channels of every pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinycnn.devices.base import Array, Gradients, Wanted
from tinycnn.devices.gpu.grid import BLOCKS, ceil_div, slices_of
from tinycnn.devices.gpu.launches.products import FILTER, Sum, in_slices

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice


def tile_columns(channels: int) -> int:
    """How wide conv1x1.cu's tile is for so many channels."""
    return 8 if channels <= 8 else 16 if channels <= 16 else 32


def conv1x1_forward(device: KernelDevice, x: Array, w: Array, b: Array | None, relu: bool) -> Array:
    (N, H, W, C), K = x.shape, w.shape[3]
    pixels, columns = N * H * W, tile_columns(K)
    y = device.empty((N, H, W, K))
    device.launch(
        "conv1x1", f"conv1x1_forward<T, {columns}>", (ceil_div(pixels, 2048 // columns), ceil_div(K, columns)), (128,),
        x, w, w if b is None else b, y, pixels, C, K, int(b is not None), int(relu),
    )  # fmt: skip
    return y


def conv1x1_backward(device: KernelDevice, dy: Array, y: Array | None, x: Array, w: Array, wanted: Wanted) -> Gradients:
    dw, db = filter_gradient(device, x, dy, y, wanted)
    return data_gradient(device, dy, y, w) if wanted.x else None, dw, db


def conv1x1_backward_data(device: KernelDevice, dy: Array, w: Array) -> Array:
    return data_gradient(device, dy, None, w)


def conv1x1_backward_filter(device: KernelDevice, x: Array, dy: Array) -> Array:
    return device.whole(filter_gradient(device, x, dy, None, FILTER)[0])


def data_gradient(device: KernelDevice, dy: Array, y: Array | None, w: Array) -> Array:
    (N, H, W, K), C = dy.shape, w.shape[2]
    pixels, columns = N * H * W, tile_columns(C)
    dx = device.empty((N, H, W, C))
    grid = ceil_div(pixels, 2048 // columns), ceil_div(C, columns)
    args = (dy, dy if y is None else y, w, dx, pixels, C, K, int(y is not None))
    device.launch("conv1x1", f"conv1x1_backward_data<T, {columns}>", grid, (128,), *args)
    return dx


def filter_gradient(
    device: KernelDevice, x: Array, dy: Array, y: Array | None, wanted: Wanted
) -> tuple[Sum | None, Sum | None]:
    """dw and db."""
    if not (wanted.w or wanted.b):
        return None, None
    (N, H, W, C), K = x.shape, dy.shape[3]
    pixels, tiles = N * H * W, (ceil_div(C, 32), ceil_div(K, 32))
    slices, slice_length = slices_of(pixels, tiles[0] * tiles[1], 2 * BLOCKS)
    with device.driver.branch():  # nothing but the optimiser waits for it
        partial, partial_db = device.empty((slices, 1, 1, C, K)), device.empty((slices, K if wanted.b else 1))
        device.launch(
            "conv1x1", "conv1x1_backward_filter<T>", (*tiles, slices), (64,),
            x, dy, dy if y is None else y, partial, partial_db, pixels, C, K, slice_length, int(wanted.b),
            int(y is not None),
        )  # fmt: skip
    return in_slices(partial, wanted.w), in_slices(partial_db, wanted.b)
