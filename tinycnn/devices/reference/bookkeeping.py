"""The next batch and counters, as loops beside bookkeeping.cu.

The forms that compute are a line of NumPy each, which the cpu device has too: NumpyArrays in numpy_arrays.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinycnn.devices.base import Array


def gather_batch_loops(images: Array, labels: Array, order: Array, start: Array, size: int) -> tuple[Array, Array]:
    x, y = np.empty((size, *images.shape[1:]), images.dtype), np.empty((size, *labels.shape[1:]), labels.dtype)
    for i in range(size):
        row = order[start[0] + i]
        for place in np.ndindex(images.shape[1:]):
            here, there = (i, *place), (row, *place)
            x[here] = images[there]
        for place in np.ndindex(labels.shape[1:]):
            here, there = (i, *place), (row, *place)
            y[here] = labels[there]
    return x, y


def advance_loops(counters: Sequence[tuple[Array, int]]) -> None:
    for counter, amount in counters:
        counter[0] += amount


def assign_loops(destination: Array, source: Array) -> None:
    """Of one number that is on the host, this is the kernel `fill`; arrays are copied by the driver."""
    for place in np.ndindex(destination.shape):
        destination[place] = source[place]
