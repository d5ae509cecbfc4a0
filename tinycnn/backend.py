"""`keras.backend`: functions of tensors, of layers' outputs that are not computed yet, and what a session knows.

Each function takes a Tensor, a number or an array and computes, or takes what is not computed yet (a layer's output, or
what another of these functions gave for one) and remembers; `function` makes a Python function of what is remembered,
`gradients` its derivatives.

>>> from tinycnn.layers import Input
>>> x = Input((2,))
>>> loss = mean(square(x))
>>> of = function([x], [loss, gradients(loss, x)[0]])
>>> [value.tolist() for value in of([[[1.0, 3.0]]])]
[5.0, [[1.0, 3.0]]]
"""

from __future__ import annotations

import builtins
import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinycnn import arithmetic, drawing, refusals
from tinycnn import functional as F
from tinycnn.arithmetic import as_tensor
from tinycnn.devices import current_device
from tinycnn.expressions import Applied, Constant, Expression, evaluate, expressions_in, gradients, weights_behind
from tinycnn.optimizers import Rate
from tinycnn.session import clear_session
from tinycnn.tensor import Tensor

__all__ = ["clear_session", "floatx", "function", "gradients", "image_data_format", "learning_phase"]

Axis = int | Sequence[int] | None

# ---------------------------------------------------------------- the session


def backend() -> str:
    """'tinycnn', where Keras says 'tensorflow'."""
    return "tinycnn"


def image_data_format() -> str:
    """Images are (N, H, W, C), always."""
    return "channels_last"


def set_image_data_format(data_format: str) -> None:
    """Raises ValueError for another than 'channels_last'."""
    if data_format != "channels_last":
        raise ValueError(f"data_format {data_format!r}: {refusals.CHANNELS}")


def image_dim_ordering() -> str:
    """Keras 1's name of 'channels_last': 'tf'."""
    return "tf"


def set_image_dim_ordering(dim_ordering: str) -> None:
    """Raises ValueError for another than 'tf'."""
    if dim_ordering != "tf":
        raise ValueError(f"dim_ordering {dim_ordering!r}: {refusals.CHANNELS}")


def floatx() -> str:
    """The precision of the current device: 'float32' or 'float64'."""
    return current_device().dtype


def set_floatx(floatx: str) -> None:
    """Raises ValueError for another than the device computes in."""
    there = current_device().dtype
    if floatx != there:
        raise ValueError(f"this device computes in {there}; choose another with tinycnn.set_device(name, {floatx!r})")


def cast_to_floatx(x: Any) -> np.ndarray:
    """An array in the precision of the current device."""
    return np.asarray(x, dtype=floatx())


def epsilon() -> float:
    """What Keras adds to avoid a division by 0."""
    return 1e-7


class LearningPhase(Expression):
    """Among the inputs of a function: 1 for training, 0 for inference."""

    shape = ()

    def __repr__(self) -> str:
        return "learning_phase()"


_learning_phase: Any = LearningPhase()
_phase = 0


def learning_phase() -> Any:
    """What tells a function whether it trains, as one of its inputs."""
    return _learning_phase


def set_learning_phase(value: int) -> None:
    """Whether functions train that are not told: 0 or 1. Raises ValueError for anything else."""
    global _phase
    if value not in (0, 1):
        raise ValueError(f"the learning phase is 0 or 1, not {value!r}")
    _phase = int(value)


# ---------------------------------------------------------------- functions of what is not computed yet


def function(inputs: Any, outputs: Any, updates: Any = None) -> Callable[[Any], Any]:
    """A function of arrays for `inputs` that gives those of `outputs`, NumPy arrays; one of each, or a list."""
    if updates:
        raise TypeError("function(updates=...) is not there: assign to weights with set_weights(), or train with fit()")
    starts = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    wanted = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    for start in starts:
        if not isinstance(start, Expression):
            raise TypeError(f"function(inputs=...) takes a model's inputs, not {type(start).__name__}")

    def compute(values: Any) -> Any:
        given = list(values) if isinstance(values, (list, tuple)) else [values]
        if len(given) != len(starts):
            raise ValueError(f"this function has {len(starts)} inputs, and {len(given)} were given")
        known: dict[Expression, Any] = dict(zip(starts, given, strict=True))
        training = bool(known.pop(_learning_phase, _phase))
        weights = weights_behind([w for w in wanted if isinstance(w, Expression)])
        device = weights[0].device if weights else current_device()
        known = {start: Tensor(value, device=device) for start, value in known.items()}
        found = evaluate([w if isinstance(w, Expression) else Constant(w) for w in wanted], known, training)
        arrays = [f.numpy().copy()[()] if isinstance(f, Tensor) else f for f in found]
        return arrays if isinstance(outputs, (list, tuple)) else arrays[0]

    return compute


