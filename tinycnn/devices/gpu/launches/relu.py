"""Launches of relu.cu."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.devices.gpu.grid import PER_BLOCK, flat

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice


def relu_forward(device: KernelDevice, x: Array) -> Array:
    y = device.empty(x.shape)
    device.launch("relu", "relu_forward<T>", *flat(x.size, PER_BLOCK), x, y, np.int64(x.size))
    return y


def relu_backward(device: KernelDevice, dy: Array, y: Array) -> Array:
    dx = device.empty(dy.shape)
    device.launch("relu", "relu_backward<T>", *flat(dy.size, PER_BLOCK), dy, y, dx, np.int64(dy.size))
    return dx
