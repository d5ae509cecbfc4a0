"""The losses. Softmax and cross-entropy are one operation on logits, so nothing overflows and nothing is clipped;
so are sigmoid and binary cross-entropy where a network is trained.

Like TensorFlow under Keras, a loss that is given probabilities looks for the logits they were made from.

Of what is not computed yet, as a loss of your own is given it (fit/own_losses.py), each of them is what it is in Keras:
a number for each image, the mean over the last axis, with probabilities that are clipped by backend.epsilon().
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from tinycnn import backend as K
from tinycnn import functional as F
from tinycnn import refusals
from tinycnn.custom_objects import all_custom_objects
from tinycnn.devices.base import Array, Device
from tinycnn.expressions import expressions_in
from tinycnn.tensor import Tensor

NO_SOFTMAX = (
    "cross-entropy needs a network that ends in softmax: Dense(10, activation='softmax'), "
    "or Flatten() and Activation('softmax')"
)


@refusals.by_name
def categorical_crossentropy(y_true: Any, y_pred: Any) -> Any:
    """The mean cross-entropy of one-hot (or soft) labels (N,K) and a softmax layer's output (N,K), as a Tensor (1,)."""
    if expressions_in([y_true, y_pred]):
        return K.categorical_crossentropy(y_true, y_pred)
    return F.softmax_crossentropy(logits_of(y_pred), y_true)[0]


@refusals.by_name
def sparse_categorical_crossentropy(y_true: Any, y_pred: Any) -> Any:
    """The same for labels that are whole numbers, shape (N,)."""
    if expressions_in([y_true, y_pred]):
        return K.sparse_categorical_crossentropy(y_true, y_pred)
    return F.softmax_crossentropy(logits_of(y_pred), one_hot(y_true, y_pred.shape[-1]))[0]


@refusals.by_name
def categorical_crossentropy_from_logits(y_true: Any, y_pred: Any) -> Any:
    """categorical_crossentropy of a network that ends without its softmax, which the loss takes in one with itself."""
    if expressions_in([y_true, y_pred]):
        return K.categorical_crossentropy(y_true, y_pred, from_logits=True)
    return F.softmax_crossentropy(y_pred, y_true)[0]


@refusals.by_name
def sparse_categorical_crossentropy_from_logits(y_true: Any, y_pred: Any) -> Any:
    """The same for labels that are whole numbers, shape (N,)."""
    if expressions_in([y_true, y_pred]):
        return K.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
    return F.softmax_crossentropy(y_pred, one_hot(y_true, y_pred.shape[-1]))[0]


@refusals.by_name
def binary_crossentropy(y_true: Any, y_pred: Any) -> Any:
    """The mean cross-entropy of numbers in [0, 1] (N,K), each a probability of its own, as a Tensor (1,)."""
    if expressions_in([y_true, y_pred]):
        return K.mean(K.binary_crossentropy(y_true, y_pred), axis=-1)
    return F.binary_crossentropy(y_pred, y_true)[0]


@refusals.by_name
def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
    """The mean of the squared differences of (N,K), as a Tensor (1,)."""
    if expressions_in([y_true, y_pred]):
        return K.mean(K.square(y_pred - y_true), axis=-1)
    return F.mean_squared_error(y_pred, y_true)[0]


mse = MSE = mean_squared_error

# ---------------------------------------------------------------- by the functions of the backend: for each image, (N,)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Any:
    """The mean of |y_pred - y_true| of each image."""
    return K.mean(K.abs(y_pred - y_true), axis=-1)


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Any:
    """The mean of |y_true - y_pred| / |y_true| of each image, times 100."""
    return 100.0 * K.mean(K.abs((y_true - y_pred) / K.maximum(K.abs(y_true), K.epsilon())), axis=-1)


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Any:
    """The mean of (log(1 + y_pred) - log(1 + y_true))^2 of each image; below 0 both count as 0."""
    first, second = (K.log(K.maximum(y, K.epsilon()) + 1.0) for y in (y_pred, y_true))
    return K.mean(K.square(first - second), axis=-1)


def hinge(y_true: Any, y_pred: Any) -> Any:
    """The mean of max(1 - y_true * y_pred, 0) of each image, for labels -1 and 1, or 0 and 1."""
    return K.mean(K.maximum(1.0 - signs(y_true) * y_pred, 0.0), axis=-1)


def squared_hinge(y_true: Any, y_pred: Any) -> Any:
    """The mean of the squares of the same."""
    return K.mean(K.square(K.maximum(1.0 - signs(y_true) * y_pred, 0.0)), axis=-1)


def signs(y_true: Any) -> Any:
    """A batch of labels 0 and 1 as -1 and 1, others as they are."""
    return y_true + K.all(K.equal(K.square(y_true), y_true)) * (y_true - 1.0)


def categorical_hinge(y_true: Any, y_pred: Any) -> Any:
    """max(the largest output of another class - that of the image's class + 1, 0) of each image."""
    mine, others = K.sum(y_true * y_pred, axis=-1), K.max((1.0 - y_true) * y_pred, axis=-1)
    return K.maximum(others - mine + 1.0, 0.0)


