"""Launches of upsample2d.cu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinycnn.devices.base import Array
from tinycnn.devices.gpu.grid import MOST_GRID_Y, THREADS, ceil_div
from tinycnn.shapes import Pair, Shape

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice


def start(device: KernelDevice, direction: str, source: Array, target: Array, x_shape: Shape, size: Pair) -> None:
    """One launch, in which threads take the numbers of `target`."""
    N, H, W, C = x_shape
    width = 4 if C % 4 == 0 else 1  # numbers a thread moves at once
    grid = ceil_div(target.size // max(1, N) // width, THREADS), min(N, MOST_GRID_Y)
    kernel = f"upsample2d_{direction}<T, {width}>"
    device.launch("upsample2d", kernel, grid, (THREADS,), source, target, N, H, W, C, *size)


def upsample2d_forward(device: KernelDevice, x: Array, size: Pair) -> Array:
    N, H, W, C = x.shape
    y = device.empty((N, H * size[0], W * size[1], C))
    start(device, "forward", x, y, x.shape, size)
    return y


def upsample2d_backward(device: KernelDevice, dy: Array, size: Pair) -> Array:
    N, P, Q, C = dy.shape
    dx = device.empty((N, P // size[0], Q // size[1], C))
    start(device, "backward", dy, dx, dx.shape, size)
    return dx
