"""Where Keras 2 kept to_categorical."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tinycnn import refusals
from tinycnn.losses import one_hot


@refusals.by_name
def to_categorical(y: ArrayLike, num_classes: int | None = None) -> np.ndarray:
    """Whole numbers as one-hot rows.

    Args:
        y: the labels. num_classes: how many columns; the largest label + 1 if None.

    Shapes:
        y (N,) -> float32 (N, num_classes).

    Raises:
        ValueError: for labels that are no whole numbers or out of range, and for no labels without num_classes.

    >>> to_categorical([1, 0]).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    y = np.asarray(y)
    if num_classes is None:
        if not y.size:
            raise ValueError("to_categorical cannot tell the number of classes from no labels; give num_classes")
        num_classes = int(y.max()) + 1
    return one_hot(y, num_classes)
