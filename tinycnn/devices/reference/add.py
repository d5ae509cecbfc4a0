"""The sum of several arrays of one shape, beside add.cu."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinycnn.devices.base import Array

# ---------------------------------------------------------------- loops


def add_loops(arrays: Sequence[Array]) -> Array:
    y = np.empty_like(arrays[0])
    for i in np.ndindex(y.shape):
        total = arrays[0][i]
        for array in arrays[1:]:
            total = total + array[i]
        y[i] = total
    return y


# ---------------------------------------------------------------- whole arrays


def add(arrays: Sequence[Array]) -> Array:
    y = arrays[0] + arrays[1]
    for array in arrays[2:]:
        y += array
    return y
