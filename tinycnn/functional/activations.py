"""The activations, each an operation of its own; ReLU is fused into products as well."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from tinycnn.devices.base import Array
from tinycnn.shapes import require
from tinycnn.tensor import Tensor, output_of


def relu(x: Tensor) -> Tensor:
    """max(x, 0), of any shape. The gradient at exactly 0 is 0, as in Keras.

    >>> relu(Tensor([-1.0, 2.0])).numpy()
    array([0., 2.], dtype=float32)
    """
    y = x.device.relu_forward(x.data)
    return output_of("relu", (x,), y, lambda dy: (x.device.relu_backward(dy, y),))


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent, of any shape.

    >>> tanh(Tensor([0.0, 20.0])).numpy()
    array([0., 1.], dtype=float32)
    """
    return activation("tanh", x)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), of any shape.

    >>> sigmoid(Tensor([0.0, 20.0])).numpy()
    array([0.5, 1. ], dtype=float32)
    """
    return activation("sigmoid", x)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha * (exp(x) - 1), of any shape: Clevert et al., 2016. alpha is not negative.

    >>> elu(Tensor([-20.0, 2.0])).numpy()
    array([-1.,  2.], dtype=float32)
    """
    return activation("elu", x, alpha)


def leaky_relu(x: Tensor, alpha: float = 0.3) -> Tensor:
    """x where x > 0, else alpha * x, of any shape. alpha is not negative.

    >>> leaky_relu(Tensor([-2.0, 2.0]), alpha=0.5).numpy()
    array([-1.,  2.], dtype=float32)
    """
    return activation("leaky_relu", x, alpha)


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)), of any shape: ReLU without its corner.

    >>> softplus(Tensor([0.0, 20.0])).numpy().round(4)
    array([ 0.6931, 20.    ], dtype=float32)
    """
    return activation("softplus", x)


def activation(name: str, x: Tensor, alpha: float = 0.0) -> Tensor:
    """One of the activations that a device computes by its name. Raises ValueError for a negative alpha."""
    if not alpha >= 0:
        raise ValueError(f"{name}: alpha must be at least 0, not {alpha}")
    device = x.device
    y = device.activation_forward(name, x.data, alpha)
    return output_of(name, (x,), y, lambda dy: (device.activation_backward(name, dy, y, alpha),))


def softmax(x: Tensor) -> Tensor:
    """exp(x) / sum(exp(x)) over the last axis. The result remembers x as `.logits`, for the loss.

    Shapes:
        x (...,K), of at least two axes -> the same.

    Raises:
        ShapeError: for fewer axes.

    >>> softmax(Tensor([[1.0, 1.0]])).numpy()
    array([[0.5, 0.5]], dtype=float32)
    """
    require(x.ndim >= 2, f"softmax: the input must have shape (N, classes), or more axes, not {x.shape}")
    device, rows = x.device, (prod(x.shape[:-1]), x.shape[-1])
    y = device.softmax_forward(x.data.reshape(rows))

    def backward(dy: Array) -> tuple:
        return (device.softmax_backward(dy.reshape(rows), y).reshape(x.shape),)

    output = output_of("softmax", (x,), y.reshape(x.shape), backward)
    output.logits = x
    return output


# The activations that need no argument, by Keras's names.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": relu, "softmax": softmax, "tanh": tanh, "sigmoid": sigmoid, "elu": elu, "softplus": softplus,
}  # fmt: skip
Activation = str | Callable[[Tensor], Tensor] | None  # by its name, or a function of one's own


def activated(by: Activation, x: Tensor) -> Tensor:
    """x as it is for None, else that activation of it. Raises ValueError for what is no activation."""
    if by is None or callable(by):
        return x if by is None else by(x)
    return ACTIVATIONS[known(by)](x)


def known(name: str) -> str:
    """The name of an activation. Raises ValueError for what is none."""
    if name not in ACTIVATIONS:
        raise ValueError(f"the activation is None, one of {', '.join(ACTIVATIONS)}, or a function, not {name!r}")
    return name
