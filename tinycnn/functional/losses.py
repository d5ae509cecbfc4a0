"""The losses, each computed with its gradient, and the penalty on a weight."""

from __future__ import annotations

from numpy.typing import ArrayLike

from tinycnn.devices.base import Array
from tinycnn.shapes import require
from tinycnn.tensor import Tensor, output_of


def softmax_crossentropy(logits: Tensor, labels: Tensor | ArrayLike) -> tuple[Tensor, Array]:
    """The mean cross-entropy between softmax(logits) and labels, and how many rows were classified rightly.

    Args:
        labels: one-hot or soft; rows sum to 1.

    Shapes:
        logits, labels (N,K) -> (1,), (1,).

    Returns:
        (loss, correct): a Tensor, and a device array.

    Raises:
        ShapeError: where logits and labels differ in shape.

    >>> loss, correct = softmax_crossentropy(Tensor([[0.0, 0.0]]), [[1.0, 0.0]])
    >>> round(loss.item(), 4), float(correct[0])
    (0.6931, 1.0)
    """
    wanted = alike("softmax_crossentropy", logits, labels)
    return loss_of("softmax_crossentropy", logits, *logits.device.softmax_crossentropy(logits.data, wanted))


def binary_crossentropy(outputs: Tensor, labels: Tensor | ArrayLike, from_logits: bool = False) -> tuple[Tensor, Array]:
    """The mean over all numbers of -label * log p - (1 - label) * log(1 - p), and how much was right.

    Args:
        outputs: p, which is clipped to [1e-7, 1 - 1e-7]; with from_logits what p is the sigmoid of.
        labels: numbers in [0, 1].

    Shapes:
        outputs, labels (N,K) -> (1,), (1,).

    Returns:
        (loss, correct): a Tensor, and a device array: the sum over rows of the share that is rightly rounded.

    Raises:
        ShapeError: where outputs and labels differ in shape.

    >>> loss, correct = binary_crossentropy(Tensor([[0.5, 0.5]]), [[1.0, 0.0]])
    >>> round(loss.item(), 4), float(correct[0])
    (0.6931, 0.5)
    """
    wanted = alike("binary_crossentropy", outputs, labels)
    found = outputs.device.binary_crossentropy(outputs.data, wanted, from_logits)
    return loss_of("binary_crossentropy", outputs, *found)


def mean_squared_error(outputs: Tensor, labels: Tensor | ArrayLike) -> tuple[Tensor, Array]:
    """The mean over all numbers of (output - label)^2, and how many rows have their largest where the label has.

    Shapes:
        outputs, labels (N,K) -> (1,), (1,).

    Returns:
        (loss, correct): a Tensor, and a device array.

    Raises:
        ShapeError: where outputs and labels differ in shape.

    >>> loss, correct = mean_squared_error(Tensor([[1.0, 3.0]]), [[0.0, 1.0]])
    >>> loss.item(), float(correct[0])
    (2.5, 1.0)
    """
    wanted = alike("mean_squared_error", outputs, labels)
    return loss_of("mean_squared_error", outputs, *outputs.device.mean_squared_error(outputs.data, wanted))


def alike(name: str, outputs: Tensor, labels: Tensor | ArrayLike) -> Array:
    """The labels of the loss `name` on the device of its outputs. Raises ShapeError unless both are (N,K)."""
    wanted = labels.data if isinstance(labels, Tensor) else outputs.device.asarray(labels)
    require(
        outputs.ndim == 2 and outputs.shape == wanted.shape,
        f"{name}: outputs {outputs.shape} and labels {wanted.shape} must be alike, (N, K)",
    )
    return wanted


def loss_of(name: str, outputs: Tensor, loss: Array, correct: Array, gradient: Array) -> tuple[Tensor, Array]:
    """What a loss returns, of what a device gives: the gradient is known as soon as the loss is."""
    backward = lambda dy: (outputs.device.elementwise("multiply", gradient, dy),)  # noqa: E731
    return output_of(name, (outputs,), loss, backward), correct


def regularize(w: Tensor, l1: float, l2: float) -> Tensor:
    """The penalty l1 * sum |w| + l2 * sum w^2 on the size of a weight. Where w is 0, l1 has the gradient 0.

    Shapes:
        w of any shape -> (1,).

    >>> regularize(Tensor([1.0, -2.0]), l1=1.0, l2=0.5).item()
    5.5
    """
    device = w.device
    # The gradient is known as soon as the penalty is, so both are computed at once.
    gradient = device.zeros(w.shape)
    loss = device.regularize(w.data, gradient, l1, l2)
    return output_of("regularize", (w,), loss, lambda dy: (device.elementwise("multiply", gradient, dy),))
