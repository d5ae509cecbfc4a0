"""Batch normalisation over all axes but the last, and the dropout behind it, beside batchnorm.cu.

`saved` is (mean, inverse_std) of the batch, and the dropout's mask with what dropout saved, or None. Sums over rows are
float64 whatever the arrays are: added one by one in float32, 100,000 numbers lose three digits. batchnorm.cu adds in
pairs instead.
"""

from __future__ import annotations

import numpy as np

from tinycnn.devices.base import Array, Mask
from tinycnn.devices.reference.dropout import (
    dropout_backward,
    dropout_backward_loops,
    dropout_forward,
    dropout_forward_loops,
)
from tinycnn.devices.reference.relu import sum_of_rows

Saved = tuple[Array, Array, Mask | None]

# ---------------------------------------------------------------- loops


def batchnorm_forward_loops(
    x: Array, gamma: Array, beta: Array, moving_mean: Array, moving_variance: Array, momentum: float, epsilon: float,
    mask: Mask | None = None,
) -> tuple[Array, Saved]:  # fmt: skip
    x_rows = x.reshape(-1, x.shape[-1])
    rows, C = x_rows.shape
    y, mean, inverse_std = np.empty_like(x_rows), np.empty(C), np.empty(C)
    for c in range(C):
        total, squares = np.float64(0), np.float64(0)
        for row in range(rows):
            total += x_rows[row, c]
        mean[c] = total / rows
        for row in range(rows):
            squares += (x_rows[row, c] - mean[c]) ** 2
        variance = squares / rows
        inverse_std[c] = 1 / np.sqrt(variance + epsilon)
        for row in range(rows):
            y[row, c] = (x_rows[row, c] - mean[c]) * inverse_std[c] * gamma[c] + beta[c]
        moving_mean[c] += (mean[c] - moving_mean[c]) * (1 - momentum)
        moving_variance[c] += (variance - moving_variance[c]) * (1 - momentum)
    y = y.reshape(x.shape)
    if mask is not None:
        y, kept = dropout_forward_loops(y, *mask)
        mask = mask._replace(step=kept)
    return y, (mean, inverse_std, mask)


def batchnorm_inference_loops(
    x: Array, gamma: Array, beta: Array, moving_mean: Array, moving_variance: Array, epsilon: float
) -> Array:
    y = np.empty_like(x)
    for place in np.ndindex(x.shape):
        c = place[-1]
        inverse_std = 1 / np.sqrt(moving_variance[c] + epsilon)
        y[place] = (x[place] - moving_mean[c]) * inverse_std * gamma[c] + beta[c]
    return y


def batchnorm_backward_loops(dy: Array, x: Array, gamma: Array, saved: Saved) -> tuple[Array, Array, Array]:
    mean, inverse_std, mask = saved
    if mask is not None:
        dy = dropout_backward_loops(dy, *mask)
    x_rows, dy_rows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, x.shape[-1])
    rows, C = x_rows.shape
    dx, dgamma, dbeta = np.empty_like(x_rows), np.zeros(C), np.zeros(C)
    for c in range(C):
        for row in range(rows):
            x_hat = (x_rows[row, c] - mean[c]) * inverse_std[c]
            dbeta[c] += dy_rows[row, c]
            dgamma[c] += dy_rows[row, c] * x_hat
        for row in range(rows):
            x_hat = (x_rows[row, c] - mean[c]) * inverse_std[c]
            inner = dy_rows[row, c] - dbeta[c] / rows - x_hat * dgamma[c] / rows
            dx[row, c] = gamma[c] * inverse_std[c] * inner
    return dx.reshape(x.shape), dgamma.astype(x.dtype), dbeta.astype(x.dtype)


# ---------------------------------------------------------------- whole arrays


def batchnorm_forward(
    x: Array, gamma: Array, beta: Array, moving_mean: Array, moving_variance: Array, momentum: float, epsilon: float,
    mask: Mask | None = None,
) -> tuple[Array, Saved]:  # fmt: skip
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axis=axes, dtype=np.float64)
    variance = ((x - mean) ** 2).mean(axis=axes)
    inverse_std = 1 / np.sqrt(variance + epsilon)
    moving_mean += (mean - moving_mean) * (1 - momentum)
    moving_variance += (variance - moving_variance) * (1 - momentum)
    y = ((x - mean) * (inverse_std * gamma) + beta).astype(x.dtype)
    if mask is not None:
        y, kept = dropout_forward(y, *mask)
        mask = mask._replace(step=kept)
    return y, (mean, inverse_std, mask)


def batchnorm_inference(
    x: Array, gamma: Array, beta: Array, moving_mean: Array, moving_variance: Array, epsilon: float
) -> Array:
    return (x - moving_mean) * (gamma / np.sqrt(moving_variance + epsilon)) + beta


def batchnorm_backward(dy: Array, x: Array, gamma: Array, saved: Saved) -> tuple[Array, Array, Array]:
    mean, inverse_std, mask = saved
    if mask is not None:
        dy = dropout_backward(dy, *mask)
    x_hat = (x - mean) * inverse_std
    dbeta = sum_of_rows(dy)
    dgamma = sum_of_rows(dy * x_hat)
    count = x.size // x.shape[-1]
    dx = (gamma * inverse_std) * (dy - dbeta / count - x_hat * (dgamma / count))
    return dx.astype(x.dtype), dgamma.astype(x.dtype), dbeta
