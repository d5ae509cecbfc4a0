"""Batch normalisation: two passes forward, two backward.

Forward, the first pass finds each channel's mean and variance, the second applies y = x * scale + shift.
Backward, the first finds dbeta = sum(dy) and dgamma = sum(dy * x_hat), the second applies

    dx = gamma / std * (dy - dbeta / M - x_hat * dgamma / M)  =  dy * a + x * b + c.

The variance as mean(x^2) - mean(x)^2 would lose all digits where the mean is large. So every place
of every chunk (channels.py) subtracts its own first element as a guess of the mean, and the exact
formula for joining the statistics of several samples (Chan, Golub, LeVeque, 1979) does the rest in float64.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from tinycnn.devices.base import Mask
from tinycnn.devices.cpu.channels import Cut, cut, fold
from tinycnn.devices.cpu.dropout import dropout_backward, dropout_forward
from tinycnn.devices.cpu.launch import doubles, floats, kernel, launch, real
from tinycnn.devices.cpu.memory import pool
from tinycnn.devices.cpu.simd import add, fma, load16, offset, store, subtract


class Saved(NamedTuple):
    """What the way back needs: the mean as float32 at every place of a period, and in float64 for every channel; the
    mask of the dropout behind, with what dropout saved."""

    means: np.ndarray
    mean: np.ndarray
    inverse_std: np.ndarray
    mask: Mask | None


@kernel
def statistics(arguments, task, thread):
    """The guess, sum(x - guess) and sum((x - guess)^2) of each place in one chunk."""
    x, partial = floats(arguments, 0), floats(arguments, 1)
    size, chunk, period, chunks = arguments[2], arguments[3], arguments[4], arguments[5]
    begin, end = task * chunk, min(task * chunk + chunk, size)
    guess, first, second = task * period, (chunks + task) * period, (2 * chunks + task) * period
    for j in range(period):
        partial[guess + j] = x[begin + j] if begin + j < end else np.float32(0)
        partial[first + j] = 0
        partial[second + j] = 0
    whole = (end - begin) // period
    for i in range(whole):
        for j in range(0, period, 16):
            d = subtract(load16(x, begin + i * period + j), load16(partial, guess + j))
            store(partial, first + j, add(load16(partial, first + j), d))
            store(partial, second + j, fma(d, d, load16(partial, second + j)))
    for i in range(begin + whole * period, end):
        j = i - begin - whole * period
        d = x[i] - partial[guess + j]
        partial[first + j] += d
        partial[second + j] += d * d


@kernel
def scale_and_shift(arguments, task, thread):
    """y = x * scale + shift, place by place."""
    x, y, scale, shift = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2), floats(arguments, 3)
    size, chunk, period = arguments[4], arguments[5], arguments[6]
    begin, end = task * chunk, min(task * chunk + chunk, size)
    whole = (end - begin) // period
    for i in range(begin, begin + whole * period, period):
        for j in range(0, period, 16):
            store(y, i + j, fma(load16(x, i + j), load16(scale, j), load16(shift, j)))
    for i in range(begin + whole * period, end):
        j = i - begin - whole * period
        y[i] = x[i] * scale[j] + shift[j]


@kernel
def backward_sums(arguments, task, thread):
    """sum(dy) and sum(dy * (x - mean)) of each place in one chunk."""
    dy, x, mean, partial = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2), floats(arguments, 3)
    size, chunk, period, chunks = arguments[4], arguments[5], arguments[6], arguments[7]
    begin, end = task * chunk, min(task * chunk + chunk, size)
    first, second = task * period, (chunks + task) * period
    for j in range(period):
        partial[first + j] = 0
        partial[second + j] = 0
    whole = (end - begin) // period
    for i in range(begin, begin + whole * period, period):
        for j in range(0, period, 16):
            d = load16(dy, i + j)
            centred = subtract(load16(x, i + j), load16(mean, j))
            store(partial, first + j, add(load16(partial, first + j), d))
            store(partial, second + j, fma(d, centred, load16(partial, second + j)))
    for i in range(begin + whole * period, end):
        j = i - begin - whole * period
        partial[first + j] += dy[i]
        partial[second + j] += dy[i] * (x[i] - mean[j])


@kernel
def backward_apply(arguments, task, thread):
    """dx = dy * a + x * b + c, place by place."""
    dy, x, dx = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2)
    a, b, c = floats(arguments, 3), floats(arguments, 4), floats(arguments, 5)
    size, chunk, period = arguments[6], arguments[7], arguments[8]
    begin, end = task * chunk, min(task * chunk + chunk, size)
    whole = (end - begin) // period
    for i in range(begin, begin + whole * period, period):
        for j in range(0, period, 16):
            total = fma(load16(x, i + j), load16(b, j), load16(c, j))
            store(dx, i + j, fma(load16(dy, i + j), load16(a, j), total))
    for i in range(begin + whole * period, end):
        j = i - begin - whole * period
        dx[i] = dy[i] * a[j] + (x[i] * b[j] + c[j])


@kernel
def finish_statistics(arguments, task, thread):
    """From all chunks' sums: mean, 1 / std, the moving ones; scale and shift for every place. Task: channel c."""
    partial, mean, inverse_std = floats(arguments, 0), doubles(arguments, 1), doubles(arguments, 2)
    gamma, beta, scale, shift = floats(arguments, 3), floats(arguments, 4), floats(arguments, 5), floats(arguments, 6)
    moving_mean, moving_variance, means = floats(arguments, 7), floats(arguments, 8), floats(arguments, 9)
    new, epsilon = real(arguments, 10), real(arguments, 11)
    size, chunk, period, chunks, C = arguments[12], arguments[13], arguments[14], arguments[15], arguments[16]
    c, places, M = task, chunks * period, size // C
    total = 0.0
    for i in range(c, places, C):
        total += np.float64(partial[i]) * place_count(i, size, chunk, period) + partial[places + i]
    mean_c = total / M
    squares = 0.0
    for i in range(c, places, C):
        n = place_count(i, size, chunk, period)
        if n > 0:
            first = np.float64(partial[places + i])
            away = partial[i] + first / n - mean_c
            squares += partial[2 * places + i] - first * first / n + n * away * away
    variance = max(squares / M, 0.0)
    mean[c] = mean_c
    inverse_std[c] = 1 / math.sqrt(variance + epsilon)
    moving_mean[c] += (mean_c - moving_mean[c]) * new
    moving_variance[c] += (variance - moving_variance[c]) * new
    for j in range(c, period, C):
        means[j] = mean_c
        scale[j] = gamma[c] * inverse_std[c]
        shift[j] = beta[c] - mean_c * gamma[c] * inverse_std[c]


