"""The layers, with the face that Keras gives them.

A layer has weights and a `call`. Called on a Tensor it computes; called on a Symbol, the placeholder that
`Input` returns, it only remembers the connection, and `Model` makes a network of the connections.
"""

import math
import numbers

import numpy as np

from tinycnn import functional as F
from tinycnn import initializers, philox, session
from tinycnn.devices import current_device
from tinycnn.shapes import ShapeError, check_padding, pair, window_output
from tinycnn.tensor import Tensor

ACTIVATIONS = ("linear", "relu", "softmax")


def check_activation(activation):
    """None for no activation, else its name. Raises ValueError that lists those there are."""
    if activation not in (None, *ACTIVATIONS):
        raise ValueError(f"no activation is called {activation!r}; there are: {', '.join(ACTIVATIONS)}")
    return None if activation == "linear" else activation


def positive(value, what):
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{what} must be a whole number of at least 1, not {value!r}")
    return int(value)


class Symbol:
    """The place of a tensor in a network that is being described: its shape without the batch, and its maker."""

    def __init__(self, shape, layer, inputs=()):
        self.shape, self.layer, self.inputs = tuple(shape), layer, tuple(inputs)

    def __repr__(self):
        return f"Symbol(shape={(None, *self.shape)}, from {self.layer.name})"


class Weighted:
    """What layers and networks do with their weights, the Tensors in `self.weights`."""

    @property
    def trainable_weights(self):
        """The parameters as Tensors with `.grad`."""
        return [w for w in self.weights if w.requires_grad]

    @property
    def non_trainable_weights(self):
        return [w for w in self.weights if not w.requires_grad]

    def count_params(self):
        return sum(w.size for w in self.weights)

    def get_weights(self):
        """All weights as NumPy arrays (copies), in Keras's order."""
        return [w.numpy().copy() for w in self.weights]

    def set_weights(self, values):
        """Replace all weights by arrays of the same shapes. Raises ValueError, and then changes nothing."""
        values = [np.asarray(v) for v in values]
        have, got = [w.shape for w in self.weights], [v.shape for v in values]
        if have != got:
            raise ShapeError(f"{self.name} has weights of shapes {have}, not {got}")
        for value in values:
            if value.dtype.kind not in "fiub":
                raise ValueError(f"the weights of {self.name} are real numbers, not of {value.dtype}")
        for weight, value in zip(self.weights, values, strict=True):
            weight.device.assign(weight.data, value)


class Layer(Weighted):
    """The base of all layers.

    A subclass has `build(shape)`, which makes the weights for inputs of that shape (without the batch),
    `call(x, training)`, `output_shape(shape)` and `options()`, its constructor's arguments.
    """

    kind = None  # the name that instances are numbered under: conv2d_1, conv2d_2, ...
    draws = True  # whether it has a random stream of its own
    window, stride = (1, 1), (1, 1)  # what one output sees of the input, for the receptive field

    def __init__(self, name=None, input_shape=None):
        self.name = name or session.next_name(self.kind)
        self.input_shape = None if input_shape is None else tuple(positive(n, "input_shape") for n in input_shape)
        self.seed, self.stream = session.seed(), session.next_stream() if self.draws else None
        self.built_shape = None
        self.parameters = {}  # name: Tensor, in Keras's order
        self.output = None  # the Symbol of the layer's first connection

    @property
    def type(self):
        return type(self).__name__

    def __call__(self, inputs, training=False):
        many = isinstance(inputs, (list, tuple))
        first = inputs[0] if many and inputs else inputs
        if not isinstance(first, (Symbol, Tensor)):
            raise TypeError(f"{self.name} takes a Tensor or what Input(shape=...) returns, not {type(first).__name__}")
        shape = [i.shape for i in inputs] if many else inputs.shape
        if isinstance(first, Symbol):
            self.ensure_built(shape)
            symbol = Symbol(self.output_shape(shape), self, inputs if many else (inputs,))
            self.output = self.output or symbol
            return symbol
        self.ensure_built([s[1:] for s in shape] if many else shape[1:])
        return self.call(inputs, training)

    def ensure_built(self, shape):
        """Make the weights at first use; refuse inputs of another shape later."""
        if self.built_shape is None:
            self.output_shape(shape)  # refuses what does not fit, before there are weights
            self.build(shape)
            self.built_shape = shape
        elif self.parameters and shape[-1] != self.built_shape[-1]:
            raise ShapeError(
                f"{self.name} was built for inputs (None, {as_text(self.built_shape)}), not (None, {as_text(shape)})"
            )

    def add_weight(self, name, shape, initializer, trainable=True):
        device = current_device()
        tensor = Tensor.wrap(device.zeros(shape), device)
        if session.draws_weights():
            draw = initializers.INITIALIZERS[initializer]
            device.assign(tensor.data, draw(shape, self.seed, philox.stream_id(philox.WEIGHTS, self.stream)))
        tensor.requires_grad = trainable
        self.parameters[name] = tensor
        return tensor

    def build(self, shape):
        """Nothing to make, for a layer without weights."""

    def output_shape(self, shape):
        return shape

    def options(self):
        return {}

    def formula(self):
        """How the number of parameters comes about, as in '3x3x1x8 + 8 = 80'; '' without parameters."""
        return ""

    @property
    def weights(self):
        return list(self.parameters.values())


