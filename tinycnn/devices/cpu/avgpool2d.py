"""Average pooling, 16 channels at a time."""

from __future__ import annotations

import numpy as np

from tinycnn.devices.cpu.launch import floats, geometry, kernel, launch
from tinycnn.devices.cpu.memory import pool as buffers
from tinycnn.devices.cpu.simd import add, fill16, load_first16, multiply, store_first
from tinycnn.shapes import Geometry, Padding, Pair, Shape


@kernel
def forward_images(arguments, task, thread):
    """y of one image."""
    x, y, g = floats(arguments, 0), floats(arguments, 1), geometry(arguments, 2)
    for p in range(g.P):
        first_r, last_r = max(0, g.top - p * g.stride_h), min(g.R, g.H + g.top - p * g.stride_h)
        for q in range(g.Q):
            first_s, last_s = max(0, g.left - q * g.stride_w), min(g.S, g.W + g.left - q * g.stride_w)
            share = fill16(np.float32(1) / np.float32((last_r - first_r) * (last_s - first_s)))
            to = ((task * g.P + p) * g.Q + q) * g.C
            for c in range(0, g.C, 16):
                total = fill16(np.float32(0))
                for r in range(first_r, last_r):
                    row = (task * g.H + p * g.stride_h + r - g.top) * g.W + q * g.stride_w - g.left
                    for s in range(first_s, last_s):
                        total = add(total, load_first16(x, (row + s) * g.C + c, g.C - c))
                store_first(y, to + c, multiply(total, share), g.C - c)


@kernel
def backward_images(arguments, task, thread):
    """dx of one image: zeros, and each window's share of dy added to every pixel under it."""
    dy, dx, g = floats(arguments, 0), floats(arguments, 1), geometry(arguments, 2)
    for i in range(task * g.H * g.W * g.C, (task + 1) * g.H * g.W * g.C):
        dx[i] = 0
    for p in range(g.P):
        first_r, last_r = max(0, g.top - p * g.stride_h), min(g.R, g.H + g.top - p * g.stride_h)
        for q in range(g.Q):
            first_s, last_s = max(0, g.left - q * g.stride_w), min(g.S, g.W + g.left - q * g.stride_w)
            share = fill16(np.float32(1) / np.float32((last_r - first_r) * (last_s - first_s)))
            at = ((task * g.P + p) * g.Q + q) * g.C
            for c in range(0, g.C, 16):
                gradient = multiply(load_first16(dy, at + c, g.C - c), share)
                for r in range(first_r, last_r):
                    row = (task * g.H + p * g.stride_h + r - g.top) * g.W + q * g.stride_w - g.left
                    for s in range(first_s, last_s):
                        to = (row + s) * g.C + c
                        store_first(dx, to, add(load_first16(dx, to, g.C - c), gradient), g.C - c)


def avgpool2d_forward(x: np.ndarray, pool: Pair, stride: Pair, padding: Padding) -> np.ndarray:
    g = Geometry.of_pool(x.shape, pool, stride, padding)
    y = buffers.empty(g.y_shape, np.float32)
    launch(forward_images, g.N, x, y, g)
    return y


def avgpool2d_backward(dy: np.ndarray, x_shape: Shape, pool: Pair, stride: Pair, padding: Padding) -> np.ndarray:
    g = Geometry.of_pool(x_shape, pool, stride, padding)
    dx = buffers.empty(x_shape, np.float32)
    launch(backward_images, g.N, dy, dx, g)
    return dx
