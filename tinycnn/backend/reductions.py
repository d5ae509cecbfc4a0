"""Sums, means, extremes and their places, over axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn.backend.elementwise import equal, not_equal, sqrt, square
from tinycnn.backend.lifting import Axis, axes, of_both, tensor
from tinycnn.tensor import Tensor


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
