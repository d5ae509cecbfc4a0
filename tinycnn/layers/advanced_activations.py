"""Activations as layers of their own, with Keras's names and arguments."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from tinycnn import functional as F
from tinycnn import refusals
from tinycnn.careful import checked
from tinycnn.layers.base import Layer
from tinycnn.tensor import Tensor


class LeakyReLU(Layer):
    """x where it is positive, else alpha * x.

    Args:
        alpha: the slope below 0.

    Shapes:
        x of any shape -> the same.

    >>> LeakyReLU(alpha=0.5)(Tensor([-2.0, 2.0])).numpy()
    array([-1.,  2.], dtype=float32)
    """

    kind = "leaky_re_lu"
    elementwise = True

    def __init__(self, alpha: float = 0.3, name: str | None = None, input_shape: Sequence[int] | None = None):
        super().__init__(name, input_shape)
        self.alpha = checked(alpha, f"{self.name}: alpha", "[0, inf)")

    def call(self, x: Tensor, training: bool) -> Tensor:
        return F.leaky_relu(x, self.alpha)

    def options(self) -> dict[str, Any]:
        return {"alpha": self.alpha}


class ELU(Layer):
    """x where it is positive, else alpha * (exp(x) - 1): Clevert et al., 2016.

    Args:
        alpha: what the output tends to, with a minus sign.

    Shapes:
        x of any shape -> the same.

    >>> ELU()(Tensor([-1.0, 2.0])).numpy().round(3)
    array([-0.632,  2.   ], dtype=float32)
    """

    kind = "elu"
    elementwise = True

    def __init__(self, alpha: float = 1.0, name: str | None = None, input_shape: Sequence[int] | None = None):
        super().__init__(name, input_shape)
        self.alpha = checked(alpha, f"{self.name}: alpha", "[0, inf)")

    def call(self, x: Tensor, training: bool) -> Tensor:
        return F.elu(x, self.alpha)

    def options(self) -> dict[str, Any]:
        return {"alpha": self.alpha}


class ReLU(Layer):
    """max(x, 0), or with a slope below 0.

    Args:
        negative_slope: what x is multiplied by where it is negative.
        max_value, threshold: Keras's, of which only the defaults are here.

    Shapes:
        x of any shape -> the same.

    Raises:
        ValueError: for another max_value or threshold.

    >>> ReLU()(Tensor([-1.0, 2.0])).numpy()
    array([0., 2.], dtype=float32)
    """

    kind = "re_lu"
    elementwise = True

    def __init__(
        self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0,
        name: str | None = None, input_shape: Sequence[int] | None = None,
    ):  # fmt: skip
        super().__init__(name, input_shape)
        if max_value is not None or threshold != 0:
            raise ValueError(f"{self.name}: max_value is None and threshold 0 here, not {max_value!r}, {threshold!r}")
        self.negative_slope = checked(negative_slope, f"{self.name}: negative_slope", "[0, inf)")

    def call(self, x: Tensor, training: bool) -> Tensor:
        return F.leaky_relu(x, self.negative_slope) if self.negative_slope else F.relu(x)

    def options(self) -> dict[str, Any]:
        return {"negative_slope": self.negative_slope}


class Softmax(Layer):
    """exp(x) / sum(exp(x)) over the last axis.

    Args:
        axis: -1, the channels.

    Shapes:
        x (..., K) -> the same.

    Raises:
        ValueError: for another axis.

    >>> Softmax()(Tensor([[1.0, 1.0]])).numpy()
    array([[0.5, 0.5]], dtype=float32)
    """

    kind = "softmax"
    activation = "softmax"  # as an Activation has it: losses look for it at a network's end

    def __init__(self, axis: int = -1, name: str | None = None, input_shape: Sequence[int] | None = None):
        super().__init__(name, input_shape)
        if axis != -1:
            raise ValueError(f"{self.name}: softmax is taken over the last axis, -1, not over {axis!r}")

    def call(self, x: Tensor, training: bool) -> Tensor:
        return F.softmax(x)

    def logits(self, x: Tensor) -> Tensor:
        return x


def __getattr__(name: str) -> Any:
    return refusals.attribute(sys.modules[__name__], name)
