"""Random numbers, as loops beside draw.cu.

The form that computes is a line of NumPy, which the cpu device has too: NumpyArrays in numpy_arrays.py.
"""

from __future__ import annotations

import math

from tinycnn import philox
from tinycnn.devices.base import Array


def draw_loops(array: Array, normal: bool, seed: int, stream: int, step: Array) -> None:
    for i in range(array.size):
        words = philox.random_bits(4, seed, stream, int(step[0]), start=i // 4 * 4)  # of the counter i / 4
        u = [int(word >> 8) / 2**24 for word in words]
        first = i % 4 - i % 2  # of the pair that i is one of
        radius, angle = math.sqrt(-2 * math.log(1 - u[first])), 2 * math.pi * u[first + 1]
        turned = math.sin(angle) if i % 2 else math.cos(angle)
        array.flat[i] = radius * turned if normal else u[i % 4]
