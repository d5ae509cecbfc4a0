"""Images made larger: by zeros around them, or by pixels that are repeated."""

from __future__ import annotations

from tinycnn.shapes import Padding, Pair, explicit_padding, pair, require
from tinycnn.tensor import Tensor, output_of


def zeropad2d(x: Tensor, padding: Padding) -> Tensor:
    """Images with rows and columns of zeros around them.

    Args:
        padding: ((top, bottom), (left, right)) pixels.

    Shapes:
        x (N,H,W,C) -> (N, top + H + bottom, left + W + right, C).

    Raises:
        ShapeError: for another number of axes. ValueError: for another padding.

    >>> zeropad2d(Tensor([[[[1.0], [2.0]]]]), ((0, 0), (1, 0))).numpy().ravel()
    array([0., 1., 2.], dtype=float32)
    """
    require(x.ndim == 4, f"zeropad2d: the images must have shape (N, H, W, C), not {x.shape}")
    padding, device = explicit_padding(x.shape, (1, 1), (1, 1), padding, "zeropad2d"), x.device
    y = device.zeropad2d_forward(x.data, padding)
    return output_of("zeropad2d", (x,), y, lambda dy: (device.zeropad2d_backward(dy, padding),))


def upsample2d(x: Tensor, size: int | Pair = 2) -> Tensor:
    """Images made larger: every pixel so many times in both directions.

    Args:
        size: an int or (rows, columns).

    Shapes:
        x (N,H,W,C) -> (N, H*rows, W*columns, C).

    Raises:
        ShapeError: for another number of axes. ValueError: for a size below 1.

    >>> upsample2d(Tensor([[[[1.0], [2.0]]]]), (1, 3)).numpy().ravel()
    array([1., 1., 1., 2., 2., 2.], dtype=float32)
    """
    require(x.ndim == 4, f"upsample2d: the images must have shape (N, H, W, C), not {x.shape}")
    size, device = pair(size, "size"), x.device
    y = device.upsample2d_forward(x.data, size)
    return output_of("upsample2d", (x,), y, lambda dy: (device.upsample2d_backward(dy, size),))
