"""Global pooling. A task is an image; the compiler takes neighbouring channels at once."""

from __future__ import annotations

from math import prod

import numpy as np
from numba import njit

from tinycnn.devices.cpu.launch import floats, kernel, launch
from tinycnn.devices.cpu.memory import pool
from tinycnn.devices.cpu.softmax_crossentropy import is_larger
from tinycnn.shapes import Shape


@njit
def is_same(a, b):
    """Whether two numbers are equal, or both NaN."""
    return a == b or (a != a and b != b)


@kernel
def average_image(arguments, task, thread):
    """y of one image: its pixels' channels summed up in y, then divided."""
    x, y, pixels, C = floats(arguments, 0), floats(arguments, 1), arguments[2], arguments[3]
    for c in range(task * C, task * C + C):
        y[c] = 0
    for pixel in range(task * pixels, task * pixels + pixels):
        for c in range(C):
            y[task * C + c] += x[pixel * C + c]
    for c in range(task * C, task * C + C):
        y[c] /= np.float32(pixels)


@kernel
def average_backward_image(arguments, task, thread):
    """dx of one image: dy / pixels at each of them."""
    dy, dx, pixels, C = floats(arguments, 0), floats(arguments, 1), arguments[2], arguments[3]
    for pixel in range(task * pixels, task * pixels + pixels):
        for c in range(C):
            dx[pixel * C + c] = dy[task * C + c] / np.float32(pixels)


@kernel
def largest_of_image(arguments, task, thread):
    """y of one image."""
    x, y, pixels, C = floats(arguments, 0), floats(arguments, 1), arguments[2], arguments[3]
    for c in range(task * C, task * C + C):
        y[c] = np.float32(-np.inf)
    for pixel in range(task * pixels, task * pixels + pixels):
        for c in range(C):
            value, best = x[pixel * C + c], y[task * C + c]
            y[task * C + c] = value if is_larger(value, best) else best


@kernel
def largest_backward_image(arguments, task, thread):
    """dx of one image: the maximum's gradient, shared by the pixels that have it. shares: room for (N, C) numbers."""
    dy, x, y = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2)
    dx, shares, pixels, C = floats(arguments, 3), floats(arguments, 4), arguments[5], arguments[6]
    for c in range(task * C, task * C + C):
        shares[c] = 0
    for pixel in range(task * pixels, task * pixels + pixels):
        for c in range(C):
            if is_same(x[pixel * C + c], y[task * C + c]):
                shares[task * C + c] += np.float32(1)
    for c in range(task * C, task * C + C):
        shares[c] = dy[c] / shares[c]
    for pixel in range(task * pixels, task * pixels + pixels):
        for c in range(C):
            has_it = is_same(x[pixel * C + c], y[task * C + c])
            dx[pixel * C + c] = shares[task * C + c] if has_it else np.float32(0)


def globalavgpool2d_forward(x: np.ndarray) -> np.ndarray:
    y = pool.empty((x.shape[0], x.shape[-1]), np.float32)
    launch(average_image, len(x), x, y, prod(x.shape[1:-1]), x.shape[-1])
    return y


def globalavgpool2d_backward(dy: np.ndarray, x_shape: Shape) -> np.ndarray:
    dx = pool.empty(x_shape, np.float32)
    launch(average_backward_image, len(dy), dy, dx, prod(x_shape[1:-1]), x_shape[-1])
    return dx


def globalmaxpool2d_forward(x: np.ndarray) -> np.ndarray:
    y = pool.empty((x.shape[0], x.shape[-1]), np.float32)
    launch(largest_of_image, len(x), x, y, prod(x.shape[1:-1]), x.shape[-1])
    return y


def globalmaxpool2d_backward(dy: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    dx, shares = pool.empty(x.shape, np.float32), pool.empty(y.shape, np.float32)
    launch(largest_backward_image, len(x), dy, x, y, dx, shares, prod(x.shape[1:-1]), x.shape[-1])
    return dx
