"""The layers that networks of every kind have."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinycnn import functional as F
from tinycnn import initializers, philox, refusals, regularizers, session
from tinycnn.careful import checked
from tinycnn.devices.base import Array, Mask
from tinycnn.expressions import tried
from tinycnn.functional.activations import activated
from tinycnn.layers.base import Layer, affine_formula, check_activation, name_of, positive, with_batch
from tinycnn.shapes import Shape, ShapeError
from tinycnn.tensor import Tensor


class Dense(Layer):
    """x @ kernel + bias, then the activation.

    Args:
        units: the number of outputs.
        activation: None, 'relu' (fused into the kernel), another of functional.ACTIVATIONS, or a function of a Tensor.
        use_bias: whether a number is added to each output.
        kernel_initializer, bias_initializer: one of tinycnn.initializers, or its name.
        kernel_regularizer, bias_regularizer: of tinycnn.regularizers, or None. activity_regularizer: the same of the
            outputs, summed over the whole batch, as in Keras 2.3.1.

    Shapes:
        x (N, inputs), kernel (inputs, units), bias (units,) -> (N, units). Inputs of more axes are multiplied along
        the last: (..., inputs) -> (..., units).

    Raises:
        ValueError: for what is none of these.

    >>> from tinycnn.layers import Input
    >>> Dense(10, activation="softmax")(Input((784,))).shape
    (None, 10)
    """

    kind = "dense"

    def __init__(
        self, units: int, activation: Any = None, use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros", name: str | None = None,
        input_shape: Sequence[int] | None = None, kernel_regularizer: Any = None, bias_regularizer: Any = None,
        activity_regularizer: Any = None,
    ):  # fmt: skip
        super().__init__(name, input_shape)
        self.regularizers = regularizers.chosen(
            kernel=kernel_regularizer, bias=bias_regularizer, activity=activity_regularizer
        )
        self.units = positive(units, "units")
        self.activation = check_activation(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)

    def make_weights(self, shape: Shape) -> None:
        self.kernel = self.add_weight("kernel", (shape[-1], self.units), self.kernel_initializer)
        self.bias = self.add_weight("bias", (self.units,), self.bias_initializer) if self.use_bias else None

    def shape_after(self, shape: Shape) -> Shape:
        return (*shape[:-1], self.units)

    def call(self, x: Tensor, training: bool) -> Tensor:
        return F.dense(x, self.kernel, self.bias, self.activation)

    def logits(self, x: Tensor) -> Tensor:
        return F.dense(x, self.kernel, self.bias)

    def options(self) -> dict[str, Any]:
        return {
            "units": self.units,
            "activation": name_of(self.activation),
            "use_bias": self.use_bias,
            **initializers.as_options(self.kernel_initializer, self.bias_initializer),
            **regularizers.as_options(self.regularizers),
        }

    def formula(self) -> str:
        return affine_formula(self.kernel, self.bias)


class Dropout(Layer):
    """Zero a share `rate` of the inputs while training, and divide the rest by 1 - rate (Srivastava et al., 2014).

    Args:
        rate: in [0, 1). seed: of its masks, in [0, 2**64); that of the session if None.

    Shapes:
        x of any shape -> the same.

    Raises:
        ValueError: for another rate. RuntimeError: when it drops outside of a model, whose steps it draws by.

    >>> Dropout(0.5)(Tensor([1.0, 2.0])).numpy()  # nothing is dropped but while training
    array([1., 2.], dtype=float32)
    """

    kind = "dropout"

    def __init__(
        self, rate: float, seed: int | None = None, name: str | None = None, input_shape: Sequence[int] | None = None
    ):
        super().__init__(name, input_shape)
        self.seed = self.seed if seed is None else session.check_seed(seed)
        self.rate = checked(rate, f"{self.name}: the dropout rate", "[0, 1)")
        self.step: Array | None = None  # the model's counter of training passes, once the layer is in a model

    def call(self, x: Tensor, training: bool) -> Tensor:
        return self.call_at(0, x, training)

    def call_at(self, use: int, x: Tensor, training: bool) -> Tensor:
        return F.dropout(x, *self.mask_at(use)) if training else x

    def mask_at(self, use: int) -> Mask:
        """What decides which elements are dropped at this layer's place number `use` of a network."""
        if self.step is None:
            raise RuntimeError(f"{self.name} drops by the step of a model's training; put it into a model")
        stream = philox.stream_id(philox.DROPOUT, self.stream or 0, use)
        return Mask(self.rate, self.seed, stream, self.step)

    def options(self) -> dict[str, Any]:
        return {"rate": self.rate}


