"""Initial weights, as Keras draws them (keras/src/initializers), from counter-based random numbers.

An initializer is a function (shape, seed, stream) -> float64 NumPy array of that shape. The same three give the same
numbers, on every device and in every order of drawing. Without a shape it is what Keras 2 makes of it: its name, or
Configured where it has numbers of its own.

>>> he_normal((3, 3, 1, 8), seed=1, stream=0).shape
(3, 3, 1, 8)
>>> RandomNormal(stddev=0.05), RandomNormal(stddev=0.02)
('random_normal', Configured('random_normal', mean=0.0, stddev=0.02, seed=None))
"""

from __future__ import annotations

import functools
import math
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinycnn import philox, refusals, session
from tinycnn.careful import checked
from tinycnn.shapes import Shape

MODES, DISTRIBUTIONS = ("fan_in", "fan_out", "fan_avg"), ("normal", "uniform", "truncated_normal", "untruncated_normal")
# What an option may be; of the others, any finite number.
INTERVALS = {"stddev": "[0, inf)", "scale": "(0, inf)"}
CHOICES = {"mode": MODES, "distribution": DISTRIBUTIONS}
# Of a normal distribution without what is beyond two sigma.
DEVIATION_WHEN_TRUNCATED = 0.87962566103423978


class Configured:
    """One of these functions with numbers of its own, and perhaps a seed.

    Args:
        name: of one of INITIALIZERS.
        options: what Keras has there; all that it has.

    Raises:
        ValueError: for an option that is out of bounds.

    >>> Configured("constant", value=0.1)((2,))
    array([0.1, 0.1])
    """

    def __init__(self, name: str, **options: Any):
        self.name = name
        self.options = {option: valid(name, option, value) for option, value in options.items()}

    def __call__(self, shape: Shape, seed: int = 0, stream: int = 0) -> np.ndarray:
        """Numbers of this shape. With a seed of its own the same ones for every layer, as in Keras 3; Keras 2.3 draws
        other ones whenever it is asked again."""
        numbers = dict(self.options)
        if (own := numbers.pop("seed", None)) is not None:
            seed, stream = own, philox.stream_id(philox.WEIGHTS, 0)
        array: np.ndarray = INITIALIZERS[self.name](shape=tuple(shape), seed=seed, stream=stream, **numbers)
        return array

    def get_config(self) -> dict[str, Any]:
        return dict(self.options)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Configured) and (self.name, self.options) == (other.name, other.options)

    def __hash__(self) -> int:
        return hash((self.name, *self.options.values()))

    def __repr__(self) -> str:
        return f"Configured({', '.join([repr(self.name), *(f'{k}={v!r}' for k, v in self.options.items())])})"


def valid(name: str, option: str, value: Any) -> Any:
    """The value of an option. Raises ValueError."""
    what = f"{option} of the initializer {name}"
    if option in CHOICES:
        if value not in CHOICES[option]:
            raise ValueError(f"{what} must be one of {', '.join(CHOICES[option])}, not {value!r}")
        return value
    if option == "seed":
        return None if value is None else session.check_seed(value)
    return checked(value, what, INTERVALS.get(option, "(-inf, inf)"))


def fans(shape: Shape) -> tuple[float, float]:
    """(fan_in, fan_out) of a dense kernel (inputs, units), of filters (R, S, C, K), or of a bias, where both are its
    length.

    >>> fans((3, 3, 2, 8)), fans((8,))
    ((18, 72), (8, 8))
    """
    if len(shape) == 1:
        return shape[0], shape[0]
    window = math.prod(shape[:-2])
    return shape[-2] * window, shape[-1] * window


def named(**defaults: Any) -> Callable[[Callable], Callable]:
    """For an initializer that Keras 2 makes objects of: without a shape it gives what `made` does of its options.

    defaults: Keras's options with their values, in their order.
    """

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def either(*values: Any, **options: Any) -> Any:
            if "shape" in options or (values and isinstance(values[0], tuple)):
                return function(*values, **options)
            if len(values) > len(defaults):
                raise TypeError(f"{function.__name__} takes {len(defaults)} options, not {len(values)}")
            return made(function.__name__, {**dict(zip(defaults, values, strict=False)), **options})

        either.__dict__["defaults"] = defaults  # which benchmarks/keras_names.py asks as well
        return either

    return decorate


