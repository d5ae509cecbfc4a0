"""ReLU, and the way back through ReLU and bias, beside relu.cu."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn.devices.base import Array

# ---------------------------------------------------------------- loops


def relu_of(value: Any) -> Any:
    """max(value, 0) of one number, that lets NaN through, as relu_of in common.cuh."""
    return 0 if value < 0 else value


def relu_forward_loops(x: Array) -> Array:
    y = np.empty_like(x)
    for i in np.ndindex(x.shape):
        y[i] = relu_of(x[i])
    return y


def relu_backward_loops(dy: Array, y: Array) -> Array:
    dx = np.empty_like(dy)
    for i in np.ndindex(dy.shape):
        dx[i] = dy[i] if y[i] > 0 else 0
    return dx


def bias_relu_backward_loops(dy: Array, y: Array | None) -> tuple[Array, Array]:
    dz = dy if y is None else relu_backward_loops(dy, y)
    db = np.zeros(dy.shape[-1], np.float64)
    for place in np.ndindex(dz.shape):
        db[place[-1]] += dz[place]
    return dz, db.astype(dy.dtype)


# ---------------------------------------------------------------- whole arrays


def sum_of_rows(x: Array) -> Array:
    """x (...,C) -> (C,). In float64: NumPy adds rows one by one, which costs float32 its digits."""
    return x.reshape(-1, x.shape[-1]).sum(axis=0, dtype=np.float64).astype(x.dtype)


def relu_forward(x: Array) -> Array:
    return np.maximum(x, 0)


def relu_backward(dy: Array, y: Array) -> Array:
    return np.where(y > 0, dy, dy.dtype.type(0))


def bias_relu_backward(dy: Array, y: Array | None) -> tuple[Array, Array]:
    dz = dy if y is None else relu_backward(dy, y)
    return dz, sum_of_rows(dz)
