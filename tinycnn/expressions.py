"""Tensors that are not computed yet: what `keras.backend` makes of a layer's output, and how it is evaluated.

An Expression stands for a value that depends on others. `Symbol`, a place in a network, is one (layers/base.py);
`Applied` is a function of others, `gradients` asks for derivatives. Nothing is computed before `evaluate`, which is
given values of some of them, mostly of a network's input.

>>> from tinycnn.layers import Input
>>> x = Input((2,))
>>> y = x * x + 1.0
>>> [t.numpy().tolist() for t in evaluate([y, *gradients(y, [x])], {x: Tensor([[1.0, 3.0]])})]
[[[2.0, 10.0]], [[2.0, 6.0]]]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

import numpy as np

from tinycnn import drawing
from tinycnn.devices import current_device, use_device
from tinycnn.tensor import Tensor, TwoDevices, no_grad

Extents = tuple[int | None, ...]


class Expression:
    """The base: `inputs`, the Expressions that it is computed from, and `compute`. It has the operators of a Tensor."""

    inputs: tuple[Expression, ...] = ()
    weights: Sequence[Tensor] = ()  # that it is computed with
    layer: Any = None  # of which it is a place in a network
    constants: Sequence[Tensor] = ()  # that were there already when it was made
    __array_ufunc__ = None  # so that `ndarray * expression` comes here
    __hash__ = object.__hash__

    @property
    def shape(self) -> Any:
        """With the batch, None, as the first extent."""
        raise NotImplementedError

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> str:
        """What the current device computes in."""
        return current_device().dtype

    def of_size(self, batch: int) -> Any:
        """Something of its shape, for so large a batch."""
        return Tensor(np.ones([batch if extent is None else extent for extent in self.shape]))

    def compute(self, values: Any, training: bool) -> Any:
        """The value, those of its inputs being in `values`. training: whether layers behave as in training.

        Raises ValueError where it has none and has to be given.
        """
        raise ValueError(f"{self!r} is needed, and is not among the inputs")

    def __add__(self, other: Any) -> Applied:
        return Applied(lambda a, b: a + b, self, other)

    def __radd__(self, other: Any) -> Applied:
        return Applied(lambda a, b: b + a, self, other)

    def __sub__(self, other: Any) -> Applied:
        return Applied(lambda a, b: a - b, self, other)

    def __rsub__(self, other: Any) -> Applied:
        return Applied(lambda a, b: b - a, self, other)

    def __mul__(self, other: Any) -> Applied:
        return Applied(lambda a, b: a * b, self, other)

    def __rmul__(self, other: Any) -> Applied:
        return Applied(lambda a, b: b * a, self, other)

    def __truediv__(self, other: Any) -> Applied:
        return Applied(lambda a, b: a / b, self, other)

    def __rtruediv__(self, other: Any) -> Applied:
        return Applied(lambda a, b: b / a, self, other)

    def __pow__(self, other: Any) -> Applied:
        return Applied(lambda a, b: a**b, self, other)

    def __rpow__(self, other: Any) -> Applied:
        return Applied(lambda a, b: b**a, self, other)

    def __matmul__(self, other: Any) -> Applied:
        return Applied(lambda a, b: a @ b, self, other)

    def __rmatmul__(self, other: Any) -> Applied:
        return Applied(lambda a, b: b @ a, self, other)

    def __neg__(self) -> Applied:
        return Applied(lambda a: -a, self)

    def __lt__(self, other: Any) -> Applied:
        return Applied(lambda a, b: a < b, self, other)

    def __gt__(self, other: Any) -> Applied:
        return Applied(lambda a, b: a > b, self, other)

    def __le__(self, other: Any) -> Applied:
        return Applied(lambda a, b: a <= b, self, other)

    def __ge__(self, other: Any) -> Applied:
        return Applied(lambda a, b: a >= b, self, other)

    def __getitem__(self, index: Any) -> Applied:
        return Applied(lambda a: a[index], self)

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("this is not computed yet, and has no elements: see keras.backend's function()")

    def __bool__(self) -> bool:
        raise TypeError("this is not computed yet, and is neither true nor false: see keras.backend's function()")

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("this is not computed yet, and has no values: see keras.backend's function()")


class Applied(Expression):
    """function(*arguments, **options) of Expressions and of what is known already; lists may hold some too."""

    def __init__(self, function: Callable, *arguments: Any, **options: Any):
        self.function, self.arguments, self.options = function, arguments, options
        self.inputs = tuple(expressions_in([*arguments, *options.values()]))
        self.constants = [known for known in (*arguments, *options.values()) if isinstance(known, Tensor)]

    def compute(self, values: Any, training: bool) -> Any:
        options = {name: filled(value, values) for name, value in self.options.items()}
        return self.function(*filled(self.arguments, values), **options)

    @cached_property
    def shape(self) -> Extents:
        """Found by computing it for two batches of different sizes: what differs is the batch."""
        two, three = (tried(partial(self.value_of_ones, size)) for size in (2, 3))
        return tuple(a if a == b else None for a, b in zip(np.shape(two), np.shape(three), strict=True))

    def value_of_ones(self, batch: int) -> Any:
        """What it is for inputs of so large a batch, whatever they are."""
        return self.compute({i: i.of_size(batch) for i in self.inputs}, False)

    def __repr__(self) -> str:
        return f"<an expression of {', '.join(map(repr, self.inputs))}>"


def tried(function: Callable[[], Any]) -> Any:
    """What a function makes of Tensors that it makes itself: on the device `reference`, where nothing is compiled for
    it, or where it also takes Tensors that live elsewhere, on the current one."""
    with no_grad():
        try:
            with use_device("reference"), drawing.by_any():
                return function()
        except TwoDevices:
            with drawing.by_any():
                return function()


class Constant(Expression):
    """A start that has a value, whatever it is."""

    def __init__(self, value: Any):
        self.value = value

    @property
    def shape(self) -> Any:
        return np.shape(self.value)

    def of_size(self, batch: int) -> Any:
        return self.value

    def compute(self, values: Any, training: bool) -> Any:
        return self.value


class Derivatives(Expression):
    """The list of derivatives of the sum of `loss` to each of `variables`, Expressions or Tensors."""

    def __init__(self, loss: Expression, variables: Sequence[Any]):
        if any(isinstance(e, Derivatives) for e in in_order([loss])):
            raise NotImplementedError("gradients of gradients are not there: backward() runs once over a graph")
        self.loss, self.variables = loss, list(variables)
        self.inputs = tuple(expressions_in(self.variables))

    def compute(self, values: Values, training: bool) -> list[Tensor]:
        # What flows to a place is what a 0 that is added there receives.
        probes = {v: Tensor(np.zeros(values[v].shape), device=values[v].device) for v in self.inputs}
        wanted = [probes[v] if isinstance(v, Expression) else v for v in self.variables]
        with only_these_require_gradients(wanted, self.loss):
            value = evaluate([self.loss], values.given, training, probes)[0]
            if value.creator is None and not value.requires_grad:
                raise ValueError("gradients(loss, variables): the loss does not depend on the variables")
            value.backward(np.ones(value.shape))
            return [Tensor(np.zeros(w.shape), device=w.device) if w.grad is None else w.grad for w in wanted]


def gradients(loss: Expression, variables: Any) -> list[Expression]:
    """The derivatives of the sum of `loss` to one variable or to each of a list: inputs, layers' outputs, weights."""
    many = variables if isinstance(variables, (list, tuple)) else [variables]
    all_of_them = Derivatives(loss, many)
    return [Derivative(all_of_them, i) for i in range(len(many))]


