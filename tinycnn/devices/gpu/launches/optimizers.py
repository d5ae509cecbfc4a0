"""Launches of optimizers.cu: one update over all parameters of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinycnn.devices.base import Array, Slices
from tinycnn.devices.gpu.grid import PER_BLOCK, THREADS, ceil_div

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice

SUMS = 32  # elements of a block where each is a sum of slices


def update(
    device: KernelDevice, kernel: str, parameters: Sequence[Array], gradients: Sequence[Array | Slices],
    states: Sequence[Sequence[Array]], *args: Any,
) -> None:  # fmt: skip
    """One launch over all parameters. states: lists of arrays, none to two of them."""
    device.driver.join()  # the gradients of filters come from a branch of their own
    rows: list[list[Any]] = []
    blocks = 0
    for parameter, gradient, *state in zip(parameters, gradients, *states, strict=True):
        g, slices = (gradient.parts, gradient.parts.shape[0]) if isinstance(gradient, Slices) else (gradient, 1)
        if parameter.size:
            rows.append([parameter, g, *state, *[0] * (2 - len(state)), parameter.size, blocks, slices])
            blocks += ceil_div(parameter.size, PER_BLOCK if slices == 1 else SUMS)
    if rows:
        table = device.driver.address_table(rows)
        device.launch("optimizers", f"{kernel}<T>", (blocks,), (THREADS,), table, len(rows), *args)


def sgd_step(
    device: KernelDevice, parameters: Sequence[Array], gradients: Sequence[Array | Slices],
    velocities: Sequence[Array], learning_rate: Array, momentum: float, nesterov: bool,
) -> None:  # fmt: skip
    states = [velocities] if velocities else []
    update(device, "sgd", parameters, gradients, states, learning_rate, float(momentum), len(states), int(nesterov))


def adam_step(
    device: KernelDevice, parameters: Sequence[Array], gradients: Sequence[Array | Slices],
    m: Sequence[Array], v: Sequence[Array], learning_rate: Array, step: Array, betas: tuple[float, float],
    epsilon: float,
) -> None:  # fmt: skip
    numbers = *map(np.float64, betas), *(1.0 - beta for beta in betas), float(epsilon)
    update(device, "adam", parameters, gradients, [m, v], learning_rate, step, *numbers)


def adadelta_step(
    device: KernelDevice, parameters: Sequence[Array], gradients: Sequence[Array | Slices],
    mean_square: Sequence[Array], mean_delta: Sequence[Array], learning_rate: Array, rho: float, epsilon: float,
) -> None:  # fmt: skip
    states = [mean_square, mean_delta]
    update(device, "adadelta", parameters, gradients, states, learning_rate, 1.0 - rho, float(epsilon))


def rmsprop_step(
    device: KernelDevice, parameters: Sequence[Array], gradients: Sequence[Array | Slices],
    mean_square: Sequence[Array], learning_rate: Array, rho: float, epsilon: float,
) -> None:  # fmt: skip
    update(device, "rmsprop", parameters, gradients, [mean_square], learning_rate, 1.0 - rho, float(epsilon))
