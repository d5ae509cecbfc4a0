"""Average pooling, beside avgpool2d.cu."""

from __future__ import annotations

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.devices.reference.windows import pad_images, tap, without_padding
from tinycnn.shapes import Geometry, Padding, Pair, Shape

# ---------------------------------------------------------------- loops


def pixels_under(g: Geometry, p: int, q: int) -> list[Pair]:
    """The pixels (h, v) of the image that the window of output (p, q) sees."""
    places = ((p * g.stride_h + r - g.top, q * g.stride_w + s - g.left) for r, s in np.ndindex(g.R, g.S))
    return [(h, v) for h, v in places if 0 <= h < g.H and 0 <= v < g.W]


def avgpool2d_forward_loops(x: Array, pool: Pair, stride: Pair, padding: Padding) -> Array:
    g = Geometry.of_pool(x.shape, pool, stride, padding)
    y = np.zeros(g.y_shape, x.dtype)
    for n, p, q, c in np.ndindex(g.y_shape):
        seen = pixels_under(g, p, q)
        for h, v in seen:
            y[n, p, q, c] += x[n, h, v, c]
        y[n, p, q, c] /= len(seen)
    return y


def avgpool2d_backward_loops(dy: Array, x_shape: Shape, pool: Pair, stride: Pair, padding: Padding) -> Array:
    g = Geometry.of_pool(x_shape, pool, stride, padding)
    dx = np.zeros(x_shape, dy.dtype)
    for n, p, q, c in np.ndindex(g.y_shape):
        seen = pixels_under(g, p, q)
        for h, v in seen:
            dx[n, h, v, c] += dy[n, p, q, c] / len(seen)
    return dx


# ---------------------------------------------------------------- whole arrays


def pixel_counts(geometry: Geometry, padding: Padding, dtype: np.dtype) -> Array:
    """(1,P,Q,1): how many pixels of the image each window sees."""
    inside = pad_images(np.ones((1, geometry.H, geometry.W, 1), dtype), padding)
    return sum(tap(inside, r, s, geometry) for r, s in np.ndindex(geometry.R, geometry.S))


def avgpool2d_forward(x: Array, pool: Pair, stride: Pair, padding: Padding) -> Array:
    geometry = Geometry.of_pool(x.shape, pool, stride, padding)
    padded = pad_images(x, padding)
    y = sum(tap(padded, r, s, geometry) for r, s in np.ndindex(pool))
    return y / pixel_counts(geometry, padding, x.dtype)


def avgpool2d_backward(dy: Array, x_shape: Shape, pool: Pair, stride: Pair, padding: Padding) -> Array:
    geometry = Geometry.of_pool(x_shape, pool, stride, padding)
    dx = pad_images(np.zeros(x_shape, dy.dtype), padding)
    share = dy / pixel_counts(geometry, padding, dy.dtype)
    for r, s in np.ndindex(pool):
        tap(dx, r, s, geometry)[...] += share
    return without_padding(dx, geometry)
