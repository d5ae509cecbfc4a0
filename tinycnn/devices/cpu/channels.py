"""Passes over images channel by channel, whatever the number of channels.

An NHWC array is one long row in which the channels repeat: c0 c1 ... c11 c0 c1 ... A vector register
holds 16 floats, so with 12 channels a register would begin at another channel every time. But after
lcm(12, 16) = 48 floats the pattern starts again. So the row is cut into periods of such a length,
per-channel numbers are repeated to fill one period, and place j of a period is always channel j % C.

Sums are kept for every place of a period, chunk by chunk, and folded into channels in float64 and in
order at the end. The chunks depend on the size alone, so the threads do not change the sums.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numba import njit

from tinycnn.devices.cpu.launch import floats, kernel
from tinycnn.devices.cpu.memory import pool

SHORTEST = 128  # sums of neighbouring places overlap in time only if there are enough places
MOST_CHUNKS = 64


class Cut:
    """How `size` floats in C channels are cut: `chunks` of `floats`, a multiple of `period`; the last is shorter."""

    def __init__(self, size: int, C: int):
        repeat = math.lcm(C, 16)
        self.period = repeat * -(-SHORTEST // repeat)
        periods = -(-size // self.period)
        per_chunk = max(-(-periods // MOST_CHUNKS), -(-4096 // self.period))
        self.floats = per_chunk * self.period
        self.chunks = -(-size // self.floats)

    def partial(self, sums: int) -> np.ndarray:
        """An array for `sums` sums of every place in every chunk."""
        return pool.empty((sums, self.chunks, self.period), np.float32)

    def places(self) -> np.ndarray:
        """An array for one number at every place of a period."""
        return pool.empty((self.period,), np.float32)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """(C,) -> float32 (period,): per-channel numbers repeated."""
        return np.tile(np.asarray(values, np.float32), self.period // len(values))


@cache
def cut(size: int, C: int) -> Cut:
    return Cut(size, C)


@njit
def fold(partial, chunks, period, c, C):
    """The sum of channel c over all chunks and places (chunks, period), in float64."""
    total = 0.0
    for i in range(c, chunks * period, C):  # a period is a multiple of C, so the steps never lose the channel
        total += partial[i]
    return total


@kernel
def fold_channels(arguments, task, thread):
    """sums[c] of partial (chunks, period). Task: channel c."""
    partial, sums = floats(arguments, 0), floats(arguments, 1)
    chunks, period, C = arguments[2], arguments[3], arguments[4]
    sums[task] = fold(partial, chunks, period, task, C)
