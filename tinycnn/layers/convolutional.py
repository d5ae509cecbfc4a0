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
        kernel_size, strides: an int or (rows, columns). The old form Conv2D(16, 3, 3), where the third argument is the
            kernel's second extent, is understood as Keras 2 did; strides=2 means strides.
        padding: 'valid' or 'same'.
        activation: None or 'relu', fused into the kernel.
        use_bias: whether a number is added to each filter's outputs.
        kernel_initializer: the name of one of tinycnn.initializers.

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
    ):  # fmt: skip
        super().__init__(name, input_shape)
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
        if self.activation == "softmax":
            raise ValueError(f"{self.name}: softmax needs flat inputs: use Flatten() and then Activation('softmax')")
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
        }

    def formula(self) -> str:
        return affine_formula(self.kernel, self.bias)
