"""Max pooling, beside maxpool2d.cu."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.devices.reference.windows import pad_images, tap, without_padding
from tinycnn.shapes import Geometry, Padding, Pair, Shape

# ---------------------------------------------------------------- loops


def maxpool2d_forward_loops(x: Array, pool: Pair, stride: Pair, padding: Padding) -> tuple[Array, Array]:
    g = Geometry.of_pool(x.shape, pool, stride, padding)
    y, argmax = np.full(g.y_shape, -np.inf, x.dtype), np.zeros(g.y_shape, np.int32)
    for n, p, q, c in np.ndindex(g.y_shape):
        first = True
        for r, s in np.ndindex(pool):
            h, v = p * g.stride_h + r - g.top, q * g.stride_w + s - g.left
            if not (0 <= h < g.H and 0 <= v < g.W):
                continue
            if first or is_larger(x[n, h, v, c], y[n, p, q, c]):
                y[n, p, q, c] = x[n, h, v, c]
                argmax[n, p, q, c] = r * g.S + s
            first = False
    return y, argmax


def is_larger(value: Any, best: Any) -> bool:
    """Whether the number `value` takes the place of `best`: a NaN is larger than any number, and stays."""
    return value > best or (np.isnan(value) and not np.isnan(best))


def maxpool2d_backward_loops(
    dy: Array, argmax: Array, x_shape: Shape, pool: Pair, stride: Pair, padding: Padding
) -> Array:
    g = Geometry.of_pool(x_shape, pool, stride, padding)
    dx = np.zeros(x_shape, dy.dtype)
    for n, p, q, c in np.ndindex(g.y_shape):
        r, s = divmod(argmax[n, p, q, c], g.S)
        h, v = p * g.stride_h + r - g.top, q * g.stride_w + s - g.left
        if 0 <= h < g.H and 0 <= v < g.W:  # a window that lies in the padding alone has no maximum
            dx[n, h, v, c] += dy[n, p, q, c]
    return dx


# ---------------------------------------------------------------- whole arrays


def maxpool2d_forward(x: Array, pool: Pair, stride: Pair, padding: Padding) -> tuple[Array, Array]:
    geometry = Geometry.of_pool(x.shape, pool, stride, padding)
    in_image, x = pad_images(np.ones_like(x), padding), pad_images(x, padding, value=-np.inf)
    windows = np.stack([tap(x, r, s, geometry) for r, s in np.ndindex(pool)])
    argmax = windows.argmax(axis=0)  # NumPy returns the first of equal maxima, and the first NaN
    y = np.take_along_axis(windows, argmax[None], axis=0)[0]
    # Where nothing is larger than the padding, the maximum is the window's first pixel inside the image.
    inside = np.stack([tap(in_image, r, s, geometry) for r, s in np.ndindex(pool)])
    argmax = np.where(y == -np.inf, inside.argmax(axis=0), argmax)
    return y, argmax.astype(np.int32)


def maxpool2d_backward(dy: Array, argmax: Array, x_shape: Shape, pool: Pair, stride: Pair, padding: Padding) -> Array:
    geometry = Geometry.of_pool(x_shape, pool, stride, padding)
    dx = pad_images(np.zeros(x_shape, dtype=dy.dtype), padding)
    for r, s in np.ndindex(pool):
        tap(dx, r, s, geometry)[...] += np.where(argmax == r * geometry.S + s, dy, dy.dtype.type(0))
    return without_padding(dx, geometry)
