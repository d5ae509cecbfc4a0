"""Launches of optimizers.cu and training.cu: what makes a pass a step of training."""

import numpy as np

from tinycnn.devices.kernels_host.shapes import THREADS, ceil_div, flat, product

PER_BLOCK = 4 * THREADS  # elements of one tensor that a block of optimizers.cu updates
MOST_GRID_Y = 65535


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


def adam_step(device, parameters, gradients, m, v, learning_rate, step, beta_1, beta_2, epsilon):
    betas = np.float64(beta_1), np.float64(beta_2), 1.0 - beta_1, 1.0 - beta_2
    update(device, "adam", parameters, gradients, [m, v], learning_rate, step, *betas, float(epsilon))


def adadelta_step(device, parameters, gradients, mean_square, mean_delta, learning_rate, rho, epsilon):
    states = [mean_square, mean_delta]
    update(device, "adadelta", parameters, gradients, states, learning_rate, 1.0 - rho, float(epsilon))


def gather_batch(device, images, labels, order, start, size):
    x, y = device.empty((size, *images.shape[1:])), device.empty((size, *labels.shape[1:]))
    image, label = product(images.shape[1:]), product(labels.shape[1:])
    image_blocks, label_blocks = ceil_div(image, PER_BLOCK), ceil_div(label, PER_BLOCK)
    device.launch(
        "training", "gather_batch<T>", (image_blocks + label_blocks, min(size, MOST_GRID_Y)), (THREADS,),
        images, labels, order, start, x, y, images.shape[0], size, image, label, image_blocks,
    )  # fmt: skip
    advance(device, start, size)
    return x, y


def advance(device, counter, amount):
    device.launch("training", "advance<long long>", (1,), (1,), counter, np.int64(amount))


def accumulate(device, totals, loss, correct, size):
    device.launch("training", "accumulate<T>", (1,), (1,), totals, loss, correct, int(size))


def fill(device, array, value):
    """array[...] = value, a number that travels with the launch: nothing on the host has to stay as it is."""
    kernel, value = ("fill<long long>", np.int64(value)) if array.dtype == np.int64 else ("fill<T>", float(value))
    device.launch("training", kernel, *flat(array.size), array, value, np.int64(array.size))
