"""Which kind of file a network is in: safetensors, or Keras's HDF5 where the name or the content says so."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tinycnn.fit import checkpoint, hdf5, keras_config
from tinycnn.fit.files import is_hdf5

if TYPE_CHECKING:
    from tinycnn.models import Model


def begins_as_hdf5(path: str | os.PathLike) -> bool:
    """Whether a file is to be read as HDF5: it begins so, or is called so."""
    try:
        with open(path, "rb") as file:
            return file.read(len(hdf5.SIGNATURE)) == hdf5.SIGNATURE or is_hdf5(path)
    except OSError:
        return is_hdf5(path)


def save(model: Model, path: str | os.PathLike, weights_only: bool = False) -> None:
    """Write a model to a file of the kind that its name says, .safetensors by default."""
    (hdf5 if is_hdf5(path) else checkpoint).save(model, path, weights_only)


def load_weights(model: Model, path: str | os.PathLike, by_name: bool = False) -> None:
    """The weights of a file of either kind into a model."""
    if begins_as_hdf5(path):
        hdf5.load_weights(model, path, by_name)
    elif by_name:
        raise ValueError(f"{os.fspath(path)}: by_name is for HDF5 files, whose layers have names")
    else:
        checkpoint.load_weights(model, path)


def load(path: str | os.PathLike, kinds: keras_config.Kinds) -> Model:
    """The model of a file of either kind."""
    return hdf5.load(path, kinds) if begins_as_hdf5(path) else checkpoint.load(path, *kinds)