class Derivative(Applied):
    """One of Derivatives. Its shape is that of its variable."""

    def __init__(self, all_of_them: Derivatives, place: int):
        super().__init__(lambda found: found[place], all_of_them)
        self.variable = all_of_them.variables[place]

    @cached_property
    def shape(self) -> Extents:
        return tuple(self.variable.shape)


@contextmanager
def only_these_require_gradients(wanted: Sequence[Tensor], loss: Expression) -> Iterator[None]:
    """Inside, backward() leaves gradients in `wanted` alone, and not in the weights of the layers behind `loss`."""
    before = [(t, t.requires_grad, t.gradient) for t in dict.fromkeys([*weights_behind([loss]), *wanted])]
    for tensor, _, _ in before:
        tensor.requires_grad, tensor.gradient = False, None
    for tensor in wanted:
        tensor.requires_grad = True
    try:
        yield
    finally:
        for tensor, required, gradient in before:
            tensor.requires_grad, tensor.gradient = required, gradient


# ---------------------------------------------------------------- evaluation


class Values(dict[Any, Any]):
    """What is computed so far. given: what it was begun with."""

    def __init__(self, given: Mapping[Expression, Any]):
        super().__init__(given)
        self.given = dict(given)


def evaluate(
    wanted: Sequence[Expression], given: Mapping[Expression, Any], training: bool = False,
    probes: Mapping[Expression, Tensor] | None = None,
) -> list[Any]:  # fmt: skip
    """The values of `wanted`, those of `given` being known.

    probes: Tensors to add to some values; then the result remembers how it came about, so that backward() can follow.

    Raises ValueError where something is needed that is not given.
    """
    values = Values(given)
    for expression in (probes or {}).keys() & given.keys():
        values[expression] = given[expression] + probes[expression]  # type: ignore[index]
    device = next((value.device for value in given.values() if isinstance(value, Tensor)), None)
    with drawing.by_any(device):
        for expression in in_order(wanted, given):
            if probes is not None:
                value = expression.compute(values, training)
                values[expression] = value + probes[expression] if expression in probes else value
            elif isinstance(expression, Derivatives):  # which runs backward() over a graph of its own
                values[expression] = expression.compute(values, training)
            else:
                with no_grad():
                    values[expression] = expression.compute(values, training)
    return [values[e] for e in wanted]


