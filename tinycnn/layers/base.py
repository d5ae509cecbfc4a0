"""What all layers are: a layer has weights and a `call`.

Called on a Tensor it computes; called on a Symbol, the placeholder that `Input` returns, it only remembers the
connection, and `Model` makes a network of the connections.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn import activations, drawing, initializers, philox, refusals, session
from tinycnn import backend as K
from tinycnn import functional as F
from tinycnn.careful import Careful
from tinycnn.custom_objects import all_custom_objects
from tinycnn.devices import current_device
from tinycnn.expressions import Expression, Values, in_order
from tinycnn.layers import configs, keras1
from tinycnn.regularizers import L1L2
from tinycnn.shapes import Pair, Shape, ShapeError
from tinycnn.tensor import Tensor

ACTIVATIONS = ("linear", *F.ACTIVATIONS)


def check_activation(activation: Any) -> str | activations.Own | None:
    """None for no activation, else its name, of the functions of tinycnn.activations and the backend too; or one of the
    user's, which is a function, or the name of one among the custom objects.

    Raises ValueError for what is none, with those there are.
    """
    own = all_custom_objects()
    if isinstance(activation, str) and activation in own:
        return own_activation(own[activation], activation)
    if callable(activation):
        same = (name for name in ACTIVATIONS if activation in (vars(activations).get(name), vars(K).get(name)))
        activation = next(same, activation)
    if callable(activation) and not isinstance(activation, refusals.NotHere):
        name = getattr(activation, "__name__", getattr(activation, "name", type(activation).__name__))
        if name in ACTIVATIONS:
            raise ValueError(
                f"an activation of your own is called {name!r}, as one of Keras's is, and files could not tell which: "
                "give it another name"
            )
        return own_activation(activation, str(name))
    if activation not in (None, *ACTIVATIONS):
        raise ValueError(
            f"no activation is called {activation!r}; there are: {', '.join(ACTIVATIONS)}; one of your own is given as "
            "a function, or named in custom_objects= or utils.get_custom_objects()"
        )
    return None if activation == "linear" else activation


def own_activation(function: Any, name: str) -> activations.Own:
    """An activation of the user's. Raises ValueError for what is no function of a Tensor, and for layers with more to
    them."""
    if isinstance(function, type) or not callable(function):
        raise ValueError(f"the activation {name} must be a function of a Tensor, not {function!r}")
    if isinstance(function, Layer) and not function.elementwise:
        raise ValueError(f"{function.name} is a layer, and no activation: put it into the network by itself")
    return activations.Own(function, name)


def name_of(activation: str | activations.Own | None) -> str | None:
    """The name by which files have what `check_activation` gave."""
    return activation.name if isinstance(activation, activations.Own) else activation


def positive(value: Any, what: str) -> int:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{what} must be a whole number of at least 1, not {value!r}")
    return int(value)


def check_batch(size: Any) -> None:
    """Raises ValueError for what is neither None nor a batch's size, of which a network takes any."""
    if size is not None:
        positive(size, "batch_size")


class Symbol(Expression):
    """The place of a tensor in a network that is being described.

    extents: its shape without the batch; layer: its maker; inputs: the Symbols that it was made from; use: how many
    Symbols the layer had made before; owner: the model that it came with, where that is a layer of another; made: what
    the layer made of its inputs, where it was called with them and not only connected.
    """

    inputs: tuple[Symbol, ...]

    def __init__(
        self, extents: Sequence[int], layer: Layer, inputs: Sequence[Symbol] = (), use: int = 0,
        made: Expression | None = None,
    ):  # fmt: skip
        self.extents, self.layer, self.inputs, self.use = tuple(extents), layer, tuple(inputs), use
        self.made = made
        self.owner: Any = None

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (None, *self.extents)

    @property
    def weights(self) -> list[Tensor]:  # type: ignore[override]
        return self.layer.weights

    def compute(self, values: dict[Symbol, Tensor], training: bool, to_logits: bool = False) -> Tensor:
        """The tensor of this place, those of its inputs being in `values`. to_logits: stop ahead of a softmax."""
        if not self.inputs:
            return super().compute(values, training)
        if self.made is not None:
            known = Values(dict[Any, Any](values))
            for place in in_order([self.made], known):
                known[place] = place.compute(known, training)
            return known[self.made]
        tensors = [values[i] for i in self.inputs]
        arguments = tensors if len(tensors) > 1 else tensors[0]
        if to_logits:
            return self.layer.logits(arguments)
        return self.layer.call_at(self.use, arguments, training) if self.use else self.layer.call(arguments, training)

    def __repr__(self) -> str:
        return f"Symbol(shape={self.shape}, from {self.layer.name})"


