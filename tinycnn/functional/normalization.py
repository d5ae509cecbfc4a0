"""Batch normalisation and dropout."""

from __future__ import annotations

from tinycnn.careful import checked
from tinycnn.devices.base import Array, Mask
from tinycnn.shapes import require
from tinycnn.tensor import Tensor, device_of, output_of


def batchnorm(
    x: Tensor, gamma: Tensor, beta: Tensor, moving_mean: Tensor, moving_variance: Tensor, training: bool,
    momentum: float = 0.99, epsilon: float = 1e-3, mask: Mask | None = None,
) -> Tensor:  # fmt: skip
    """Batch normalisation over all axes but the last: Ioffe and Szegedy, 2015, with Keras's defaults.

    Args:
        training: normalise by the batch's own statistics, and move the moving ones in passing; otherwise normalise by
            the moving ones, which are constants.
        momentum: moving = moving * momentum + batch * (1 - momentum). epsilon: added to the variance.
        mask: the arguments of a `dropout` of the result, which is computed in one with it: the same bits, in fewer
            launches.

    Shapes:
        x (...,C); gamma, beta, moving_mean, moving_variance (C,) -> (...,C).

    Raises:
        ShapeError: where a parameter has another shape. ValueError: for a mask of another rate than in [0, 1).

    >>> one, zero = Tensor([1.0]), Tensor([0.0])
    >>> batchnorm(Tensor([[1.0], [3.0]]), one, zero, Tensor([0.0]), Tensor([1.0]), training=True).numpy().round(2)
    array([[-1.],
           [ 1.]], dtype=float32)
    """
    for parameter in (gamma, beta, moving_mean, moving_variance):
        require(
            parameter.shape == x.shape[-1:],
            f"batchnorm: input {x.shape} needs parameters of shape {x.shape[-1:]}, not {parameter.shape}",
        )
    device, mean, variance = device_of("batchnorm", x, gamma, beta), moving_mean.data, moving_variance.data
    if not training:
        y = batchnorm_inference(x, gamma, beta, mean, variance, epsilon)
        return y if mask is None else dropout(y, *mask)
    if mask is not None and checked(mask.rate, "the dropout rate", "[0, 1)") == 0:
        mask = None
    array, saved = device.batchnorm_forward(x.data, gamma.data, beta.data, mean, variance, momentum, epsilon, mask)

    def backward(dy: Array) -> tuple:
        return device.batchnorm_backward(dy, x.data, gamma.data, saved)

    return output_of("batchnorm", (x, gamma, beta), array, backward)


def batchnorm_inference(x: Tensor, gamma: Tensor, beta: Tensor, mean: Array, variance: Array, epsilon: float) -> Tensor:
    """Normalisation by statistics that are constants: y = x * scale + shift, channel by channel."""
    device, of = x.device, x.device.elementwise
    y = device.batchnorm_inference(x.data, gamma.data, beta.data, mean, variance, epsilon)

    def backward(dy: Array) -> tuple:
        std = of("sqrt", of("add", variance, epsilon))
        x_hat = of("divide", of("subtract", x.data, mean), std)
        rows = tuple(range(len(dy.shape) - 1))
        dx = of("multiply", dy, of("divide", gamma.data, std))
        return dx, device.reduce("sum", of("multiply", dy, x_hat), axis=rows), device.reduce("sum", dy, axis=rows)

    return output_of("batchnorm_inference", (x, gamma, beta), y, backward)


def dropout(x: Tensor, rate: float, seed: int, stream: int, step: Array) -> Tensor:
    """Inverted dropout (Srivastava et al., 2014): zero a share `rate` of x, and divide the rest by 1 - rate.

    The mask is a function of (seed, stream, step, element) alone.

    Args:
        rate: in [0, 1). seed: in [0, 2**64). stream: in [0, 2**32). step: an int64 device array of one element.

    Shapes:
        x of any shape -> the same.

    Raises:
        ValueError: for another rate.

    >>> from tinycnn.devices import current_device
    >>> step = current_device().zeros((1,), "int64")
    >>> dropout(Tensor([1.0, 1.0, 1.0, 1.0]), 0.5, seed=7, stream=0, step=step).numpy()
    array([2., 2., 0., 0.], dtype=float32)
    """
    if checked(rate, "the dropout rate", "[0, 1)") == 0:
        return x
    device = x.device
    y, saved = device.dropout_forward(x.data, rate, seed, stream, step)
    return output_of("dropout", (x,), y, lambda dy: (device.dropout_backward(dy, rate, seed, stream, saved),))
