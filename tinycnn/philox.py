"""Counter-based random numbers: Philox4x32-10.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
A counter goes in, four random words come out, and nothing is remembered in between. So any
thread of any device computes the number of any element on its own, and all of them agree.

Here the counter is (block, stream, step low, step high) and the key is the 64-bit seed:

* element i of a sequence is word i % 4 of block i // 4,
* a stream is one use of randomness (one dropout layer, one layer's weights, the shuffle),
* the step is what moves on in training.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_INCREMENTS = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10

# The kinds of stream. A layer's streams bear the layer's own number.
WEIGHTS, DROPOUT, SHUFFLE, SYNTHETIC, AUGMENTATION, DRAWS = range(6)


def stream_id(kind: int, index: int = 0, use: int = 0) -> int:
    """The stream of one use of randomness: `kind` is one of this module's six, index below 2**24.

    use: which one it is of a layer that draws several times; index is the layer's then, below 2**20. Uses that are 256
    apart have the same stream.
    """
    return (use // 16 % 16) << 27 | kind << 24 | index + use % 16 * 2**20


def philox4x32(counter: Sequence[np.ndarray | int], key: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Ten rounds of Philox.

    Args:
        counter: four uint32 arrays of one shape (or ints). key: two ints below 2**32.

    Returns:
        Four uint32 arrays of that shape.

    >>> [f"{int(word):08x}" for word in philox4x32((0, 0, 0, 0), (0, 0))]  # the authors' first known answer
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    c0, c1, c2, c3 = (np.asarray(c, dtype=np.uint64) for c in counter)
    k0, k1 = key
    low = np.uint64(0xFFFFFFFF)
    word = np.uint64(32)
    m0, m1 = (np.uint64(m) for m in MULTIPLIERS)
    for _ in range(ROUNDS):
        p0, p1 = c0 * m0, c2 * m1
        c0, c1, c2, c3 = (p1 >> word) ^ c1 ^ np.uint64(k0), p1 & low, (p0 >> word) ^ c3 ^ np.uint64(k1), p0 & low
        k0 = (k0 + KEY_INCREMENTS[0]) & 0xFFFFFFFF
        k1 = (k1 + KEY_INCREMENTS[1]) & 0xFFFFFFFF
    return tuple(c.astype(np.uint32) for c in (c0, c1, c2, c3))


def random_bits(n: int, seed: int, stream: int, step: int = 0, start: int = 0) -> np.ndarray:
    """uint32 words number `start` to `start + n` of a stream, as an array of shape (n,)."""
    first = start // 4
    blocks = np.arange(first, (start + n + 3) // 4, dtype=np.uint64)
    return words(blocks, seed, stream, np.uint64(step)).reshape(-1)[start - 4 * first :][:n]


def words(blocks: np.ndarray, seed: int, stream: int, step: np.ndarray | np.uint64) -> np.ndarray:
    """The four uint32 words of every block of a stream at every step: blocks and steps broadcast, (..., 4)."""
    blocks, step = np.broadcast_arrays(blocks, step)
    low, high = step & np.uint64(0xFFFFFFFF), step >> np.uint64(32)
    counter = blocks, np.full_like(blocks, stream), low, high
    return np.stack(philox4x32(counter, (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF)), axis=-1)


def unit(words: np.ndarray) -> np.ndarray:
    """uint32 words as float64 numbers in [0, 1), 24 bits each: the most that float32 keeps."""
    return (words >> np.uint32(8)) * 2.0**-24


def uniform(n: int, seed: int, stream: int, step: int = 0) -> np.ndarray:
    """float64 numbers in [0, 1), 24 bits each, shape (n,)."""
    return unit(random_bits(n, seed, stream, step))


def normal(n: int, seed: int, stream: int, step: int = 0) -> np.ndarray:
    """Standard normal float64 numbers, shape (n,)."""
    pairs = (n + 1) // 2
    u = uniform(2 * pairs, seed, stream, step)
    return np.stack(box_muller(u[0::2], u[1::2]), axis=1).reshape(-1)[:n]


def box_muller(u1: np.ndarray, u2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two standard normal numbers from two uniform ones: the transform of Box and Muller (1958)."""
    radius = np.sqrt(-2.0 * np.log(1.0 - u1))  # 1 - u1 lies in (0, 1]: its logarithm is finite
    angle = 2.0 * np.pi * u2
    return radius * np.cos(angle), radius * np.sin(angle)


def permutation(n: int, seed: int, stream: int, step: int = 0) -> np.ndarray:
    """A random order of 0 to n - 1 as int64: the numbers sorted by 64 random bits each."""
    bits = random_bits(2 * n, seed, stream, step).astype(np.uint64)
    return np.argsort((bits[0::2] << np.uint64(32)) | bits[1::2], kind="stable")
