"""Launches of conv1x1.cu: a matrix product over the channels of every pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinycnn.devices.base import Array
from tinycnn.devices.gpu.grid import BLOCKS, ceil_div, slices_of
from tinycnn.devices.gpu.launches.reduce import sum_slices

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


def conv1x1_backward_data(device: KernelDevice, dy: Array, w: Array) -> Array:
    (N, H, W, K), C = dy.shape, w.shape[2]
    pixels, columns = N * H * W, tile_columns(C)
    dx = device.empty((N, H, W, C))
    grid = ceil_div(pixels, 2048 // columns), ceil_div(C, columns)
    device.launch("conv1x1", f"conv1x1_backward_data<T, {columns}>", grid, (128,), dy, w, dx, pixels, C, K)
    return dx


def conv1x1_backward_filter(device: KernelDevice, x: Array, dy: Array) -> Array:
    (N, H, W, C), K = x.shape, dy.shape[3]
    pixels, tiles = N * H * W, (ceil_div(C, 32), ceil_div(K, 32))
    slices, slice_length = slices_of(pixels, tiles[0] * tiles[1], 2 * BLOCKS)
    partial = device.empty((slices, 1, 1, C, K))
    args = (x, dy, partial, pixels, C, K, slice_length)
    device.launch("conv1x1", "conv1x1_backward_filter<T>", (*tiles, slices), (64,), *args)
    return sum_slices(device, partial, (1, 1, C, K))
