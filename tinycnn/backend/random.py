"""Random numbers, drawn anew in every pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinycnn import drawing
from tinycnn.expressions import Applied, expressions_in


def random_normal(
    shape: Sequence[Any], mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: int | None = None,
    *, std: Any = None,
) -> Any:  # fmt: skip
    """Normal numbers, drawn anew in every pass: in a Lambda layer's function a Tensor, elsewhere not computed yet.

    shape: extents may be those of `shape(x)`. std: Keras 1's name of stddev. seed: that of the network if None.

    >>> from tinycnn import backend as K
    >>> from tinycnn.layers import Input
    >>> x = Input((2,))
    >>> K.function([x], [random_normal((K.shape(x)[0], 3))])([[[0.0, 0.0]] * 5])[0].shape
    (5, 3)
    """
    return random_numbers(True, shape, mean, stddev if std is None else std, seed)


def random_uniform(
    shape: Sequence[Any], minval: Any = 0.0, maxval: Any = 1.0, dtype: Any = None, seed: int | None = None
) -> Any:
    """Uniform numbers in [minval, maxval), drawn as `random_normal` draws."""
    return random_numbers(False, shape, minval, maxval - minval, seed)


def random_numbers(normal: bool, shape: Sequence[Any], first: Any, scale: Any, seed: int | None) -> Any:
    """first + scale * what is drawn."""
    now = drawing.current()
    if now is None or expressions_in([shape, first, scale]):
        return Applied(random_numbers, normal, shape, first, scale, seed)
    drawn = now.draw(shape, normal, seed)
    return drawn * scale + first
