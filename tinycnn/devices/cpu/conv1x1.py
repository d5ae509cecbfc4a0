"""Convolution with a 1x1 filter: the product of dense.py over the channels of every pixel."""

from __future__ import annotations

import numpy as np

from tinycnn.devices.cpu.dense import dense_backward_data, dense_backward_filter, dense_forward


def rows(array: np.ndarray) -> np.ndarray:
    """All axes but the last as one."""
    return array.reshape(-1, array.shape[-1])


def conv1x1_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, relu: bool) -> np.ndarray:
    return dense_forward(rows(x), w[0, 0], b, relu).reshape(*x.shape[:3], w.shape[3])


def conv1x1_backward_data(dy: np.ndarray, w: np.ndarray) -> np.ndarray:
    return dense_backward_data(rows(dy), w[0, 0]).reshape(*dy.shape[:3], w.shape[2])


def conv1x1_backward_filter(x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    return dense_backward_filter(rows(x), rows(dy))[None, None]
