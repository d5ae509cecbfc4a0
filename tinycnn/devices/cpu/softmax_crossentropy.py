"""Softmax, and the losses, forward and backward in one pass over the rows."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from tinycnn.devices.cpu.launch import Kernel, floats, kernel, launch
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


@kernel
def binary_crossentropy_rows(arguments, task, thread):
    """For each row: its loss, the share of its numbers that are right, and the gradient."""
    outputs, labels, gradient = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2)
    results, N, K = floats(arguments, 3), arguments[4], arguments[5]
    weights, has_weights, from_logits = floats(arguments, 6), arguments[7], arguments[8]
    one, least, size = np.float32(1), np.float32(1e-7), np.float32(N) * np.float32(K)
    most = one - least
    for n in range(task * TASK, min(task * TASK + TASK, N)):
        weight = weights[n] if has_weights else one
        loss, right = np.float32(0), np.float32(0)
        for i in range(n * K, n * K + K):
            x, label = outputs[i], labels[i]
            if from_logits:
                p = one / (one + math.exp(-x))
                loss += (np.float32(0) if x < 0 else x) - x * label + math.log1p(math.exp(-x if x > 0 else x))
                gradient[i] = weight * ((p - label) / size)
            else:
                p = least if x < least else most if x > most else x
                loss -= label * math.log(p) + (one - label) * math.log(one - p)
                clipped = x < least or x > most
                gradient[i] = np.float32(0) if clipped else weight * ((p - label) / (p * (one - p)) / size)
            right += np.float32(label == (one if p > np.float32(0.5) else np.float32(0)))
        results[n] = weight * (loss / np.float32(K))
        results[N + n] = right / np.float32(K)


@kernel
def squared_error_rows(arguments, task, thread):
    """For each row: its loss, whether it is right, and the gradient."""
    outputs, labels, gradient = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2)
    results, N, K = floats(arguments, 3), arguments[4], arguments[5]
    weights, has_weights = floats(arguments, 6), arguments[7]
    size = np.float32(N) * np.float32(K)
    for n in range(task * TASK, min(task * TASK + TASK, N)):
        row = n * K
        weight = weights[n] if has_weights else np.float32(1)
        loss, guess, label = np.float32(0), 0, 0
        for k in range(K):
            apart = outputs[row + k] - labels[row + k]
            loss += apart * apart
            gradient[row + k] = weight * (np.float32(2) * apart / size)
            guess = k if is_larger(outputs[row + k], outputs[row + guess]) else guess
            label = k if is_larger(labels[row + k], labels[row + label]) else label
        right = guess == label
        if K == 1:
            right = labels[row] == (np.float32(1) if outputs[row] > np.float32(0.5) else np.float32(0))
        results[n] = weight * (loss / np.float32(K))
        results[N + n] = np.float32(right)


def loss_of_rows(
    kernel: Kernel, outputs: np.ndarray, labels: np.ndarray, weights: np.ndarray | None, totals: np.ndarray | None,
    *options: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """(mean loss (1,), rows that are right (1,), the gradient of `outputs`); weights of the rows (N,1), or None.

    totals: float64 (2,) to which loss * N and correct are added, or None. options: what the kernel takes at the end.
    """
    N, K = outputs.shape
    gradient = pool.empty((N, K), np.float32)
    results = np.empty((2, N), np.float32)
    given = labels if weights is None else weights
    launch(
        kernel, -(-N // TASK), outputs, labels, gradient, results, N, K, given, int(weights is not None), *options
    )  # fmt: skip
    loss, correct = results.sum(axis=1, keepdims=True)
    loss /= np.float32(N)
    if totals is not None:
        totals += float(loss[0]) * N, float(correct[0])
    return loss, correct, gradient


def softmax_crossentropy(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None, totals: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return loss_of_rows(crossentropy_rows, logits, labels, weights, totals)


def binary_crossentropy(
    outputs: np.ndarray, labels: np.ndarray, from_logits: bool, weights: np.ndarray | None = None,
    totals: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    return loss_of_rows(binary_crossentropy_rows, outputs, labels, weights, totals, int(from_logits))


def mean_squared_error(
    outputs: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None, totals: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return loss_of_rows(squared_error_rows, outputs, labels, weights, totals)


def softmax_forward(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))
