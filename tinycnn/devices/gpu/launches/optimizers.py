"""Launches of optimizers.cu: one update over all parameters of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.devices.gpu.grid import PER_BLOCK, THREADS, ceil_div

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice


def update(
    device: KernelDevice, kernel: str, parameters: Sequence[Array], gradients: Sequence[Array],
    states: Sequence[Sequence[Array]], *args: Any,
) -> None:  # fmt: skip
    """One launch over all parameters. states: lists of arrays, none to two of them."""
    rows: list[list[Any]] = []
    blocks = 0
    for tensors in zip(parameters, gradients, *states, strict=True):
        size = tensors[0].size
        if size:
            rows.append([*tensors, *[0] * (4 - len(tensors)), size, blocks])
            blocks += ceil_div(size, PER_BLOCK)
    if rows:
        table = device.driver.address_table(rows)
        device.launch("optimizers", f"{kernel}<T>", (blocks,), (THREADS,), table, len(rows), *args)


def sgd_step(
    device: KernelDevice, parameters: Sequence[Array], gradients: Sequence[Array], velocities: Sequence[Array],
    learning_rate: Array, momentum: float, nesterov: bool,
) -> None:  # fmt: skip
    states = [velocities] if velocities else []
    update(device, "sgd", parameters, gradients, states, learning_rate, float(momentum), len(states), int(nesterov))


def adam_step(
    device: KernelDevice, parameters: Sequence[Array], gradients: Sequence[Array], m: Sequence[Array],
    v: Sequence[Array], learning_rate: Array, step: Array, betas: tuple[float, float], epsilon: float,
) -> None:  # fmt: skip
    numbers = *map(np.float64, betas), *(1.0 - beta for beta in betas), float(epsilon)
    update(device, "adam", parameters, gradients, [m, v], learning_rate, step, *numbers)


def adadelta_step(
    device: KernelDevice, parameters: Sequence[Array], gradients: Sequence[Array], mean_square: Sequence[Array],
    mean_delta: Sequence[Array], learning_rate: Array, rho: float, epsilon: float,
) -> None:  # fmt: skip
    states = [mean_square, mean_delta]
    update(device, "adadelta", parameters, gradients, states, learning_rate, 1.0 - rho, float(epsilon))
