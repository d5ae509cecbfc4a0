"""Dropout, beside dropout.cu. `saved` is the mask here: dropout.cu makes it again from the step's number instead."""

from __future__ import annotations

import numpy as np

from tinycnn import philox
from tinycnn.devices.base import Array

# ---------------------------------------------------------------- loops


def dropout_forward_loops(x: Array, rate: float, seed: int, stream: int, step: Array) -> tuple[Array, Array]:
    mask = np.empty(x.shape, bool)
    for i in range(x.size):
        words = philox.random_bits(4, seed, stream, int(step[0]), start=i // 4 * 4)  # of the counter i / 4
        mask.flat[i] = words[i % 4] >= round(rate * 2**32)
    return dropout_backward_loops(x, rate, seed, stream, mask), mask


def dropout_backward_loops(dy: Array, rate: float, seed: int, stream: int, saved: Array) -> Array:
    dx = np.empty_like(dy)
    scale = dy.dtype.type(1 / (1 - rate))
    for i in np.ndindex(dy.shape):
        dx[i] = dy[i] * scale if saved[i] else 0
    return dx


# ---------------------------------------------------------------- whole arrays


def dropout_forward(x: Array, rate: float, seed: int, stream: int, step: Array) -> tuple[Array, Array]:
    bits = philox.random_bits(x.size, seed, stream, int(step[0])).reshape(x.shape)
    mask = bits >= round(rate * 2**32)
    return dropout_backward(x, rate, seed, stream, mask), mask


def dropout_backward(dy: Array, rate: float, seed: int, stream: int, saved: Array) -> Array:
    return np.where(saved, dy * dy.dtype.type(1 / (1 - rate)), dy.dtype.type(0))
