"""Launches of activations.cu."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.devices.gpu.grid import PER_BLOCK, flat

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice

ACTIVATIONS = ("tanh", "sigmoid", "elu", "leaky_relu", "softplus")  # the numbers of activations.cu


def activation_forward(device: KernelDevice, activation: str, x: Array, alpha: float) -> Array:
    y, number = device.empty(x.shape), ACTIVATIONS.index(activation)
    args = (number, x, y, float(alpha), np.int64(x.size))
    device.launch("activations", "activation_forward<T>", *flat(x.size, PER_BLOCK), *args)
    return y


def activation_backward(device: KernelDevice, activation: str, dy: Array, y: Array, alpha: float) -> Array:
    dx, number = device.empty(dy.shape), ACTIVATIONS.index(activation)
    args = (number, dy, y, dx, float(alpha), np.int64(dy.size))
    device.launch("activations", "activation_backward<T>", *flat(dy.size, PER_BLOCK), *args)
    return dx