class InputLayer(Layer):
    """Where images enter a network."""

    kind = "input"
    draws = False  # so that weights do not depend on how a network is written down

    def __init__(self, input_shape, name=None):
        super().__init__(name, input_shape)

    def call(self, x, training):
        return x

    def options(self):
        return {"input_shape": self.input_shape}


def Input(shape, name=None):
    """The start of a functional model: a Symbol of images of `shape` (H, W, C), without the batch."""
    layer = InputLayer(shape, name)
    layer.output = Symbol(layer.input_shape, layer)
    return layer.output


class Conv2D(Layer):
    """2-D convolution. x (N,H,W,C) -> (N,P,Q,filters).

    kernel_size and strides: an int or (rows, columns). padding: 'valid' or 'same'.
    activation: None or 'relu', fused into the kernel. The old form Conv2D(16, 3, 3), where the
    third argument is the kernel's second extent, is understood as Keras 2 did; strides=2 means strides.

    >>> Conv2D(8, (3, 3), activation="relu", input_shape=(28, 28, 1))
    """

    kind = "conv2d"

    def __init__(self, filters, kernel_size, third=None, padding="valid", activation=None, use_bias=True,
                 kernel_initializer="glorot_uniform", name=None, input_shape=None, strides=None):  # fmt: skip
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

    def build(self, shape):
        self.kernel = self.add_weight("kernel", (*self.window, shape[-1], self.filters), self.kernel_initializer)
        self.bias = self.add_weight("bias", (self.filters,), "zeros") if self.use_bias else None

    def output_shape(self, shape):
        if len(shape) != 3:
            raise ShapeError(f"{self.name} needs images of shape (H, W, C), not {shape}")
        return (*window_output(shape, self.window, self.stride, self.padding, self.name), self.filters)

    def call(self, x, training):
        return F.conv2d(x, self.kernel, self.bias, self.stride, self.padding, self.activation)

    def options(self):
        return {
            "filters": self.filters,
            "kernel_size": self.window,
            "strides": self.stride,
            "padding": self.padding,
            "activation": self.activation,
            "use_bias": self.use_bias,
            "kernel_initializer": self.kernel_initializer,
        }

    def formula(self):
        return affine_formula(self.kernel, self.bias)


class Dense(Layer):
    """x (N, inputs) @ kernel (inputs, units) + bias, then the activation: None, 'relu' (fused) or 'softmax'."""

    kind = "dense"

    def __init__(self, units, activation=None, use_bias=True, kernel_initializer="glorot_uniform", name=None,
                 input_shape=None):  # fmt: skip
        super().__init__(name, input_shape)
        self.units = positive(units, "units")
        self.activation = check_activation(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)

    def build(self, shape):
        self.kernel = self.add_weight("kernel", (shape[0], self.units), self.kernel_initializer)
        self.bias = self.add_weight("bias", (self.units,), "zeros") if self.use_bias else None

    def output_shape(self, shape):
        if len(shape) != 1:
            raise ShapeError(f"{self.name} needs flat inputs, not {shape}: put Flatten() before it")
        return (self.units,)

    def call(self, x, training):
        if self.activation == "softmax":
            return F.softmax(self.logits(x, training))
        return F.dense(x, self.kernel, self.bias, self.activation)

    def logits(self, x, training):
        """What the softmax is computed from."""
        return F.dense(x, self.kernel, self.bias)

    def options(self):
        return {
            "units": self.units,
            "activation": self.activation,
            "use_bias": self.use_bias,
            "kernel_initializer": self.kernel_initializer,
        }

    def formula(self):
        return affine_formula(self.kernel, self.bias)


def affine_formula(kernel, bias):
    product = "x".join(str(n) for n in kernel.shape)
    if bias is None:
        return f"{product} = {kernel.size}"
    return f"{product} + {bias.size} = {kernel.size + bias.size}"