def in_order(wanted: Iterable[Expression], known: Iterable[Expression] = ()) -> list[Expression]:
    """Everything that `wanted` depends on and that is not known, each after its inputs."""
    done: dict[Expression, bool] = dict.fromkeys(known, False)
    # Depth first without recursion: a network may be deeper than Python's stack.
    stack = [(e, False) for e in reversed(list(wanted))]
    while stack:
        expression, inputs_done = stack.pop()
        if inputs_done:
            done[expression] = True
        elif expression not in done:
            stack.append((expression, True))
            stack.extend((before, False) for before in reversed(expression.inputs))
    return [e for e, is_new in done.items() if is_new]


def weights_behind(wanted: Iterable[Expression]) -> list[Tensor]:
    """The weights of the layers that `wanted` goes through, on its way forward or back."""
    return [w for e in everything_behind(wanted) for w in e.weights]


def everything_behind(wanted: Iterable[Expression]) -> list[Expression]:
    """What `wanted` goes through, on its way forward or back."""
    forward = in_order(wanted)
    return [*forward, *(e for d in forward if isinstance(d, Derivatives) for e in everything_behind([d.loss]))]


def expressions_in(arguments: Any) -> list[Expression]:
    """The Expressions among arguments, and in lists among them."""
    if isinstance(arguments, Expression):
        return [arguments]
    if isinstance(arguments, (list, tuple)):
        return [e for argument in arguments for e in expressions_in(argument)]
    return []


def filled(arguments: Any, values: Any) -> Any:
    """The arguments with a value in the place of every Expression."""
    if isinstance(arguments, Expression):
        return values[arguments]
    if isinstance(arguments, (list, tuple)):
        return type(arguments)(filled(argument, values) for argument in arguments)
    return arguments
