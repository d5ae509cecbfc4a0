"""Zeros around images, beside zeropad2d.cu."""

from __future__ import annotations

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.devices.reference.windows import pad_images
from tinycnn.shapes import Padding

# ---------------------------------------------------------------- loops


def zeropad2d_forward_loops(x: Array, padding: Padding) -> Array:
    (top, bottom), (left, right) = padding
    N, H, W, C = x.shape
    y = np.zeros((N, top + H + bottom, left + W + right, C), x.dtype)
    for n, h, v, c in np.ndindex(x.shape):
        y[n, top + h, left + v, c] = x[n, h, v, c]
    return y


def zeropad2d_backward_loops(dy: Array, padding: Padding) -> Array:
    (top, bottom), (left, right) = padding
    N, P, Q, C = dy.shape
    dx = np.empty((N, P - top - bottom, Q - left - right, C), dy.dtype)
    for n, h, v, c in np.ndindex(dx.shape):
        dx[n, h, v, c] = dy[n, top + h, left + v, c]
    return dx


# ---------------------------------------------------------------- whole arrays


def zeropad2d_forward(x: Array, padding: Padding) -> Array:
    return pad_images(x, padding)


def zeropad2d_backward(dy: Array, padding: Padding) -> Array:
    (top, bottom), (left, right) = padding
    _, P, Q, _ = dy.shape
    return np.ascontiguousarray(dy[:, top : P - bottom, left : Q - right])
