"""Transposition, concatenation and its inverse, as loops beside layout.cu.

The forms that compute are one line of NumPy each, which the cpu device has too: NumpyArrays in numpy_arrays.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinycnn.devices.base import Array


def transpose_loops(array: Array, axes: tuple[int, ...]) -> Array:
    y = np.empty([array.shape[a] for a in axes], array.dtype)
    for place in np.ndindex(array.shape):
        y[tuple(place[a] for a in axes)] = array[place]
    return y


def concatenate_loops(arrays: Sequence[Array]) -> Array:
    y = np.empty((*arrays[0].shape[:-1], sum(a.shape[-1] for a in arrays)), arrays[0].dtype)
    first = 0
    for array in arrays:
        for place in np.ndindex(array.shape):
            *row, c = place
            there = (*row, first + c)
            y[there] = array[place]
        first += array.shape[-1]
    return y


def split_loops(array: Array, sizes: Sequence[int]) -> list[Array]:
    parts, first = [], 0
    for size in sizes:
        part = np.empty((*array.shape[:-1], size), array.dtype)
        for place in np.ndindex(part.shape):
            *row, c = place
            there = (*row, first + c)
            part[place] = array[there]
        parts.append(part)
        first += size
    return parts
