"""How long a stage takes, counted: instructions, accesses to shared memory, and waiting where too few warps hide it.

Clocks of a multiprocessor that has one block of 16 warps, on four schedulers. Nobody has measured them.
"""

from __future__ import annotations

from functools import lru_cache

from tinycnn.devices.gpu.grid import ceil_div

WARPS, SCHEDULERS, LANES = 16, 4, 32
LATENCY = 30.0  # of an access to shared memory
L2 = 300.0  # of one to L2
CALL = 60.0  # of a stage: its first instructions, and its last ones
SYNC = 30.0  # of a barrier of the block
ARRIVE, WAIT = 60.0, 700.0  # of the grid's: a store to L2; an add, and a look at the counter
SOFTMAX = 400.0

# Of a convolution: pixels of a thread, and threads that share the channels. Few, for each is code of its own.
TILES = ((8, 1), (4, 2), (2, 4))
TINY_TILES = ((2, 1), (1, 1))  # where none of those fits
LANES_OF_A_SUM = (8, 32)  # lanes that share the rows of a filter's gradient


def rounds(tasks: int, each: float, chain: float) -> float:
    """Clocks of so many tasks of a warp that issue `each` instructions; one alone takes `chain`."""
    return CALL + max(tasks * each / SCHEDULERS, ceil_div(tasks, WARPS) * chain)


def convolution(R: int, S: int, C: int, P: int, Q: int, K: int, tile: tuple[int, int] | None) -> float:
    """Of `convolve` with a tile (pixels, threads that share the channels), or of `convolve_any`; C of x, K of y."""
    quads = ceil_div(K, 4)
    if tile is None:
        inner = R * S * C * 14.0
        return rounds(ceil_div(P * Q * quads, LANES), inner + 60, inner * 3)
    pixels, share = tile
    tasks = ceil_div(share * P * ceil_div(Q, pixels) * quads, LANES)
    loads = R * (pixels + S - 1) + R * S
    channel = loads + 4 * R * S * pixels + 4 * R
    halvings = 8 * pixels * (share.bit_length() - 1)
    whole = ceil_div(C, share) * channel + halvings + 10 * pixels + 60
    return max(
        rounds(tasks, whole, 1.3 * whole + ceil_div(C, share) * LATENCY), CALL + tasks * ceil_div(C, share) * loads
    )


@lru_cache(maxsize=256)
def conv_tile(R: int, S: int, C: int, P: int, Q: int, K: int) -> tuple[int, int]:
    """(pixels of a thread, threads that share the channels) that take the fewest clocks."""
    able = [tile for tile in TILES if tile[0] <= Q and tile[1] <= C]
    return min(
        able or [tile for tile in TINY_TILES if tile[0] <= Q], key=lambda tile: convolution(R, S, C, P, Q, K, tile)
    )


def filter_gradient(R: int, S: int, C: int, P: int, Q: int, K: int, tile: tuple[int, int] | None) -> float:
    """Of `filter_gradient` with a tile (channels of a lane, lanes that share the rows), or of filter_gradient_any."""
    if tile is None:
        inner = P * Q * 8.0
        return rounds(ceil_div(R * S * C * K, LANES), inner, inner * 4)
    channels, lanes = tile
    tasks = ceil_div(C, LANES // lanes * channels) * ceil_div(K, 4)
    column = channels * R + 4 + 4 * channels * R * S + channels * R * (S - 1)
    whole = ceil_div(P, lanes) * (Q * column + 40) + 8 * R * S * channels * 2
    return rounds(tasks, whole, 1.3 * whole + ceil_div(P, lanes) * Q / 2 * LATENCY)


@lru_cache(maxsize=256)
def filter_tile(R: int, S: int, C: int, P: int, Q: int, K: int) -> tuple[int, int]:
    """(channels of a lane, lanes that share the rows) that take the fewest clocks."""
    channels = max(1, min(4, 9 // (R * S)))
    return min(((channels, lanes) for lanes in LANES_OF_A_SUM), key=lambda t: filter_gradient(R, S, C, P, Q, K, t))


def elementwise(count: int) -> float:
    """Of one pass over so many numbers."""
    return rounds(ceil_div(count, LANES), 20, 40 + LATENCY)


def normalize(count: int) -> float:
    """Of one pass with a batch's statistics."""
    return rounds(ceil_div(count, LANES), 14, 60 + LATENCY)


def load(count: int) -> float:
    """Of so many numbers from L2."""
    return L2 + rounds(ceil_div(count, LANES), 14, 20)


def sums(pixels: int, planes: int, parts: int, passes: int) -> float:
    """Of the sums of planes, each dealt to so many warps."""
    whole = passes * (ceil_div(pixels, parts * LANES) * 8 + 40)
    return rounds(planes * parts, whole, 2 * whole + LATENCY)


def publish(parts: int) -> float:
    return CALL + 2 * parts * LATENCY / 4 + 60


def read_blocks(channels: int) -> float:
    return L2 + rounds(channels, 160, 300)


def philox(pixels: int, C: int) -> float:
    """Of a dropout's bits."""
    return rounds(ceil_div(pixels, LANES), 110 * ceil_div(C, 4), 220 * ceil_div(C, 4))


def dense(inputs: int, units: int) -> float:
    """Of a dense layer whose weights come from L2."""
    return L2 + rounds(ceil_div(inputs * units, LANES), 24, 60)


def update(row: int, batch: int) -> float:
    """Of a block's share of the sum of all gradients, and of the rule."""
    columns = ceil_div(row, 4 * batch)
    return ceil_div(columns, LANES) * (2 * L2 + rounds(WARPS, 6.0 * ceil_div(batch, WARPS) + 60, 200))
