"""Activations other than ReLU and softmax.

Forward by NumPy, whose exponential functions are on vectors; the way back is a few multiplications, and goes by a
kernel, with the derivative by y.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from tinycnn.devices.cpu.launch import floats, kernel, launch, real
from tinycnn.devices.cpu.memory import pool

TASK = 8192
ACTIVATIONS = ("tanh", "sigmoid", "elu", "leaky_relu", "softplus")


@njit
def slope_of(activation, y, alpha):
    """The derivative of number `activation` of ACTIVATIONS where its result is y."""
    one = np.float32(1)
    if activation == 0:
        return one - y * y
    if activation == 1:
        return y * (one - y)
    if activation == 2:
        return one if y > 0 else y + alpha
    if activation == 3:
        return one if y > 0 else alpha
    return np.float32(-math.expm1(-y))


@kernel
def activation_backward_pass(arguments, task, thread):
    """dx = dy * the derivative."""
    dy, y, dx = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2)
    size, activation, alpha = arguments[3], arguments[4], real(arguments, 5)
    for i in range(task * TASK, min(task * TASK + TASK, size)):
        dx[i] = dy[i] * slope_of(activation, y[i], alpha)


def activation_forward(activation: str, x: np.ndarray, alpha: float) -> np.ndarray:
    y = pool.empty(x.shape, np.float32)
    with np.errstate(over="ignore"):  # what has no place in float32 is infinite, and comes out as it should
        if activation == "tanh":
            return np.tanh(x, out=y)
        if activation == "softplus":
            return np.logaddexp(x, np.float32(0), out=y)
        if activation == "sigmoid":
            np.exp(np.negative(x, out=y), out=y)
            y += np.float32(1)
            return np.reciprocal(y, out=y)
        negative = np.expm1(x, out=y) if activation == "elu" else x
        np.multiply(negative, np.float32(alpha), out=y)
        np.copyto(y, x, where=x > 0)
        return y


def activation_backward(activation: str, dy: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray:
    dx = pool.empty(dy.shape, np.float32)
    number = ACTIVATIONS.index(activation)
    launch(activation_backward_pass, -(-dy.size // TASK), dy, y, dx, dy.size, number, float(alpha))
    return dx
