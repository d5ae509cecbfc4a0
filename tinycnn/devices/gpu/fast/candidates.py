"""The tiles that are worth considering for a layer, for each kernel that can compute it.

They are of kinds that were found good: a lane has 32 to 128 sums, and a block as many filters as there are, with little
waste. Which of them is best for a layer and a card, cost.py says.
"""

from __future__ import annotations

from collections.abc import Iterator

from tinycnn.devices.gpu.cards import Card
from tinycnn.devices.gpu.fast.instances import (
    BACKWARD_FILTER,
    FilterTile,
    GemmTile,
    SmallFilterTile,
    SmallTile,
    Tile,
    odd_quads,
    view_of,
    width_of,
)
from tinycnn.devices.gpu.grid import ceil_div, round_up
from tinycnn.shapes import Geometry

# (BN, TN, LN): a block's filters, a lane's, and the lanes side by side.
COLUMNS = (
    (4, 4, 1),
    (8, 8, 1),
    (12, 12, 1),
    (16, 8, 2),
    (20, 20, 1),
    (24, 12, 2),
    (32, 8, 4),
    (40, 20, 2),
    (48, 12, 4),
    (64, 8, 4),
    (72, 12, 2),
    (128, 8, 4),
)
LITTLE_WASTE, MUCH_WASTE = 1.1, 1.4  # of filters, as a factor to the least
STAGES = 3
FEWEST_SUMS, MOST_SUMS = 32, 128  # float32 of a lane
MOST_THREADS = 256
SPLITS = (1, 2, 3, 4, 6, 8)
SHORTEST_SLICE = 8  # steps
LONGEST_CHAIN = 24_000  # products that are added up in one go, so that rounding stays small
PARTIAL_BYTES = 64 * 2**20  # all partial dw together, at most, where there are several
SMALL_THREADS = 768
MOST_FILTER_SUMS = 112  # of conv_small_filter's lanes


def candidates(layer: Geometry, direction: str, card: Card, masked: bool, itemsize: int) -> Iterator[tuple[Tile, int]]:
    """(tile, slices), for numbers of so many bytes. Some of them a card may not have room for."""
    if direction == BACKWARD_FILTER:
        yield from filter_tiles(layer, card, masked, itemsize)
        yield from small_filter_tiles(layer, card)
    else:
        yield from gemm_tiles(layer, direction, card, masked, itemsize)
        yield from ((tile, 1) for tile in small_tiles(layer, direction))


def columns_for(filters: int) -> list[tuple[int, int, int]]:
    """Those of COLUMNS that are worth trying for so many filters: three that waste little, and two wider ones that
    waste more, and have more to multiply for what they copy."""
    waste = {c: round_up(filters, c[0]) / filters for c in COLUMNS}
    least = min(waste.values())
    fine = [c for c in COLUMNS if waste[c] <= LITTLE_WASTE * least][-3:]
    wide = [c for c in COLUMNS if waste[c] <= MUCH_WASTE * least and c[0] > fine[-1][0]][-2:]
    return [*wide, *fine][::-1]


def chunk(channels: int) -> int:
    """How many channels a step takes: all of them in few steps and with little padding."""
    if channels % 16 == 0:
        return 16
    return min((20, 24, 28, 16, 12, 8, 4), key=lambda n: (round_up(channels, n), -n))