def of_both(operation: Callable) -> Callable:
    """For a function of Tensors: one that also takes numbers and arrays, and what is not computed yet."""

    operation = refusals.by_name(operation)

    @functools.wraps(operation)
    def either(*arguments: Any, **options: Any) -> Any:
        if expressions_in([arguments, *options.values()]):
            return Applied(operation, *arguments, **options)
        return operation(*arguments, **options)

    return either


def tensor(x: Any) -> Tensor:
    """A Tensor as it is, a number or an array as one on the current device."""
    return as_tensor(x, current_device())


def both(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Two operands as Tensors, on the device of that which is one."""
    device = next((operand.device for operand in (x, y) if isinstance(operand, Tensor)), current_device())
    return as_tensor(x, device), as_tensor(y, device)


def compared(operation: str, x: Any, y: Any) -> Tensor:
    """1 where x is 'equal' to y, or 'greater', else 0. No gradient flows through it."""
    return arithmetic.compared(operation, *both(x, y))


def axes(axis: Any) -> int | tuple[int, ...] | None:
    return tuple(axis) if isinstance(axis, (list, tuple)) else axis


# ---------------------------------------------------------------- reductions


@of_both
def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over `axis`, over everything if None."""
    return tensor(x).sum(axes(axis), keepdims)


@of_both
def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean over `axis`, over everything if None."""
    return tensor(x).mean(axes(axis), keepdims)


@of_both
def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The maximum over `axis`, over everything if None."""
    return tensor(x).max(axes(axis), keepdims)


@of_both
def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The minimum over `axis`, over everything if None."""
    return -(-tensor(x)).max(axes(axis), keepdims)


@of_both
def var(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The biased variance over `axis`, over everything if None."""
    x = tensor(x)
    return square(x - x.mean(axes(axis), True)).mean(axes(axis), keepdims)


@of_both
def std(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The square root of `var`."""
    return sqrt(var(x, axis, keepdims))


@of_both
def any(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """1 where one of the numbers along `axis` is not 0, else 0."""
    return not_equal(x, 0.0).max(axes(axis), keepdims)


@of_both
def all(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """1 where none of them is 0, else 0."""
    return 1.0 - equal(x, 0.0).max(axes(axis), keepdims)


@of_both
def argmax(x: Any, axis: int = -1) -> Tensor:
    """Where the largest number along an axis is, of equal ones the first. No gradient flows through it."""
    x = tensor(x).detach()
    behind = np.arange(x.shape[axis])[::-1].reshape([-1 if n == axis % x.ndim else 1 for n in range(x.ndim)])
    most = equal(x, x.max(axis, keepdims=True)) * (behind + 1.0)  # how many are behind the first of the largest, and it
    return x.shape[axis] - most.max(axis)


@of_both
def argmin(x: Any, axis: int = -1) -> Tensor:
    """Where the smallest number along an axis is, of equal ones the first. No gradient flows through it."""
    return argmax(-tensor(x), axis)


@of_both
def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over `axis`, without an overflow on the way."""
    x = tensor(x)
    largest = x.max(axes(axis), True)
    result = (x - largest).exp().sum(axes(axis), True).log() + largest
    return result if keepdims else result.sum(axes(axis))


# ---------------------------------------------------------------- element by element


@of_both
def square(x: Any) -> Tensor:
    """x * x."""
    x = tensor(x)
    return x * x


@of_both
def sqrt(x: Any) -> Tensor:
    """The square root; of negative numbers 0, as in Keras."""
    return maximum(x, 0.0).sqrt()


@of_both
def exp(x: Any) -> Tensor:
    """e ** x."""
    return tensor(x).exp()


@of_both
def log(x: Any) -> Tensor:
    """The natural logarithm."""
    return tensor(x).log()


@of_both
def pow(x: Any, a: Any) -> Tensor:
    """x ** a."""
    return tensor(x) ** a


@of_both
def sign(x: Any) -> Tensor:
    """-1, 0 or 1. No gradient flows through it."""
    return compared("greater", x, 0.0) - compared("greater", 0.0, x)


@of_both
def abs(x: Any) -> Tensor:
    """The absolute value; its gradient at 0 is 0."""
    x = tensor(x)
    return x * sign(x)


@of_both
def round(x: Any) -> Tensor:
    """The nearest whole number, of two the even one; of numbers below 2**22 (float64: 2**51), as others are whole to
    a half. No gradient flows through it."""
    x = tensor(x).detach()
    far = 1.5 * 2.0 ** (23 if x.dtype == np.float32 else 52)  # where neighbours are 1 apart: adding it rounds
    small = abs(x) < far / 3.0
    return (x * small + far - far) * small + x * (1.0 - small)


@of_both
def maximum(x: Any, y: Any) -> Tensor:
    """The larger one; where both are the same, the gradient flows to y."""
    x, y = both(x, y)
    first = compared("greater", x, y)
    return x * first + y * (1.0 - first)


@of_both
def minimum(x: Any, y: Any) -> Tensor:
    """The smaller one; where both are the same, the gradient flows to y."""
    x, y = both(x, y)
    return -maximum(-x, -y)


@of_both
def clip(x: Any, min_value: Any, max_value: Any) -> Tensor:
    """x, and the bounds where it is beyond them."""
    return minimum(maximum(x, min_value), max_value)


@of_both
def relu(x: Any, alpha: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Tensor:
    """max(x, 0). Raises TypeError for other bounds."""
    if alpha or max_value is not None or threshold:
        raise TypeError("relu(alpha, max_value, threshold) are not there: use maximum, minimum and the operators")
    return F.relu(tensor(x))


@of_both
def softmax(x: Any, axis: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along an axis."""
    x = tensor(x)
    e = (x - x.max(axis, keepdims=True)).exp()
    return e / e.sum(axis, keepdims=True)


@of_both
def sigmoid(x: Any) -> Tensor:
    """1 / (1 + exp(-x))."""
    return F.sigmoid(tensor(x))


@of_both
def tanh(x: Any) -> Tensor:
    """The hyperbolic tangent."""
    return F.tanh(tensor(x))


@of_both
def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """x where it is positive, else alpha * (exp(x) - 1)."""
    return F.elu(tensor(x), alpha)


@of_both
def softplus(x: Any) -> Tensor:
    """log(1 + exp(x))."""
    return F.softplus(tensor(x))


@of_both
def l2_normalize(x: Any, axis: Axis = None) -> Tensor:
    """x, divided by its length along `axis`."""
    x = tensor(x)
    return x / sqrt(maximum(square(x).sum(axes(axis), True), 1e-12))


@of_both
def stop_gradient(variables: Any) -> Tensor:
    """The same values, to which no gradient flows."""
    return tensor(variables).detach()


@of_both
def cast(x: Any, dtype: str) -> Any:
    """x: everything is computed in the device's precision."""
    return x


@of_both
def equal(x: Any, y: Any) -> Tensor:
    """1 where they are the same, else 0."""
    return compared("equal", x, y)


@of_both
def greater(x: Any, y: Any) -> Tensor:
    """1 where x is larger, else 0."""
    return compared("greater", x, y)


@of_both
def less(x: Any, y: Any) -> Tensor:
    """1 where x is smaller, else 0."""
    return compared("greater", y, x)


@of_both
def greater_equal(x: Any, y: Any) -> Tensor:
    """1 where x is not smaller, else 0."""
    x, y = both(x, y)
    return x >= y


@of_both
def less_equal(x: Any, y: Any) -> Tensor:
    """1 where x is not larger, else 0."""
    x, y = both(x, y)
    return x <= y


@of_both
def not_equal(x: Any, y: Any) -> Tensor:
    """1 where they differ, else 0."""
    return 1.0 - equal(x, y)


# ---------------------------------------------------------------- losses, for each image


@of_both
def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Tensor:
    """-target * log(output) - (1 - target) * log(1 - output), number by number; output is clipped by epsilon().

    from_logits: whether output is what the probabilities are the sigmoid of.
    """
    target, output = both(target, output)
    p = clip(sigmoid(output) if from_logits else output, epsilon(), 1 - epsilon())
    return -(target * log(p) + (1.0 - target) * log(1.0 - p))


@of_both
def categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Tensor:
    """-sum(target * log(output)) along an axis; output is scaled to the sum 1 and clipped by epsilon().

    from_logits: whether output is what the probabilities are the softmax of.
    """
    target, output = both(target, output)
    p = softmax(output, axis) if from_logits else output / output.sum(axis, True)
    return -(target * log(clip(p, epsilon(), 1 - epsilon()))).sum(axis)


@of_both
def sparse_categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Tensor:
    """`categorical_crossentropy` of targets that are whole numbers, (...) or (..., 1), and outputs (..., classes).

    Raises ValueError for another axis than the last.
    """
    if axis not in (-1, output.ndim - 1):
        raise ValueError(f"classes are the last axis, not {axis}")
    target, output = both(target, output)
    places = target.reshape(*output.shape[:-1], 1)
    return categorical_crossentropy(equal(places, np.arange(output.shape[-1])), output, from_logits)


# ---------------------------------------------------------------- shapes and products


@of_both
def shape(x: Any) -> tuple[int, ...]:
    """The shape, the batch included: `shape(x)[0]` may stand for an extent."""
    return tensor(x).shape


@of_both
def dot(x: Any, y: Any) -> Tensor:
    """The product of two matrices."""
    x, y = both(x, y)
    return x @ y


@of_both
def transpose(x: Any) -> Tensor:
    """The axes in reverse order."""
    return tensor(x).transpose()


@of_both
def permute_dimensions(x: Any, pattern: Sequence[int]) -> Tensor:
    """The axes in the order of `pattern`."""
    return tensor(x).transpose(*pattern)


@of_both
def reshape(x: Any, shape: Sequence[int]) -> Tensor:
    """The same elements in another shape, of which one extent may be -1."""
    return tensor(x).reshape(tuple(shape))


@of_both
def flatten(x: Any) -> Tensor:
    """All elements in a row."""
    return tensor(x).reshape(-1)


@of_both
def batch_flatten(x: Any) -> Tensor:
    """Everything but the batch in a row."""
    return F.flatten(tensor(x))


@of_both
def expand_dims(x: Any, axis: int = -1) -> Tensor:
    """An axis of extent 1 more."""
    x = tensor(x)
    return x.reshape(np.expand_dims(np.empty(x.shape, bool), axis).shape)


@of_both
def squeeze(x: Any, axis: int) -> Tensor:
    """Without this axis, of extent 1."""
    x = tensor(x)
    return x.reshape(np.squeeze(np.empty(x.shape, bool), axis).shape)


@of_both
def concatenate(tensors: Sequence[Any], axis: int = -1) -> Tensor:
    """Joined along the last axis. Raises ValueError for another."""
    parts = [tensor(t) for t in tensors]
    if axis not in (-1, parts[0].ndim - 1):
        raise ValueError(f"tensors are joined along their last axis, not along {axis}")
    return F.concatenate(parts)


@of_both
def one_hot(indices: Any, num_classes: int) -> Tensor:
    """1 at the place of each whole number, (...) -> (..., num_classes)."""
    return equal(expand_dims(indices), np.arange(num_classes))


@of_both
def zeros_like(x: Any, dtype: Any = None, name: str | None = None) -> Tensor:
    """0 in the shape of x."""
    x = tensor(x)
    return Tensor.wrap(x.device.zeros(x.shape), x.device)


@of_both
def ones_like(x: Any, dtype: Any = None, name: str | None = None) -> Tensor:
    """1 in the shape of x."""
    x = tensor(x)
    return zeros_like(x) + 1.0


@of_both
def conv2d(x: Any, kernel: Any, strides: Any = (1, 1), padding: str = "valid") -> Tensor:
    """The convolution of images (N,H,W,C) by filters (R,S,C,K)."""
    x, kernel = both(x, kernel)
    return F.conv2d(x, kernel, None, strides, padding)


# ---------------------------------------------------------------- random numbers


def random_normal(
    shape: Sequence[Any], mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: int | None = None,
    std: Any = None,
) -> Any:  # fmt: skip
    """Normal numbers, drawn anew in every pass: in a Lambda layer's function a Tensor, elsewhere not computed yet.

    shape: extents may be those of `shape(x)`. std: Keras 1's name of stddev. seed: that of the network if None.

    >>> from tinycnn.layers import Input
    >>> x = Input((2,))
    >>> function([x], [random_normal((shape(x)[0], 3))])([[[0.0, 0.0]] * 5])[0].shape
    (5, 3)
    """
    return random_numbers(True, shape, mean, stddev if std is None else std, seed)


def random_uniform(
    shape: Sequence[Any], minval: Any = 0.0, maxval: Any = 1.0, dtype: Any = None, seed: int | None = None
) -> Any:
    """Uniform numbers in [minval, maxval), drawn as `random_normal` draws."""
    return random_numbers(False, shape, minval, maxval - minval, seed)


def random_numbers(normal: bool, shape: Sequence[Any], first: Any, scale: Any, seed: int | None) -> Any:
    """first + scale * what is drawn."""
    now = drawing.current()
    if now is None or expressions_in([shape, first, scale]):
        return Applied(random_numbers, normal, shape, first, scale, seed)
    drawn = now.draw(shape, normal, seed)
    return drawn * scale + first


# ---------------------------------------------------------------- tensors and their values


@refusals.by_name
def variable(value: Any, dtype: Any = None, name: str | None = None) -> Tensor:
    """A Tensor that takes gradients."""
    return Tensor(value, requires_grad=True)


def constant(value: Any, dtype: Any = None, shape: Sequence[int] | None = None, name: str | None = None) -> Tensor:
    """A Tensor that takes none."""
    return Tensor(value if shape is None else np.broadcast_to(value, shape))


def zeros(shape: Sequence[int], dtype: Any = None, name: str | None = None) -> Tensor:
    """A Tensor of 0 that takes gradients."""
    return variable(np.zeros(shape))


def ones(shape: Sequence[int], dtype: Any = None, name: str | None = None) -> Tensor:
    """A Tensor of 1 that takes gradients."""
    return variable(np.ones(shape))


def eval(x: Any) -> np.ndarray:
    """The values of a Tensor, or of what depends on nothing that is not known."""
    value = evaluate([x], {})[0] if isinstance(x, Expression) else x
    return np.asarray(value.numpy() if isinstance(value, Tensor) else value).copy()


def get_value(x: Any) -> Any:
    """The values of a weight; a number, as an optimiser's learning rate, as it is."""
    if isinstance(x, Rate):
        return float(x)
    return x.numpy().copy() if isinstance(x, Tensor) else x


def set_value(x: Any, value: Any) -> None:
    """New values for a weight; a new learning rate for an optimiser, as in set_value(model.optimizer.lr, 0.001).

    Raises TypeError for any other number.
    """
    if isinstance(x, Rate):
        x.owner.learning_rate = value
        return
    if not isinstance(x, Tensor):
        raise TypeError(f"set_value takes a weight, or model.optimizer.lr, not {x!r}")
    x.device.assign(x.data, np.broadcast_to(np.asarray(value), x.shape))


def batch_get_value(ops: Sequence[Any]) -> list[Any]:
    """`get_value` of each."""
    return [get_value(x) for x in ops]


def batch_set_value(tuples: Sequence[tuple[Any, Any]]) -> None:
    """`set_value` of each (weight, values)."""
    for x, value in tuples:
        set_value(x, value)


def int_shape(x: Any) -> tuple[int | None, ...]:
    """The shape, with None for a batch that is not known."""
    return tuple(x.shape)


def ndim(x: Any) -> int:
    """How many axes x has."""
    return builtins.len(x.shape)


def dtype(x: Any) -> str:
    """The precision of a Tensor; of what is not computed yet, that of the current device."""
    return floatx() if isinstance(x, Expression) else str(x.dtype)


def count_params(x: Any) -> int:
    """How many elements x has."""
    return int(np.prod(x.shape))


def is_tensor(x: Any) -> bool:
    """Whether x is a Tensor or stands for one."""
    return isinstance(x, (Tensor, Expression))


def __getattr__(name: str) -> Any:
    return refusals.attribute(sys.modules[__name__], name)
