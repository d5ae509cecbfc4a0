"""What all layers are: a layer has weights and a `call`.

Called on a Tensor it computes; called on a Symbol, the placeholder that `Input` returns, it only remembers the
connection, and `Model` makes a network of the connections.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn import functional as F
from tinycnn import initializers, philox, session
from tinycnn.careful import Careful
from tinycnn.devices import current_device
from tinycnn.regularizers import L1L2
from tinycnn.shapes import Pair, Shape, ShapeError
from tinycnn.tensor import Tensor

ACTIVATIONS = ("linear", *F.ACTIVATIONS)


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
    regularizers: Mapping[str, L1L2] = {}  # {name of a weight: its regularizer}
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
        """Of a layer that ends in an activation: what that is computed from."""
        raise NotImplementedError(f"{self.name} has no activation")

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


def affine_formula(kernel: Tensor, bias: Tensor | None) -> str:
    product = "x".join(str(n) for n in kernel.shape)
    if bias is None:
        return f"{product} = {kernel.size}"
    return f"{product} + {bias.size} = {kernel.size + bias.size}"


def as_text(shape: Sequence) -> str:
    return ", ".join(str(n) for n in shape)
