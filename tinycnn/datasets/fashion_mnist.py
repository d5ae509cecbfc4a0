"""Fashion-MNIST with the face of keras.datasets.fashion_mnist.

Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms", 2017.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from tinycnn.datasets.dataset import FASHION_NAMES, find
from tinycnn.datasets.download import FASHION_MNIST
from tinycnn.datasets.mnist import Split


def load_data() -> tuple[Split, Split]:
    """Fashion-MNIST as Keras has it: from TINYCNN_DATA, the cache or the internet.

    In TINYCNN_DATA it may lie in a folder fashion-mnist. Where that is other data, they are given with a warning; MNIST
    is passed over.

    Shapes:
        images (60000, 28, 28) and (10000, 28, 28) from 0 to 255, labels (60000,) and (10000,) from 0 to 9; all uint8.

    Returns:
        ((x_train, y_train), (x_test, y_test)).

    Raises:
        DataError: as `tinycnn.datasets.load` does.
    """
    place = os.environ.get("TINYCNN_DATA")
    inside = [Path(place) / name for name in FASHION_NAMES] if place else []
    named = next((str(folder) for folder in inside if folder.is_dir()), place or FASHION_NAMES[0])
    arrays, name, source = find(named)
    if name == "MNIST":
        arrays, name, source = find(FASHION_NAMES[0])
    if name != FASHION_MNIST.name:
        warnings.warn(f"fashion_mnist.load_data() gives {name}, not Fashion-MNIST ({source}).", stacklevel=2)
    return (arrays.x_train, arrays.y_train), (arrays.x_test, arrays.y_test)