def min_blocks(card: Card, threads: int, registers: int, shared: int) -> int:
    """How many blocks are to fit on a multiprocessor, where a thread may want so many registers."""
    by_shared = card.shared // (shared + card.reserved)
    return max(1, min(card.registers // (threads * registers), by_shared, card.threads // threads, card.blocks))


# ---------------------------------------------------------------- matrix products


def places(N: int, P: int, Q: int, BM: int) -> list[tuple[int, int, int]]:
    """(IM, TP, TQ) of BM pixels: one pixel of many images, small squares of several, rectangles of one."""
    found = [(BM // (side * side), side, side) for side in (1, 2, 4, 8) if P % side == Q % side == 0]
    if Q > 1:
        found.append((BM // 2, 1, 2))
    rows = 1
    while rows * Q < BM and rows < P:
        rows *= 2
    if P * Q > 1:
        found.append((1, rows, BM // rows))
    return [(IM, TP, TQ) for IM, TP, TQ in found if IM and (IM < 2 * N or P * Q == 1)]


def gemm_tiles(
    layer: Geometry, direction: str, card: Card, masked: bool, itemsize: int
) -> Iterator[tuple[GemmTile, int]]:
    """For conv_gemm.cu."""
    view = view_of(layer, direction)
    for BN, TN, LN in columns_for(view.K):
        for TM in (4, 8, 16):
            for BM in (32, 64, 128, 256):
                sums, threads = TM * TN, BM * BN // (TM * TN)
                whole = BM % (32 // LN * TM) == 0 and threads <= MOST_THREADS
                if not whole or not FEWEST_SUMS <= sums * itemsize // 4 <= MOST_SUMS:
                    continue
                rows = BM * (2 if masked else 1) + BN
                BL, stages = deepest(view.C, rows * itemsize, card)
                if BL > 4 * threads:
                    continue
                shared = rows * itemsize * odd_quads(BL) * stages
                narrow = width_of(view.C) < 4  # more copies, each with an address
                registers = 168 if sums <= (32 if narrow else 64) else 255
                together = min_blocks(card, threads, registers * itemsize // 4, shared)
                steps = view.R * view.S * ceil_div(view.C, BL)
                for place in places(layer.N, view.P, view.Q, BM):
                    tiles = ceil_div(layer.N, place[0]) * ceil_div(view.P, place[1]) * ceil_div(view.Q, place[2])
                    blocks = tiles * ceil_div(view.K, BN) * view.phases
                    for split in SPLITS:
                        fine = steps // split >= SHORTEST_SLICE and blocks < 6 * card.multiprocessors
                        if split == 1 or fine:
                            yield GemmTile(*place, BN, BL, TM, TN, LN, stages, split, together), split


def deepest(channels: int, bytes_of_a_channel: int, card: Card) -> tuple[int, int]:
    """(BL, STAGES): a step of all channels, in three stages, or as much of that as a block has room for."""
    BL = chunk(channels)
    for depth, stages in ((BL, STAGES), (BL, 2)):
        if bytes_of_a_channel * odd_quads(depth) * stages <= card.shared_of_a_block:
            return depth, stages
    return 4, 2


def filter_tiles(layer: Geometry, card: Card, masked: bool, itemsize: int) -> Iterator[tuple[FilterTile, int]]:
    """For conv_gemm_filter.cu."""
    rows = layer.R * layer.S * layer.C
    most = max(1, PARTIAL_BYTES // (rows * layer.K * itemsize))
    fewest = ceil_div(layer.N * layer.P * layer.Q, LONGEST_CHAIN)
    for BN, TN, LN in columns_for(layer.K):
        for TM in (4, 8, 12, 16):
            for warps in (1, 2, 3, 4, 5):
                BM, sums = 32 // LN * TM * warps, TM * TN
                threads = BM * BN // sums
                if (
                    threads > 320
                    or not FEWEST_SUMS <= sums * itemsize // 4 <= MOST_SUMS
                    or (warps > 1 and BM > 1.3 * rows)
                ):
                    continue
                registers = (128 if sums <= 48 else 168 if sums <= 96 else 255) * itemsize // 4
                tiles = ceil_div(rows, BM) * ceil_div(layer.K, BN)
                for BL in (8, 16):
                    shared = itemsize * STAGES * BL * (BM + BN * (2 if masked else 1))
                    together = min_blocks(card, threads, registers, shared)
                    tile = FilterTile(BM, BN, BL, TM, TN, LN, STAGES, together)
                    steps = ceil_div(layer.N, BL) * layer.P * layer.Q
                    wanted = {max(1, n * card.multiprocessors // tiles) for n in (1, 2, 3, 4, 6, 8)}
                    for slices in sorted({min(most, max(fewest, min(n, steps // SHORTEST_SLICE))) for n in wanted}):
                        yield tile, slices


# ---------------------------------------------------------------- small layers


def small_tiles(layer: Geometry, direction: str) -> Iterator[SmallTile]:
    """For conv_small.cu."""
    view = view_of(layer, direction)
    units = view.R * (view.C if view.C < 4 else ceil_div(view.C, 4))
    for TP in sorted({ceil_div(view.P, bands) for bands in (1, 2, 3, 4, 6)}):
        if TP * ceil_div(view.P, TP) > 1.2 * view.P:
            continue
        for PX in sorted({min(n, view.Q) for n in (1, 2, 3, 4, 5, 6, 8)}):
            for TK in (4, 8, 12, 16, 20):
                threads = TP * ceil_div(view.Q, PX) * ceil_div(view.K, TK)
                if TK - 4 < view.K and 2 * PX * TK <= 255:
                    yield from (
                        SmallTile(TP, PX, TK, split)
                        for split in (1, 2, 3, 4, 8, 16)
                        if split <= units and threads * split <= SMALL_THREADS
                    )


def small_filter_tiles(layer: Geometry, card: Card) -> Iterator[tuple[SmallFilterTile, int]]:
    """For conv_small_filter.cu."""
    if layer.S * min(layer.C, 4) * 4 > MOST_FILTER_SUMS:
        return
    units = layer.R * ceil_div(layer.C, 4) * ceil_div(layer.K, 4)
    bytes_of_dw = 4 * layer.R * layer.S * layer.C * layer.K
    for TP in sorted({ceil_div(layer.P, bands) for bands in (1, 2, 3, 4)}):
        blocks = layer.N * ceil_div(layer.P, TP)
        for split in sorted({min(n, TP) for n in (1, 2, 4, 6, 8, 12, 16)}):
            for slices in sorted({min(blocks, card.multiprocessors), min(blocks, 2 * card.multiprocessors), blocks}):
                if units * split <= SMALL_THREADS and slices * bytes_of_dw <= PARTIAL_BYTES:
                    yield SmallFilterTile(TP, split), slices
