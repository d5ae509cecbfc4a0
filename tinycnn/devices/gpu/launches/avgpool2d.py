"""Launches of avgpool2d.cu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinycnn.devices.base import Array
from tinycnn.devices.gpu.grid import MOST_GRID_Y, THREADS, ceil_div
from tinycnn.shapes import Geometry, Padding, Pair, Shape

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice


def start(device: KernelDevice, direction: str, source: Array, target: Array, geometry: Geometry) -> None:
    """One launch, in which threads take the numbers of `target`."""
    N, H, W, C, _, *rest = geometry
    width = 4 if C % 4 == 0 else 1  # numbers a thread moves at once
    grid = ceil_div(target.size // max(1, N) // width, THREADS), min(N, MOST_GRID_Y)
    kernel = f"avgpool2d_{direction}<T, {width}>"
    device.launch("avgpool2d", kernel, grid, (THREADS,), source, target, N, H, W, C, *rest)


def avgpool2d_forward(device: KernelDevice, x: Array, pool: Pair, stride: Pair, padding: Padding) -> Array:
    geometry = Geometry.of_pool(x.shape, pool, stride, padding)
    y = device.empty(geometry.y_shape)
    start(device, "forward", x, y, geometry)
    return y


def avgpool2d_backward(
    device: KernelDevice, dy: Array, x_shape: Shape, pool: Pair, stride: Pair, padding: Padding
) -> Array:
    dx = device.empty(x_shape)
    start(device, "backward", dy, dx, Geometry.of_pool(x_shape, pool, stride, padding))
    return dx