class Weighted(Careful):
    """What layers and networks do with their weights, the Tensors in `self.weights`."""

    name: str
    group = "Layer"  # where refusals.NAMES has its attributes
    settable: tuple[str, ...] = ("trainable",)

    @property
    def weights(self) -> list[Tensor]:
        raise NotImplementedError

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise refusals.of_instance(self.group, self, name)

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

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Replace all weights by arrays of the same shapes. Raises ValueError, and then changes nothing."""
        arrays = [np.asarray(v) for v in weights]
        have, got = [w.shape for w in self.weights], [v.shape for v in arrays]
        if have != got:
            raise ShapeError(f"{self.name} has weights of shapes {have}, not {got}")
        for array in arrays:
            if array.dtype.kind not in "fiub":
                raise ValueError(f"the weights of {self.name} are real numbers, not of {array.dtype}")
        for weight, value in zip(self.weights, arrays, strict=True):
            weight.device.assign(weight.data, value)


def placed(function: Callable) -> list[str]:
    """Its parameters that may be given by position."""
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


class Layer(Weighted):
    """The base of all layers.

    A subclass has `make_weights(shape)`, which makes the weights for inputs of that shape (without the batch),
    `call(x, training)`, `shape_after(shape)` and `options()`, its constructor's arguments. A layer that was written for
    Keras 2 has `build(input_shape)` and `compute_output_shape(input_shape)` instead, of shapes with the batch, and
    `call(x)`.

    Args:
        name: the layer's name; its kind and a number if None.
        input_shape: (H, W, C) of the images, for the first layer of a Sequential. batch_input_shape: the same with None
            before it; input_dim: the same of flat inputs.
            A number instead of None is taken: networks take batches of any size, that one too.
        dtype: the device's. trainable: whether training changes its weights. weights: arrays to begin with.

    >>> class Twice(Layer):
    ...     def call(self, x: Tensor, training: bool) -> Tensor:
    ...         return x + x
    >>> Twice()(Tensor([1.0, 2.0])).numpy()
    array([2., 4.], dtype=float32)
    """

    kind: str = ""  # the name that instances are numbered under: conv2d_1, conv2d_2, ...; made of the class's if empty
    elementwise = False  # whether it may be the activation of another
    regularizers: Mapping[str, L1L2] = {}  # {name of a weight, or 'activity': its regularizer}
    draws = True  # whether it has a random stream of its own
    adds_losses = False  # whether its code speaks of add_loss
    # For the receptive field: an output sees a window of the input, and the next one that a stride further; where
    # images become larger, so many times, an input adds to a window of the output.
    window: Pair = (1, 1)
    stride: Pair = (1, 1)
    enlarges: Pair = (1, 1)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "output_shape" in vars(cls):
            raise TypeError(f"{cls.__name__}.output_shape is an attribute: call the method compute_output_shape")
        functions = [member for member in vars(cls).values() if inspect.isfunction(member)]
        cls.adds_losses = cls.adds_losses or any("add_loss" in f.__code__.co_names for f in functions)
        if "__init__" in vars(cls):
            cls.__init__ = keras1.understood(cls.__init__)  # type: ignore[method-assign]
        if "call" in vars(cls) and placed(cls.call)[2:3] != ["training"]:
            cls.call = with_phase_second(cls.call)  # type: ignore[method-assign]

    def __init__(self, name: str | None = None, input_shape: Sequence[int] | None = None, **others: Any):
        self.kind = type(self).kind or re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()
        self.name = name or session.next_name(self.kind)
        self.given_shape: Shape | None = None
        self.given_weights: Sequence[ArrayLike] | None = None
        self.seed, self.stream = session.seed(), session.next_stream() if self.draws else None
        self.built, self.built_shape = False, None  # the shape that it was built for
        self.parameters: dict[str, Tensor] = {}  # in Keras's order
        self.learnt: set[str] = set()  # the names of those that training changes, unless the layer is frozen
        self._trainable = True
        self.input: Any = None  # the Symbol, or the list of them, of the layer's first connection
        self.output: Symbol | None = None
        self.uses = 0  # how often it was connected
        self.added_losses: list[Expression] = []
        self.take(input_shape=input_shape, **keras1.spelled(type(self), (), (), others))

    def take(
        self, name: str | None = None, input_shape: Sequence[int] | None = None,
        batch_input_shape: Sequence[int | None] | None = None, input_dim: int | None = None, dtype: Any = None,
        trainable: bool = True, weights: Sequence[ArrayLike] | None = None, batch_size: int | None = None,
    ) -> None:  # fmt: skip
        """The arguments that every layer takes."""
        keras1.check_dtype(dtype)
        check_batch(batch_size)
        self.name = name or self.name
        if batch_input_shape is not None:
            check_batch(batch_input_shape[0])
        shape = (input_dim,) if input_dim else batch_input_shape[1:] if batch_input_shape else input_shape
        if shape is not None:
            self.given_shape = tuple(positive(n, "input_shape") for n in shape)
        if not trainable:
            self.trainable = False
        self.given_weights = weights

    @property
    def type(self) -> str:
        return type(self).__name__

    @property
    def trainable(self) -> bool:
        """Whether training changes the layer's weights: False freezes it, from the next `compile` on.

        A frozen BatchNormalization keeps its moving statistics and normalises by them, as in tf.keras and in Keras 3.
        """
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for name, weight in self.parameters.items():
            weight.requires_grad = self._trainable and name in self.learnt

    @property
    def input_shape(self) -> Any:
        """(None, H, W, C) of what the layer is connected to, a list of such where there are several, or None."""
        if isinstance(self.input, list):
            return [i.shape for i in self.input]
        return None if self.input is None else self.input.shape

    @property
    def output_shape(self) -> tuple[int | None, ...] | None:
        """(None, P, Q, K) of what the layer gives; None before it is connected."""
        return None if self.output is None else self.output.shape

    def __call__(self, inputs: Any, training: bool = False) -> Any:
        many = isinstance(inputs, (list, tuple))
        first = inputs[0] if many and inputs else inputs
        if not isinstance(first, (Symbol, Tensor)):
            hint = "; what the backend's functions gave is put into a network by Lambda" * isinstance(first, Expression)
            given = type(first).__name__
            raise TypeError(f"{self.name} takes a Tensor or what Input(shape=...) returns, not {given}{hint}")
        if isinstance(first, Symbol):
            shape = [i.extents for i in inputs] if many else inputs.extents
            if self.adds_losses:
                symbol = self.called(inputs, shape)
            else:
                self.ensure_built(shape)
                symbol = Symbol(self.extents_after(shape), self, inputs if many else (inputs,), self.uses)
            self.uses += 1
            if self.output is None:
                self.input, self.output = list(inputs) if many else inputs, symbol
            return symbol
        shape = [i.shape for i in inputs] if many else inputs.shape
        self.ensure_built([s[1:] for s in shape] if many else shape[1:])
        with drawing.by_any(first.device):
            return self.call(inputs, training)

    def called(self, inputs: Any, shape: Any) -> Symbol:
        """The place of a layer that adds to the loss: as in Keras it is called once, with what is not computed yet."""
        if not self.built:
            self.build(with_batch(shape))
            self.built, self.built_shape = True, shape
        made = self.call(inputs, False)
        if not isinstance(made, Expression):
            raise TypeError(
                f"{self.name} adds to the loss, so its call() is written with the operators and tinycnn.backend: it "
                f"returned {made!r}"
            )
        return Symbol(made.shape[1:], self, inputs if isinstance(inputs, (list, tuple)) else (inputs,), self.uses, made)

    def add_loss(self, losses: Any, inputs: Any = None) -> None:
        """Within call(): add an expression, or a list of such, to the loss of every network that the layer is in, as
        Model.add_loss does. inputs: nothing that is looked at. Raises TypeError for anything else."""
        for loss in losses if isinstance(losses, (list, tuple)) else [losses]:
            if not isinstance(loss, Expression):
                raise TypeError(f"{self.name}.add_loss() takes what is not computed yet, in a network, not {loss!r}")
            self.added_losses.append(loss)

    def ensure_built(self, shape: Any) -> None:
        """Make the weights at first use; refuse inputs of another shape later."""
        if self.built_shape is None:
            self.extents_after(shape)  # refuses what does not fit, before there are weights
            self.build(with_batch(shape))
            self.built, self.built_shape = True, shape
            if self.given_weights is not None:
                self.set_weights(self.given_weights)
        elif self.parameters and shape[-1] != self.built_shape[-1]:
            raise ShapeError(
                f"{self.name} was built for inputs (None, {as_text(self.built_shape)}), not (None, {as_text(shape)})"
            )

    def extents_after(self, shape: Any) -> Shape:
        return self.compute_output_shape(with_batch(shape))[1:]

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of this shape, (None, H, W, C), or a list of such."""
        self.make_weights(without_batch(input_shape))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(None, P, Q, K) for inputs (None, H, W, C), or for a list of such. Raises ShapeError where none fits."""
        return (None, *self.shape_after(without_batch(input_shape)))

    def add_weight(
        self, name: str | None = None, shape: Shape = (), initializer: Any = "glorot_uniform", trainable: bool = True,
        **others: Any,
    ) -> Tensor:  # fmt: skip
        """A new weight, drawn by an initializer of tinycnn.initializers. trainable: whether training changes it.

        A name that is taken, or None, gets a number.
        """
        for argument, value in others.items():
            if argument == "dtype":
                keras1.check_dtype(value)
            else:
                refusals.argument("add_weight", argument, value, ["name", "shape", "initializer", "trainable"])
        initializer = initializers.get(initializer)
        device = current_device()
        tensor = Tensor.wrap(device.zeros(shape), device)
        if session.draws_weights():
            stream = philox.stream_id(philox.WEIGHTS, self.stream or 0, len(self.parameters))
            device.assign(tensor.data, initializers.draw(initializer, shape, self.seed, stream))
        free = (f"{name or 'weight'}_{number}" for number in itertools.count(1))
        key = name if name and name not in self.parameters else next(k for k in free if k not in self.parameters)
        if trainable:
            self.learnt.add(key)
        tensor.requires_grad = trainable and self._trainable
        self.parameters[key] = tensor
        return tensor

    def make_weights(self, shape: Any) -> None:
        """Nothing to make, for a layer without weights."""

    def call(self, x: Any, training: bool) -> Any:
        """The output for a Tensor x. Raises NotImplementedError where a subclass has none."""
        raise NotImplementedError(f"{type(self).__name__} has no call(self, x, training)")

    def call_at(self, use: int, x: Any, training: bool) -> Tensor:
        """The same at another place of the network, of which the first is 0: what is drawn there is drawn anew."""
        return self.call(x, training)

    def logits(self, x: Any) -> Tensor:
        """Of a layer that ends in an activation: what that is computed from."""
        raise NotImplementedError(f"{self.name} has no activation")

    def shape_after(self, shape: Any) -> Shape:
        return shape

    def options(self) -> dict[str, Any]:
        """The constructor's arguments; of a layer that was written for Keras what its own get_config adds."""
        if type(self).get_config is Layer.get_config:
            return {}
        return {name: value for name, value in self.get_config().items() if name not in configs.ABOUT}

    def get_config(self) -> dict[str, Any]:
        """Keras 2's description of the layer: its name, whether it is trained, and its constructor's arguments."""
        return configs.config_of(self, {} if type(self).options is Layer.options else self.options())

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        """A layer with new weights, from what `get_config` gave, here or in Keras. Raises ValueError."""
        return configs.made_from(cls, config)

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

    def __init__(
        self, input_shape: Sequence[int] | None = None, name: str | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
    ):  # fmt: skip
        super().__init__(name, input_shape, batch_input_shape=batch_input_shape)
        if self.given_shape is None:
            raise TypeError(f"{self.name} needs input_shape=(H, W, C)")
        self.input = self.output = Symbol(self.given_shape, self)

    def call(self, x: Tensor, training: bool) -> Tensor:
        return x

    def options(self) -> dict[str, Any]:
        return {"input_shape": self.given_shape}


