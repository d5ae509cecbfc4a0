"""Convolution, and padding of one's own, as layers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinycnn import functional as F
from tinycnn import initializers, refusals, regularizers
from tinycnn.layers.base import Layer, affine_formula, check_activation, name_of, positive
from tinycnn.shapes import Padding, Pair, Shape, check_images, check_padding, pair, transposed_output, window_output
from tinycnn.tensor import Tensor


class Convolutional2D(Layer):
    """What convolution and its transpose have in common; a subclass says what it makes of images by its filters."""

    def __init__(
        self, filters: int, kernel_size: int | Pair, strides: int | Pair = (1, 1), padding: str = "valid",
        activation: Any = None, use_bias: bool = True, kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros", name: str | None = None, input_shape: Sequence[int] | None = None,
        kernel_regularizer: Any = None, bias_regularizer: Any = None,
        activity_regularizer: Any = None,
    ):  # fmt: skip
        super().__init__(name, input_shape)
        self.regularizers = regularizers.chosen(
            kernel=kernel_regularizer, bias=bias_regularizer, activity=activity_regularizer
        )
        self.filters = positive(filters, "filters")
        self.kernel_size = self.window = pair(kernel_size, "kernel_size")
        self.strides = pair(strides, "strides")
        self.padding = check_padding(str(padding).lower())
        self.activation = check_activation(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)

    def kernel_shape(self, channels: int) -> Shape:
        """Of the filters, for images of so many channels."""
        raise NotImplementedError

    def make_weights(self, shape: Shape) -> None:
        self.kernel = self.add_weight("kernel", self.kernel_shape(shape[-1]), self.kernel_initializer)
        self.bias = self.add_weight("bias", (self.filters,), self.bias_initializer) if self.use_bias else None

    def options(self) -> dict[str, Any]:
        return {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "activation": name_of(self.activation),
            "use_bias": self.use_bias,
            **initializers.as_options(self.kernel_initializer, self.bias_initializer),
            **regularizers.as_options(self.regularizers),
        }

    def formula(self) -> str:
        return affine_formula(self.kernel, self.bias)


class Conv2D(Convolutional2D):
    """2-D convolution.

    Args:
        filters: their number K.
        kernel_size, strides: an int or (rows, columns).
        padding: 'valid' or 'same'.
        activation: None, 'relu' (fused into the kernel), another of functional.ACTIVATIONS, or a function of a Tensor.
        use_bias: whether a number is added to each filter's outputs.
        kernel_initializer, bias_initializer: one of tinycnn.initializers, or its name.
        kernel_regularizer, bias_regularizer: of tinycnn.regularizers, or None. activity_regularizer: the same of the
            outputs, summed over the whole batch, as in Keras 2.3.1.

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

    @property
    def stride(self) -> Pair:  # type: ignore[override]
        return self.strides

    def kernel_shape(self, channels: int) -> Shape:
        return (*self.kernel_size, channels, self.filters)

    def shape_after(self, shape: Shape) -> Shape:
        check_images(shape, self.name)
        return (*window_output(shape, self.kernel_size, self.strides, self.padding, self.name), self.filters)

    def call(self, x: Tensor, training: bool) -> Tensor:
        return F.conv2d(x, self.kernel, self.bias, self.strides, self.padding, self.activation)

    def logits(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel, self.bias, self.strides, self.padding)


class Convolution2D(Conv2D):
    """Keras 1's name of Conv2D, under which Convolution2D(16, 3, 3) has always meant a kernel of 3x3."""

    @property
    def type(self) -> str:
        return "Conv2D"


class Conv2DTranspose(Convolutional2D):
    """Transposed convolution, which makes images larger: functional.conv2d_transpose.

    Args:
        filters: their number K.
        kernel_size, strides: an int or (rows, columns); images become `strides` times as large.
        padding: 'valid' or 'same'.
        activation: None, one of functional.ACTIVATIONS, or a function of a Tensor.
        use_bias: whether a number is added to each filter's outputs.
        kernel_initializer, bias_initializer: one of tinycnn.initializers, or its name.
        kernel_regularizer, bias_regularizer, activity_regularizer: as Conv2D has them.

    Shapes:
        x (N,H,W,C) -> (N,P,Q,K): P = H * strides with 'same', and with 'valid' kernel_size - strides more where that
        is positive. Its kernel is (R,S,K,C).

    Raises:
        ValueError: for what is none of these. ShapeError: when it is connected to what are no images.

    >>> from tinycnn.layers import Input
    >>> Conv2DTranspose(8, (3, 3), strides=2, padding="same")(Input((7, 7, 16))).shape
    (None, 14, 14, 8)
    """

    kind = "conv2d_transpose"

    @property
    def enlarges(self) -> Pair:  # type: ignore[override]
        return self.strides

    def kernel_shape(self, channels: int) -> Shape:
        return (*self.kernel_size, self.filters, channels)

    def shape_after(self, shape: Shape) -> Shape:
        check_images(shape, self.name)
        return (*transposed_output(shape, self.kernel_size, self.strides, self.padding), self.filters)

    def call(self, x: Tensor, training: bool) -> Tensor:
        return F.conv2d_transpose(x, self.kernel, self.bias, self.strides, self.padding, self.activation)

    def logits(self, x: Tensor) -> Tensor:
        return F.conv2d_transpose(x, self.kernel, self.bias, self.strides, self.padding)


class UpSampling2D(Layer):
    """Images made larger: every pixel so many times in both directions.

    Args:
        size: an int or (rows, columns).

    Shapes:
        x (N,H,W,C) -> (N, H*rows, W*columns, C).

    Raises:
        ValueError: for another size. ShapeError: when it is connected to what are no images.

    >>> from tinycnn.layers import Input
    >>> UpSampling2D((2, 2))(Input((7, 7, 16))).shape
    (None, 14, 14, 16)
    """

    kind = "up_sampling2d"

    def __init__(
        self, size: int | Pair = (2, 2), name: str | None = None, input_shape: Sequence[int] | None = None,
    ):  # fmt: skip
        super().__init__(name, input_shape)
        self.size = pair(size, "size")
        self.window = self.enlarges = self.size

    def shape_after(self, shape: Shape) -> Shape:
        height, width, channels = check_images(shape, self.name)
        return height * self.size[0], width * self.size[1], channels

    def call(self, x: Tensor, training: bool) -> Tensor:
        return F.upsample2d(x, self.size)

    def options(self) -> dict[str, Any]:
        return {"size": self.size}


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
    (None, 29, 32, 1)
    """

    kind = "zero_padding2d"

    def __init__(
        self, padding: int | Pair | Padding = (1, 1), name: str | None = None,
        input_shape: Sequence[int] | None = None,
    ):  # fmt: skip
        super().__init__(name, input_shape)
        self.padding = on_all_sides(padding, self.name)

    def shape_after(self, shape: Shape) -> Shape:
        height, width, channels = check_images(shape, self.name)
        (top, bottom), (left, right) = self.padding
        return top + height + bottom, left + width + right, channels

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


def __getattr__(name: str) -> Any:
    return refusals.attribute(sys.modules[__name__], name)
