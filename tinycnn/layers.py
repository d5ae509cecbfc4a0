"""The layers, with the face that Keras gives them.

A layer has weights and a `call`. Called on a Tensor it computes; called on a Symbol, the placeholder that
`Input` returns, it only remembers the connection, and `Model` makes a network of the connections.
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn import functional as F
from tinycnn import initializers, philox, session
from tinycnn.careful import Careful
from tinycnn.devices import current_device
from tinycnn.devices.base import Array, Mask
from tinycnn.shapes import Pair, Shape, ShapeError, check_padding, pair, window_output
from tinycnn.tensor import Tensor

ACTIVATIONS = ("linear", "relu", "softmax")


def check_activation(activation: str | None) -> str | None:
    """None for no activation, else its name. Raises ValueError that lists those there are."""
    if activation not in (None, *ACTIVATIONS):
        raise ValueError(f"no activation is called {activation!r}; there are: {', '.join(ACTIVATIONS)}")
    return None if activation == "linear" else activation


def positive(value: Any, what: str) -> int:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{what} must be a whole number of at least 1, not {value!r}")
    return int(value)


class Symbol:
    """The place of a tensor in a network that is being described.

    shape: without the batch; layer: its maker; inputs: the Symbols that it was made from; use: how many Symbols the
    layer had made before.
    """

    def __init__(self, shape: Sequence[int], layer: Layer, inputs: Sequence[Symbol] = (), use: int = 0):
        self.shape, self.layer, self.inputs, self.use = tuple(shape), layer, tuple(inputs), use

    def compute(self, values: dict[Symbol, Tensor], training: bool, to_logits: bool = False) -> Tensor:
        """The tensor of this place, those of its inputs being in `values`. to_logits: stop ahead of a softmax."""
        tensors = [values[i] for i in self.inputs]
        arguments = tensors if len(tensors) > 1 else tensors[0]
        if to_logits:
            return self.layer.logits(arguments)
        return self.layer.call_at(self.use, arguments, training) if self.use else self.layer.call(arguments, training)

    def compute_dropped(self, values: dict[Symbol, Tensor], dropout: Symbol) -> Tensor:
        """The tensor of a Dropout's place behind this one, a BatchNormalization's: both at once, while training."""
        assert isinstance(self.layer, BatchNormalization) and isinstance(dropout.layer, Dropout)
        return self.layer.call(values[self.inputs[0]], True, dropout.layer.mask_at(dropout.use))

    def __repr__(self) -> str:
        return f"Symbol(shape={(None, *self.shape)}, from {self.layer.name})"


class Weighted(Careful):
    """What layers and networks do with their weights, the Tensors in `self.weights`."""

    name: str
    settable: tuple[str, ...] = ("trainable",)

    @property
    def weights(self) -> list[Tensor]:
        raise NotImplementedError

    @property
    def trainable_weights(self) -> list[Tensor]:
        """The parameters as Tensors with `.grad`."""
        return [w for w in self.weights if w.requires_grad]

    @property
    def non_trainable_weights(self) -> list[Tensor]:
        return [w for w in self.weights if not w.requires_grad]

    def count_params(self) -> int:
        return sum(w.size for w in self.weights)

    def get_weights(self) -> list[np.ndarray]:
        """All weights as NumPy arrays (copies), in Keras's order."""
        return [w.numpy().copy() for w in self.weights]

    def set_weights(self, values: Sequence[ArrayLike]) -> None:
        """Replace all weights by arrays of the same shapes. Raises ValueError, and then changes nothing."""
        arrays = [np.asarray(v) for v in values]
        have, got = [w.shape for w in self.weights], [v.shape for v in arrays]
        if have != got:
            raise ShapeError(f"{self.name} has weights of shapes {have}, not {got}")
        for array in arrays:
            if array.dtype.kind not in "fiub":
                raise ValueError(f"the weights of {self.name} are real numbers, not of {array.dtype}")
        for weight, value in zip(self.weights, arrays, strict=True):
            weight.device.assign(weight.data, value)


