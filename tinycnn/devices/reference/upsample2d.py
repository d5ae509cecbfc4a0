"""Images made larger, beside upsample2d.cu."""

from __future__ import annotations

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.shapes import Pair

# ---------------------------------------------------------------- loops


def upsample2d_forward_loops(x: Array, size: Pair) -> Array:
    (R, S), (N, H, W, C) = size, x.shape
    y = np.empty((N, H * R, W * S, C), x.dtype)
    for n, p, q, c in np.ndindex(y.shape):
        y[n, p, q, c] = x[n, p // R, q // S, c]
    return y


def upsample2d_backward_loops(dy: Array, size: Pair) -> Array:
    (R, S), (N, P, Q, C) = size, dy.shape
    dx = np.zeros((N, P // R, Q // S, C), dy.dtype)
    for n, p, q, c in np.ndindex(dy.shape):
        dx[n, p // R, q // S, c] += dy[n, p, q, c]
    return dx


# ---------------------------------------------------------------- whole arrays


def upsample2d_forward(x: Array, size: Pair) -> Array:
    return x.repeat(size[0], axis=1).repeat(size[1], axis=2)


def upsample2d_backward(dy: Array, size: Pair) -> Array:
    (R, S), (N, P, Q, C) = size, dy.shape
    return dy.reshape(N, P // R, R, Q // S, S, C).sum(axis=(2, 4))