def Input(
    shape: Sequence[int] | None = None, batch_shape: Sequence[int | None] | None = None, name: str | None = None,
    **others: Any,
) -> Any:  # fmt: skip
    """The start of a functional model: a Symbol of images of `shape` (H, W, C), without the batch.

    batch_shape: the same with None, or a batch's size, before it.
    """
    return InputLayer(shape, name, batch_shape, **others).output


def with_batch(shape: Any) -> Any:
    """(None, H, W, C) for (H, W, C), and a list for a list."""
    return [(None, *s) for s in shape] if isinstance(shape, list) else (None, *shape)


def without_batch(shape: Any) -> Any:
    """(H, W, C) for (None, H, W, C), and a list for a list of such."""
    if isinstance(shape, list) and shape and isinstance(shape[0], (list, tuple)):
        return [tuple(s[1:]) for s in shape]
    return tuple(shape[1:])


def with_phase_second(call: Callable) -> Callable:
    """The `call(self, x)` of a layer that does the same in training and in inference, or one that has `training` at
    another place, as `call(self, x, mask=None, training=None)`, as the `call` of others."""
    is_told = "training" in inspect.signature(call).parameters

    @functools.wraps(call)
    def with_phase(self: Layer, x: Any, training: bool = False) -> Any:
        return call(self, x, training=training) if is_told else call(self, x)

    return with_phase


def affine_formula(kernel: Tensor, bias: Tensor | None) -> str:
    product = "x".join(str(n) for n in kernel.shape)
    if bias is None:
        return f"{product} = {kernel.size}"
    return f"{product} + {bias.size} = {kernel.size + bias.size}"


def as_text(shape: Sequence) -> str:
    return ", ".join(str(n) for n in shape)