class Layer(Weighted):
    """The base of all layers.

    A subclass has `build(shape)`, which makes the weights for inputs of that shape (without the batch),
    `call(x, training)`, `output_shape(shape)` and `options()`, its constructor's arguments.

    Args:
        name: the layer's name; its kind and a number if None.
        input_shape: (H, W, C) of the images, for the first layer of a Sequential.

    >>> class Twice(Layer):
    ...     def call(self, x: Tensor, training: bool) -> Tensor:
    ...         return x + x
    >>> Twice()(Tensor([1.0, 2.0])).numpy()
    array([2., 4.], dtype=float32)
    """

    kind: str = ""  # the name that instances are numbered under: conv2d_1, conv2d_2, ...; made of the class's if empty
    draws = True  # whether it has a random stream of its own
    window: Pair = (1, 1)  # what one output sees of the input, for the receptive field
    stride: Pair = (1, 1)

    def __init__(self, name: str | None = None, input_shape: Sequence[int] | None = None):
        self.kind = type(self).kind or re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()
        self.name = name or session.next_name(self.kind)
        self.input_shape = None if input_shape is None else tuple(positive(n, "input_shape") for n in input_shape)
        self.seed, self.stream = session.seed(), session.next_stream() if self.draws else None
        self.built_shape: Any = None
        self.parameters: dict[str, Tensor] = {}  # in Keras's order
        self.learnt: set[str] = set()  # the names of those that training changes, unless the layer is frozen
        self._trainable = True
        self.output: Symbol | None = None  # of the layer's first connection
        self.uses = 0  # how often it was connected

    @property
    def type(self) -> str:
        return type(self).__name__

    @property
    def trainable(self) -> bool:
        """Whether training changes the layer's weights: False freezes it, from the next `compile` on.

        A frozen BatchNormalization normalises by its moving statistics, as Keras's does since 2.3.
        """
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for name, weight in self.parameters.items():
            weight.requires_grad = self._trainable and name in self.learnt

    def __call__(self, inputs: Any, training: bool = False) -> Any:
        many = isinstance(inputs, (list, tuple))
        first = inputs[0] if many and inputs else inputs
        if not isinstance(first, (Symbol, Tensor)):
            raise TypeError(f"{self.name} takes a Tensor or what Input(shape=...) returns, not {type(first).__name__}")
        shape = [i.shape for i in inputs] if many else inputs.shape
        if isinstance(first, Symbol):
            self.ensure_built(shape)
            symbol = Symbol(self.output_shape(shape), self, inputs if many else (inputs,), self.uses)
            self.uses += 1
            self.output = self.output or symbol
            return symbol
        self.ensure_built([s[1:] for s in shape] if many else shape[1:])
        return self.call(inputs, training)

    def ensure_built(self, shape: Any) -> None:
        """Make the weights at first use; refuse inputs of another shape later."""
        if self.built_shape is None:
            self.output_shape(shape)  # refuses what does not fit, before there are weights
            self.build(shape)
            self.built_shape = shape
        elif self.parameters and shape[-1] != self.built_shape[-1]:
            raise ShapeError(
                f"{self.name} was built for inputs (None, {as_text(self.built_shape)}), not (None, {as_text(shape)})"
            )

    def add_weight(self, name: str, shape: Shape, initializer: str, trainable: bool = True) -> Tensor:
        """A new weight, drawn by an initializer of tinycnn.initializers. trainable: whether training changes it."""
        device = current_device()
        tensor = Tensor.wrap(device.zeros(shape), device)
        if session.draws_weights():
            draw = initializers.INITIALIZERS[initializer]
            device.assign(tensor.data, draw(shape, self.seed, philox.stream_id(philox.WEIGHTS, self.stream or 0)))
        if trainable:
            self.learnt.add(name)
        tensor.requires_grad = trainable and self._trainable
        self.parameters[name] = tensor
        return tensor

    def build(self, shape: Any) -> None:
        """Nothing to make, for a layer without weights."""

    def call(self, x: Any, training: bool) -> Tensor:
        """The output for a Tensor x. Raises NotImplementedError where a subclass has none."""
        raise NotImplementedError(f"{type(self).__name__} has no call(self, x, training)")

    def call_at(self, use: int, x: Any, training: bool) -> Tensor:
        """The same at another place of the network, of which the first is 0: what is drawn there is drawn anew."""
        return self.call(x, training)

    def logits(self, x: Any) -> Tensor:
        """Of a layer with softmax: what the softmax is computed from."""
        raise NotImplementedError(f"{self.name} has no softmax")

    def output_shape(self, shape: Any) -> Shape:
        return shape

    def options(self) -> dict[str, Any]:
        return {}

    def formula(self) -> str:
        """How the number of parameters comes about, as in '3x3x1x8 + 8 = 80'; '' without parameters."""
        return ""

    @property
    def weights(self) -> list[Tensor]:
        return list(self.parameters.values())


