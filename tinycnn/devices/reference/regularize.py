"""Weight regularisation, beside regularize.cu."""

from __future__ import annotations

import numpy as np

from tinycnn.devices.base import Array

# ---------------------------------------------------------------- loops


def regularize_loops(
    parameter: Array, gradient: Array | None, l1: float, l2: float, rows: int = 1, totals: Array | None = None
) -> Array:
    loss = np.zeros(1, parameter.dtype)
    for i in np.ndindex(parameter.shape):
        p = parameter[i]
        loss[0] += l1 * abs(p) + l2 * p * p
        if gradient is not None:
            gradient[i] += l1 * ((p > 0) * 1.0 - (p < 0) * 1.0) + 2 * l2 * p
    if totals is not None:
        totals[0] += np.float64(loss[0]) * rows
    return loss


# ---------------------------------------------------------------- whole arrays


def regularize(
    parameter: Array, gradient: Array | None, l1: float, l2: float, rows: int = 1, totals: Array | None = None
) -> Array:
    penalty = l1 * np.abs(parameter) + l2 * parameter * parameter
    loss = penalty.sum(dtype=np.float64).reshape(1).astype(parameter.dtype)
    if gradient is not None:
        gradient += l1 * np.sign(parameter) + 2 * l2 * parameter
    if totals is not None:
        totals[0] += float(loss[0]) * rows
    return loss
