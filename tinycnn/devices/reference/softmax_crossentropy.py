"""Softmax, and the cross-entropy loss with its gradient, beside softmax_crossentropy.cu."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn.devices.base import Array

# ---------------------------------------------------------------- loops


def softmax_forward_loops(x: Array) -> Array:
    y = np.empty_like(x)
    N, K = x.shape
    for n in range(N):
        largest, total = first_of_the_largest(x[n])[0], x.dtype.type(0)
        for k in range(K):
            total += np.exp(x[n, k] - largest)
        for k in range(K):
            y[n, k] = np.exp(x[n, k] - largest) / total
    return y


def softmax_backward_loops(dy: Array, y: Array) -> Array:
    dx = np.empty_like(y)
    N, K = y.shape
    for n in range(N):
        dot = y.dtype.type(0)
        for k in range(K):
            dot += dy[n, k] * y[n, k]
        for k in range(K):
            dx[n, k] = y[n, k] * (dy[n, k] - dot)
    return dx


def softmax_crossentropy_loops(
    logits: Array, labels: Array, weights: Array | None = None, totals: Array | None = None
) -> tuple[Array, Array, Array]:
    loss, correct, dlogits = np.zeros(1, logits.dtype), np.zeros(1, logits.dtype), np.empty_like(logits)
    N, K = logits.shape
    for n in range(N):
        (largest, answer), (_, truth) = first_of_the_largest(logits[n]), first_of_the_largest(labels[n])
        weight = logits.dtype.type(1) if weights is None else weights[n, 0]
        total, row_loss = logits.dtype.type(0), logits.dtype.type(0)
        for k in range(K):
            total += np.exp(logits[n, k] - largest)
        for k in range(K):
            log_p = logits[n, k] - largest - np.log(total)
            row_loss -= labels[n, k] * log_p
            dlogits[n, k] = weight * (np.exp(log_p) - labels[n, k]) / N
        loss[0] += weight * row_loss / N
        if answer == truth:
            correct[0] += 1
    if totals is not None:
        totals[0] += np.float64(loss[0]) * N
        totals[1] += np.float64(correct[0])
    return loss, correct, dlogits


def first_of_the_largest(row: Array) -> tuple[Any, int]:
    """(the largest number of a row, where the first of its kind is). A NaN is larger than any number."""
    best, where = row[0], 0
    for k in range(1, len(row)):
        if row[k] > best or (np.isnan(row[k]) and not np.isnan(best)):
            best, where = row[k], k
    return best, where


# ---------------------------------------------------------------- whole arrays


def softmax_forward(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(dy: Array, y: Array) -> Array:
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


def softmax_crossentropy(
    logits: Array, labels: Array, weights: Array | None = None, totals: Array | None = None
) -> tuple[Array, Array, Array]:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    log_p = shifted - log_sum
    n = logits.shape[0]
    weight = np.ones((n, 1), logits.dtype) if weights is None else weights
    loss = -(weight[:, 0] * (labels * log_p).sum(axis=-1)).mean(keepdims=True)
    correct = (logits.argmax(axis=-1) == labels.argmax(axis=-1)).sum(keepdims=True).astype(logits.dtype)
    if totals is not None:
        totals += float(loss[0]) * n, float(correct[0])
    return loss, correct, weight * ((np.exp(log_p) - labels) / n)
