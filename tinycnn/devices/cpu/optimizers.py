"""The optimisers' steps: one launch for all parameters of a model.

The parameters are cut into pieces of at most 4096 floats; a task updates one piece. It finds the
arrays by their addresses, in tables with one entry per parameter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from tinycnn.devices.cpu.launch import Kernel, address, floats, integers, kernel, launch, real

PIECE = 4096
Arrays = Sequence[np.ndarray]


@cache
def _pieces(sizes: tuple[int, ...]) -> np.ndarray:
    """Which parameter each piece belongs to, where it begins and ends: (3, pieces)."""
    pieces = [(i, begin, min(begin + PIECE, size)) for i, size in enumerate(sizes) for begin in range(0, size, PIECE)]
    return np.ascontiguousarray(np.array(pieces, np.int64).reshape(-1, 3).T)


def _launch_pieces(kernel: Kernel, lists: Sequence[Arrays], *numbers: float) -> None:
    """lists: parameters, gradients and the optimiser's state, in the kernel's order."""
    pieces = _pieces(tuple(array.size for array in lists[0]))
    count = pieces.shape[1]
    tables = np.array([[address(array) for array in arrays] for arrays in lists], np.int64)
    launch(kernel, count, tables, len(lists[0]), pieces, count, *map(float, numbers))


@kernel
def sgd_piece(arguments, task, thread):
    tables, count, pieces, all_pieces = integers(arguments, 0), arguments[1], integers(arguments, 2), arguments[3]
    learning_rate = real(arguments, 4)
    i, begin, end = pieces[task], pieces[all_pieces + task], pieces[2 * all_pieces + task]
    p, g = floats(tables, i), floats(tables, count + i)
    for k in range(begin, end):
        p[k] -= learning_rate * g[k]


@kernel
def momentum_piece(arguments, task, thread):
    tables, count, pieces, all_pieces = integers(arguments, 0), arguments[1], integers(arguments, 2), arguments[3]
    learning_rate, momentum, nesterov = real(arguments, 4), real(arguments, 5), real(arguments, 6)
    i, begin, end = pieces[task], pieces[all_pieces + task], pieces[2 * all_pieces + task]
    p, g, v = floats(tables, i), floats(tables, count + i), floats(tables, 2 * count + i)
    for k in range(begin, end):
        step = learning_rate * g[k]
        speed = momentum * v[k] - step
        v[k] = speed
        p[k] += momentum * speed - step if nesterov != 0 else speed


@kernel
def adam_piece(arguments, task, thread):
    tables, count, pieces, all_pieces = integers(arguments, 0), arguments[1], integers(arguments, 2), arguments[3]
    learning_rate, epsilon = real(arguments, 4), real(arguments, 7)
    new_1, new_2 = real(arguments, 5), real(arguments, 6)
    i, begin, end = pieces[task], pieces[all_pieces + task], pieces[2 * all_pieces + task]
    p, g = floats(tables, i), floats(tables, count + i)
    m, v = floats(tables, 2 * count + i), floats(tables, 3 * count + i)
    for k in range(begin, end):
        m_k = m[k] + new_1 * (g[k] - m[k])
        v_k = v[k] + new_2 * (g[k] * g[k] - v[k])
        m[k] = m_k
        v[k] = v_k
        p[k] -= learning_rate * m_k / (math.sqrt(v_k) + epsilon)


@kernel
def adadelta_piece(arguments, task, thread):
    tables, count, pieces, all_pieces = integers(arguments, 0), arguments[1], integers(arguments, 2), arguments[3]
    learning_rate, new, epsilon = real(arguments, 4), real(arguments, 5), real(arguments, 6)
    i, begin, end = pieces[task], pieces[all_pieces + task], pieces[2 * all_pieces + task]
    p, g = floats(tables, i), floats(tables, count + i)
    a, d = floats(tables, 2 * count + i), floats(tables, 3 * count + i)
    for k in range(begin, end):
        a_k = a[k] + new * (g[k] * g[k] - a[k])
        update = g[k] * math.sqrt(d[k] + epsilon) / math.sqrt(a_k + epsilon)
        a[k] = a_k
        d[k] += new * (update * update - d[k])
        p[k] -= learning_rate * update


@kernel
def rmsprop_piece(arguments, task, thread):
    tables, count, pieces, all_pieces = integers(arguments, 0), arguments[1], integers(arguments, 2), arguments[3]
    learning_rate, new, epsilon = real(arguments, 4), real(arguments, 5), real(arguments, 6)
    i, begin, end = pieces[task], pieces[all_pieces + task], pieces[2 * all_pieces + task]
    p, g, a = floats(tables, i), floats(tables, count + i), floats(tables, 2 * count + i)
    for k in range(begin, end):
        a_k = a[k] + new * (g[k] * g[k] - a[k])
        a[k] = a_k
        p[k] -= learning_rate * g[k] / (math.sqrt(a_k) + epsilon)


def sgd_step(
    parameters: Arrays, gradients: Arrays, velocities: Arrays, learning_rate: np.ndarray, momentum: float,
    nesterov: bool,
) -> None:  # fmt: skip
    if velocities:
        _launch_pieces(momentum_piece, (parameters, gradients, velocities), learning_rate[0], momentum, nesterov)
    else:
        _launch_pieces(sgd_piece, (parameters, gradients), learning_rate[0])


def adam_step(
    parameters: Arrays, gradients: Arrays, m: Arrays, v: Arrays, learning_rate: np.ndarray, step: np.ndarray,
    betas: tuple[float, float], epsilon: float,
) -> None:  # fmt: skip
    (beta_1, beta_2), t = betas, int(step[0])
    corrected = learning_rate[0] * math.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    _launch_pieces(adam_piece, (parameters, gradients, m, v), corrected, 1 - beta_1, 1 - beta_2, epsilon)


def adadelta_step(
    parameters: Arrays, gradients: Arrays, mean_square: Arrays, mean_delta: Arrays, learning_rate: np.ndarray,
    rho: float, epsilon: float,
) -> None:  # fmt: skip
    _launch_pieces(adadelta_piece, (parameters, gradients, mean_square, mean_delta), learning_rate[0], 1 - rho, epsilon)


def rmsprop_step(
    parameters: Arrays, gradients: Arrays, mean_square: Arrays, learning_rate: np.ndarray, rho: float, epsilon: float
) -> None:
    _launch_pieces(rmsprop_piece, (parameters, gradients, mean_square), learning_rate[0], 1 - rho, epsilon)
