"""Dropout, its mask drawn by Philox4x32-10 (tinycnn/philox.py) in SIMD.

One block of Philox gives the random words of four neighbouring elements. A thread computes many
blocks side by side, one in each lane of a register; the compiler does this by itself, because the
blocks do not depend on each other. The mask has one byte per element: a block's four bytes are
written as one 32-bit number.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint32, uint64

from tinycnn.devices.cpu.launch import floats, integers32, kernel, launch, octets, real
from tinycnn.devices.cpu.memory import pool
from tinycnn.philox import KEY_INCREMENTS, MULTIPLIERS, ROUNDS

TASK = 8192  # elements, a multiple of 4

M0, M1 = (uint64(multiplier) for multiplier in MULTIPLIERS)
K0, K1 = (uint64(increment) for increment in KEY_INCREMENTS)
LOW, WORD = uint64(0xFFFFFFFF), uint64(32)


@njit(inline="always")
def keep_four(block, stream, step_low, step_high, key0, key1, threshold):
    """Four bytes, each 1 where the random word reaches the threshold."""
    c0, c1, c2, c3 = uint64(block), uint64(stream), uint64(step_low), uint64(step_high)
    k0, k1 = uint64(key0), uint64(key1)
    for _ in range(ROUNDS):
        # The instruction takes the low halves by itself: `& LOW` costs nothing.
        p0, p1 = (c0 & LOW) * M0, (c2 & LOW) * M1
        c0, c1, c2, c3 = (p1 >> WORD) ^ c1 ^ k0, p1, (p0 >> WORD) ^ c3 ^ k1, p0
        k0, k1 = (k0 + K0) & LOW, (k1 + K1) & LOW
    limit = uint64(threshold)
    return (
        (uint32(1) if c0 & LOW >= limit else uint32(0))
        | (uint32(1 << 8) if c1 & LOW >= limit else uint32(0))
        | (uint32(1 << 16) if c2 & LOW >= limit else uint32(0))
        | (uint32(1 << 24) if c3 & LOW >= limit else uint32(0))
    )


@njit
def draw(mask, first, last, number, arguments, at):
    """The mask's blocks first to last - 1, the mask's first being Philox's block `number`; what `mask_words` gives
    stands in the arguments from `at` on."""
    stream, step_low, step_high = arguments[at], arguments[at + 1], arguments[at + 2]
    key0, key1, threshold = arguments[at + 3], arguments[at + 4], arguments[at + 5]
    for block in range(first, last):
        mask[block] = keep_four(number + block, stream, step_low, step_high, key0, key1, threshold)


@kernel
def draw_and_apply(arguments, task, thread):
    """One task's elements of the mask, and y = x * factor where they are 1.

    The mask consists of whole blocks, from block `number` on, and x begins `lead` elements into it.
    """
    x, mask, blocks, y = floats(arguments, 0), octets(arguments, 1), integers32(arguments, 1), floats(arguments, 2)
    factor, size, lead, number = real(arguments, 3), arguments[4], arguments[5], arguments[6]
    begin, end = task * TASK, min(task * TASK + TASK, lead + size)
    draw(blocks, begin // 4, (end + 3) // 4, number, arguments, 7)
    for i in range(max(begin - lead, 0), end - lead):
        y[i] = x[i] * factor if mask[lead + i] else np.float32(0)


@kernel
def apply_mask(arguments, task, thread):
    """y = x * factor where the mask is 1, else 0."""
    x, mask, y = floats(arguments, 0), octets(arguments, 1), floats(arguments, 2)
    factor, size = real(arguments, 3), arguments[4]
    for i in range(task * TASK, min(task * TASK + TASK, size)):
        y[i] = x[i] * factor if mask[i] else np.float32(0)


def dropout_backward(dy: np.ndarray, rate: float, seed: int, stream: int, saved: np.ndarray) -> np.ndarray:
    """dy * 1 / (1 - rate) where the mask keeps."""
    dx = pool.empty(dy.shape, np.float32)
    launch(apply_mask, -(-dy.size // TASK), dy, saved, dx, 1 / (1 - rate), dy.size)
    return dx


def mask_words(rate: float, seed: int, stream: int, step: np.ndarray) -> tuple[int, ...]:
    """What a kernel needs to draw a mask, as 64-bit words."""
    count = int(step[0])
    return stream, count & 0xFFFFFFFF, count >> 32, seed & 0xFFFFFFFF, seed >> 32, round(rate * 2**32)


def dropout_forward(
    x: np.ndarray, rate: float, seed: int, stream: int, step: np.ndarray, first: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """(y, mask). first: which element of all that the mask is for x begins with."""
    number, lead = divmod(first, 4)
    whole = lead + x.size
    mask = pool.empty((4 * -(-whole // 4),), np.uint8)
    y = pool.empty(x.shape, np.float32)
    words = mask_words(rate, seed, stream, step)
    launch(draw_and_apply, -(-whole // TASK), x, mask, y, 1 / (1 - rate), x.size, lead, number, *words)
    return y, mask[lead:]
