"""Initial weights, as Keras draws them (keras/src/initializers), from counter-based random numbers.

An initializer is a function (shape, seed, stream) -> float64 NumPy array of that shape. The same three give the same
numbers, on every device and in every order of drawing.

>>> he_normal((3, 3, 1, 8), seed=1, stream=0).shape
(3, 3, 1, 8)
"""

from __future__ import annotations

import math

import numpy as np

from tinycnn import philox
from tinycnn.shapes import Shape


def fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out) of a dense kernel (inputs, units) or of filters (R, S, C, K).

    >>> fans((3, 3, 2, 8))
    (18, 72)
    """
    window = math.prod(shape[:-2])
    return shape[-2] * window, shape[-1] * window


def zeros(shape: Shape, seed: int = 0, stream: int = 0) -> np.ndarray:
    """Nothing but 0: biases, and the beta and moving mean of batch normalisation."""
    return np.zeros(shape)


def ones(shape: Shape, seed: int = 0, stream: int = 0) -> np.ndarray:
    """Nothing but 1: the gamma and moving variance of batch normalisation."""
    return np.ones(shape)


def _uniform(limit: float, shape: Shape, seed: int, stream: int) -> np.ndarray:
    u = philox.uniform(math.prod(shape), seed, stream)
    return ((2 * u - 1) * limit).reshape(shape)


def _truncated_normal(sigma: float, shape: Shape, seed: int, stream: int) -> np.ndarray:
    """Normal numbers beyond two sigma are drawn again; the constant restores the standard deviation."""
    n = math.prod(shape)
    kept, step = np.empty(0), 0
    while kept.size < n:
        z = philox.normal(n, seed, stream, step)
        kept, step = np.concatenate([kept, z[np.abs(z) < 2]]), step + 1
    return (kept[:n] * (sigma / 0.87962566103423978)).reshape(shape)


def glorot_uniform(shape: Shape, seed: int = 0, stream: int = 0) -> np.ndarray:
    """Glorot and Bengio, 2010: limit sqrt(6 / (fan_in + fan_out)).

    >>> weights = glorot_uniform((2, 4))
    >>> bool(abs(weights).max() < 1), bool((weights == glorot_uniform((2, 4))).all())
    (True, True)
    """
    return _uniform(math.sqrt(6 / sum(fans(shape))), shape, seed, stream)


def glorot_normal(shape: Shape, seed: int = 0, stream: int = 0) -> np.ndarray:
    """Glorot and Bengio, 2010: sigma sqrt(2 / (fan_in + fan_out)), truncated."""
    return _truncated_normal(math.sqrt(2 / sum(fans(shape))), shape, seed, stream)


def he_uniform(shape: Shape, seed: int = 0, stream: int = 0) -> np.ndarray:
    """He et al., 2015: limit sqrt(6 / fan_in)."""
    return _uniform(math.sqrt(6 / fans(shape)[0]), shape, seed, stream)


def he_normal(shape: Shape, seed: int = 0, stream: int = 0) -> np.ndarray:
    """He et al., 2015: sigma sqrt(2 / fan_in), truncated."""
    return _truncated_normal(math.sqrt(2 / fans(shape)[0]), shape, seed, stream)


INITIALIZERS = {f.__name__: f for f in (zeros, ones, glorot_uniform, glorot_normal, he_uniform, he_normal)}


def get(name: str) -> str:
    """`name`, if an initializer is called so. Raises ValueError that lists those there are.

    >>> get("he_normal")
    'he_normal'
    """
    if name not in INITIALIZERS:
        raise ValueError(f"no initializer is called {name!r}; there are: {', '.join(INITIALIZERS)}")
    return name
