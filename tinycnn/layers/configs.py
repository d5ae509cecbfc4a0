"""Keras's config of a layer: its constructor's arguments as plain data, as JSON and HDF5 files have them.

Written as Keras 2 does, read as Keras 2 and 3 have written it: of what tinycnn has no argument for, everything that
asks for nothing is passed over, and the rest is refused by name.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from tinycnn import initializers, refusals

if TYPE_CHECKING:
    from tinycnn.layers.base import Layer

# What every config may have that is no argument of a constructor here.
ABOUT = ("name", "trainable", "dtype", "batch_input_shape", "batch_shape", "input_shape", "input_dtype", "build_config")
# These say how Keras computes, not what; a Dropout here draws by its model's seed.
HOW = ("seed", "implementation", "renorm_momentum", "momentum_schedule")


def config_of(layer: Layer, options: dict[str, Any]) -> dict[str, Any]:
    """The config of a layer: its name, whether it is trained, and its options. An activation of None is 'linear'."""
    config = {"name": layer.name, "trainable": layer.trainable, "dtype": "float32", **options}
    if "activation" in config:
        config["activation"] = config["activation"] or "linear"
    return config


def made_from(cls: type[Layer], config: dict[str, Any], rank: int | None = None, weights_follow: bool = False) -> Layer:
    """The layer of a class that a config of Keras 2 or 3 describes.

    rank: of its input, the batch included, where it is known. weights_follow: whether its weights are about to be
    loaded, so that it does not matter which initialiser they had. Raises ValueError for what is not there.
    """
    layer = cls(**arguments(cls, config, rank, weights_follow), name=config.get("name"))
    layer.trainable = config.get("trainable", True)
    return layer


def arguments(cls: type[Layer], config: dict[str, Any], rank: int | None, weights_follow: bool) -> dict[str, Any]:
    """The constructor's arguments among what a config has. Raises ValueError for what is not there."""
    known = inspect.signature(cls).parameters
    found = {}
    for key, written in config.items():
        if key in ABOUT or key in HOW:
            continue
        if weights_follow and key.endswith("_initializer"):
            continue
        value = read(key, written)
        if key == "axis" and rank is not None and value == rank - 1:
            value = -1
        if key in known:
            found[key] = value
        elif value not in (None, False) and value not in refusals.harmless(key):
            raise ValueError(f"{cls.__name__} {config.get('name', '')} has {key}={written!r}, which is not there")
    dtype = config.get("dtype") or "float32"
    dtype = dtype.get("config", {}).get("name") if isinstance(dtype, dict) else dtype
    if dtype not in ("float32", "float64"):
        raise ValueError(f"{cls.__name__} {config.get('name', '')} computes in {dtype}, which is not there")
    return found


def read(key: str, value: Any) -> Any:
    """A value of a config as a constructor takes it: tuples for lists, names for activations, and initialisers."""
    if isinstance(value, list):
        return value[0] if key == "axis" and len(value) == 1 else tuple(value)
    if isinstance(value, dict) and isinstance(value.get("config"), str):  # Keras 3's functions
        return value["config"]
    if key.endswith("_initializer") and value is not None:
        return initializers.get(value)
    return value
