"""Launches of zeropad2d.cu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinycnn.devices.base import Array
from tinycnn.devices.gpu.grid import MOST_GRID_Y, THREADS, ceil_div
from tinycnn.shapes import Padding

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice


def start(device: KernelDevice, x: Array, rows: int, columns: int, top: int, left: int) -> Array:
    """x (N,H,W,C) as (N, H + rows, W + columns, C), its first pixel moved to (top, left)."""
    N, H, W, C = x.shape
    P, Q, width = H + rows, W + columns, 4 if C % 4 == 0 else 1  # width: numbers a thread moves at once
    y = device.empty((N, P, Q, C))
    grid = ceil_div(P * Q * C // width, THREADS), min(N, MOST_GRID_Y)
    device.launch("zeropad2d", f"zeropad2d<T, {width}>", grid, (THREADS,), x, y, N, H, W, C, P, Q, top, left)
    return y


def zeropad2d_forward(device: KernelDevice, x: Array, padding: Padding) -> Array:
    (top, bottom), (left, right) = padding
    return start(device, x, top + bottom, left + right, top, left)


def zeropad2d_backward(device: KernelDevice, dy: Array, padding: Padding) -> Array:
    (top, bottom), (left, right) = padding
    return start(device, dy, -top - bottom, -left - right, -top, -left)
