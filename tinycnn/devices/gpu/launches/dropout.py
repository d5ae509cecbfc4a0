"""Launches of dropout.cu."""

import numpy as np

from tinycnn.devices.gpu.grid import PER_BLOCK, flat


def dropout_forward(device, x, rate, seed, stream, step):
    saved = device.empty((1,), "int64")  # takes the step's number, which makes the mask again
    return dropout(device, x, rate, seed, stream, step, saved), saved


def dropout_backward(device, dy, rate, seed, stream, saved):
    return dropout(device, dy, rate, seed, stream, saved, None)


def dropout(device, x, rate, seed, stream, step, saved):
    """saved: the array that takes the step (forward), or None (backward)."""
    y = device.empty(x.shape)
    device.launch(
        "dropout", "dropout<T>", *flat(max(1, x.size), PER_BLOCK),
        x, y, step, step if saved is None else saved, np.int64(x.size), np.uint64(seed), np.uint32(stream),
        np.uint64(round(rate * 2**32)), 1 / (1 - rate), int(saved is not None),
    )  # fmt: skip
    return y
