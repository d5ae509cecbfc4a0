"""Layers that take several inputs."""

from __future__ import annotations

from tinycnn import functional as F
from tinycnn.layers.base import Layer
from tinycnn.shapes import Shape, ShapeError
from tinycnn.tensor import Tensor


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
        if not isinstance(shapes, list) or len(shapes) < 2:
            raise ShapeError(f"{self.name} takes a list of at least two inputs")
        if len({s[:-1] for s in shapes}) != 1:
            raise ShapeError(f"{self.name}: all axes but the last must agree; got {shapes}")
        return (*shapes[0][:-1], sum(s[-1] for s in shapes))

    def call(self, inputs: list[Tensor], training: bool) -> Tensor:
        return F.concatenate(inputs)
