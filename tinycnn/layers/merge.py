"""Layers that take several inputs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from tinycnn import functional as F
from tinycnn import refusals
from tinycnn.layers.base import Layer
from tinycnn.shapes import Shape, ShapeError
from tinycnn.tensor import Tensor


class Add(Layer):
    """The sum of several inputs of one shape.

    Shapes:
        a list of x_i of one shape -> the same.

    Raises:
        ShapeError: when it is connected, where there are fewer than two, or shapes differ.

    >>> from tinycnn.layers import Input
    >>> Add()([Input((8, 8, 3)), Input((8, 8, 3))]).shape
    (None, 8, 8, 3)
    """

    kind = "add"

    def __init__(self, name: str | None = None):
        super().__init__(name)

    def shape_after(self, shapes: list[Shape]) -> Shape:
        at_least_two(shapes, self.name)
        if len(set(shapes)) != 1:
            raise ShapeError(f"{self.name}: the shapes of all inputs must be equal; got {shapes}")
        return shapes[0]

    def call(self, inputs: list[Tensor], training: bool) -> Tensor:
        return F.add(inputs)


class Concatenate(Layer):
    """Join several inputs along the channels.

    Shapes:
        a list of x_i (..., C_i) -> (..., sum of C_i).

    Raises:
        ShapeError: when it is connected, where another axis differs.

    >>> from tinycnn.layers import Input
    >>> Concatenate()([Input((8, 8, 3)), Input((8, 8, 5))]).shape
    (None, 8, 8, 8)
    """

    kind = "concatenate"

    def __init__(self, axis: int = -1, name: str | None = None):
        super().__init__(name)
        if axis not in (-1, 3):
            raise ValueError(f"{self.name}: images are NHWC, so channels are joined along axis -1, not {axis!r}")

    def shape_after(self, shapes: list[Shape]) -> Shape:
        at_least_two(shapes, self.name)
        if len({s[:-1] for s in shapes}) != 1:
            raise ShapeError(f"{self.name}: all axes but the last must agree; got {shapes}")
        return (*shapes[0][:-1], sum(s[-1] for s in shapes))

    def call(self, inputs: list[Tensor], training: bool) -> Tensor:
        return F.concatenate(inputs)


def at_least_two(shapes: Any, name: str) -> None:
    """Raises ShapeError for less than a list of two shapes, the inputs of the layer `name`."""
    if not isinstance(shapes, list) or len(shapes) < 2:
        raise ShapeError(f"{name} takes a list of at least two inputs")


def add(inputs: Sequence[Any], **options: Any) -> Any:
    """Add(**options)(inputs): Keras's short form."""
    return Add(**options)(list(inputs))


def concatenate(inputs: Sequence[Any], axis: int = -1, **options: Any) -> Any:
    """Concatenate(axis, **options)(inputs): Keras's short form."""
    return Concatenate(axis, **options)(list(inputs))


def __getattr__(name: str) -> Any:
    return refusals.attribute(sys.modules[__name__], name)
