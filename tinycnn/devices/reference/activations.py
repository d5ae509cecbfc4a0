"""Activations other than ReLU and softmax, beside activations.cu."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.devices.reference.relu import relu_of

# ---------------------------------------------------------------- loops

# What each makes of a number x, and its derivative there by the result y. alpha is not negative.
FORWARD: dict[str, Callable[[Any, float], Any]] = {
    "tanh": lambda x, alpha: np.tanh(x),
    "sigmoid": lambda x, alpha: 1 / (1 + np.exp(-x)),
    "elu": lambda x, alpha: x if x > 0 else alpha * np.expm1(x),
    "leaky_relu": lambda x, alpha: x if x > 0 else alpha * x,
    "softplus": lambda x, alpha: relu_of(x) + np.log1p(np.exp(-abs(x))),
}
SLOPE: dict[str, Callable[[Any, float], Any]] = {
    "tanh": lambda y, alpha: 1 - y * y,
    "sigmoid": lambda y, alpha: y * (1 - y),
    "elu": lambda y, alpha: 1 if y > 0 else y + alpha,
    "leaky_relu": lambda y, alpha: 1 if y > 0 else alpha,
    "softplus": lambda y, alpha: -np.expm1(-y),
}


def activation_forward_loops(activation: str, x: Array, alpha: float) -> Array:
    y = np.empty_like(x)
    for i in np.ndindex(x.shape):
        y[i] = FORWARD[activation](x[i], alpha)
    return y


def activation_backward_loops(activation: str, dy: Array, y: Array, alpha: float) -> Array:
    dx = np.empty_like(dy)
    for i in np.ndindex(dy.shape):
        dx[i] = dy[i] * SLOPE[activation](y[i], alpha)
    return dx


# ---------------------------------------------------------------- whole arrays


def activation_forward(activation: str, x: Array, alpha: float) -> Array:
    with np.errstate(over="ignore"):  # what has no place in the precision is infinite, and comes out as it should
        if activation == "tanh":
            return np.tanh(x)
        if activation == "sigmoid":
            return 1 / (1 + np.exp(-x))
        if activation == "elu":
            return np.where(x > 0, x, x.dtype.type(alpha) * np.expm1(x))
        if activation == "leaky_relu":
            return np.where(x > 0, x, x.dtype.type(alpha) * x)
        return np.logaddexp(x, x.dtype.type(0))


def activation_backward(activation: str, dy: Array, y: Array, alpha: float) -> Array:
    one, alpha = y.dtype.type(1), y.dtype.type(alpha)
    if activation == "tanh":
        return dy * (1 - y * y)
    if activation == "sigmoid":
        return dy * (y * (1 - y))
    if activation == "elu":
        return dy * np.where(y > 0, one, y + alpha)
    if activation == "leaky_relu":
        return dy * np.where(y > 0, one, alpha)
    return dy * -np.expm1(-y)
