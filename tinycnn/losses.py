"""The losses. Softmax and cross-entropy are one operation on logits, so nothing overflows and nothing is clipped.

Like TensorFlow under Keras, a loss that is given probabilities looks for the logits they were made from.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn import functional as F
from tinycnn import refusals
from tinycnn.tensor import Tensor

NO_SOFTMAX = (
    "cross-entropy needs a network that ends in softmax: Dense(10, activation='softmax'), "
    "or Flatten() and Activation('softmax')"
)


@refusals.by_name
def categorical_crossentropy(y_true: Tensor | ArrayLike, y_pred: Tensor) -> Tensor:
    """The mean cross-entropy of one-hot (or soft) labels (N,K) and a softmax layer's output (N,K), as a Tensor (1,)."""
    return F.softmax_crossentropy(logits_of(y_pred), y_true)[0]


@refusals.by_name
def sparse_categorical_crossentropy(y_true: Tensor | ArrayLike, y_pred: Tensor) -> Tensor:
    """The same for labels that are whole numbers, shape (N,)."""
    return F.softmax_crossentropy(logits_of(y_pred), one_hot(y_true, y_pred.shape[-1]))[0]


def logits_of(y_pred: Tensor) -> Tensor:
    """The tensor that a softmax output was computed from. Raises ValueError where it is not one."""
    if y_pred.logits is None:
        raise ValueError(NO_SOFTMAX)
    return y_pred.logits


def one_hot(y: Any, classes: int) -> np.ndarray:
    """float32 (N, classes) from whole numbers (N,). Raises ValueError for a label that is out of range."""
    y = np.asarray(y.numpy() if isinstance(y, Tensor) else y)
    y = y.reshape(y.shape[0]) if y.ndim == 2 and y.shape[1] == 1 else y
    if y.ndim != 1:
        raise ValueError(f"labels must be whole numbers of shape (N,), not an array of shape {y.shape}")
    labels = y.astype(np.int64)
    if not np.array_equal(labels, y):
        raise ValueError("labels must be whole numbers")
    if y.size and not (labels.min() >= 0 and labels.max() < classes):
        bad = labels[(labels < 0) | (labels >= classes)][0]
        raise ValueError(f"label {bad} is out of range: with {classes} classes labels are 0 to {classes - 1}")
    return np.eye(classes, dtype=np.float32)[labels]


def labels_for(loss: Callable | None, y: np.ndarray, classes: int) -> np.ndarray:
    """Whole numbers (N,) in the form that `loss` takes: as they are, or one-hot (N, classes)."""
    return y if loss is sparse_categorical_crossentropy else one_hot(y, classes)


LOSSES: dict[str, Callable] = {f.__name__: f for f in (categorical_crossentropy, sparse_categorical_crossentropy)}


def get(identifier: str | Callable) -> Callable:
    """The loss called `identifier`, or the function itself if it is one of this module's. Raises ValueError."""
    function = LOSSES.get(identifier) if isinstance(identifier, str) else identifier
    if function is None or function not in LOSSES.values():
        raise ValueError(f"no loss is called {identifier!r}; there are: {', '.join(LOSSES)}")
    return function


def __getattr__(name: str) -> Any:
    return refusals.attribute(sys.modules[__name__], name)
