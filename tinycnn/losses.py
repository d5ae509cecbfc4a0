"""The losses. Softmax and cross-entropy are one operation on logits, so nothing overflows and nothing is clipped;
so are sigmoid and binary cross-entropy where a network is trained.

Like TensorFlow under Keras, a loss that is given probabilities looks for the logits they were made from.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn import functional as F
from tinycnn import refusals
from tinycnn.devices.base import Array, Device
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


@refusals.by_name
def binary_crossentropy(y_true: Tensor | ArrayLike, y_pred: Tensor) -> Tensor:
    """The mean cross-entropy of numbers in [0, 1] (N,K), each a probability of its own, as a Tensor (1,)."""
    return F.binary_crossentropy(y_pred, y_true)[0]


@refusals.by_name
def mean_squared_error(y_true: Tensor | ArrayLike, y_pred: Tensor) -> Tensor:
    """The mean of the squared differences of (N,K), as a Tensor (1,)."""
    return F.mean_squared_error(y_pred, y_true)[0]


mse = MSE = mean_squared_error


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


def needs_softmax(loss: Callable | None) -> bool:
    """Whether a network must end in softmax for it."""
    return loss in (categorical_crossentropy, sparse_categorical_crossentropy)


def for_training(loss: Callable | None, device: Device, activation: str | None) -> tuple[bool, Callable]:
    """How a step of training computes `loss` behind a layer with that activation.

    Returns (to_logits, compute): whether the network stops ahead of the activation, which the loss takes in one with
    itself; and compute(outputs, labels, weights, totals) -> (loss, correct, the gradient of outputs) of the device.
    """
    if loss is mean_squared_error:
        return False, of_any_shape(device.mean_squared_error)
    if loss is binary_crossentropy:
        to_logits = activation == "sigmoid"
        return to_logits, of_any_shape(
            lambda outputs, labels, *rest: device.binary_crossentropy(outputs, labels, to_logits, *rest)
        )
    return True, device.softmax_crossentropy


def of_any_shape(compute: Callable) -> Callable:
    """A device's loss, which is the mean over (N,K), for outputs and labels (N, ...): images, as an autoencoder's."""

    def by_rows(outputs: Array, labels: Array, *rest: Any) -> tuple[Array, Array, Array]:
        flat = outputs.shape[0], math.prod(outputs.shape[1:])
        loss, correct, gradient = compute(outputs.reshape(flat), labels.reshape(flat), *rest)
        return loss, correct, gradient.reshape(outputs.shape)

    return by_rows


LOSSES: dict[str, Callable] = {
    f.__name__: f
    for f in (
        categorical_crossentropy, sparse_categorical_crossentropy, binary_crossentropy, mean_squared_error,
    )
}  # fmt: skip
ALIASES = {"mse": "mean_squared_error", "MSE": "mean_squared_error"}


def get(identifier: str | Callable) -> Callable:
    """The loss called `identifier`, or the function itself if it is one of this module's.

    Raises ValueError for another, TypeError for one of Keras's that is not here.
    """
    if isinstance(identifier, refusals.NotHere):
        identifier()
    function = LOSSES.get(ALIASES.get(identifier, identifier)) if isinstance(identifier, str) else identifier
    if callable(function):
        if function in LOSSES.values():
            return function
        name = getattr(function, "__name__", repr(function))
        raise ValueError(
            f"fit() does not train by {name}, a loss of your own: write the loop yourself, "
            f"{name}(Tensor(y), model(x, training=True)).backward() and optimizer.apply(model.trainable_weights); "
            f"it knows {', '.join(LOSSES)}"
        )
    raise ValueError(f"no loss is called {identifier!r}; there are: {', '.join(LOSSES)}")


def __getattr__(name: str) -> Any:
    return refusals.attribute(sys.modules[__name__], name)
