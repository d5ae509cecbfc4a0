"""Initial weights, as Keras draws them (keras/src/initializers), from counter-based random numbers.

An initializer is a function (shape, seed, stream) -> float64 NumPy array of that shape. The same three give the same
numbers, on every device and in every order of drawing.

>>> he_normal((3, 3, 1, 8), seed=1, stream=0).shape
(3, 3, 1, 8)
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from tinycnn import philox, refusals
from tinycnn.shapes import Shape


def fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out) of a dense kernel (inputs, units) or of filters (R, S, C, K).

    >>> fans((3, 3, 2, 8))
    (18, 72)
    """
    window = math.prod(shape[:-2])
    return shape[-2] * window, shape[-1] * window


def named(**defaults: Any) -> Callable[[Callable], Callable]:
    """For an initializer that Keras 2 makes objects of, as in `he_normal()`: without a shape it gives its name.

    defaults: what Keras takes there. Layers draw with these and by the seed of the session, so that there is a
    TypeError for other values.
    """

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def either(*values: Any, **options: Any) -> Any:
            if "shape" in options or (values and isinstance(values[0], tuple)):
                return function(*values, **options)
            for name, value in {**dict(zip(defaults, values, strict=False)), **options}.items():
                if name not in defaults or value != defaults[name]:
                    raise TypeError(
                        f"{function.__name__}({name}={value!r}) is not there: weights are drawn with Keras's defaults "
                        "and by set_random_seed(); give the layer weights= of your own"
                    )
            return function.__name__

        either.__dict__["defaults"] = defaults  # which benchmarks/keras_names.py asks
        return either

    return decorate


@named()
def zeros(shape: Shape, seed: int = 0, stream: int = 0) -> np.ndarray:
    """Nothing but 0: biases, and the beta and moving mean of batch normalisation."""
    return np.zeros(shape)


@named()
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


@named(seed=None)
def glorot_uniform(shape: Shape, seed: int = 0, stream: int = 0) -> np.ndarray:
    """Glorot and Bengio, 2010: limit sqrt(6 / (fan_in + fan_out)).

    >>> weights = glorot_uniform((2, 4))
    >>> bool(abs(weights).max() < 1), bool((weights == glorot_uniform((2, 4))).all())
    (True, True)
    """
    return _uniform(math.sqrt(6 / sum(fans(shape))), shape, seed, stream)


@named(seed=None)
def glorot_normal(shape: Shape, seed: int = 0, stream: int = 0) -> np.ndarray:
    """Glorot and Bengio, 2010: sigma sqrt(2 / (fan_in + fan_out)), truncated."""
    return _truncated_normal(math.sqrt(2 / sum(fans(shape))), shape, seed, stream)


@named(seed=None)
def he_uniform(shape: Shape, seed: int = 0, stream: int = 0) -> np.ndarray:
    """He et al., 2015: limit sqrt(6 / fan_in)."""
    return _uniform(math.sqrt(6 / fans(shape)[0]), shape, seed, stream)


@named(seed=None)
def he_normal(shape: Shape, seed: int = 0, stream: int = 0) -> np.ndarray:
    """He et al., 2015: sigma sqrt(2 / fan_in), truncated."""
    return _truncated_normal(math.sqrt(2 / fans(shape)[0]), shape, seed, stream)


@named(seed=None)
def lecun_uniform(shape: Shape, seed: int = 0, stream: int = 0) -> np.ndarray:
    """LeCun et al., 1998: limit sqrt(3 / fan_in)."""
    return _uniform(math.sqrt(3 / fans(shape)[0]), shape, seed, stream)


@named(seed=None)
def lecun_normal(shape: Shape, seed: int = 0, stream: int = 0) -> np.ndarray:
    """LeCun et al., 1998: sigma sqrt(1 / fan_in), truncated."""
    return _truncated_normal(math.sqrt(1 / fans(shape)[0]), shape, seed, stream)


@named(minval=-0.05, maxval=0.05, seed=None)
def random_uniform(shape: Shape, seed: int = 0, stream: int = 0) -> np.ndarray:
    """Between -0.05 and 0.05."""
    return _uniform(0.05, shape, seed, stream)


@named(mean=0.0, stddev=0.05, seed=None)
def random_normal(shape: Shape, seed: int = 0, stream: int = 0) -> np.ndarray:
    """Normal, sigma 0.05."""
    return 0.05 * philox.normal(math.prod(shape), seed, stream).reshape(shape)


@named(mean=0.0, stddev=0.05, seed=None)
def truncated_normal(shape: Shape, seed: int = 0, stream: int = 0) -> np.ndarray:
    """Normal, sigma 0.05 before what is beyond two sigma is drawn again."""
    return _truncated_normal(0.05 * 0.87962566103423978, shape, seed, stream)


INITIALIZERS = {
    f.__name__: f
    for f in (
        zeros, ones, glorot_uniform, glorot_normal, he_uniform, he_normal, lecun_uniform, lecun_normal,
        random_uniform, random_normal, truncated_normal,
    )
}  # fmt: skip
# Keras 2's other names, those of its classes among them.
zero = Zeros = zeros
one = Ones = ones
uniform = RandomUniform = random_uniform
normal = RandomNormal = random_normal
TruncatedNormal = truncated_normal
ALIASES = {"zero": "zeros", "one": "ones", "uniform": "random_uniform", "normal": "random_normal"}


def get(identifier: Any) -> str:
    """The name of an initializer, by its name, or by what Keras 2 makes of it. Raises ValueError that lists them.

    >>> get("he_normal"), get("normal"), get(glorot_uniform)
    ('he_normal', 'random_normal', 'glorot_uniform')
    """
    if identifier in list(INITIALIZERS.values()):
        identifier = identifier.__name__
    found = ALIASES.get(identifier, identifier) if isinstance(identifier, str) else None
    if found not in INITIALIZERS:
        raise ValueError(f"no initializer is called {identifier!r}; there are: {', '.join(INITIALIZERS)}")
    return str(found)


def __getattr__(name: str) -> Any:
    return refusals.attribute(sys.modules[__name__], name)