class InputLayer(Layer):
    """Where images enter a network."""

    kind = "input"
    draws = False  # so that weights do not depend on how a network is written down

    def __init__(self, input_shape: Sequence[int], name: str | None = None):
        super().__init__(name, input_shape)

    def call(self, x: Tensor, training: bool) -> Tensor:
        return x

    def options(self) -> dict[str, Any]:
        return {"input_shape": self.input_shape}


def Input(shape: Sequence[int], name: str | None = None) -> Symbol:
    """The start of a functional model: a Symbol of images of `shape` (H, W, C), without the batch."""
    layer = InputLayer(shape, name)
    layer.output = symbol = Symbol(layer.input_shape or (), layer)
    return symbol


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


class Dense(Layer):
    """x @ kernel + bias, then the activation.

    Args:
        units: the number of outputs.
        activation: None, 'relu' (fused into the kernel) or 'softmax'.
        use_bias: whether a number is added to each output.
        kernel_initializer: the name of one of tinycnn.initializers.

    Shapes:
        x (N, inputs), kernel (inputs, units), bias (units,) -> (N, units).

    Raises:
        ValueError: for what is none of these. ShapeError: when it is connected to images that are not flat.

    >>> Dense(10, activation="softmax")(Input((784,))).shape
    (10,)
    """

    kind = "dense"

    def __init__(
        self, units: int, activation: str | None = None, use_bias: bool = True,
        kernel_initializer: str = "glorot_uniform", name: str | None = None, input_shape: Sequence[int] | None = None,
    ):  # fmt: skip
        super().__init__(name, input_shape)
        self.units = positive(units, "units")
        self.activation = check_activation(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)

    def build(self, shape: Shape) -> None:
        self.kernel = self.add_weight("kernel", (shape[0], self.units), self.kernel_initializer)
        self.bias = self.add_weight("bias", (self.units,), "zeros") if self.use_bias else None

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ShapeError(f"{self.name} needs flat inputs, not {shape}: put Flatten() before it")
        return (self.units,)

    def call(self, x: Tensor, training: bool) -> Tensor:
        if self.activation == "softmax":
            return F.softmax(self.logits(x))
        return F.dense(x, self.kernel, self.bias, self.activation)

    def logits(self, x: Tensor) -> Tensor:
        return F.dense(x, self.kernel, self.bias)

    def options(self) -> dict[str, Any]:
        return {
            "units": self.units,
            "activation": self.activation,
            "use_bias": self.use_bias,
            "kernel_initializer": self.kernel_initializer,
        }

    def formula(self) -> str:
        return affine_formula(self.kernel, self.bias)


def affine_formula(kernel: Tensor, bias: Tensor | None) -> str:
    product = "x".join(str(n) for n in kernel.shape)
    if bias is None:
        return f"{product} = {kernel.size}"
    return f"{product} + {bias.size} = {kernel.size + bias.size}"


class MaxPooling2D(Layer):
    """The maximum of every window.

    Args:
        pool_size: the window, an int or (rows, columns). strides: pool_size if None. padding: 'valid' or 'same'.

    Shapes:
        x (N,H,W,C) -> (N,P,Q,C).

    Raises:
        ValueError: for what is none of these. ShapeError: when it is connected, where the window does not fit.

    >>> MaxPooling2D((2, 2))(Input((28, 28, 8))).shape
    (14, 14, 8)
    """

    kind = "max_pooling2d"

    def __init__(
        self, pool_size: int | Pair = (2, 2), strides: int | Pair | None = None, padding: str = "valid",
        name: str | None = None, input_shape: Sequence[int] | None = None,
    ):  # fmt: skip
        super().__init__(name, input_shape)
        self.window = pair(pool_size, "pool_size")
        self.stride = self.window if strides is None else pair(strides, "strides")
        self.padding = check_padding(padding)

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise ShapeError(f"{self.name} needs images of shape (H, W, C), not {shape}")
        return (*window_output(shape, self.window, self.stride, self.padding, self.name), shape[-1])

    def call(self, x: Tensor, training: bool) -> Tensor:
        return F.maxpool2d(x, self.window, self.stride, self.padding)

    def options(self) -> dict[str, Any]:
        return {"pool_size": self.window, "strides": self.stride, "padding": self.padding}


