"""Dense layers, beside dense.cu. The matrix product of tensors (`matmul`) is dense_forward without bias and ReLU."""

from __future__ import annotations

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.devices.reference.relu import relu_of

# ruff: noqa: E741  (I and O are the names of dense.cu)

# ---------------------------------------------------------------- loops


def dense_forward_loops(x: Array, w: Array, b: Array | None, relu: bool) -> Array:
    N, (I, O) = len(x), w.shape
    y = np.zeros((N, O), x.dtype)
    for n, o in np.ndindex(N, O):
        for i in range(I):
            y[n, o] += x[n, i] * w[i, o]
        if b is not None:
            y[n, o] += b[o]
        if relu:
            y[n, o] = relu_of(y[n, o])
    return y


def dense_backward_data_loops(dy: Array, w: Array) -> Array:
    N, (I, O) = len(dy), w.shape
    dx = np.zeros((N, I), dy.dtype)
    for n, i in np.ndindex(N, I):
        for o in range(O):
            dx[n, i] += dy[n, o] * w[i, o]
    return dx


def dense_backward_filter_loops(x: Array, dy: Array) -> Array:
    (N, I), O = x.shape, dy.shape[1]
    dw = np.zeros((I, O), dy.dtype)
    for i, o in np.ndindex(I, O):
        for n in range(N):
            dw[i, o] += x[n, i] * dy[n, o]
    return dw


# ---------------------------------------------------------------- whole arrays


def dense_forward(x: Array, w: Array, b: Array | None, relu: bool) -> Array:
    y = x @ w
    if b is not None:
        y = y + b
    return np.maximum(y, 0) if relu else y


def dense_backward_data(dy: Array, w: Array) -> Array:
    return dy @ w.T


def dense_backward_filter(x: Array, dy: Array) -> Array:
    return x.T @ dy