class Flatten(Layer):
    """Everything but the batch as one axis, row-major.

    Shapes:
        x (N, H, W, C) -> (N, H*W*C).

    >>> from tinycnn.layers import Input
    >>> Flatten()(Input((4, 4, 8))).shape
    (None, 128)
    """

    kind = "flatten"

    def shape_after(self, shape: Shape) -> Shape:
        return (math.prod(shape),)

    def call(self, x: Tensor, training: bool) -> Tensor:
        return F.flatten(x)


class Activation(Layer):
    """An activation as a layer of its own.

    Args:
        activation: 'linear' or one of functional.ACTIVATIONS: 'relu', 'softmax' (over the last axis), 'tanh', ...; or a
            function of a Tensor.

    Shapes:
        x of any shape -> the same.

    >>> Activation("relu")(Tensor([-1.0, 2.0])).numpy()
    array([0., 2.], dtype=float32)
    """

    kind = "activation"
    elementwise = True

    def __init__(self, activation: Any, name: str | None = None, input_shape: Sequence[int] | None = None):
        super().__init__(name, input_shape)
        self.activation = check_activation(activation)

    def call(self, x: Tensor, training: bool) -> Tensor:
        return activated(self.activation, x)

    def logits(self, x: Tensor) -> Tensor:
        return x

    def options(self) -> dict[str, Any]:
        return {"activation": name_of(self.activation) or "linear"}


class Reshape(Layer):
    """The same numbers in another shape, row-major.

    Args:
        target_shape: without the batch; one extent may be -1.

    Raises:
        ShapeError: when it is connected, where that many numbers do not make such a shape.

    >>> from tinycnn.layers import Input
    >>> Reshape((28, 28, 1))(Input((784,))).shape
    (None, 28, 28, 1)
    """

    kind = "reshape"

    def __init__(self, target_shape: Sequence[int], name: str | None = None, input_shape: Sequence[int] | None = None):
        super().__init__(name, input_shape)
        self.target_shape = tuple(int(n) for n in target_shape)
        if any(n < -1 or n == 0 for n in self.target_shape) or self.target_shape.count(-1) > 1:
            raise ValueError(f"{self.name}: a shape has extents of at least 1, of which one may be -1: {target_shape}")

    def shape_after(self, shape: Shape) -> Shape:
        count, rest = math.prod(shape), math.prod(n for n in self.target_shape if n > 0)
        found = tuple(count // rest if n == -1 else n for n in self.target_shape)
        if math.prod(found) != count:
            raise ShapeError(f"{self.name}: {shape} has {count} numbers, which do not make {self.target_shape}")
        return found

    def call(self, x: Tensor, training: bool) -> Tensor:
        return x.reshape(x.shape[0], *self.shape_after(x.shape[1:]))

    def options(self) -> dict[str, Any]:
        return {"target_shape": self.target_shape}


class Lambda(Layer):
    """A function of Tensors as a layer: of tinycnn.functional's, the backend's, or with the operators of Tensor.

    It cannot be saved: a class of your own, derived from Layer, can.

    Args:
        function: of a Tensor, or of a list of them where there are several inputs. arguments: its further arguments.
        output_shape: without the batch; found by trying the function if None.

    >>> from tinycnn.layers import Input
    >>> Lambda(lambda x: x * 2.0)(Input((4,))).shape
    (None, 4)
    """

    kind = "lambda"

    def __init__(
        self, function: Callable, output_shape: Any = None, arguments: dict[str, Any] | None = None,
        name: str | None = None, input_shape: Sequence[int] | None = None,
    ):  # fmt: skip
        super().__init__(name, input_shape)
        self.function, self.arguments, self.wanted_shape = function, arguments or {}, output_shape

    def shape_after(self, shape: Any) -> Shape:
        if self.wanted_shape is not None and not callable(self.wanted_shape):
            return tuple(self.wanted_shape)
        if self.wanted_shape is not None:
            return tuple(self.wanted_shape(with_batch(shape))[1:])
        shapes = shape if isinstance(shape, list) else [shape]

        def output() -> Tensor:
            ones = [Tensor(np.ones((1, *s))) for s in shapes]
            return self.call(ones if isinstance(shape, list) else ones[0], False)

        return tried(output).shape[1:]

    def call(self, x: Any, training: bool) -> Tensor:
        return self.function(x, **self.arguments)

    def options(self) -> dict[str, Any]:
        raise ValueError(f"{self.name} is a function, which is not written to a file: make a class of it, from Layer")


def __getattr__(name: str) -> Any:
    return refusals.attribute(sys.modules[__name__], name)
