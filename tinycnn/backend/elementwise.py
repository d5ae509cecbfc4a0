"""Number by number: powers, bounds, activations and comparisons."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn import functional as F
from tinycnn.arithmetic import keep
from tinycnn.backend.lifting import Axis, axes, both, compared, of_both, tensor
from tinycnn.tensor import Tensor


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
    return chosen(small, keep(x, small) + far - far, x)


@of_both
def maximum(x: Any, y: Any) -> Tensor:
    """The larger one, or NaN where one is; where both are the same, the gradient flows to y."""
    x, y = both(x, y)
    return chosen(compared("greater", x, y) + not_equal(x, x), x, y)


def chosen(first: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """x where `first` is not 0, else y, whatever the other one is."""
    return keep(x, first) + keep(y, compared("equal", first, 0.0))


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
