"""Launches of optimizers.cu: one update over all parameters of a network."""

import numpy as np

from tinycnn.devices.gpu.grid import PER_BLOCK, THREADS, ceil_div


def update(device, kernel, parameters, gradients, states, *args):
    """One launch over all parameters. states: lists of arrays, none to two of them."""
    rows, blocks = [], 0
    for tensors in zip(parameters, gradients, *states, strict=True):
        size = tensors[0].size
        if size:
            rows.append([*tensors, *[0] * (4 - len(tensors)), size, blocks])
            blocks += ceil_div(size, PER_BLOCK)
    if rows:
        table = device.driver.address_table(rows)
        device.launch("optimizers", f"{kernel}<T>", (blocks,), (THREADS,), table, len(rows), *args)


def sgd_step(device, parameters, gradients, velocities, learning_rate, momentum, nesterov):
    states = [velocities] if velocities else []
    update(device, "sgd", parameters, gradients, states, learning_rate, float(momentum), len(states), int(nesterov))


def adam_step(device, parameters, gradients, m, v, learning_rate, step, betas, epsilon):
    numbers = *map(np.float64, betas), *(1.0 - beta for beta in betas), float(epsilon)
    update(device, "adam", parameters, gradients, [m, v], learning_rate, step, *numbers)


def adadelta_step(device, parameters, gradients, mean_square, mean_delta, learning_rate, rho, epsilon):
    states = [mean_square, mean_delta]
    update(device, "adadelta", parameters, gradients, states, learning_rate, 1.0 - rho, float(epsilon))
