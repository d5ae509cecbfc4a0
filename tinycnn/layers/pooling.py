"""Pooling as a layer."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from tinycnn import functional as F
from tinycnn import refusals
from tinycnn.layers.base import Layer
from tinycnn.shapes import Pair, Shape, check_images, check_padding, pair, window_output
from tinycnn.tensor import Tensor


class Pooling2D(Layer):
    """What pooling by windows has in common; a subclass says in `call` what it makes of a window."""

    def __init__(
        self, pool_size: int | Pair = (2, 2), strides: int | Pair | None = None, padding: str = "valid",
        name: str | None = None, input_shape: Sequence[int] | None = None,
    ):  # fmt: skip
        super().__init__(name, input_shape)
        self.window = pair(pool_size, "pool_size")
        self.stride = self.window if strides is None else pair(strides, "strides")
        self.padding = check_padding(str(padding).lower())

    def shape_after(self, shape: Shape) -> Shape:
        check_images(shape, self.name)
        return (*window_output(shape, self.window, self.stride, self.padding, self.name), shape[-1])

    def options(self) -> dict[str, Any]:
        return {"pool_size": self.window, "strides": self.stride, "padding": self.padding}


class MaxPooling2D(Pooling2D):
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

    def call(self, x: Tensor, training: bool) -> Tensor:
        return F.maxpool2d(x, self.window, self.stride, self.padding)


class AveragePooling2D(Pooling2D):
    """The mean of every window; with padding='same', of its pixels in the image alone.

    Args:
        pool_size: the window, an int or (rows, columns). strides: pool_size if None. padding: 'valid' or 'same'.

    Shapes:
        x (N,H,W,C) -> (N,P,Q,C).

    Raises:
        ValueError: for what is none of these. ShapeError: when it is connected, where the window does not fit.

    >>> from tinycnn.layers import Input
    >>> AveragePooling2D((2, 2))(Input((28, 28, 8))).shape
    (None, 14, 14, 8)
    """

    kind = "average_pooling2d"

    def call(self, x: Tensor, training: bool) -> Tensor:
        return F.avgpool2d(x, self.window, self.stride, self.padding)


class GlobalPooling2D(Layer):
    """What pooling over whole images has in common."""

    def shape_after(self, shape: Shape) -> Shape:
        return check_images(shape, self.name)[-1:]


class GlobalAveragePooling2D(GlobalPooling2D):
    """The mean of each channel over all pixels.

    Shapes:
        x (N,H,W,C) -> (N,C).

    Raises:
        ShapeError: when it is connected to what are no images.

    >>> from tinycnn.layers import Input
    >>> GlobalAveragePooling2D()(Input((7, 7, 64))).shape
    (None, 64)
    """

    kind = "global_average_pooling2d"

    def call(self, x: Tensor, training: bool) -> Tensor:
        return F.globalavgpool2d(x)


class GlobalMaxPooling2D(GlobalPooling2D):
    """The maximum of each channel over all pixels.

    Shapes:
        x (N,H,W,C) -> (N,C).

    Raises:
        ShapeError: when it is connected to what are no images.

    >>> from tinycnn.layers import Input
    >>> GlobalMaxPooling2D()(Input((7, 7, 64))).shape
    (None, 64)
    """

    kind = "global_max_pooling2d"

    def call(self, x: Tensor, training: bool) -> Tensor:
        return F.globalmaxpool2d(x)


def __getattr__(name: str) -> Any:
    return refusals.attribute(sys.modules[__name__], name)
