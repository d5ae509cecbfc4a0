"""Launches of batchnorm.cu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinycnn.devices.base import Array
from tinycnn.devices.gpu.grid import BLOCKS, Rows, ceil_div, matrix

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice

CHANNELS = 4  # warps of a block, each of which finishes one channel


def batchnorm_forward(
    device: KernelDevice, x: Array, gamma: Array, beta: Array, moving_mean: Array, moving_variance: Array,
    momentum: float, epsilon: float,
) -> tuple[Array, tuple[Array, Array]]:  # fmt: skip
    rows, C = matrix(x)
    plan = Rows(rows, C)
    partial = device.empty((plan.blocks, 3, C))
    device.launch(
        "batchnorm", "batchnorm_statistics<T>", plan.grid, plan.block,
        x, partial, rows, C, plan.rows_per_block, shared=3 * plan.threads * device.itemsize,
    )  # fmt: skip
    mean, inverse_std = device.empty((C,)), device.empty((C,))
    device.launch(
        "batchnorm", "batchnorm_finish_statistics<T>", (ceil_div(C, CHANNELS),), (32, CHANNELS),
        partial, mean, inverse_std, moving_mean, moving_variance, plan.blocks, C, 1.0 - momentum, float(epsilon),
    )  # fmt: skip
    return normalize(device, x, gamma, beta, mean, inverse_std, False, epsilon), (mean, inverse_std)


def batchnorm_inference(
    device: KernelDevice, x: Array, gamma: Array, beta: Array, moving_mean: Array, moving_variance: Array,
    epsilon: float,
) -> Array:  # fmt: skip
    return normalize(device, x, gamma, beta, moving_mean, moving_variance, True, epsilon)


def normalize(
    device: KernelDevice, x: Array, gamma: Array, beta: Array, mean: Array, spread: Array, inference: bool,
    epsilon: float,
) -> Array:  # fmt: skip
    """spread: 1 / standard deviation (C,), or at `inference` the variance."""
    rows, C = matrix(x)
    y, plan = device.empty(x.shape), Rows(rows, C, 4 * BLOCKS)
    device.launch(
        "batchnorm", "batchnorm_normalize<T>", plan.grid, plan.block,
        x, gamma, beta, mean, spread, y, rows, C, plan.rows_per_block, int(inference), float(epsilon),
    )  # fmt: skip
    return y


def batchnorm_backward(
    device: KernelDevice, dy: Array, x: Array, gamma: Array, saved: tuple[Array, Array]
) -> tuple[Array, Array, Array]:
    (mean, inverse_std), (rows, C) = saved, matrix(x)
    plan = Rows(rows, C)
    partial = device.empty((plan.blocks, 2, C))
    device.launch(
        "batchnorm", "batchnorm_backward_sums<T>", plan.grid, plan.block,
        dy, x, mean, inverse_std, partial, rows, C, plan.rows_per_block, shared=2 * plan.threads * device.itemsize,
    )  # fmt: skip
    dgamma, dbeta, dx = device.empty((C,)), device.empty((C,)), device.empty(x.shape)
    grid = (ceil_div(C, CHANNELS),)
    args = (partial, dgamma, dbeta, plan.blocks, C)
    device.launch("batchnorm", "batchnorm_finish_backward<T>", grid, (32, CHANNELS), *args)
    plan = Rows(rows, C, 4 * BLOCKS)
    device.launch(
        "batchnorm", "batchnorm_backward_data<T>", plan.grid, plan.block,
        dy, x, gamma, mean, inverse_std, dgamma, dbeta, dx, rows, C, plan.rows_per_block,
    )  # fmt: skip
    return dx, dgamma, dbeta
