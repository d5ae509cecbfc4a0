"""Max pooling, 16 channels at a time.

Beside the largest value so far, a register remembers where it was found, as a small float: 16
comparisons then choose value and place at once. The first of equal values wins, and so does the first NaN.
"""

from __future__ import annotations

import numpy as np

from tinycnn.devices.cpu.launch import floats, geometry, integers32, kernel, launch
from tinycnn.devices.cpu.memory import pool as buffers
from tinycnn.devices.cpu.simd import (
    add,
    fill16,
    load_first16,
    load_integers_first16,
    store_first,
    store_integers_first,
    where_equal,
    where_larger,
)
from tinycnn.shapes import Geometry, Padding, Pair, Shape


@kernel
def forward_images(arguments, task, thread):
    """y and argmax of one image."""
    x, y, argmax, g = floats(arguments, 0), floats(arguments, 1), integers32(arguments, 2), geometry(arguments, 3)
    for p in range(g.P):
        first_r, last_r = max(0, g.top - p * g.stride_h), min(g.R, g.H + g.top - p * g.stride_h)
        for q in range(g.Q):
            first_s, last_s = max(0, g.left - q * g.stride_w), min(g.S, g.W + g.left - q * g.stride_w)
            to = ((task * g.P + p) * g.Q + q) * g.C
            for c in range(0, g.C, 16):
                best = fill16(np.float32(-np.inf))
                place = fill16(np.float32(first_r * g.S + first_s))
                for r in range(first_r, last_r):
                    row = (task * g.H + p * g.stride_h + r - g.top) * g.W + q * g.stride_w - g.left
                    for s in range(first_s, last_s):
                        value = load_first16(x, (row + s) * g.C + c, g.C - c)
                        place = where_larger(value, best, fill16(np.float32(r * g.S + s)), place)
                        best = where_larger(value, best, value, best)
                store_first(y, to + c, best, g.C - c)
                store_integers_first(argmax, to + c, place, g.C - c)


@kernel
def backward_images(arguments, task, thread):
    """dx of one image: zeros, and each dy added at its window's maximum."""
    dy, argmax, dx, g = floats(arguments, 0), integers32(arguments, 1), floats(arguments, 2), geometry(arguments, 3)
    for i in range(task * g.H * g.W * g.C, (task + 1) * g.H * g.W * g.C):
        dx[i] = 0
    zero = fill16(np.float32(0))
    for p in range(g.P):
        first_r, last_r = max(0, g.top - p * g.stride_h), min(g.R, g.H + g.top - p * g.stride_h)
        for q in range(g.Q):
            first_s, last_s = max(0, g.left - q * g.stride_w), min(g.S, g.W + g.left - q * g.stride_w)
            at = ((task * g.P + p) * g.Q + q) * g.C
            for c in range(0, g.C, 16):
                gradient = load_first16(dy, at + c, g.C - c)
                place = load_integers_first16(argmax, at + c, g.C - c)
                for r in range(first_r, last_r):
                    row = (task * g.H + p * g.stride_h + r - g.top) * g.W + q * g.stride_w - g.left
                    for s in range(first_s, last_s):
                        to = (row + s) * g.C + c
                        here = where_equal(place, fill16(np.float32(r * g.S + s)), gradient, zero)
                        store_first(dx, to, add(load_first16(dx, to, g.C - c), here), g.C - c)


def maxpool2d_forward(x: np.ndarray, pool: Pair, stride: Pair, padding: Padding) -> tuple[np.ndarray, np.ndarray]:
    """(y, argmax)."""
    g = Geometry.of_pool(x.shape, pool, stride, padding)
    y, argmax = buffers.empty(g.y_shape, np.float32), buffers.empty(g.y_shape, np.int32)
    launch(forward_images, g.N, x, y, argmax, g)
    return y, argmax


def maxpool2d_backward(
    dy: np.ndarray, argmax: np.ndarray, x_shape: Shape, pool: Pair, stride: Pair, padding: Padding
) -> np.ndarray:
    """dx."""
    g = Geometry.of_pool(x_shape, pool, stride, padding)
    dx = buffers.empty(x_shape, np.float32)
    launch(backward_images, g.N, dy, argmax, dx, g)
    return dx