def logcosh(y_true: Any, y_pred: Any) -> Any:
    """The mean of log(cosh(y_pred - y_true)) of each image."""
    away = y_pred - y_true
    return K.mean(away + K.softplus(-2.0 * away) - math.log(2.0), axis=-1)


def kullback_leibler_divergence(y_true: Any, y_pred: Any) -> Any:
    """The sum of y_true * log(y_true / y_pred) of each image, both clipped to [backend.epsilon(), 1]."""
    y_true, y_pred = (K.clip(y, K.epsilon(), 1.0) for y in (y_true, y_pred))
    return K.sum(y_true * K.log(y_true / y_pred), axis=-1)


def poisson(y_true: Any, y_pred: Any) -> Any:
    """The mean of y_pred - y_true * log(y_pred) of each image."""
    return K.mean(y_pred - y_true * K.log(y_pred + K.epsilon()), axis=-1)


mae = MAE = mean_absolute_error
mape = MAPE = mean_absolute_percentage_error
msle = MSLE = mean_squared_logarithmic_error
kld = KLD = kullback_leibler_divergence

# ---------------------------------------------------------------- what the losses of a training are given


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
    return y if takes_numbers(loss) else one_hot(y, classes)


def takes_numbers(loss: Callable | None) -> bool:
    """Whether its labels are whole numbers, and not one-hot."""
    return loss in (sparse_categorical_crossentropy, sparse_categorical_crossentropy_from_logits)


def takes_logits(loss: Callable | None) -> bool:
    """Whether a network must end without softmax for it."""
    return loss in (categorical_crossentropy_from_logits, sparse_categorical_crossentropy_from_logits)


def needs_softmax(loss: Callable | None) -> bool:
    """Whether a network must end in softmax for it."""
    return loss in (categorical_crossentropy, sparse_categorical_crossentropy)


def for_training(loss: Callable | None, device: Device, activation: str | None) -> tuple[bool, Callable | None]:
    """How a step of training computes `loss` behind a layer with that activation.

    Returns (to_logits, compute): whether the network stops ahead of the activation, which the loss takes in one with
    itself; and compute(outputs, labels, weights, totals) -> (loss, correct, the gradient of outputs) of the device,
    None where it is none of this module's.
    """
    if loss is None or is_own(loss):
        return False, None
    if loss is mean_squared_error:
        return False, of_any_shape(device.mean_squared_error)
    if loss is binary_crossentropy:
        to_logits = activation == "sigmoid"
        return to_logits, of_any_shape(
            lambda outputs, labels, *rest: device.binary_crossentropy(outputs, labels, to_logits, *rest)
        )
    return not takes_logits(loss), device.softmax_crossentropy


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
        categorical_crossentropy_from_logits, sparse_categorical_crossentropy_from_logits,
    )
}  # fmt: skip
# Computed as a loss of the user's own is.
OTHERS: dict[str, Callable] = {
    f.__name__: f
    for f in (
        mean_absolute_error, mean_absolute_percentage_error, mean_squared_logarithmic_error, hinge, squared_hinge,
        categorical_hinge, logcosh, kullback_leibler_divergence, poisson,
    )
}  # fmt: skip
BY_NAME: dict[str, Callable] = {
    **LOSSES, **OTHERS,
    **dict.fromkeys(("mse", "MSE"), mean_squared_error), **dict.fromkeys(("mae", "MAE"), mean_absolute_error),
    **dict.fromkeys(("mape", "MAPE"), mean_absolute_percentage_error),
    **dict.fromkeys(("msle", "MSLE"), mean_squared_logarithmic_error),
    **dict.fromkeys(("kld", "KLD"), kullback_leibler_divergence),
}  # fmt: skip


def get(identifier: str | Callable) -> Callable:
    """The loss called `identifier`, or the function itself, which may be one of your own.

    Raises ValueError for what is none, TypeError for one of Keras's that is not here.
    """
    if isinstance(identifier, refusals.NotHere):
        identifier()
    named = {**BY_NAME, **all_custom_objects()}
    function = named.get(identifier) if isinstance(identifier, str) else identifier
    if callable(function):
        return function
    known = ", ".join((*LOSSES, *OTHERS))
    raise ValueError(f"no loss is called {identifier!r}; there are: {known}, and functions of your own")


def is_own(loss: Callable | None) -> bool:
    """Whether it is computed by its expression, as one of the user's, and by no operation of a device."""
    return loss is not None and loss not in LOSSES.values()


def name_of(function: Any) -> str:
    """The name of a function, or of the class of an object that is called like one."""
    return getattr(function, "__name__", None) or type(function).__name__


def __getattr__(name: str) -> Any:
    from tinycnn import loss_classes  # which looks the functions up here

    if name in loss_classes.__all__:
        return getattr(loss_classes, name)
    return refusals.attribute(sys.modules[__name__], name)
