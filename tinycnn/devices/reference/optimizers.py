"""SGD, Adam, Adadelta and RMSprop by Keras's rules, beside optimizers.cu. Everything is updated in place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinycnn.devices.base import Array

Arrays = Sequence[Array]

# ---------------------------------------------------------------- loops


def sgd_step_loops(
    parameters: Arrays, gradients: Arrays, velocities: Arrays, learning_rate: Array, momentum: float,
    nesterov: bool,
) -> None:  # fmt: skip
    for tensor, (p, g) in enumerate(zip(parameters, gradients, strict=True)):
        for i in np.ndindex(p.shape):
            step = learning_rate[0] * g[i]
            if not velocities:
                p[i] -= step
                continue
            v = velocities[tensor]
            v[i] = momentum * v[i] - step
            p[i] += momentum * v[i] - step if nesterov else v[i]


def adam_step_loops(
    parameters: Arrays, gradients: Arrays, m: Arrays, v: Arrays, learning_rate: Array, step: Array,
    betas: tuple[float, float], epsilon: float,
) -> None:  # fmt: skip
    (beta_1, beta_2), t = betas, int(step[0])
    rate = learning_rate[0] * (np.sqrt(1 - beta_2**t) / (1 - beta_1**t))
    for p, g, m_of_p, v_of_p in zip(parameters, gradients, m, v, strict=True):
        for i in np.ndindex(p.shape):
            m_of_p[i] += (1 - beta_1) * (g[i] - m_of_p[i])
            v_of_p[i] += (1 - beta_2) * (g[i] * g[i] - v_of_p[i])
            p[i] -= rate * m_of_p[i] / (np.sqrt(v_of_p[i]) + epsilon)


def adadelta_step_loops(
    parameters: Arrays, gradients: Arrays, mean_square: Arrays, mean_delta: Arrays, learning_rate: Array,
    rho: float, epsilon: float,
) -> None:  # fmt: skip
    for p, g, a, d in zip(parameters, gradients, mean_square, mean_delta, strict=True):
        for i in np.ndindex(p.shape):
            a[i] += (1 - rho) * (g[i] * g[i] - a[i])
            update = g[i] * np.sqrt(d[i] + epsilon) / np.sqrt(a[i] + epsilon)
            d[i] += (1 - rho) * (update * update - d[i])
            p[i] -= learning_rate[0] * update


def rmsprop_step_loops(
    parameters: Arrays, gradients: Arrays, mean_square: Arrays, learning_rate: Array, rho: float, epsilon: float
) -> None:
    for p, g, a in zip(parameters, gradients, mean_square, strict=True):
        for i in np.ndindex(p.shape):
            a[i] += (1 - rho) * (g[i] * g[i] - a[i])
            p[i] -= learning_rate[0] * g[i] / (np.sqrt(a[i]) + epsilon)


# ---------------------------------------------------------------- whole arrays


def sgd_step(
    parameters: Arrays, gradients: Arrays, velocities: Arrays, learning_rate: Array, momentum: float,
    nesterov: bool,
) -> None:  # fmt: skip
    lr = learning_rate[0]
    if not velocities:
        for p, g in zip(parameters, gradients, strict=True):
            p -= lr * g
        return
    for p, g, v in zip(parameters, gradients, velocities, strict=True):
        v *= momentum
        v -= lr * g
        p += momentum * v - lr * g if nesterov else v


def adam_step(
    parameters: Arrays, gradients: Arrays, m: Arrays, v: Arrays, learning_rate: Array, step: Array,
    betas: tuple[float, float], epsilon: float,
) -> None:  # fmt: skip
    (beta_1, beta_2), t = betas, int(step[0])
    lr = learning_rate[0] * (np.sqrt(1 - beta_2**t) / (1 - beta_1**t))
    for p, g, m_i, v_i in zip(parameters, gradients, m, v, strict=True):
        m_i += (1 - beta_1) * (g - m_i)
        v_i += (1 - beta_2) * (g * g - v_i)
        p -= lr * m_i / (np.sqrt(v_i) + epsilon)


def adadelta_step(
    parameters: Arrays, gradients: Arrays, mean_square: Arrays, mean_delta: Arrays, learning_rate: Array,
    rho: float, epsilon: float,
) -> None:  # fmt: skip
    for p, g, a, d in zip(parameters, gradients, mean_square, mean_delta, strict=True):
        a += (1 - rho) * (g * g - a)
        update = g * np.sqrt(d + epsilon) / np.sqrt(a + epsilon)
        p -= learning_rate[0] * update
        d += (1 - rho) * (update * update - d)


def rmsprop_step(
    parameters: Arrays, gradients: Arrays, mean_square: Arrays, learning_rate: Array, rho: float, epsilon: float
) -> None:
    for p, g, a in zip(parameters, gradients, mean_square, strict=True):
        a += (1 - rho) * (g * g - a)
        p -= learning_rate[0] * g / (np.sqrt(a) + epsilon)
