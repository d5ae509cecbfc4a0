"""Global pooling, beside globalpool2d.cu."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.devices.reference.maxpool2d import is_larger
from tinycnn.shapes import Shape

# ---------------------------------------------------------------- loops


def globalavgpool2d_forward_loops(x: Array) -> Array:
    N, H, W, C = x.shape
    y = np.zeros((N, C), x.dtype)
    for n, h, v, c in np.ndindex(x.shape):
        y[n, c] += x[n, h, v, c]
    for n, c in np.ndindex(N, C):
        y[n, c] /= H * W
    return y


def globalavgpool2d_backward_loops(dy: Array, x_shape: Shape) -> Array:
    _, H, W, _ = x_shape
    dx = np.empty(x_shape, dy.dtype)
    for n, h, v, c in np.ndindex(x_shape):
        dx[n, h, v, c] = dy[n, c] / (H * W)
    return dx


def globalmaxpool2d_forward_loops(x: Array) -> Array:
    y = np.full((len(x), x.shape[3]), -np.inf, x.dtype)
    for n, h, v, c in np.ndindex(x.shape):
        if is_larger(x[n, h, v, c], y[n, c]):
            y[n, c] = x[n, h, v, c]
    return y


def is_same(a: Any, b: Any) -> bool:
    """Whether two numbers are equal, or both NaN."""
    return a == b or (np.isnan(a) and np.isnan(b))


def globalmaxpool2d_backward_loops(dy: Array, x: Array, y: Array) -> Array:
    dx, ties = np.zeros_like(x), np.zeros(y.shape, np.int64)
    for n, h, v, c in np.ndindex(x.shape):
        ties[n, c] += is_same(x[n, h, v, c], y[n, c])
    for n, h, v, c in np.ndindex(x.shape):
        if is_same(x[n, h, v, c], y[n, c]):
            dx[n, h, v, c] = dy[n, c] / ties[n, c]
    return dx


# ---------------------------------------------------------------- whole arrays


def globalavgpool2d_forward(x: Array) -> Array:
    # In float64: NumPy adds along any axis but the last one by one, which costs float32 its digits.
    return x.mean(axis=(1, 2), dtype=np.float64).astype(x.dtype)


def globalavgpool2d_backward(dy: Array, x_shape: Shape) -> Array:
    return np.broadcast_to((dy / prod(x_shape[1:3])).astype(dy.dtype)[:, None, None], x_shape).copy()


def globalmaxpool2d_forward(x: Array) -> Array:
    return x.max(axis=(1, 2))


def globalmaxpool2d_backward(dy: Array, x: Array, y: Array) -> Array:
    best = y[:, None, None]
    has_it = (x == best) | (np.isnan(x) & np.isnan(best))
    ties = has_it.sum(axis=(1, 2), keepdims=True, dtype=dy.dtype)
    with np.errstate(divide="ignore", invalid="ignore"):  # where y is no maximum of x, nobody has it
        return np.where(has_it, dy[:, None, None] / ties, dy.dtype.type(0))
