"""How a layer's arguments are spelled: Keras 1's names, Keras 2's positions, and what every layer takes.

Layers are written with Keras 2's names alone. `understood` goes around their constructors and puts other spellings into
these: the tables here are the one place that knows them. What is not there is refused by what `refusals` says of it.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from tinycnn import refusals
from tinycnn.devices import current_device

# Keras 1's names of arguments in Keras 2 (keras/legacy/interfaces.py of 2.3).
NAMES = {
    "border_mode": "padding", "subsample": "strides", "nb_filter": "filters", "output_dim": "units", "p": "rate",
    "init": "kernel_initializer", "bias": "use_bias", "W_regularizer": "kernel_regularizer",
    "b_regularizer": "bias_regularizer", "W_constraint": "kernel_constraint", "b_constraint": "bias_constraint",
    "beta_init": "beta_initializer", "gamma_init": "gamma_initializer",
}  # fmt: skip
LAYOUTS = {"tf": "channels_last", "th": "channels_first", "default": None}  # Keras 1's dim_ordering

# The order in which Keras 2 takes arguments by position, where ours has not all of them.
POSITIONS: dict[str, tuple[str, ...]] = {
    "Conv2D": (
        "filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "activation", "use_bias",
        "kernel_initializer", "bias_initializer",
    ),
    "Conv2DTranspose": (
        "filters", "kernel_size", "strides", "padding", "output_padding", "data_format", "dilation_rate", "activation",
        "use_bias", "kernel_initializer", "bias_initializer",
    ),
    "UpSampling2D": ("size", "data_format", "interpolation"),
    "Dense": ("units", "activation", "use_bias", "kernel_initializer", "bias_initializer"),
    "Dropout": ("rate", "noise_shape", "seed"),
    "Flatten": ("data_format",),
    "Activation": ("activation",),
    "Concatenate": ("axis",),
    "BatchNormalization": ("axis", "momentum", "epsilon", "center", "scale"),
    "Pooling2D": ("pool_size", "strides", "padding", "data_format"),
    "Lambda": ("function", "output_shape", "mask", "arguments"),
    "Reshape": ("target_shape",),
}  # fmt: skip

# What every layer takes beside its own arguments, with the names of Layer.__init__.
COMMON = ("name", "input_shape", "batch_input_shape", "input_dim", "dtype", "trainable", "weights", "batch_size")

_warned: set[str] = set()


def understood(constructor: Callable) -> Callable:
    """The `__init__` of a layer, for every spelling of its arguments that Keras 1 and 2 have.

    Raises TypeError for an argument that there is not, and says what to do instead.
    """
    parameters = list(inspect.signature(constructor).parameters.values())[1:]
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    takes_others = any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in parameters)

    @functools.wraps(constructor)
    def wrapper(self: Any, *positional: Any, **given: Any) -> None:
        if takes_others:  # a class of the user's hands them on to its base
            constructor(self, *positional, **given)
            return
        options = spelled(type(self), names, positional, given)
        common = {name: options.pop(name) for name in COMMON if name in options and name not in names}
        constructor(self, **options)
        if common:
            self.take(**common)

    return wrapper


def spelled(layer: type, names: Sequence[str], positional: tuple, given: dict[str, Any]) -> dict[str, Any]:
    """{our name: value} of a layer's arguments. names: those that its constructor has. Raises TypeError."""
    what = layer.__name__
    order = next((POSITIONS[c.__name__] for c in layer.__mro__ if c.__name__ in POSITIONS), tuple(names))
    if len(positional) > len(order):
        raise TypeError(f"{what} takes {', '.join(order)} by position, and {len(positional)} were given")
    options = dict(zip(order, positional, strict=False))
    if "kernel_size" in names:
        two_extents(what, options, given)
    for name, value in given.items():
        new = name if name in names else NAMES.get(name, name)
        if name == "dim_ordering":
            new, value = "data_format", LAYOUTS.get(value, value)
        if new in options:
            raise TypeError(f"{what} was given {new} twice")
        options[new] = value
    for name in [n for n in options if n not in (*names, *COMMON)]:
        refusals.argument(what, name, options.pop(name), [*names, *COMMON])
    return options


def two_extents(what: str, options: dict[str, Any], given: dict[str, Any]) -> None:
    """Conv2D(8, 3, 2) and Conv2D(8, nb_row=3, nb_col=2): the two extents of a kernel, as Keras 2 reads them."""
    by_name = [given.pop(name) for name in ("nb_row", "nb_col") if name in given]
    extents = [*(options[name] for name in ("kernel_size", "strides") if name in options), *by_name]
    if len(extents) != 2 or not all(isinstance(n, int) for n in extents):
        return
    if not by_name and what != "Convolution2D":
        filters, rows, columns = (options[name] for name in ("filters", "kernel_size", "strides"))
        warn_once(
            "two extents",
            f"{what}({filters}, {rows}, {columns}) has a kernel of {rows}x{columns}, as in Keras 2; tf.keras takes the "
            f"third number for the strides. Write kernel_size=({rows}, {columns}), or strides={columns}",
        )
    options.pop("strides", None)
    options["kernel_size"] = tuple(extents)


def warn_once(what: str, message: str) -> None:
    """A warning that a program sees once, however many layers it makes."""
    if what not in _warned:
        _warned.add(what)
        warnings.warn(message, stacklevel=6)


def check_dtype(dtype: Any) -> None:
    """Raises ValueError for another than the device computes in."""
    there = current_device().dtype
    if dtype is not None and getattr(dtype, "__name__", str(dtype)) != there:
        raise ValueError(f"dtype {dtype!r}: this device computes in {there}; choose another with tinycnn.use_device")
