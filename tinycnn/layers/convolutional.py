"""Convolution as a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinycnn import functional as F
from tinycnn import initializers
from tinycnn.layers.base import Layer, affine_formula, check_activation, positive
from tinycnn.shapes import Pair, Shape, ShapeError, check_padding, pair, window_output
from tinycnn.tensor import Tensor


class Conv2D(Layer):
    """2-D convolution.

    Args:
        filters: their number K.
        kernel_size, strides: an int or (rows, columns).
        padding: 'valid' or 'same'.
        activation: None or 'relu', fused into the kernel.
        use_bias: whether a number is added to each filter's outputs.
        kernel_initializer, bias_initializer: the name of one of tinycnn.initializers.

    Three whole numbers, Conv2D(16, 3, 3), are filters and the two extents of the kernel, as Keras 2 reads them. They
    give a warning, for tf.keras takes the third for the strides; Keras 1's Convolution2D(16, 3, 3) gives none.

    Shapes:
        x (N,H,W,C) -> (N,P,Q,K).

    Raises:
        ValueError: for what is none of these. ShapeError: when it is connected, where the window does not fit.

    >>> from tinycnn.layers import Input
    >>> Conv2D(8, (3, 3), activation="relu")(Input((28, 28, 1))).shape
    (None, 26, 26, 8)
    """

    kind = "conv2d"

    def __init__(
        self, filters: int, kernel_size: int | Pair, strides: int | Pair = (1, 1), padding: str = "valid",
        activation: str | None = None, use_bias: bool = True, kernel_initializer: str = "glorot_uniform",
        bias_initializer: str = "zeros", name: str | None = None, input_shape: Sequence[int] | None = None,
    ):  # fmt: skip
        super().__init__(name, input_shape)
        self.filters = positive(filters, "filters")
        self.window = pair(kernel_size, "kernel_size")
        self.stride = pair(strides, "strides")
        self.padding = check_padding(str(padding).lower())
        self.activation = check_activation(activation)
        if self.activation == "softmax":
            raise ValueError(f"{self.name}: softmax needs flat inputs: use Flatten() and then Activation('softmax')")
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)

    def make_weights(self, shape: Shape) -> None:
        self.kernel = self.add_weight("kernel", (*self.window, shape[-1], self.filters), self.kernel_initializer)
        self.bias = self.add_weight("bias", (self.filters,), self.bias_initializer) if self.use_bias else None

    def shape_after(self, shape: Shape) -> Shape:
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
            **({} if self.bias_initializer == "zeros" else {"bias_initializer": self.bias_initializer}),
        }

    def formula(self) -> str:
        return affine_formula(self.kernel, self.bias)


class Convolution2D(Conv2D):
    """Keras 1's name of Conv2D, under which Convolution2D(16, 3, 3) has always meant a kernel of 3x3."""

    @property
    def type(self) -> str:
        return "Conv2D"
