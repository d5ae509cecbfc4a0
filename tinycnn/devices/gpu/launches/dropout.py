"""Launches of dropout.cu."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.devices.gpu.grid import PER_BLOCK, flat

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice


def dropout_forward(
    device: KernelDevice, x: Array, rate: float, seed: int, stream: int, step: Array
) -> tuple[Array, Array]:
    saved = device.empty((1,), "int64")  # takes the step's number, which makes the mask again
    return dropout(device, x, rate, seed, stream, step, saved), saved


def dropout_backward(device: KernelDevice, dy: Array, rate: float, seed: int, stream: int, saved: Array) -> Array:
    return dropout(device, dy, rate, seed, stream, saved, None)


def dropout(
    device: KernelDevice, x: Array, rate: float, seed: int, stream: int, step: Array, saved: Array | None
) -> Array:
    """saved: the array that takes the step (forward), or None (backward)."""
    y = device.empty(x.shape)
    device.launch(
        "dropout", "dropout<T>", *flat(max(1, x.size), PER_BLOCK),
        x, y, step, step if saved is None else saved, np.int64(x.size), *drawing(rate, seed, stream),
        int(saved is not None),
    )  # fmt: skip
    return y


def drawing(rate: float, seed: int, stream: int) -> tuple[Any, ...]:
    """(seed, stream, threshold, scale) as a kernel takes them."""
    return np.uint64(seed), np.uint32(stream), np.uint64(round(rate * 2**32)), 1 / (1 - rate)
