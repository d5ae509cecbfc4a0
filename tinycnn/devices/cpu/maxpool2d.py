"""Max pooling, 16 channels at a time.

Beside the largest value so far, a register remembers where it was found, as a small float: 16
comparisons then choose value and place at once. The first of equal values wins, and so does the first NaN.
"""

import numpy as np

from tinycnn.devices.cpu.launch import floats, integers, integers32, kernel, launch
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


@kernel
def forward_images(arguments, task, thread):
    """y and argmax of one image."""
    x, y, argmax, shape = floats(arguments, 0), floats(arguments, 1), integers32(arguments, 2), integers(arguments, 3)
    H, W, C, P, Q, R, S = shape[0], shape[1], shape[2], shape[3], shape[4], shape[5], shape[6]
    row_stride, column_stride, top, left = shape[7], shape[8], shape[9], shape[10]
    for p in range(P):
        first_r, last_r = max(0, top - p * row_stride), min(R, H + top - p * row_stride)
        for q in range(Q):
            first_s, last_s = max(0, left - q * column_stride), min(S, W + left - q * column_stride)
            to = ((task * P + p) * Q + q) * C
            for c in range(0, C, 16):
                best = fill16(np.float32(-np.inf))
                place = fill16(np.float32(first_r * S + first_s))
                for r in range(first_r, last_r):
                    row = (task * H + p * row_stride + r - top) * W + q * column_stride - left
                    for s in range(first_s, last_s):
                        value = load_first16(x, (row + s) * C + c, C - c)
                        place = where_larger(value, best, fill16(np.float32(r * S + s)), place)
                        best = where_larger(value, best, value, best)
                store_first(y, to + c, best, C - c)
                store_integers_first(argmax, to + c, place, C - c)


@kernel
def backward_images(arguments, task, thread):
    """dx of one image: zeros, and each dy added at its window's maximum."""
    dy, argmax, dx, shape = floats(arguments, 0), integers32(arguments, 1), floats(arguments, 2), integers(arguments, 3)
    H, W, C, P, Q, R, S = shape[0], shape[1], shape[2], shape[3], shape[4], shape[5], shape[6]
    row_stride, column_stride, top, left = shape[7], shape[8], shape[9], shape[10]
    for i in range(task * H * W * C, (task + 1) * H * W * C):
        dx[i] = 0
    zero = fill16(np.float32(0))
    for p in range(P):
        first_r, last_r = max(0, top - p * row_stride), min(R, H + top - p * row_stride)
        for q in range(Q):
            first_s, last_s = max(0, left - q * column_stride), min(S, W + left - q * column_stride)
            at = ((task * P + p) * Q + q) * C
            for c in range(0, C, 16):
                gradient = load_first16(dy, at + c, C - c)
                place = load_integers_first16(argmax, at + c, C - c)
                for r in range(first_r, last_r):
                    row = (task * H + p * row_stride + r - top) * W + q * column_stride - left
                    for s in range(first_s, last_s):
                        to = (row + s) * C + c
                        here = where_equal(place, fill16(np.float32(r * S + s)), gradient, zero)
                        store_first(dx, to, add(load_first16(dx, to, C - c), here), C - c)


def _shape(x_shape, P, Q, pool, stride, padding):
    (top, _), (left, _) = padding
    return np.array([*x_shape[1:], P, Q, *pool, *stride, top, left], np.int64)


def maxpool2d_forward(x, pool, stride, padding):
    """(y, argmax)."""
    N, H, W, C = x.shape
    P, Q = ((n + sum(pads) - k) // s + 1 for n, pads, k, s in zip((H, W), padding, pool, stride, strict=True))
    y, argmax = buffers.empty((N, P, Q, C), np.float32), buffers.empty((N, P, Q, C), np.int32)
    launch(forward_images, N, x, y, argmax, _shape(x.shape, P, Q, pool, stride, padding))
    return y, argmax


def maxpool2d_backward(dy, argmax, x_shape, pool, stride, padding):
    """dx."""
    dx = buffers.empty(x_shape, np.float32)
    launch(backward_images, x_shape[0], dy, argmax, dx, _shape(x_shape, *dy.shape[1:3], pool, stride, padding))
    return dx
