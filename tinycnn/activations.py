"""`keras.activations`: the functions that a layer's `activation` may be, beside their names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from tinycnn import functional as F
from tinycnn import refusals
from tinycnn.shapes import ShapeError
from tinycnn.tensor import Tensor

__all__ = ["elu", "linear", "relu", "sigmoid", "softmax", "softplus", "tanh"]

relu, softmax = refusals.by_name(F.relu), refusals.by_name(F.softmax)
elu, sigmoid, softplus, tanh = F.elu, F.sigmoid, F.softplus, F.tanh


def linear(x: Tensor) -> Tensor:
    """x as it is."""
    return x


class Own:
    """An activation of the user's.

    Args:
        function: of a Tensor, with the operators, tinycnn.functional and the backend's functions, to one of its shape.
        name: by which files have it.

    >>> Own(lambda x: x * 2.0, "double")(Tensor([1.0])).numpy()
    array([2.], dtype=float32)
    """

    def __init__(self, function: Callable[[Tensor], Tensor], name: str):
        self.function, self.name = function, name

    def __call__(self, x: Tensor) -> Tensor:
        """The activation of x. Raises ShapeError where the function gives anything but a Tensor of x's shape."""
        y = self.function(x)
        if not isinstance(y, Tensor) or y.shape != x.shape:
            given = f"one of shape {y.shape}" if isinstance(y, Tensor) else repr(y)
            raise ShapeError(f"the activation {self.name} must give a Tensor of shape {x.shape}, not {given}")
        return y

    def __repr__(self) -> str:
        return self.name


def own_of(layers: Iterable[Any]) -> dict[str, Callable[[Tensor], Tensor]]:
    """{name: function} of the user's activations that layers have.

    Raises ValueError where two have one name, by which a file could not tell them apart.
    """
    found: dict[str, Callable[[Tensor], Tensor]] = {}
    for layer in layers:
        own = getattr(layer, "activation", None)
        if isinstance(own, Own) and found.setdefault(own.name, own.function) is not own.function:
            raise ValueError(
                f"two activations are called {own.name!r}, and a file could not tell which is {layer.name}'s: give one "
                "another name"
            )
    return found


def __getattr__(name: str) -> Any:
    return refusals.attribute(sys.modules[__name__], name)
