"""Softmax and cross-entropy, forward and backward in one pass over the rows."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from tinycnn.devices.cpu.launch import floats, kernel, launch
from tinycnn.devices.cpu.memory import pool

TASK = 64  # rows


@njit
def is_larger(value, best):
    """Whether `value` takes the place of the maximum `best`: a NaN is larger than any number."""
    return value > best or (value != value and best == best)


@kernel
def crossentropy_rows(arguments, task, thread):
    """For each row: its loss, whether its largest logit is right, and weight * (softmax - labels) / N."""
    logits, labels, dlogits = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2)
    results, N, K = floats(arguments, 3), arguments[4], arguments[5]
    weights, has_weights = floats(arguments, 6), arguments[7]
    for n in range(task * TASK, min(task * TASK + TASK, N)):
        row = n * K
        guess, label = 0, 0
        for k in range(1, K):
            guess = k if is_larger(logits[row + k], logits[row + guess]) else guess
            label = k if is_larger(labels[row + k], labels[row + label]) else label
        largest = logits[row + guess]
        total = np.float32(0)
        for k in range(K):
            dlogits[row + k] = math.exp(logits[row + k] - largest)
            total += dlogits[row + k]
        log_total, loss = math.log(total), np.float32(0)
        weight = weights[n] if has_weights else np.float32(1)
        for k in range(K):
            loss += labels[row + k] * (log_total - (logits[row + k] - largest))
            dlogits[row + k] = weight * ((dlogits[row + k] / total - labels[row + k]) / np.float32(N))
        results[n] = weight * loss
        results[N + n] = np.float32(guess == label)


def softmax_crossentropy(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None, totals: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mean loss (1,), rows classified rightly (1,), d loss / d logits); weights of the rows (N,1), or None.

    totals: float64 (2,) to which loss * N and correct are added, or None.
    """
    N, K = logits.shape
    dlogits = pool.empty((N, K), np.float32)
    results = np.empty((2, N), np.float32)
    given = labels if weights is None else weights
    launch(crossentropy_rows, -(-N // TASK), logits, labels, dlogits, results, N, K, given, int(weights is not None))
    loss, correct = results.sum(axis=1, keepdims=True)
    loss /= np.float32(N)
    if totals is not None:
        totals += float(loss[0]) * N, float(correct[0])
    return loss, correct, dlogits


def softmax_forward(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))
