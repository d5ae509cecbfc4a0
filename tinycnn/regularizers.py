"""Penalties on the size of weights, with Keras's names: part of the loss, and of the weights' gradients; and on the
outputs of layers, for which fit/own_losses.py sees."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tinycnn import functional as F
from tinycnn import refusals
from tinycnn.careful import checked
from tinycnn.tensor import Tensor

if TYPE_CHECKING:
    from tinycnn.models import Model


class L1L2:
    """l1 * sum |w| + l2 * sum w^2.

    Args:
        l1, l2: finite numbers of at least 0.

    Raises:
        ValueError: for others.

    >>> L1L2(l2=0.5)(Tensor([1.0, -2.0])).item()
    2.5
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0):
        self.l1 = checked(l1, "l1 of a regularizer", "[0, inf)")
        self.l2 = checked(l2, "l2 of a regularizer", "[0, inf)")

    def __call__(self, w: Tensor) -> Tensor:
        """The penalty of w, as a Tensor (1,)."""
        return F.regularize(w, self.l1, self.l2)

    def get_config(self) -> dict[str, float]:
        return {"l1": self.l1, "l2": self.l2}

    def __repr__(self) -> str:
        return f"L1L2(l1={self.l1}, l2={self.l2})"


def l1(l: float = 0.01) -> L1L2:  # noqa: E741  (Keras 2's name)
    """The penalty l * sum |w|."""
    return L1L2(l1=l)


def l2(l: float = 0.01) -> L1L2:  # noqa: E741
    """The penalty l * sum w^2."""
    return L1L2(l2=l)


activity_l1, activity_l2 = l1, l2  # Keras 1's names for an activity_regularizer


def l1_l2(l1: float = 0.01, l2: float = 0.01) -> L1L2:
    """Both at once."""
    return L1L2(l1, l2)


activity_l1l2 = l1l2 = l1_l2

BY_NAME: dict[str, Callable[[], L1L2]] = {"l1": l1, "l2": l2, "l1_l2": l1_l2}


def get(identifier: str | L1L2 | Mapping[str, Any] | None) -> L1L2 | None:
    """A regularizer from its name, its configuration {"l1": ..., "l2": ...}, or as it is; None is none.

    Raises:
        ValueError: for anything else.

    >>> get("l2"), get({"l1": 0.5, "l2": 0.0})
    (L1L2(l1=0.0, l2=0.01), L1L2(l1=0.5, l2=0.0))
    """
    if identifier is None or isinstance(identifier, L1L2):
        return identifier
    if isinstance(identifier, Mapping) and set(identifier) <= {"l1", "l2"}:
        return L1L2(**identifier)
    if isinstance(identifier, str) and identifier in BY_NAME:
        return BY_NAME[identifier]()
    raise ValueError(f"no regularizer is called {identifier!r}; there are: {', '.join(BY_NAME)}")


def chosen(**regularizers: Any) -> dict[str, L1L2]:
    """{name of a weight: its regularizer} of those that are given: chosen(kernel=l2(0.1), bias=None)."""
    found = {name: get(regularizer) for name, regularizer in regularizers.items()}
    return {name: regularizer for name, regularizer in found.items() if regularizer is not None}


def as_options(regularizers: Mapping[str, L1L2]) -> dict[str, dict[str, float]]:
    """The arguments of a layer's constructor that choose these, as plain data."""
    return {f"{name}_regularizer": regularizer.get_config() for name, regularizer in regularizers.items()}


def penalties(model: Model) -> list[tuple[Tensor, L1L2]]:
    """(weight, its regularizer) for all weights of a network that have one."""
    return [
        (layer.parameters[name], regularizer)
        for layer in dict.fromkeys(symbol.layer for symbol in model.symbols)
        for name, regularizer in layer.regularizers.items()
        if name in layer.parameters
    ]


def __getattr__(name: str) -> Any:
    return refusals.attribute(sys.modules[__name__], name)
