"""Pooling: the maximum or the mean of windows, or of whole images."""

from __future__ import annotations

from tinycnn.devices.base import Array
from tinycnn.shapes import Padding, Pair, check_padding, explicit_padding, pair, require
from tinycnn.tensor import Tensor, output_of


def maxpool2d(x: Tensor, pool: int | Pair = 2, stride: int | Pair | None = None, padding: str = "valid") -> Tensor:
    """The maximum of every window. The gradient goes to the first maximum in row-major order.

    Args:
        x: images. pool: the window, an int or (rows, columns). stride: the pool's size if None.
        padding: 'valid' or 'same'; what lies outside the image is never the maximum.

    Shapes:
        x (N,H,W,C) -> (N,P,Q,C).

    Raises:
        ShapeError: where the window does not fit into the image. ValueError: for another padding.

    >>> maxpool2d(Tensor([[[[1.0], [5.0]], [[3.0], [2.0]]]])).item()
    5.0
    """
    pool, stride, pads = pooling_window("maxpool2d", x, pool, stride, padding)
    device, x_shape = x.device, x.shape
    y, argmax = device.maxpool2d_forward(x.data, pool, stride, pads)

    def backward(dy: Array) -> tuple:
        return (device.maxpool2d_backward(dy, argmax, x_shape, pool, stride, pads),)

    return output_of("maxpool2d", (x,), y, backward)


def avgpool2d(x: Tensor, pool: int | Pair = 2, stride: int | Pair | None = None, padding: str = "valid") -> Tensor:
    """The mean of every window. With 'same', pixels outside the image do not count, as in Keras.

    Args:
        x: images. pool: the window, an int or (rows, columns). stride: the pool's size if None.
        padding: 'valid' or 'same'.

    Shapes:
        x (N,H,W,C) -> (N,P,Q,C).

    Raises:
        ShapeError: where the window does not fit into the image. ValueError: for another padding.

    >>> avgpool2d(Tensor([[[[1.0], [5.0]], [[3.0], [2.0]]]])).item()
    2.75
    """
    pool, stride, pads = pooling_window("avgpool2d", x, pool, stride, padding)
    device, x_shape = x.device, x.shape
    y = device.avgpool2d_forward(x.data, pool, stride, pads)
    backward = lambda dy: (device.avgpool2d_backward(dy, x_shape, pool, stride, pads),)  # noqa: E731
    return output_of("avgpool2d", (x,), y, backward)


def pooling_window(
    name: str, x: Tensor, pool: int | Pair, stride: int | Pair | None, padding: str
) -> tuple[Pair, Pair, Padding]:
    """(pool, stride, padding in pixels) as the operation `name` hands them to a device. Raises what it raises."""
    pool = pair(pool, "pool")
    stride = pool if stride is None else pair(stride, "stride")
    require(x.ndim == 4, f"{name}: the images must have shape (N, H, W, C), not {x.shape}")
    return pool, stride, explicit_padding(x.shape, pool, stride, check_padding(padding), name)


def globalavgpool2d(x: Tensor) -> Tensor:
    """The mean of each channel over all pixels.

    Shapes:
        x (N,H,W,C) -> (N,C).

    Raises:
        ShapeError: for another number of axes.

    >>> globalavgpool2d(Tensor([[[[1.0], [5.0]], [[3.0], [2.0]]]])).item()
    2.75
    """
    require(x.ndim == 4, f"globalavgpool2d: the images must have shape (N, H, W, C), not {x.shape}")
    device, x_shape = x.device, x.shape
    y = device.globalavgpool2d_forward(x.data)
    return output_of("globalavgpool2d", (x,), y, lambda dy: (device.globalavgpool2d_backward(dy, x_shape),))


def globalmaxpool2d(x: Tensor) -> Tensor:
    """The maximum of each channel over all pixels. Of equal maxima each takes the same share of the gradient.

    Shapes:
        x (N,H,W,C) -> (N,C).

    Raises:
        ShapeError: for another number of axes.

    >>> globalmaxpool2d(Tensor([[[[1.0], [5.0]], [[3.0], [2.0]]]])).item()
    5.0
    """
    require(x.ndim == 4, f"globalmaxpool2d: the images must have shape (N, H, W, C), not {x.shape}")
    device = x.device
    y = device.globalmaxpool2d_forward(x.data)
    return output_of("globalmaxpool2d", (x,), y, lambda dy: (device.globalmaxpool2d_backward(dy, x.data, y),))
