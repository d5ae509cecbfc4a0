"""`keras.metrics`: the losses by their other address.

What is measured is 'accuracy', a loss by its name, and functions of your own: see Model.compile.
"""

from __future__ import annotations

import sys
from typing import Any

from tinycnn import refusals
from tinycnn.losses import (
    MSE,
    binary_crossentropy,
    categorical_crossentropy,
    mean_squared_error,
    mse,
    sparse_categorical_crossentropy,
)  # fmt: skip

__all__ = [
    "MSE", "binary_crossentropy", "categorical_crossentropy", "mean_squared_error", "mse",
    "sparse_categorical_crossentropy",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    return refusals.attribute(sys.modules[__name__], name)
