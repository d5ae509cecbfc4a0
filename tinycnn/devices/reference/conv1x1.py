"""Convolution with a 1x1 filter, beside conv1x1.cu: a dense layer at every pixel."""

from __future__ import annotations

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.devices.reference.dense import dense_backward_data, dense_backward_filter, dense_forward
from tinycnn.devices.reference.relu import relu_of

# ---------------------------------------------------------------- loops


def conv1x1_forward_loops(x: Array, w: Array, b: Array | None, relu: bool) -> Array:
    C, K = w.shape[2:]
    y = np.zeros((*x.shape[:3], K), x.dtype)
    for n, h, v, k in np.ndindex(y.shape):
        for c in range(C):
            y[n, h, v, k] += x[n, h, v, c] * w[0, 0, c, k]
        if b is not None:
            y[n, h, v, k] += b[k]
        if relu:
            y[n, h, v, k] = relu_of(y[n, h, v, k])
    return y


def conv1x1_backward_data_loops(dy: Array, w: Array) -> Array:
    C, K = w.shape[2:]
    dx = np.zeros((*dy.shape[:3], C), dy.dtype)
    for n, h, v, c in np.ndindex(dx.shape):
        for k in range(K):
            dx[n, h, v, c] += dy[n, h, v, k] * w[0, 0, c, k]
    return dx


def conv1x1_backward_filter_loops(x: Array, dy: Array) -> Array:
    C, K = x.shape[3], dy.shape[3]
    dw = np.zeros((1, 1, C, K), dy.dtype)
    for c, k in np.ndindex(C, K):
        for n, h, v in np.ndindex(x.shape[:3]):
            dw[0, 0, c, k] += x[n, h, v, c] * dy[n, h, v, k]
    return dw


# ---------------------------------------------------------------- whole arrays


def conv1x1_forward(x: Array, w: Array, b: Array | None, relu: bool) -> Array:
    return dense_forward(x, w[0, 0], b, relu)


def conv1x1_backward_data(dy: Array, w: Array) -> Array:
    return dense_backward_data(dy, w[0, 0])


def conv1x1_backward_filter(x: Array, dy: Array) -> Array:
    return dense_backward_filter(x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1]))[None, None]
