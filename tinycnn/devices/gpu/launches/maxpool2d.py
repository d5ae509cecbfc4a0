"""Launches of maxpool2d.cu."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.devices.gpu.grid import MOST_GRID_Y, THREADS, ceil_div
from tinycnn.shapes import Geometry, Padding, Pair, Shape

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice

PLACES_OF_A_BYTE = 256
INDEX_TYPES = {"uint8": "unsigned char", "int32": "int"}  # of argmax


def start(
    device: KernelDevice, direction: str, index: np.dtype, arrays: tuple[Array, ...], geometry: Geometry, per_image: int
) -> None:
    """One launch; index: argmax's type; per_image: how many numbers of one image threads take."""
    N, H, W, C, _, *rest = geometry
    width = 4 if C % 4 == 0 else 1  # numbers a thread moves at once
    grid = ceil_div(per_image // width, THREADS), min(N, MOST_GRID_Y)
    kernel = f"maxpool2d_{direction}<T, {INDEX_TYPES[index.name]}, {width}>"
    device.launch("maxpool2d", kernel, grid, (THREADS,), *arrays, N, H, W, C, *rest)


def maxpool2d_forward(
    device: KernelDevice, x: Array, pool: Pair, stride: Pair, padding: Padding
) -> tuple[Array, Array]:
    geometry = Geometry.of_pool(x.shape, pool, stride, padding)
    index = "uint8" if prod(pool) <= PLACES_OF_A_BYTE else "int32"
    y, argmax = device.empty(geometry.y_shape), device.empty(geometry.y_shape, index)
    start(device, "forward", argmax.dtype, (x, y, argmax), geometry, geometry.P * geometry.Q * geometry.C)
    return y, argmax


def maxpool2d_backward(
    device: KernelDevice, dy: Array, argmax: Array, x_shape: Shape, pool: Pair, stride: Pair, padding: Padding
) -> Array:
    geometry, dx = Geometry.of_pool(x_shape, pool, stride, padding), device.empty(x_shape)
    start(device, "backward", argmax.dtype, (dy, argmax, dx), geometry, geometry.H * geometry.W * geometry.C)
    return dx
