"""Convolution with stride and padding, beside conv2d.cu."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.devices.reference.relu import relu_of
from tinycnn.devices.reference.windows import pad_images, tap, without_padding
from tinycnn.shapes import Geometry, Padding, Pair, Shape

# ---------------------------------------------------------------- loops


def products(geometry: Geometry) -> Iterator[tuple[int, ...]]:
    """(n, p, q, k, r, s, c, h, v) of every product of a convolution: output (n,p,q,k) sees pixel (n,h,v,c) by the tap
    (r,s,c) of filter k. All three passes are sums of these products: of x * w into y, dy * w into dx, dy * x into dw.
    """
    g = geometry
    for n, p, q, k in np.ndindex(g.y_shape):
        for r, s, c in np.ndindex(g.R, g.S, g.C):
            h, v = p * g.stride_h + r - g.top, q * g.stride_w + s - g.left
            if 0 <= h < g.H and 0 <= v < g.W:  # pixels outside the image are 0
                yield n, p, q, k, r, s, c, h, v


def conv2d_forward_loops(x: Array, w: Array, b: Array | None, stride: Pair, padding: Padding, relu: bool) -> Array:
    geometry = Geometry.of(x.shape, w.shape, stride, padding)
    y = np.zeros(geometry.y_shape, x.dtype)
    for n, p, q, k, r, s, c, h, v in products(geometry):
        y[n, p, q, k] += x[n, h, v, c] * w[r, s, c, k]
    for n, p, q, k in np.ndindex(y.shape):
        if b is not None:
            y[n, p, q, k] += b[k]
        if relu:
            y[n, p, q, k] = relu_of(y[n, p, q, k])
    return y


def conv2d_backward_data_loops(dy: Array, w: Array, x_shape: Shape, stride: Pair, padding: Padding) -> Array:
    dx = np.zeros(x_shape, dy.dtype)
    for n, p, q, k, r, s, c, h, v in products(Geometry.of(x_shape, w.shape, stride, padding)):
        dx[n, h, v, c] += dy[n, p, q, k] * w[r, s, c, k]
    return dx


def conv2d_backward_filter_loops(x: Array, dy: Array, w_shape: Shape, stride: Pair, padding: Padding) -> Array:
    dw = np.zeros(w_shape, dy.dtype)
    for n, p, q, k, r, s, c, h, v in products(Geometry.of(x.shape, w_shape, stride, padding)):
        dw[r, s, c, k] += dy[n, p, q, k] * x[n, h, v, c]
    return dw


# ---------------------------------------------------------------- whole arrays


def conv2d_forward(x: Array, w: Array, b: Array | None, stride: Pair, padding: Padding, relu: bool) -> Array:
    geometry = Geometry.of(x.shape, w.shape, stride, padding)
    x = pad_images(x, padding)
    y = np.zeros(geometry.y_shape, dtype=x.dtype)
    for r, s in np.ndindex(geometry.R, geometry.S):
        y += np.tensordot(tap(x, r, s, geometry), w[r, s], axes=1)
    if b is not None:
        y += b
    return np.maximum(y, 0) if relu else y


def conv2d_backward_data(dy: Array, w: Array, x_shape: Shape, stride: Pair, padding: Padding) -> Array:
    geometry = Geometry.of(x_shape, w.shape, stride, padding)
    dx = pad_images(np.zeros(x_shape, dtype=dy.dtype), padding)
    for r, s in np.ndindex(geometry.R, geometry.S):
        tap(dx, r, s, geometry)[...] += np.tensordot(dy, w[r, s].T, axes=1)
    return without_padding(dx, geometry)


def conv2d_backward_filter(x: Array, dy: Array, w_shape: Shape, stride: Pair, padding: Padding) -> Array:
    geometry = Geometry.of(x.shape, w_shape, stride, padding)
    x = pad_images(x, padding)
    dw = np.empty(w_shape, dtype=dy.dtype)
    for r, s in np.ndindex(geometry.R, geometry.S):
        dw[r, s] = tap(x, r, s, geometry).reshape(-1, geometry.C).T @ dy.reshape(-1, geometry.K)
    return dw
