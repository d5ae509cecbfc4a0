"""Weight regularisation: a few passes of NumPy over what is small beside a batch of images."""

from __future__ import annotations

import numpy as np

from tinycnn.devices.base import Array


def regularize(
    parameter: Array, gradient: Array | None, l1: float, l2: float, rows: int = 1, totals: Array | None = None
) -> Array:
    first, second = np.float32(l1), np.float32(l2)
    penalty = first * np.abs(parameter) + second * parameter * parameter
    loss = np.array([penalty.sum()], np.float32)
    if gradient is not None:
        gradient += first * np.sign(parameter) + np.float32(2) * second * parameter
    if totals is not None:
        totals[0] += float(loss[0]) * rows
    return loss
