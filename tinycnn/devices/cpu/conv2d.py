"""Convolution: by Winograd's way (winograd.py) where it pays, else directly (direct.py)."""

from __future__ import annotations

import numpy as np

from tinycnn.devices.cpu import direct, winograd
from tinycnn.shapes import Padding, Pair, Shape


def conv2d_forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, stride: Pair, padding: Padding, relu: bool
) -> np.ndarray:
    if winograd.pays(x.shape, w.shape, stride, padding):
        return winograd.forward(x, w, b, padding, relu)
    return direct.forward(x, w, b, stride, padding, relu)


def conv2d_backward_data(dy: np.ndarray, w: np.ndarray, x_shape: Shape, stride: Pair, padding: Padding) -> np.ndarray:
    if winograd.pays(x_shape, w.shape, stride, padding):
        return winograd.backward_data(dy, w, x_shape, padding)
    return direct.backward_data(dy, w, x_shape, stride, padding)


def conv2d_backward_filter(x: np.ndarray, dy: np.ndarray, w_shape: Shape, stride: Pair, padding: Padding) -> np.ndarray:
    if winograd.pays(x.shape, w_shape, stride, padding):
        return winograd.backward_filter(x, dy, w_shape, padding)
    return direct.backward_filter(x, dy, w_shape, stride, padding)
