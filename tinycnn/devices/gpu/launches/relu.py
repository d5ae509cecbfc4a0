"""Launches of relu.cu: ReLU, and the way back through ReLU and bias."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.devices.gpu.grid import PER_BLOCK, Rows, flat, matrix
from tinycnn.devices.gpu.launches.reduce import sum_slices

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


def bias_relu_backward(device: KernelDevice, dy: Array, y: Array | None) -> tuple[Array, Array]:
    rows, K = matrix(dy)
    if y is None:
        return dy, device.reduce("sum", dy.reshape((rows, K)), axis=0)
    dz, plan = device.empty(dy.shape), Rows(rows, K)
    partial = device.empty((plan.blocks, K))
    device.launch(
        "relu", "bias_relu_backward<T>", plan.grid, plan.block,
        dy, y, dz, partial, rows, K, plan.rows_per_block, shared=plan.threads * device.itemsize,
    )  # fmt: skip
    return dz, sum_slices(device, partial, (K,))
