"""Launches of globalpool2d.cu."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.devices.gpu.grid import THREADS, ceil_div, flat
from tinycnn.shapes import Shape

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice

MOST_COLUMNS = 32  # of a block


def start(device: KernelDevice, kernel: str, x_shape: Shape, *arrays: Array) -> None:
    """A launch in which a block has up to MOST_COLUMNS channels of one image (N,H,W,C)."""
    N, C = x_shape[0], x_shape[-1]
    columns = min(C, MOST_COLUMNS)
    rows, column_blocks = THREADS // columns, ceil_div(C, columns)
    device.launch(
        "globalpool2d", f"{kernel}<T>", (N * column_blocks,), (columns, rows),
        *arrays, prod(x_shape[1:-1]), C, column_blocks, shared=columns * rows * device.itemsize,
    )  # fmt: skip


def globalavgpool2d_forward(device: KernelDevice, x: Array) -> Array:
    y = device.empty((x.shape[0], x.shape[-1]))
    start(device, "globalavgpool2d_forward", x.shape, x, y)
    return y


def globalavgpool2d_backward(device: KernelDevice, dy: Array, x_shape: Shape) -> Array:
    dx = device.empty(x_shape)
    args = (dy, dx, np.int64(dx.size), prod(x_shape[1:-1]), x_shape[-1])
    device.launch("globalpool2d", "globalavgpool2d_backward<T>", *flat(dx.size), *args)
    return dx


def globalmaxpool2d_forward(device: KernelDevice, x: Array) -> Array:
    y = device.empty((x.shape[0], x.shape[-1]))
    start(device, "globalmaxpool2d_forward", x.shape, x, y)
    return y


def globalmaxpool2d_backward(device: KernelDevice, dy: Array, x: Array, y: Array) -> Array:
    dx = device.empty(x.shape)
    start(device, "globalmaxpool2d_backward", x.shape, dy, x, y, dx)
    return dx
