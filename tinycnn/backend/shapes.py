"""Shapes, what changes them, and products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinycnn import functional as F
from tinycnn.backend.elementwise import equal
from tinycnn.backend.lifting import both, of_both, tensor
from tinycnn.tensor import Tensor


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
