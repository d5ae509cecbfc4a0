"""Batch normalisation, the dropout after it and the ReLU before it, in as few passes as they allow.

ReLU, normalisation, dropout is the commonest sequence of these networks. One by one they would read
and write each image eleven times in a training step. Here forward takes the pass for the statistics
and one more, which normalises, draws the mask and applies it; backward takes a pass for the sums and
one that goes back through dropout, normalisation, ReLU and bias together.
"""

import numpy as np

from tinycnn.devices.cpu import batchnorm
from tinycnn.devices.cpu.channels import cut, fold_channels
from tinycnn.devices.cpu.dropout import draw, mask_words
from tinycnn.devices.cpu.launch import floats, integers32, kernel, launch, octets, real
from tinycnn.devices.cpu.memory import pool
from tinycnn.devices.cpu.simd import (
    add,
    fill16,
    fma,
    load16,
    multiply,
    store,
    subtract,
    where_greater,
    where_kept16,
)


@kernel
def normalize_and_drop(arguments, task, thread):
    """y = (x * scale + shift) where kept, else 0; scale and shift already divided by 1 - rate."""
    x, y, scale, shift = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2), floats(arguments, 3)
    mask, mask_blocks = octets(arguments, 4), integers32(arguments, 4)
    size, chunk, period = arguments[5], arguments[6], arguments[7]
    begin, end = task * chunk, min(task * chunk + chunk, size)
    draw(mask_blocks, begin // 4, (end + 3) // 4, arguments, 8)
    whole = (end - begin) // period
    for i in range(begin, begin + whole * period, period):
        for j in range(0, period, 16):
            store(y, i + j, where_kept16(mask, i + j, fma(load16(x, i + j), load16(scale, j), load16(shift, j))))
    for i in range(begin + whole * period, end):
        j = i - begin - whole * period
        y[i] = x[i] * scale[j] + shift[j] if mask[i] else np.float32(0)


@kernel
def backward_sums(arguments, task, thread):
    """sum(dy) and sum(dy * (x - mean)) of each place in one chunk, dy where kept."""
    dy, x, mean, partial = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2), floats(arguments, 3)
    size, chunk, period, chunks = arguments[4], arguments[5], arguments[6], arguments[7]
    mask, factor = octets(arguments, 8), real(arguments, 9)
    begin, end = task * chunk, min(task * chunk + chunk, size)
    first, second = task * period, (chunks + task) * period
    for j in range(period):
        partial[first + j] = 0
        partial[second + j] = 0
    whole = (end - begin) // period
    for i in range(begin, begin + whole * period, period):
        for j in range(0, period, 16):
            d = where_kept16(mask, i + j, multiply(load16(dy, i + j), fill16(factor)))
            centred = subtract(load16(x, i + j), load16(mean, j))
            store(partial, first + j, add(load16(partial, first + j), d))
            store(partial, second + j, fma(d, centred, load16(partial, second + j)))
    for i in range(begin + whole * period, end):
        j = i - begin - whole * period
        if mask[i]:
            partial[first + j] += dy[i] * factor
            partial[second + j] += dy[i] * factor * (x[i] - mean[j])


@kernel
def backward_apply(arguments, task, thread):
    """dz = (dy where kept) * a + x * b + c where x > 0, else 0, and sum(dz) of each place."""
    dy, x, dz = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2)
    a, b, c = floats(arguments, 3), floats(arguments, 4), floats(arguments, 5)
    size, chunk, period = arguments[6], arguments[7], arguments[8]
    mask, factor, partial = octets(arguments, 9), real(arguments, 10), floats(arguments, 11)
    begin, end = task * chunk, min(task * chunk + chunk, size)
    sums = task * period
    for j in range(period):
        partial[sums + j] = 0
    zero = fill16(np.float32(0))
    whole = (end - begin) // period
    for i in range(begin, begin + whole * period, period):
        for j in range(0, period, 16):
            d = where_kept16(mask, i + j, multiply(load16(dy, i + j), fill16(factor)))
            x_i = load16(x, i + j)
            dx = fma(d, load16(a, j), fma(x_i, load16(b, j), load16(c, j)))
            d_z = where_greater(x_i, zero, dx, zero)
            store(dz, i + j, d_z)
            store(partial, sums + j, add(load16(partial, sums + j), d_z))
    for i in range(begin + whole * period, end):
        j = i - begin - whole * period
        d = dy[i] * factor if mask[i] else np.float32(0)
        dz[i] = d * a[j] + (x[i] * b[j] + c[j]) if x[i] > 0 else np.float32(0)
        partial[sums + j] += dz[i]


def forward(x, gamma, beta, moving_mean, moving_variance, momentum, epsilon, rate, seed, stream, step):
    """(y, saved): dropout of the batch-normalised x."""
    keep = 1 - rate
    scale, shift, statistics = batchnorm.normalizer(
        x, gamma, beta, moving_mean, moving_variance, momentum, epsilon, 1 / keep
    )
    parts = cut(x.size, x.shape[-1])
    y, mask = pool.empty(x.shape, np.float32), pool.empty((4 * -(-x.size // 4),), np.uint8)
    words = mask_words(rate, seed, stream, step)
    launch(normalize_and_drop, parts.chunks, x, y, scale, shift, mask, x.size, parts.floats, parts.period, *words)
    return y, (statistics, mask)


def backward(dy, x, gamma, saved, rate):
    """(dz, dgamma, dbeta, db): back through dropout and normalisation, and through the ReLU and the bias that made x."""
    (mean, inverse_std), mask = saved
    C = x.shape[-1]
    parts = cut(x.size, C)
    partial, factor = parts.partial(2), 1 / (1 - rate)
    sizes = x.size, parts.floats, parts.period
    launch(backward_sums, parts.chunks, dy, x, parts.spread(mean), partial, *sizes, parts.chunks, mask, factor)
    dgamma, dbeta, a, b, c = batchnorm.finish(partial, mean, inverse_std, gamma, parts, x.size)
    dz, db = pool.empty(x.shape, np.float32), np.empty(C, np.float32)
    launch(backward_apply, parts.chunks, dy, x, dz, a, b, c, *sizes, mask, factor, partial)
    launch(fold_channels, C, partial, db, parts.chunks, parts.period, C)
    return dz, dgamma, dbeta, db