class MaxPooling2D(Layer):
    """The maximum of every window. strides: pool_size if None. x (N,H,W,C) -> (N,P,Q,C)."""

    kind = "max_pooling2d"

    def __init__(self, pool_size=(2, 2), strides=None, padding="valid", name=None, input_shape=None):
        super().__init__(name, input_shape)
        self.window = pair(pool_size, "pool_size")
        self.stride = self.window if strides is None else pair(strides, "strides")
        self.padding = check_padding(padding)

    def output_shape(self, shape):
        if len(shape) != 3:
            raise ShapeError(f"{self.name} needs images of shape (H, W, C), not {shape}")
        return (*window_output(shape, self.window, self.stride, self.padding, self.name), shape[-1])

    def call(self, x, training):
        return F.maxpool2d(x, self.window, self.stride, self.padding)

    def options(self):
        return {"pool_size": self.window, "strides": self.stride, "padding": self.padding}


class BatchNormalization(Layer):
    """Batch normalisation over all axes but the last, with Keras's defaults."""

    kind = "batch_normalization"

    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, name=None, input_shape=None):
        super().__init__(name, input_shape)
        if axis not in (-1, 3):
            raise ValueError(f"{self.name}: images are NHWC, so the channel axis is -1, not {axis!r}")
        self.momentum, self.epsilon = float(momentum), float(epsilon)
        if not (0 <= self.momentum <= 1 and self.epsilon > 0):
            raise ValueError(f"{self.name}: momentum must be in [0, 1] and epsilon positive, not {momentum}, {epsilon}")

    def build(self, shape):
        channels = shape[-1:]
        self.gamma = self.add_weight("gamma", channels, "ones")
        self.beta = self.add_weight("beta", channels, "zeros")
        self.moving_mean = self.add_weight("moving_mean", channels, "zeros", trainable=False)
        self.moving_variance = self.add_weight("moving_variance", channels, "ones", trainable=False)

    def call(self, x, training):
        return F.batchnorm(
            x, self.gamma, self.beta, self.moving_mean, self.moving_variance, training, self.momentum, self.epsilon
        )

    def options(self):
        return {"momentum": self.momentum, "epsilon": self.epsilon}

    def formula(self):
        return f"4x{self.gamma.size} = {4 * self.gamma.size}"


class Dropout(Layer):
    """Zero a share `rate` of the inputs while training, and divide the rest by 1 - rate."""

    kind = "dropout"

    def __init__(self, rate, name=None, input_shape=None):
        super().__init__(name, input_shape)
        if not isinstance(rate, numbers.Real) or not 0 <= rate < 1:
            raise ValueError(f"{self.name}: the dropout rate must be in [0, 1), not {rate!r}")
        self.rate = float(rate)
        self.step = None  # the model's counter of training passes, once the layer is in a model

    def call(self, x, training):
        if not training:
            return x
        if self.step is None:
            raise RuntimeError(f"{self.name} drops by the step of a model's training; put it into a model")
        return F.dropout(x, self.rate, self.seed, philox.stream_id(philox.DROPOUT, self.stream), self.step)

    def options(self):
        return {"rate": self.rate}


class Flatten(Layer):
    """x (N, H, W, C) -> (N, H*W*C), row-major."""

    kind = "flatten"

    def output_shape(self, shape):
        return (math.prod(shape),)

    def call(self, x, training):
        return F.flatten(x)


class Activation(Layer):
    """An activation as a layer of its own: 'relu', 'softmax' or 'linear'."""

    kind = "activation"

    def __init__(self, activation, name=None, input_shape=None):
        super().__init__(name, input_shape)
        self.activation = check_activation(activation)

    def output_shape(self, shape):
        if self.activation == "softmax" and len(shape) != 1:
            raise ShapeError(f"{self.name}: softmax needs flat inputs, not {shape}: put Flatten() before it")
        return shape

    def call(self, x, training):
        if self.activation is None:
            return x
        return {"relu": F.relu, "softmax": F.softmax}[self.activation](x)

    def logits(self, x, training):
        """What the softmax is computed from."""
        return x

    def options(self):
        return {"activation": self.activation or "linear"}


class Concatenate(Layer):
    """Join several inputs along the channels."""

    kind = "concatenate"

    def __init__(self, axis=-1, name=None):
        super().__init__(name)
        if axis not in (-1, 3):
            raise ValueError(f"{self.name}: images are NHWC, so channels are joined along axis -1, not {axis!r}")

    def output_shape(self, shapes):
        if not isinstance(shapes, list) or len(shapes) < 2:
            raise ShapeError(f"{self.name} takes a list of at least two inputs")
        if len({s[:-1] for s in shapes}) != 1:
            raise ShapeError(f"{self.name}: all axes but the last must agree; got {shapes}")
        return (*shapes[0][:-1], sum(s[-1] for s in shapes))

    def call(self, inputs, training):
        return F.concatenate(inputs)


Convolution2D = Conv2D
MaxPool2D = MaxPooling2D


def as_text(shape):
    return ", ".join(str(n) for n in shape)
