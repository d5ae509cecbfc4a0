"""Padded images and the views of them that filter taps and pooling windows meet."""

from __future__ import annotations

import numpy as np

from tinycnn.shapes import Geometry, Padding


def pad_images(x: np.ndarray, padding: Padding, value: float = 0.0) -> np.ndarray:
    """x (N,H,W,C) with `padding` = ((top, bottom), (left, right)) more rows and columns."""
    return np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=value)


def tap(padded: np.ndarray, r: int, s: int, geometry: Geometry) -> np.ndarray:
    """The (N,P,Q,C) view of the padded images that tap (r, s) of a window meets, one pixel per output."""
    rows, columns = (geometry.P - 1) * geometry.stride_h + 1, (geometry.Q - 1) * geometry.stride_w + 1
    return padded[:, r : r + rows : geometry.stride_h, s : s + columns : geometry.stride_w]


def without_padding(padded: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The images (N,H,W,C) inside the padding, as an array of their own."""
    top, left = geometry.top, geometry.left
    return np.ascontiguousarray(padded[:, top : top + geometry.H, left : left + geometry.W])
