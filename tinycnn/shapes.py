"""The arithmetic of windows: output sizes and padding of convolution and pooling, as Keras computes them."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

Shape = tuple[int, ...]
Pair = tuple[int, int]  # (rows, columns)
Padding = tuple[Pair, Pair]  # ((top, bottom), (left, right))

UNPADDED: Padding = ((0, 0), (0, 0))


class ShapeError(ValueError):
    """Arrays, or layers, whose shapes do not fit."""


def require(condition: bool, message: str) -> None:
    """Raises ShapeError with the message unless the condition holds."""
    if not condition:
        raise ShapeError(message)


def pair(value: Any, what: str) -> Pair:
    """(rows, columns) from an int or a pair of ints, all at least 1. `what` names it in the error, a ValueError."""
    try:
        rows, columns = (operator.index(v) for v in (value if isinstance(value, (tuple, list)) else (value, value)))
    except (TypeError, ValueError):
        raise ValueError(f"{what} must be a whole number or a pair of them, not {value!r}") from None
    if rows < 1 or columns < 1:
        raise ValueError(f"{what} must be at least 1 in both directions, not {value!r}")
    return rows, columns


def check_padding(padding: str) -> str:
    """`padding` if it is one of the two kinds. Raises ValueError."""
    if padding not in ("valid", "same"):
        raise ValueError(f"padding must be 'valid' or 'same', not {padding!r}")
    return padding


def check_images(shape: Shape, name: str) -> Shape:
    """`shape` if it is that of images without the batch, (H, W, C). Raises ShapeError that names the layer `name`."""
    if len(shape) != 3:
        raise ShapeError(f"{name} needs images of shape (H, W, C), not {shape}")
    return shape


def window_padding(size: Sequence[int], window: Pair, stride: Pair, padding: str) -> Padding:
    """((top, bottom), (left, right)) for images of `size` (H, W).

    `same`: the output has ceil(n / stride) pixels; an odd amount puts the extra pixel at the end.
    """
    if padding == "valid":
        return UNPADDED
    pads = []
    for n, k, step in zip(size, window, stride, strict=True):
        total = max((-(-n // step) - 1) * step + k - n, 0)
        pads.append((total // 2, total - total // 2))
    return pads[0], pads[1]


def window_output(shape: Shape, window: Pair, stride: Pair, padding: str, name: str) -> Pair:
    """(P, Q) of a window over images (..., H, W, C); `name` is the layer, for the error.

    Raises ShapeError where the window is larger than the image, in the words that Keras and TensorFlow use.
    """
    size = []
    for n, k, step, which in zip(shape[-3:-1], window, stride, ("rows", "columns"), strict=True):
        if padding == "same":
            size.append(-(-n // step))
        elif n < k:
            raise ShapeError(
                f"Negative dimension size caused by subtracting {k} from {n} for {name}: its {window[0]}x{window[1]} "
                f"window has more {which} than its input, shape {tuple(shape)}. Use a smaller window, padding='same', "
                "or fewer layers before it."
            )
        else:
            size.append((n - k) // step + 1)
    return size[0], size[1]


def transposed_output(shape: Shape, window: Pair, stride: Pair, padding: str) -> Pair:
    """(P, Q) of the images (..., P, Q, K) that a window over them, so padded, makes images (..., H, W, C) of.

    Of the several that there are with a stride, Keras's: keras/utils/conv_utils.py, deconv_length. Raises ValueError
    for another padding than 'valid' and 'same'.
    """
    check_padding(padding)
    rows, columns = (
        n * step + (max(k - step, 0) if padding == "valid" else 0)
        for n, k, step in zip(shape[-3:-1], window, stride, strict=True)
    )
    return rows, columns


def explicit_padding(shape: Shape, window: Pair, stride: Pair, padding: str | Padding, name: str) -> Padding:
    """((top, bottom), (left, right)) from 'valid', 'same', or such pixels as they are, for images (N, H, W, C).

    Raises ShapeError where the window is larger than the padded image, ValueError for any other padding.
    """
    if isinstance(padding, str):
        window_output(shape, window, stride, check_padding(padding), name)
        return window_padding(shape[1:3], window, stride, padding)
    try:
        (top, bottom), (left, right) = ((operator.index(n) for n in side) for side in padding)
    except (TypeError, ValueError):
        raise ValueError(f"padding is 'valid', 'same' or ((top, bottom), (left, right)), not {padding!r}") from None
    if min(top, bottom, left, right) < 0:
        raise ValueError(f"padding must not be negative, as {padding!r} is")
    padded = (*shape[:-3], shape[-3] + top + bottom, shape[-2] + left + right, shape[-1])
    window_output(padded, window, stride, "valid", name)
    return (top, bottom), (left, right)


def is_dense(x_shape: Shape, w_shape: Shape, padding: Padding) -> bool:
    """Whether a filter is as large as the image, unpadded: then the convolution is a dense layer."""
    return tuple(x_shape[1:3]) == tuple(w_shape[:2]) and not any(map(any, padding))


class Geometry(NamedTuple):
    """The numbers of a convolution, in the order in which the kernels take them.

    Images (N,H,W,C), filters (R,S,C,K), outputs (N,P,Q,K). Of the padding only the top and the left are kept: where the
    bottom and the right end is in P and Q.
    """

    N: int
    H: int
    W: int
    C: int
    K: int
    R: int
    S: int
    P: int
    Q: int
    stride_h: int
    stride_w: int
    top: int
    left: int

    @classmethod
    def of(cls, x_shape: Shape, w_shape: Shape, stride: Pair, padding: Padding) -> Geometry:
        """From the shapes (N,H,W,C) and (R,S,C,K), the stride and the padding on all four sides."""
        (N, H, W, _), (R, S, C, K) = x_shape, w_shape
        (top, bottom), (left, right) = padding
        P, Q = (H + top + bottom - R) // stride[0] + 1, (W + left + right - S) // stride[1] + 1
        return cls(N, H, W, C, K, R, S, P, Q, *stride, top, left)

    @classmethod
    def of_pool(cls, x_shape: Shape, pool: Pair, stride: Pair, padding: Padding) -> Geometry:
        """The same for a window over each channel alone: K is C."""
        return cls.of(x_shape, (*pool, x_shape[3], x_shape[3]), stride, padding)

    @classmethod
    def of_product(cls, rows: int, C: int, K: int) -> Geometry:
        """A matrix product (rows, C) x (C, K), as a 1x1 convolution of so many images of one pixel."""
        return cls.of((rows, 1, 1, C), (1, 1, C, K), (1, 1), UNPADDED)

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        return self.N, self.H, self.W, self.C

    @property
    def w_shape(self) -> tuple[int, int, int, int]:
        return self.R, self.S, self.C, self.K

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        return self.N, self.P, self.Q, self.K

    @property
    def stride(self) -> Pair:
        return self.stride_h, self.stride_w
