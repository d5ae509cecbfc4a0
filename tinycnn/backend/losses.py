"""Cross-entropies, for each image."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn.backend.elementwise import clip, equal, log, softplus
from tinycnn.backend.lifting import both, of_both
from tinycnn.backend.reductions import logsumexp
from tinycnn.backend.settings import epsilon
from tinycnn.tensor import Tensor


@of_both
def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Tensor:
    """-target * log(output) - (1 - target) * log(1 - output), number by number; output is clipped by epsilon().

    from_logits: whether output is what the probabilities are the sigmoid of. Nothing is clipped then.
    """
    target, output = both(target, output)
    if from_logits:
        return softplus(output) - target * output
    p = clip(output, epsilon(), 1 - epsilon())
    return -(target * log(p) + (1.0 - target) * log(1.0 - p))


@of_both
def categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Tensor:
    """-sum(target * log(output)) along an axis; output is scaled to the sum 1 and clipped by epsilon().

    from_logits: whether output is what the probabilities are the softmax of. Nothing is clipped then.
    """
    target, output = both(target, output)
    if from_logits:
        return logsumexp(output, axis) * target.sum(axis) - (target * output).sum(axis)
    p = output / output.sum(axis, True)
    return -(target * log(clip(p, epsilon(), 1 - epsilon()))).sum(axis)


@of_both
def sparse_categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Tensor:
    """`categorical_crossentropy` of targets that are whole numbers, (...) or (..., 1), and outputs (..., classes).

    Raises ValueError for another axis than the last.
    """
    if axis not in (-1, output.ndim - 1):
        raise ValueError(f"classes are the last axis, not {axis}")
    target, output = both(target, output)
    places = target.reshape(*output.shape[:-1], 1)
    return categorical_crossentropy(equal(places, np.arange(output.shape[-1])), output, from_logits)
