"""MNIST with the face of keras.datasets.mnist.

LeCun, Cortes and Burges, "The MNIST database of handwritten digits", 1998.
"""

from __future__ import annotations

import warnings
from os import PathLike
from pathlib import Path

import numpy as np

from tinycnn.datasets.dataset import find

KERAS_CACHE_NAME = "mnist.npz"

Split = tuple[np.ndarray, np.ndarray]


def load_data(path: str | PathLike = KERAS_CACHE_NAME) -> tuple[Split, Split]:
    """MNIST as Keras has it. Warns where TINYCNN_DATA or `path` leads to other data.

    Args:
        path: a folder or file as in `tinycnn.datasets.load`. The default is the name that Keras gives its cached copy:
            unless a file of that name is here, MNIST comes from TINYCNN_DATA, the cache or the internet.

    Shapes:
        images (60000, 28, 28) and (10000, 28, 28) from 0 to 255, labels (60000,) and (10000,) from 0 to 9; all uint8.

    Returns:
        ((x_train, y_train), (x_test, y_test)).

    Raises:
        DataError: as `load` does.
    """
    cached = path == KERAS_CACHE_NAME and not Path(path).exists()
    arrays, name, source = find(None if cached else path)
    if name != "MNIST":
        warnings.warn(f"mnist.load_data() gives {name}, not MNIST ({source}).", stacklevel=2)
    return (arrays.x_train, arrays.y_train), (arrays.x_test, arrays.y_test)
