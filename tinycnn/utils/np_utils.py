"""Where Keras 2 kept to_categorical."""

import numpy as np

from tinycnn.losses import one_hot


def to_categorical(y, num_classes=None):
    """Whole numbers (N,) as one-hot rows, float32 (N, num_classes); the largest label + 1 if None.

    Raises ValueError for labels that are out of range.

    >>> to_categorical([1, 0]).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    y = np.asarray(y)
    if num_classes is None:
        if not y.size:
            raise ValueError("to_categorical cannot tell the number of classes from no labels; give num_classes")
        num_classes = int(y.max()) + 1
    return one_hot(y, num_classes)
