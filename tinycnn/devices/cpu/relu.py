"""ReLU, and the way back through ReLU and bias."""

from __future__ import annotations

import numpy as np

from tinycnn.devices.cpu.channels import cut, fold_channels
from tinycnn.devices.cpu.launch import floats, kernel, launch
from tinycnn.devices.cpu.memory import pool
from tinycnn.devices.cpu.simd import add, fill16, load16, store, where_greater

TASK = 8192


@kernel
def relu_pass(arguments, task, thread):
    """y = max(x, 0)."""
    x, y, size = floats(arguments, 0), floats(arguments, 1), arguments[2]
    for i in range(task * TASK, min(task * TASK + TASK, size)):
        y[i] = np.float32(0) if x[i] < 0 else x[i]


@kernel
def relu_backward_pass(arguments, task, thread):
    """dx = dy where y > 0, else 0."""
    dy, y, dx, size = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2), arguments[3]
    for i in range(task * TASK, min(task * TASK + TASK, size)):
        dx[i] = dy[i] if y[i] > 0 else np.float32(0)


@kernel
def bias_relu_backward_pass(arguments, task, thread):
    """dz = dy where y > 0, else 0, and sum(dz) of each place in one chunk."""
    dy, y, dz, partial = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2), floats(arguments, 3)
    size, chunk, period = arguments[4], arguments[5], arguments[6]
    begin, end = task * chunk, min(task * chunk + chunk, size)
    sums = task * period
    for j in range(period):
        partial[sums + j] = 0
    zero = fill16(np.float32(0))
    whole = (end - begin) // period
    for i in range(begin, begin + whole * period, period):
        for j in range(0, period, 16):
            d = where_greater(load16(y, i + j), zero, load16(dy, i + j), zero)
            store(dz, i + j, d)
            store(partial, sums + j, add(load16(partial, sums + j), d))
    for i in range(begin + whole * period, end):
        j = i - begin - whole * period
        dz[i] = dy[i] if y[i] > 0 else np.float32(0)
        partial[sums + j] += dz[i]


@kernel
def bias_backward_pass(arguments, task, thread):
    """sum(dy) of each place in one chunk."""
    dy, partial = floats(arguments, 0), floats(arguments, 1)
    size, chunk, period = arguments[2], arguments[3], arguments[4]
    begin, end = task * chunk, min(task * chunk + chunk, size)
    sums = task * period
    for j in range(period):
        partial[sums + j] = 0
    whole = (end - begin) // period
    for i in range(begin, begin + whole * period, period):
        for j in range(0, period, 16):
            store(partial, sums + j, add(load16(partial, sums + j), load16(dy, i + j)))
    for i in range(begin + whole * period, end):
        partial[sums + i - begin - whole * period] += dy[i]


def relu_forward(x: np.ndarray) -> np.ndarray:
    y = pool.empty(x.shape, np.float32)
    launch(relu_pass, -(-x.size // TASK), x, y, x.size)
    return y


def relu_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    dx = pool.empty(dy.shape, np.float32)
    launch(relu_backward_pass, -(-dy.size // TASK), dy, y, dx, dy.size)
    return dx


def bias_relu_backward(dy: np.ndarray, y: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    parts = cut(dy.size, dy.shape[-1])
    partial = parts.partial(1)
    if y is None:
        dz = dy
        launch(bias_backward_pass, parts.chunks, dy, partial, dy.size, parts.floats, parts.period)
    else:
        dz = pool.empty(dy.shape, np.float32)
        launch(bias_relu_backward_pass, parts.chunks, dy, y, dz, partial, dy.size, parts.floats, parts.period)
    db = np.empty(dy.shape[-1], np.float32)
    launch(fold_channels, db.size, partial, db, parts.chunks, parts.period, db.size)
    return dz, db
