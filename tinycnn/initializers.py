"""Initial weights, as Keras draws them (keras/src/initializers), from counter-based random numbers.

An initializer is a function (shape, seed, stream) -> float64 NumPy array of that shape.
"""

import math

import numpy as np

from tinycnn import philox


def fans(shape):
    """(fan_in, fan_out) of a dense kernel (inputs, units) or of filters (R, S, C, K)."""
    window = math.prod(shape[:-2])
    return shape[-2] * window, shape[-1] * window


def zeros(shape, seed=0, stream=0):
    return np.zeros(shape)


def ones(shape, seed=0, stream=0):
    return np.ones(shape)


def _uniform(limit, shape, seed, stream):
    u = philox.uniform(math.prod(shape), seed, stream)
    return ((2 * u - 1) * limit).reshape(shape)


def _truncated_normal(sigma, shape, seed, stream):
    """Normal numbers beyond two sigma are drawn again; the constant restores the standard deviation."""
    n = math.prod(shape)
    kept, step = np.empty(0), 0
    while kept.size < n:
        z = philox.normal(n, seed, stream, step)
        kept, step = np.concatenate([kept, z[np.abs(z) < 2]]), step + 1
    return (kept[:n] * (sigma / 0.87962566103423978)).reshape(shape)


def glorot_uniform(shape, seed=0, stream=0):
    """Glorot and Bengio, 2010: limit sqrt(6 / (fan_in + fan_out))."""
    return _uniform(math.sqrt(6 / sum(fans(shape))), shape, seed, stream)


def glorot_normal(shape, seed=0, stream=0):
    """Glorot and Bengio, 2010: sigma sqrt(2 / (fan_in + fan_out)), truncated."""
    return _truncated_normal(math.sqrt(2 / sum(fans(shape))), shape, seed, stream)


def he_uniform(shape, seed=0, stream=0):
    """He et al., 2015: limit sqrt(6 / fan_in)."""
    return _uniform(math.sqrt(6 / fans(shape)[0]), shape, seed, stream)


def he_normal(shape, seed=0, stream=0):
    """He et al., 2015: sigma sqrt(2 / fan_in), truncated."""
    return _truncated_normal(math.sqrt(2 / fans(shape)[0]), shape, seed, stream)


INITIALIZERS = {f.__name__: f for f in (zeros, ones, glorot_uniform, glorot_normal, he_uniform, he_normal)}


def get(name):
    """The initializer called `name`. Raises ValueError that lists those there are."""
    if name not in INITIALIZERS:
        raise ValueError(f"no initializer is called {name!r}; there are: {', '.join(INITIALIZERS)}")
    return name