@njit
def place_count(i, size, chunk, period):
    """How many elements stand at place i % period of chunk i // period."""
    begin = i // period * chunk
    return (min(chunk, size - begin) - i % period + period - 1) // period


@kernel
def finish_backward(arguments, task, thread):
    """dgamma, dbeta, and the factors of dx = dy * a + x * b + c for every place. Task: a channel."""
    partial, mean, inverse_std = floats(arguments, 0), doubles(arguments, 1), doubles(arguments, 2)
    gamma, dgamma, dbeta = floats(arguments, 3), floats(arguments, 4), floats(arguments, 5)
    a, b, c = floats(arguments, 6), floats(arguments, 7), floats(arguments, 8)
    size, period, chunks, C = arguments[9], arguments[10], arguments[11], arguments[12]
    M = size // C
    sum_dy = fold(partial, chunks, period, task, C)
    sum_product = fold(offset(partial, chunks * period), chunks, period, task, C) * inverse_std[task]
    dbeta[task] = sum_dy
    dgamma[task] = sum_product
    factor = gamma[task] * inverse_std[task]
    x_factor = -factor * inverse_std[task] * sum_product / M
    for j in range(task, period, C):
        a[j] = factor
        b[j] = x_factor
        c[j] = -factor * sum_dy / M - x_factor * mean[task]


def apply(x: np.ndarray, scale: np.ndarray, shift: np.ndarray, parts: Cut) -> np.ndarray:
    """x * scale + shift, the factors given for every place."""
    y = pool.empty(x.shape, np.float32)
    launch(scale_and_shift, parts.chunks, x, y, scale, shift, x.size, parts.floats, parts.period)
    return y


def batchnorm_forward(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, moving_mean: np.ndarray, moving_variance: np.ndarray,
    momentum: float, epsilon: float, mask: Mask | None = None,
) -> tuple[np.ndarray, Saved]:  # fmt: skip
    """(y, saved), and the moving statistics moved."""
    C = x.shape[-1]
    parts = cut(x.size, C)
    sizes = x.size, parts.floats, parts.period, parts.chunks
    partial, scale, shift, means = parts.partial(3), parts.places(), parts.places(), parts.places()
    mean, inverse_std = np.empty(C), np.empty(C)
    launch(statistics, parts.chunks, x, partial, *sizes)
    results = mean, inverse_std, gamma, beta, scale, shift, moving_mean, moving_variance, means
    launch(finish_statistics, C, partial, *results, float(1 - momentum), float(epsilon), *sizes, C)
    y = apply(x, scale, shift, parts)
    if mask is not None:
        y, kept = dropout_forward(y, *mask)
        mask = mask._replace(step=kept)
    return y, Saved(means, mean, inverse_std, mask)


def batchnorm_inference(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, moving_mean: np.ndarray, moving_variance: np.ndarray,
    epsilon: float,
) -> np.ndarray:  # fmt: skip
    parts = cut(x.size, x.shape[-1])
    scale = gamma / np.sqrt(moving_variance + epsilon)
    return apply(x, parts.spread(scale), parts.spread(beta - moving_mean * scale), parts)


def batchnorm_backward(
    dy: np.ndarray, x: np.ndarray, gamma: np.ndarray, saved: Saved
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(dx, dgamma, dbeta)."""
    if saved.mask is not None:
        dy = dropout_backward(dy, *saved.mask)
    C = len(gamma)
    parts = cut(x.size, C)
    partial = parts.partial(2)
    sizes = x.size, parts.floats, parts.period
    launch(backward_sums, parts.chunks, dy, x, saved.means, partial, *sizes, parts.chunks)
    dgamma, dbeta = np.empty(C, np.float32), np.empty(C, np.float32)
    a, b, c = parts.places(), parts.places(), parts.places()
    results = saved.mean, saved.inverse_std, gamma, dgamma, dbeta, a, b, c
    launch(finish_backward, C, partial, *results, x.size, parts.period, parts.chunks, C)
    dx = pool.empty(x.shape, np.float32)
    launch(backward_apply, parts.chunks, dy, x, dx, a, b, c, *sizes)
    return dx, dgamma, dbeta
