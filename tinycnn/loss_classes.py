"""Keras 2.3's classes of losses, each of which gives the function that it is: losses.SparseCategoricalCrossentropy().

>>> from tinycnn import losses
>>> MeanSquaredError() is losses.mean_squared_error
True
>>> SparseCategoricalCrossentropy(from_logits=True).__name__
'sparse_categorical_crossentropy_from_logits'
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinycnn import losses, refusals

__all__ = [
    "BinaryCrossentropy", "CategoricalCrossentropy", "CategoricalHinge", "Hinge", "KLDivergence", "LogCosh",
    "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredError", "MeanSquaredLogarithmicError", "Poisson",
    "SparseCategoricalCrossentropy", "SquaredHinge",
]  # fmt: skip


def class_of(name: str, function: Callable) -> Callable[..., Callable]:
    """The class of that name, of a loss that takes outputs as they are."""

    def make(*, name: str | None = None) -> Callable:
        return function

    return named(make, name, f"The loss `{function.__name__}`. name: what to call it; nothing depends on it.")


def class_of_logits(name: str, function: Callable, of_logits: Callable) -> Callable[..., Callable]:
    """The class of that name, of a loss that takes probabilities, or what they are the softmax of."""

    def make(from_logits: bool = False, *, name: str | None = None) -> Callable:
        return of_logits if from_logits else function

    text = f"The loss `{function.__name__}`. from_logits: whether the network ends without its softmax."
    return named(make, name, text)


def named(make: Any, name: str, text: str) -> Any:
    make.__name__ = make.__qualname__ = name
    make.__doc__ = text
    return refusals.by_name(make)


BinaryCrossentropy = class_of("BinaryCrossentropy", losses.binary_crossentropy)
CategoricalCrossentropy = class_of_logits(
    "CategoricalCrossentropy", losses.categorical_crossentropy, losses.categorical_crossentropy_from_logits
)
SparseCategoricalCrossentropy = class_of_logits(
    "SparseCategoricalCrossentropy",
    losses.sparse_categorical_crossentropy,
    losses.sparse_categorical_crossentropy_from_logits,
)
MeanSquaredError = class_of("MeanSquaredError", losses.mean_squared_error)
MeanAbsoluteError = class_of("MeanAbsoluteError", losses.mean_absolute_error)
MeanAbsolutePercentageError = class_of("MeanAbsolutePercentageError", losses.mean_absolute_percentage_error)
MeanSquaredLogarithmicError = class_of("MeanSquaredLogarithmicError", losses.mean_squared_logarithmic_error)
Hinge = class_of("Hinge", losses.hinge)
SquaredHinge = class_of("SquaredHinge", losses.squared_hinge)
CategoricalHinge = class_of("CategoricalHinge", losses.categorical_hinge)
LogCosh = class_of("LogCosh", losses.logcosh)
KLDivergence = class_of("KLDivergence", losses.kullback_leibler_divergence)
Poisson = class_of("Poisson", losses.poisson)
