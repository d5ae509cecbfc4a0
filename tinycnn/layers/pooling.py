"""Pooling as a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinycnn import functional as F
from tinycnn.layers.base import Layer
from tinycnn.shapes import Pair, Shape, ShapeError, check_padding, pair, window_output
from tinycnn.tensor import Tensor


class MaxPooling2D(Layer):
    """The maximum of every window.

    Args:
        pool_size: the window, an int or (rows, columns). strides: pool_size if None. padding: 'valid' or 'same'.

    Shapes:
        x (N,H,W,C) -> (N,P,Q,C).

    Raises:
        ValueError: for what is none of these. ShapeError: when it is connected, where the window does not fit.

    >>> from tinycnn.layers import Input
    >>> MaxPooling2D((2, 2))(Input((28, 28, 8))).shape
    (None, 14, 14, 8)
    """

    kind = "max_pooling2d"

    def __init__(
        self, pool_size: int | Pair = (2, 2), strides: int | Pair | None = None, padding: str = "valid",
        name: str | None = None, input_shape: Sequence[int] | None = None,
    ):  # fmt: skip
        super().__init__(name, input_shape)
        self.window = pair(pool_size, "pool_size")
        self.stride = self.window if strides is None else pair(strides, "strides")
        self.padding = check_padding(str(padding).lower())

    def shape_after(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise ShapeError(f"{self.name} needs images of shape (H, W, C), not {shape}")
        return (*window_output(shape, self.window, self.stride, self.padding, self.name), shape[-1])

    def call(self, x: Tensor, training: bool) -> Tensor:
        return F.maxpool2d(x, self.window, self.stride, self.padding)

    def options(self) -> dict[str, Any]:
        return {"pool_size": self.window, "strides": self.stride, "padding": self.padding}