def made(name: str, options: Mapping[str, Any]) -> str | Configured:
    """The initializer with these options: its name where they are Keras's defaults. Raises TypeError for others."""
    defaults: dict[str, Any] = INITIALIZERS[name].__dict__["defaults"]
    for option in options:
        if option not in defaults:
            raise TypeError(f"{name} has no option {option!r}; it has: {', '.join(defaults) or 'none'}")
    chosen = Configured(name, **{**defaults, **options})
    if name == "variance_scaling":
        scale, mode, distribution = (chosen.options[option] for option in ("scale", "mode", "distribution"))
        if kind := KNOWN_SCALINGS.get((scale, mode, distribution.removeprefix("truncated_"))):
            return made(kind, {"seed": chosen.options["seed"]})
    return name if chosen.options == defaults else chosen


@named()
def zeros(shape: Shape, seed: int = 0, stream: int = 0) -> np.ndarray:
    """Nothing but 0: biases, and the beta and moving mean of batch normalisation."""
    return np.zeros(shape)


@named()
def ones(shape: Shape, seed: int = 0, stream: int = 0) -> np.ndarray:
    """Nothing but 1: the gamma and moving variance of batch normalisation."""
    return np.ones(shape)


@named(value=0.0)
def constant(shape: Shape, seed: int = 0, stream: int = 0, value: float = 0.0) -> np.ndarray:
    """One number everywhere."""
    return np.full(shape, value)


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
    return (kept[:n] * (sigma / DEVIATION_WHEN_TRUNCATED)).reshape(shape)


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


@named(scale=1.0, mode="fan_in", distribution="normal", seed=None)
def variance_scaling(
    shape: Shape, seed: int = 0, stream: int = 0, scale: float = 1.0, mode: str = "fan_in", distribution: str = "normal"
) -> np.ndarray:
    """Of variance scale / fan: what the six above are kinds of. mode: whose fan, 'fan_in', 'fan_out' or 'fan_avg',
    their mean. distribution: 'uniform', 'untruncated_normal', or 'normal', which is truncated."""
    fan_in, fan_out = fans(shape)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
    variance = scale / max(1.0, fan)
    if distribution == "uniform":
        return _uniform(math.sqrt(3 * variance), shape, seed, stream)
    if distribution == "untruncated_normal":
        return math.sqrt(variance) * philox.normal(math.prod(shape), seed, stream).reshape(shape)
    return _truncated_normal(math.sqrt(variance), shape, seed, stream)


@named(minval=-0.05, maxval=0.05, seed=None)
def random_uniform(
    shape: Shape, seed: int = 0, stream: int = 0, minval: float = -0.05, maxval: float = 0.05
) -> np.ndarray:
    """Between two numbers."""
    return (minval + maxval) / 2 + _uniform((maxval - minval) / 2, shape, seed, stream)


@named(mean=0.0, stddev=0.05, seed=None)
def random_normal(shape: Shape, seed: int = 0, stream: int = 0, mean: float = 0.0, stddev: float = 0.05) -> np.ndarray:
    """Normal."""
    return mean + stddev * philox.normal(math.prod(shape), seed, stream).reshape(shape)


@named(mean=0.0, stddev=0.05, seed=None)
def truncated_normal(
    shape: Shape, seed: int = 0, stream: int = 0, mean: float = 0.0, stddev: float = 0.05
) -> np.ndarray:
    """Normal; what is beyond two standard deviations is drawn again, which makes the deviation smaller."""
    return mean + _truncated_normal(stddev * DEVIATION_WHEN_TRUNCATED, shape, seed, stream)


@named(gain=1.0, seed=None)
def orthogonal(shape: Shape, seed: int = 0, stream: int = 0, gain: float = 1.0) -> np.ndarray:
    """Saxe et al., 2014: gain times a matrix of orthonormal columns, or rows where there are fewer of them; filters are
    the matrix (R * S * C, K). Raises ValueError for a bias."""
    if len(shape) < 2:
        raise ValueError(f"orthogonal draws kernels, and not an array of shape {tuple(shape)}")
    rows, columns = math.prod(shape[:-1]), shape[-1]
    left, _, right = np.linalg.svd(philox.normal(rows * columns, seed, stream).reshape(rows, columns), False)
    return gain * (left if rows >= columns else right).reshape(shape)


