"""Convolution, and padding of one's own, as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinycnn import functional as F
from tinycnn import initializers, regularizers
from tinycnn.layers.base import Layer, affine_formula, check_activation, positive
from tinycnn.shapes import Padding, Pair, Shape, ShapeError, check_padding, pair, window_output
from tinycnn.tensor import Tensor


class Conv2D(Layer):
    """2-D convolution.

    Args:
        filters: their number K.
        kernel_size, strides: an int or (rows, columns). The old form Conv2D(16, 3, 3), where the third argument is the
            kernel's second extent, is understood as Keras 2 did; strides=2 means strides.
        padding: 'valid' or 'same'.
        activation: None, 'relu' (fused into the kernel), or another of functional.ACTIVATIONS.
        use_bias: whether a number is added to each filter's outputs.
        kernel_initializer: the name of one of tinycnn.initializers.
        kernel_regularizer, bias_regularizer: of tinycnn.regularizers, or None.

    Shapes:
        x (N,H,W,C) -> (N,P,Q,K).

    Raises:
        ValueError: for what is none of these. ShapeError: when it is connected, where the window does not fit.

    >>> from tinycnn.layers import Input
    >>> Conv2D(8, (3, 3), activation="relu")(Input((28, 28, 1))).shape
    (26, 26, 8)
    """

    kind = "conv2d"

    def __init__(
        self, filters: int, kernel_size: int | Pair, third: int | Pair | None = None, padding: str = "valid",
        activation: str | None = None, use_bias: bool = True, kernel_initializer: str = "glorot_uniform",
        name: str | None = None, input_shape: Sequence[int] | None = None, strides: int | Pair | None = None,
        kernel_regularizer: Any = None, bias_regularizer: Any = None,
    ):  # fmt: skip
        super().__init__(name, input_shape)
        self.regularizers = regularizers.chosen(kernel=kernel_regularizer, bias=bias_regularizer)
        if isinstance(kernel_size, int) and isinstance(third, int):
            kernel_size = (kernel_size, third)
        elif third is not None:
            if strides is not None:
                raise TypeError(f"{self.name} was given strides twice: {third!r} and {strides!r}")
            strides = third
        strides = (1, 1) if strides is None else strides
        self.filters = positive(filters, "filters")
        self.window = pair(kernel_size, "kernel_size")
        self.stride = pair(strides, "strides")
        self.padding = check_padding(padding)
        self.activation = check_activation(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)

    def build(self, shape: Shape) -> None:
        self.kernel = self.add_weight("kernel", (*self.window, shape[-1], self.filters), self.kernel_initializer)
        self.bias = self.add_weight("bias", (self.filters,), "zeros") if self.use_bias else None

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise ShapeError(f"{self.name} needs images of shape (H, W, C), not {shape}")
        return (*window_output(shape, self.window, self.stride, self.padding, self.name), self.filters)

    def call(self, x: Tensor, training: bool) -> Tensor:
        return F.conv2d(x, self.kernel, self.bias, self.stride, self.padding, self.activation)

    def options(self) -> dict[str, Any]:
        return {
            "filters": self.filters,
            "kernel_size": self.window,
            "strides": self.stride,
            "padding": self.padding,
            "activation": self.activation,
            "use_bias": self.use_bias,
            "kernel_initializer": self.kernel_initializer,
            **regularizers.as_options(self.regularizers),
        }

    def formula(self) -> str:
        return affine_formula(self.kernel, self.bias)


class ZeroPadding2D(Layer):
    """Rows and columns of zeros around images.

    Args:
        padding: how many on every side; (rows, columns), so many at both ends; or ((top, bottom), (left, right)).

    Shapes:
        x (N,H,W,C) -> (N, top + H + bottom, left + W + right, C).

    Raises:
        ValueError: for another padding. ShapeError: when it is connected to what are no images.

    >>> from tinycnn.layers import Input
    >>> ZeroPadding2D(((1, 0), (2, 2)))(Input((28, 28, 1))).shape
    (29, 32, 1)
    """

    kind = "zero_padding2d"

    def __init__(
        self, padding: int | Pair | Padding = (1, 1), name: str | None = None,
        input_shape: Sequence[int] | None = None,
    ):  # fmt: skip
        super().__init__(name, input_shape)
        self.padding = on_all_sides(padding, self.name)

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise ShapeError(f"{self.name} needs images of shape (H, W, C), not {shape}")
        (top, bottom), (left, right) = self.padding
        return top + shape[0] + bottom, left + shape[1] + right, shape[2]

    def call(self, x: Tensor, training: bool) -> Tensor:
        return F.zeropad2d(x, self.padding)

    def options(self) -> dict[str, Any]:
        return {"padding": self.padding}


def on_all_sides(padding: Any, name: str) -> Padding:
    """((top, bottom), (left, right)) of a layer's padding in one of its three forms. Raises ValueError."""
    rows, columns = padding if isinstance(padding, (tuple, list)) and len(padding) == 2 else (padding, padding)
    sides = [side if isinstance(side, (tuple, list)) else (side, side) for side in (rows, columns)]
    numbers = [n for side in sides for n in side]
    if len(numbers) != 4 or not all(isinstance(n, (int, np.integer)) and n >= 0 for n in numbers):
        raise ValueError(
            f"{name}: padding is a whole number, two of them or ((top, bottom), (left, right)), none of them negative, "
            f"not {padding!r}"
        )
    (top, bottom), (left, right) = sides
    return (int(top), int(bottom)), (int(left), int(right))
