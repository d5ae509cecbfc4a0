"""`keras.metrics`: the losses by their other address, and accuracies. Functions of your own are taken as well.

Given to `compile`, as names or as functions, or within a function of your own, they give a number for each image, whose
mean is measured. 'accuracy' itself is counted by the loss, and by no function.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from tinycnn import backend as K
from tinycnn import losses, refusals
from tinycnn.losses import (
    KLD,
    MAE,
    MAPE,
    MSE,
    MSLE,
    binary_crossentropy,
    categorical_crossentropy,
    categorical_hinge,
    hinge,
    kld,
    kullback_leibler_divergence,
    logcosh,
    mae,
    mape,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    mse,
    msle,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)  # fmt: skip

__all__ = [
    "KLD", "MAE", "MAPE", "MSE", "MSLE", "binary_crossentropy", "categorical_crossentropy", "categorical_hinge",
    "hinge", "kld", "kullback_leibler_divergence", "logcosh", "mae", "mape", "mean_absolute_error",
    "mean_absolute_percentage_error", "mean_squared_error", "mean_squared_logarithmic_error", "mse", "msle", "poisson",
    "sparse_categorical_crossentropy", "squared_hinge",
]  # fmt: skip


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Any:
    """The share of an image's outputs that round to their labels, or with another threshold that are over it where
    the label is 1 and not where it is 0."""
    return K.mean(K.equal(y_true, K.round(y_pred) if threshold == 0.5 else K.greater(y_pred, threshold)), axis=-1)


def categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 for an image whose largest output is where its largest label is, else 0."""
    return K.equal(K.argmax(y_true), K.argmax(y_pred))


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """The same for labels that are whole numbers, (N,) or (N, 1)."""
    return K.equal(K.reshape(y_true, (-1,)), K.argmax(y_pred))


BY_NAME: dict[str, Callable] = {
    **losses.BY_NAME,
    **{f.__name__: f for f in (binary_accuracy, categorical_accuracy, sparse_categorical_accuracy)},
}


def __getattr__(name: str) -> Any:
    return refusals.attribute(sys.modules[__name__], name)