@named(gain=1.0)
def identity(shape: Shape, seed: int = 0, stream: int = 0, gain: float = 1.0) -> np.ndarray:
    """gain on the diagonal of a dense kernel, and 0 elsewhere. Raises ValueError for other shapes."""
    if len(shape) != 2:
        raise ValueError(f"identity makes kernels of dense layers, and not an array of shape {tuple(shape)}")
    return gain * np.eye(*shape)


INITIALIZERS = {
    f.__name__: f
    for f in (
        zeros, ones, constant, glorot_uniform, glorot_normal, he_uniform, he_normal, lecun_uniform, lecun_normal,
        variance_scaling, random_uniform, random_normal, truncated_normal, orthogonal, identity,
    )
}  # fmt: skip
# Keras 2 writes these as a VarianceScaling: scale, mode, distribution.
KNOWN_SCALINGS = {
    (scale, mode, distribution): f"{name}_{distribution}"
    for name, scale, mode in (("glorot", 1, "fan_avg"), ("he", 2, "fan_in"), ("lecun", 1, "fan_in"))
    for distribution in ("uniform", "normal")
}
# Keras 2's other names, those of its classes among them.
zero = Zeros = zeros
one = Ones = ones
Constant = constant
uniform = RandomUniform = random_uniform
normal = RandomNormal = random_normal
TruncatedNormal = truncated_normal
VarianceScaling = variance_scaling
Orthogonal = orthogonal
Identity = identity
ALIASES = {"zero": "zeros", "one": "ones", "uniform": "random_uniform", "normal": "random_normal"}


def get(identifier: Any) -> str | Configured:
    """The name of an initializer, or a Configured: from its name, what Keras 2 makes of it, or Keras's config.

    Raises:
        ValueError: for anything else, and for options that are out of bounds.

    >>> get("he_normal"), get("normal"), get(glorot_uniform)
    ('he_normal', 'random_normal', 'glorot_uniform')
    >>> get({"class_name": "VarianceScaling", "config": {"scale": 2.0, "mode": "fan_in", "distribution": "normal"}})
    'he_normal'
    """
    if isinstance(identifier, Configured):
        return identifier
    if isinstance(identifier, Mapping) and "class_name" in identifier:
        written = identifier.get("config") or {}
        options = {name: value for name, value in written.items() if value is not None and name != "dtype"}
        try:
            return made(found(identifier["class_name"]), options)
        except TypeError as error:
            raise ValueError(str(error)) from None
    if identifier in list(INITIALIZERS.values()):
        identifier = identifier.__name__
    if callable(identifier):
        raise ValueError(f"{identifier} is no initializer that there is; give the layer weights= with what it returns")
    return made(found(identifier), {})


def found(name: Any) -> str:
    """The name in INITIALIZERS of what Keras calls so, as 'RandomNormal' or 'normal'. Raises ValueError."""
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower() if isinstance(name, str) else ""
    snake = ALIASES.get(snake, snake)
    if snake not in INITIALIZERS:
        raise ValueError(f"no initializer is called {name!r}; there are: {', '.join(INITIALIZERS)}")
    return snake


def draw(initializer: str | Configured, shape: Shape, seed: int, stream: int) -> np.ndarray:
    """Numbers of what `get` gave."""
    if isinstance(initializer, Configured):
        return initializer(shape, seed, stream)
    array: np.ndarray = INITIALIZERS[initializer](shape, seed, stream)
    return array


def as_options(kernel: str | Configured, bias: str | Configured) -> dict[str, Any]:
    """The arguments of a layer's constructor that choose these, as plain data."""
    return {
        "kernel_initializer": plain(kernel),
        **({} if bias == "zeros" else {"bias_initializer": plain(bias)}),
    }


def plain(initializer: str | Configured) -> str | dict[str, Any]:
    """It as Keras 2 writes it to a file: its name, or its class with its config."""
    if isinstance(initializer, str):
        return initializer
    name, config = initializer.name, initializer.get_config()
    for (scale, mode, distribution), kind in KNOWN_SCALINGS.items():
        if kind == name:  # of which Keras 2 has no class
            name = "variance_scaling"
            config = {"scale": float(scale), "mode": mode, "distribution": distribution, **config}
    return {"class_name": "".join(word.capitalize() for word in name.split("_")), "config": config}


def __getattr__(name: str) -> Any:
    return refusals.attribute(sys.modules[__name__], name)
