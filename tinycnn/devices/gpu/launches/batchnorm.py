"""Launches of batchnorm.cu."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tinycnn.devices.base import Array, Mask
from tinycnn.devices.gpu.grid import BLOCKS, Rows, matrix
from tinycnn.devices.gpu.launches.dropout import drawing

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice


class Saved(NamedTuple):
    """What the way back needs: the batch's statistics (C,), and the mask of the dropout behind, with its step kept."""

    mean: Array
    inverse_std: Array
    mask: Mask | None


def kernel(name: str, C: int, mask: Mask | None) -> str:
    return f"batchnorm_{name}<T, {width_of(C)}, {'false' if mask is None else 'true'}>"


def width_of(C: int) -> int:
    """How many neighbouring columns a thread has."""
    return 4 if C % 4 == 0 else 1


def dropping(device: KernelDevice, mask: Mask | None) -> tuple[Any, ...]:
    """(step, seed, stream, threshold, scale) as a kernel takes them, which does not look at them without a mask."""
    step = device.empty((1,), "int64") if mask is None else mask.step
    return step, *(drawing(0.0, 0, 0) if mask is None else drawing(mask.rate, mask.seed, mask.stream))


def batchnorm_forward(
    device: KernelDevice, x: Array, gamma: Array, beta: Array, moving_mean: Array, moving_variance: Array,
    momentum: float, epsilon: float, mask: Mask | None = None,
) -> tuple[Array, Saved]:  # fmt: skip
    (rows, C), width = matrix(x), width_of(x.shape[-1])
    plan = Rows(rows, C, width=width)
    partial, arrivals = device.empty((plan.blocks, 2, C)), device.driver.arrivals(plan.grid[1])
    mean, inverse_std = device.empty((C,)), device.empty((C,))
    device.launch(
        "batchnorm", f"batchnorm_statistics<T, {width}>", plan.grid, plan.block,
        x, partial, arrivals, mean, inverse_std, moving_mean, moving_variance, rows, C, plan.rows_per_block,
        1.0 - momentum, float(epsilon), shared=(2 * width + 1) * plan.threads * device.itemsize,
    )  # fmt: skip
    y, mask = normalize(device, x, gamma, beta, mean, inverse_std, False, epsilon, mask)
    return y, Saved(mean, inverse_std, mask)


def batchnorm_inference(
    device: KernelDevice, x: Array, gamma: Array, beta: Array, moving_mean: Array, moving_variance: Array,
    epsilon: float,
) -> Array:  # fmt: skip
    return normalize(device, x, gamma, beta, moving_mean, moving_variance, True, epsilon, None)[0]


def normalize(
    device: KernelDevice, x: Array, gamma: Array, beta: Array, mean: Array, spread: Array, inference: bool,
    epsilon: float, mask: Mask | None,
) -> tuple[Array, Mask | None]:  # fmt: skip
    """(y, the mask with its step kept). spread: 1 / standard deviation (C,), or at `inference` the variance."""
    (rows, C), width = matrix(x), width_of(x.shape[-1])
    y, plan = device.empty(x.shape), Rows(rows, C, 4 * BLOCKS, width)
    saved = device.empty((1,), "int64")  # takes the step's number, which makes the mask again
    device.launch(
        "batchnorm", kernel("normalize", C, mask), plan.grid, plan.block,
        x, gamma, beta, mean, spread, y, rows, C, plan.rows_per_block, int(inference), float(epsilon),
        saved, *dropping(device, mask),
    )  # fmt: skip
    return y, None if mask is None else mask._replace(step=saved)


def batchnorm_backward(
    device: KernelDevice, dy: Array, x: Array, gamma: Array, saved: Saved
) -> tuple[Array, Array, Array]:
    (mean, inverse_std, mask), (rows, C), width = saved, matrix(x), width_of(x.shape[-1])
    plan, drops = Rows(rows, C, width=width), dropping(device, mask)
    partial, arrivals = device.empty((plan.blocks, 2, C)), device.driver.arrivals(plan.grid[1])
    dgamma, dbeta, dx = device.empty((C,)), device.empty((C,)), device.empty(x.shape)
    device.launch(
        "batchnorm", kernel("backward_sums", C, mask), plan.grid, plan.block,
        dy, x, mean, inverse_std, partial, arrivals, dgamma, dbeta, rows, C, plan.rows_per_block,
        *drops, shared=2 * width * plan.threads * device.itemsize,
    )  # fmt: skip
    plan = Rows(rows, C, 4 * BLOCKS, width)
    device.launch(
        "batchnorm", kernel("backward_data", C, mask), plan.grid, plan.block,
        dy, x, gamma, mean, inverse_std, dgamma, dbeta, dx, rows, C, plan.rows_per_block, *drops,
    )  # fmt: skip
    return dx, dgamma, dbeta