class BatchNormalization(Layer):
    """Batch normalisation over all axes but the last (Ioffe and Szegedy, 2015), with Keras's defaults.

    Args:
        axis: -1, the channels. momentum: of the moving statistics. epsilon: added to the variance.

    Shapes:
        x (...,C) -> (...,C). Weights: gamma, beta, moving_mean, moving_variance, (C,) each.

    >>> [w.shape for w in BatchNormalization(input_shape=(8, 8, 3))(Input((8, 8, 3))).layer.weights]
    [(3,), (3,), (3,), (3,)]
    """

    kind = "batch_normalization"

    def __init__(
        self, axis: int = -1, momentum: float = 0.99, epsilon: float = 1e-3, name: str | None = None,
        input_shape: Sequence[int] | None = None,
    ):  # fmt: skip
        super().__init__(name, input_shape)
        if axis not in (-1, 3):
            raise ValueError(f"{self.name}: images are NHWC, so the channel axis is -1, not {axis!r}")
        self.momentum, self.epsilon = float(momentum), float(epsilon)
        if not (0 <= self.momentum <= 1 and self.epsilon > 0):
            raise ValueError(f"{self.name}: momentum must be in [0, 1] and epsilon positive, not {momentum}, {epsilon}")

    def build(self, shape: Shape) -> None:
        channels = shape[-1:]
        self.gamma = self.add_weight("gamma", channels, "ones")
        self.beta = self.add_weight("beta", channels, "zeros")
        self.moving_mean = self.add_weight("moving_mean", channels, "zeros", trainable=False)
        self.moving_variance = self.add_weight("moving_variance", channels, "ones", trainable=False)

    def call(self, x: Tensor, training: bool, mask: Mask | None = None) -> Tensor:
        """mask: of a Dropout behind this layer, which is computed in one with it."""
        return F.batchnorm(
            x, self.gamma, self.beta, self.moving_mean, self.moving_variance, training and self.trainable,
            self.momentum, self.epsilon, mask,
        )  # fmt: skip

    def options(self) -> dict[str, Any]:
        return {"momentum": self.momentum, "epsilon": self.epsilon}

    def formula(self) -> str:
        return f"4x{self.gamma.size} = {4 * self.gamma.size}"


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
        activation: 'relu', 'softmax' (of flat inputs) or 'linear'.

    Shapes:
        x of any shape -> the same.

    >>> Activation("relu")(Tensor([-1.0, 2.0])).numpy()
    array([0., 2.], dtype=float32)
    """

    kind = "activation"

    def __init__(self, activation: str, name: str | None = None, input_shape: Sequence[int] | None = None):
        super().__init__(name, input_shape)
        self.activation = check_activation(activation)

    def output_shape(self, shape: Shape) -> Shape:
        if self.activation == "softmax" and len(shape) != 1:
            raise ShapeError(f"{self.name}: softmax needs flat inputs, not {shape}: put Flatten() before it")
        return shape

    def call(self, x: Tensor, training: bool) -> Tensor:
        if self.activation is None:
            return x
        return {"relu": F.relu, "softmax": F.softmax}[self.activation](x)

    def logits(self, x: Tensor) -> Tensor:
        return x

    def options(self) -> dict[str, Any]:
        return {"activation": self.activation or "linear"}


class Concatenate(Layer):
    """Join several inputs along the channels.

    Shapes:
        a list of x_i (..., C_i) -> (..., sum of C_i).

    Raises:
        ShapeError: when it is connected, where another axis differs.

    >>> Concatenate()([Input((8, 8, 3)), Input((8, 8, 5))]).shape
    (8, 8, 8)
    """

    kind = "concatenate"

    def __init__(self, axis: int = -1, name: str | None = None):
        super().__init__(name)
        if axis not in (-1, 3):
            raise ValueError(f"{self.name}: images are NHWC, so channels are joined along axis -1, not {axis!r}")

    def output_shape(self, shapes: list[Shape]) -> Shape:
        if not isinstance(shapes, list) or len(shapes) < 2:
            raise ShapeError(f"{self.name} takes a list of at least two inputs")
        if len({s[:-1] for s in shapes}) != 1:
            raise ShapeError(f"{self.name}: all axes but the last must agree; got {shapes}")
        return (*shapes[0][:-1], sum(s[-1] for s in shapes))

    def call(self, inputs: list[Tensor], training: bool) -> Tensor:
        return F.concatenate(inputs)


Convolution2D = Conv2D
MaxPool2D = MaxPooling2D


def as_text(shape: Sequence) -> str:
    return ", ".join(str(n) for n in shape)
