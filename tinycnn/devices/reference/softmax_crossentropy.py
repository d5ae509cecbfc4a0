"""Softmax, and the losses with their gradients, beside softmax_crossentropy.cu."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.devices.reference.relu import relu_of

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
    return with_totals(loss, correct, dlogits, N, totals)


LEAST = 1e-7  # of a probability, and of its distance from 1, before the logarithm


def rounds_to(p: Any, label: Any) -> bool:
    """Whether p, rounded to 0 or 1, is the label."""
    return label == (1 if p > 0.5 else 0)


def binary_crossentropy_loops(
    outputs: Array, labels: Array, from_logits: bool, weights: Array | None = None, totals: Array | None = None
) -> tuple[Array, Array, Array]:
    loss, correct, gradient = np.zeros(1, outputs.dtype), np.zeros(1, outputs.dtype), np.zeros_like(outputs)
    (N, K), number = outputs.shape, outputs.dtype.type
    for n, k in np.ndindex(N, K):
        x, label, weight = outputs[n, k], labels[n, k], number(1) if weights is None else weights[n, 0]
        if from_logits:
            p = 1 / (1 + np.exp(-x))
            loss[0] += weight * (relu_of(x) - x * label + np.log1p(np.exp(-abs(x)))) / (N * K)
            gradient[n, k] = weight * (p - label) / (N * K)
        else:
            low, high = number(LEAST), number(1) - number(LEAST)
            p = low if x < low else high if x > high else x
            loss[0] -= weight * (label * np.log(p) + (1 - label) * np.log(1 - p)) / (N * K)
            if not (x < low or x > high):
                gradient[n, k] = weight * (p - label) / (p * (1 - p)) / (N * K)
        correct[0] += number(rounds_to(p, label)) / K
    return with_totals(loss, correct, gradient, N, totals)


def mean_squared_error_loops(
    outputs: Array, labels: Array, weights: Array | None = None, totals: Array | None = None
) -> tuple[Array, Array, Array]:
    loss, correct, gradient = np.zeros(1, outputs.dtype), np.zeros(1, outputs.dtype), np.empty_like(outputs)
    N, K = outputs.shape
    for n in range(N):
        weight = outputs.dtype.type(1) if weights is None else weights[n, 0]
        for k in range(K):
            apart = outputs[n, k] - labels[n, k]
            loss[0] += weight * apart * apart / (N * K)
            gradient[n, k] = weight * 2 * apart / (N * K)
        same = first_of_the_largest(outputs[n])[1] == first_of_the_largest(labels[n])[1]
        correct[0] += rounds_to(outputs[n, 0], labels[n, 0]) if K == 1 else same
    return with_totals(loss, correct, gradient, N, totals)


def with_totals(
    loss: Array, correct: Array, gradient: Array, rows: int, totals: Array | None
) -> tuple[Array, Array, Array]:
    """The results of a loss, added to the running totals where there are some."""
    if totals is not None:
        totals[0] += np.float64(loss[0]) * rows
        totals[1] += np.float64(correct[0])
    return loss, correct, gradient


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
    return with_totals(loss, correct, weight * ((np.exp(log_p) - labels) / n), n, totals)


def mean_loss(losses: Array, rights: Array, gradient: Array, totals: Array | None) -> tuple[Array, Array, Array]:
    """The results of a loss from those of each number (N,K), and from each row's share of right answers (N,)."""
    loss = losses.mean(axis=-1).mean(keepdims=True)
    correct = rights.sum(keepdims=True).astype(losses.dtype)
    return with_totals(loss, correct, gradient, len(losses), totals)


def binary_crossentropy(
    outputs: Array, labels: Array, from_logits: bool, weights: Array | None = None, totals: Array | None = None
) -> tuple[Array, Array, Array]:
    weight = np.ones((len(outputs), 1), outputs.dtype) if weights is None else weights
    if from_logits:
        with np.errstate(over="ignore"):
            p = 1 / (1 + np.exp(-outputs))
        losses = np.maximum(outputs, 0) - outputs * labels + np.log1p(np.exp(-np.abs(outputs)))
        gradient = weight * ((p - labels) / outputs.size)
    else:
        least = outputs.dtype.type(LEAST)
        p = np.clip(outputs, least, 1 - least)
        losses = -(labels * np.log(p) + (1 - labels) * np.log(1 - p))
        clipped = (outputs < least) | (outputs > 1 - least)
        gradient = np.where(clipped, outputs.dtype.type(0), weight * ((p - labels) / (p * (1 - p)) / outputs.size))
    return mean_loss(weight * losses, (labels == (p > 0.5)).mean(axis=-1), gradient, totals)


def mean_squared_error(
    outputs: Array, labels: Array, weights: Array | None = None, totals: Array | None = None
) -> tuple[Array, Array, Array]:
    weight = np.ones((len(outputs), 1), outputs.dtype) if weights is None else weights
    apart = outputs - labels
    if outputs.shape[1] == 1:
        rights = (labels == (outputs > 0.5))[:, 0]
    else:
        rights = outputs.argmax(axis=-1) == labels.argmax(axis=-1)
    return mean_loss(weight * apart**2, rights, weight * (2 * apart / outputs.size), totals)
