"""The layers that networks of every kind have."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

from tinycnn import functional as F
from tinycnn import initializers, philox, regularizers
from tinycnn.devices.base import Array, Mask
from tinycnn.layers.base import Layer, affine_formula, check_activation, positive
from tinycnn.shapes import Shape
from tinycnn.tensor import Tensor


class Dense(Layer):
    """x @ kernel + bias, then the activation.

    Args:
        units: the number of outputs.
        activation: None, 'relu' (fused into the kernel), or another of functional.ACTIVATIONS.
        use_bias: whether a number is added to each output.
        kernel_initializer: the name of one of tinycnn.initializers.
        kernel_regularizer, bias_regularizer: of tinycnn.regularizers, or None.

    Shapes:
        x (N, inputs), kernel (inputs, units), bias (units,) -> (N, units). Inputs of more axes are multiplied along
        the last: (..., inputs) -> (..., units).

    Raises:
        ValueError: for what is none of these.

    >>> from tinycnn.layers import Input
    >>> Dense(10, activation="softmax")(Input((784,))).shape
    (10,)
    """

    kind = "dense"

    def __init__(
        self, units: int, activation: str | None = None, use_bias: bool = True,
        kernel_initializer: str = "glorot_uniform", name: str | None = None, input_shape: Sequence[int] | None = None,
        kernel_regularizer: Any = None, bias_regularizer: Any = None,
    ):  # fmt: skip
        super().__init__(name, input_shape)
        self.regularizers = regularizers.chosen(kernel=kernel_regularizer, bias=bias_regularizer)
        self.units = positive(units, "units")
        self.activation = check_activation(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)

    def build(self, shape: Shape) -> None:
        self.kernel = self.add_weight("kernel", (shape[-1], self.units), self.kernel_initializer)
        self.bias = self.add_weight("bias", (self.units,), "zeros") if self.use_bias else None

    def output_shape(self, shape: Shape) -> Shape:
        return (*shape[:-1], self.units)

    def call(self, x: Tensor, training: bool) -> Tensor:
        return F.dense(x, self.kernel, self.bias, self.activation)

    def logits(self, x: Tensor) -> Tensor:
        return F.dense(x, self.kernel, self.bias)

    def options(self) -> dict[str, Any]:
        return {
            "units": self.units,
            "activation": self.activation,
            "use_bias": self.use_bias,
            "kernel_initializer": self.kernel_initializer,
            **regularizers.as_options(self.regularizers),
        }

    def formula(self) -> str:
        return affine_formula(self.kernel, self.bias)


class Dropout(Layer):
    """Zero a share `rate` of the inputs while training, and divide the rest by 1 - rate (Srivastava et al., 2014).

    Args:
        rate: in [0, 1).

    Shapes:
        x of any shape -> the same.

    Raises:
        ValueError: for another rate. RuntimeError: when it drops outside of a model, whose steps it draws by.

    >>> Dropout(0.5)(Tensor([1.0, 2.0])).numpy()  # nothing is dropped but while training
    array([1., 2.], dtype=float32)
    """

    kind = "dropout"

    def __init__(self, rate: float, name: str | None = None, input_shape: Sequence[int] | None = None):
        super().__init__(name, input_shape)
        if not isinstance(rate, numbers.Real) or not 0 <= rate < 1:
            raise ValueError(f"{self.name}: the dropout rate must be in [0, 1), not {rate!r}")
        self.rate: float = float(rate)
        self.step: Array | None = None  # the model's counter of training passes, once the layer is in a model

    def call(self, x: Tensor, training: bool) -> Tensor:
        return self.call_at(0, x, training)

    def call_at(self, use: int, x: Tensor, training: bool) -> Tensor:
        return F.dropout(x, *self.mask_at(use)) if training else x

    def mask_at(self, use: int) -> Mask:
        """What decides which elements are dropped at this layer's place number `use` of a network."""
        if self.step is None:
            raise RuntimeError(f"{self.name} drops by the step of a model's training; put it into a model")
        stream = philox.stream_id(philox.DROPOUT, (self.stream or 0) + use * MOST_STREAMS)
        return Mask(self.rate, self.seed, stream, self.step)

    def options(self) -> dict[str, Any]:
        return {"rate": self.rate}


MOST_STREAMS = 2**20  # of layers: a layer's second use draws by the stream so many behind its first


class Flatten(Layer):
    """Everything but the batch as one axis, row-major.

    Shapes:
        x (N, H, W, C) -> (N, H*W*C).

    >>> from tinycnn.layers import Input
    >>> Flatten()(Input((4, 4, 8))).shape
    (128,)
    """

    kind = "flatten"

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)

    def call(self, x: Tensor, training: bool) -> Tensor:
        return F.flatten(x)


class Activation(Layer):
    """An activation as a layer of its own.

    Args:
        activation: 'linear' or one of functional.ACTIVATIONS: 'relu', 'softmax' (over the last axis), 'tanh', ...

    Shapes:
        x of any shape -> the same.

    >>> Activation("relu")(Tensor([-1.0, 2.0])).numpy()
    array([0., 2.], dtype=float32)
    """

    kind = "activation"

    def __init__(self, activation: str, name: str | None = None, input_shape: Sequence[int] | None = None):
        super().__init__(name, input_shape)
        self.activation = check_activation(activation)

    def call(self, x: Tensor, training: bool) -> Tensor:
        return x if self.activation is None else F.ACTIVATIONS[self.activation](x)

    def logits(self, x: Tensor) -> Tensor:
        return x

    def options(self) -> dict[str, Any]:
        return {"activation": self.activation or "linear"}
