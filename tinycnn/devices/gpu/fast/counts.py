"""What a launch of kernels/fast does, counted: how its blocks differ, and what their steps ask of a multiprocessor.

A step is what a kernel's loop does once: BL channels of one tap for a tile (conv_gemm), a pixel of BL images
(conv_gemm_filter), a filter row of four channels (conv_small), a pixel of dy's row (conv_small_filter).
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from tinycnn.devices.gpu.fast.instances import (
    FORWARD,
    Band,
    FilterTile,
    GemmTile,
    SmallFilterTile,
    SmallTile,
    Tile,
    view_of,
    width_of,
)
from tinycnn.devices.gpu.grid import ceil_div
from tinycnn.shapes import Geometry

MOST_IN_ORDER = 5000  # blocks; of more than so many it does not matter which comes when
LANES = 32
FEWEST_WAVEFRONTS = 2  # of a load of 16 bytes a lane, however many lanes want the same


class Counts(NamedTuple):
    """The counts of one launch. Instructions are those of one warp."""

    steps: tuple[tuple[float, int], ...]  # of a block, and how many blocks have so many
    order: tuple[float, ...] | None  # the same, block by block as they are launched; None where they are alike or many
    warps: int  # of a block
    fmas: float  # of a step, as are the next four
    loads: float  # of 16 bytes a lane from shared memory
    wavefronts: float  # of those loads
    copies: float  # from global to shared memory
    bytes: float  # that a block's copies bring
    rounds: float  # how often a block starts from an empty shared memory
    once: float  # other accesses to memory in all of a round, instructions
    once_bytes: float  # of global memory in all of a round, of a block
    sums: float  # bytes of partial sums, of all blocks

    @property
    def blocks(self) -> int:
        """Of the grid."""
        return sum(many for _, many in self.steps)

    @property
    def fma_flop(self) -> float:
        """Floating-point operations of all blocks, with those for zeros and for what is behind an edge."""
        return 2 * LANES * self.warps * self.fmas * sum(steps * many for steps, many in self.steps)


def counts_of(layer: Geometry, direction: str, tile: Tile, slices: int, masked: bool) -> Counts:
    """The Counts of a layer's direction with this tile. slices, masked: as instances.plan_of has them."""
    if isinstance(tile, GemmTile):
        return gemm(layer, direction, tile, masked)
    if isinstance(tile, FilterTile):
        return gemm_filter(layer, tile, slices, masked)
    if isinstance(tile, SmallTile):
        return small(layer, direction, tile, masked)
    return small_filter(layer, tile, slices, masked)


# ---------------------------------------------------------------- which taps a tile sees


class Axis(NamedTuple):
    """The rows of an output, or its columns: output o under tap t sees row stride * o - pad + t of the image."""

    outputs: int
    taps: int
    pad: int


def axis(pixels: int, taps: int, stride: int, pad: int, phase: int) -> Axis:
    """The Axis of one phase of backward data, as conv.cuh has it: the pixels of dx with (h + pad) % stride == phase."""
    there = ceil_div(taps - phase, stride) if taps > phase else 0
    first = ceil_div(pad - phase, stride) if pad > phase else 0
    last = pixels - 1 + pad - phase
    return Axis(0 if last < 0 else last // stride - first + 1, there, there - 1 - first)


def phases_of(layer: Geometry, direction: str) -> list[tuple[Axis, Axis]]:
    """(rows, columns) of each phase; forward has one."""
    if direction == FORWARD:
        return [(Axis(layer.P, layer.R, layer.top), Axis(layer.Q, layer.S, layer.left))]
    return [
        (axis(layer.H, layer.R, layer.stride_h, layer.top, i), axis(layer.W, layer.S, layer.stride_w, layer.left, j))
        for i in range(layer.stride_h)
        for j in range(layer.stride_w)
    ]


def taps_of_tiles(axis: Axis, outputs: int, tile: int, rows: int, stride: int) -> list[int]:
    """For each tile of an axis, how many taps see a pixel of the image; outputs: of the largest phase."""
    found = []
    for first in range(0, outputs, tile):
        last = min(first + tile, axis.outputs) - 1
        seen = min(axis.taps, rows + axis.pad - first * stride) - max(0, axis.pad - last * stride)
        found.append(max(0, seen) if first < axis.outputs else 0)
    return found


# ---------------------------------------------------------------- the kernels


def wavefronts(lanes: int) -> float:
    """Of a load where so many lanes of a warp want different 16 bytes, without bank conflicts: 128 bytes in each."""
    return max(FEWEST_WAVEFRONTS, lanes / 8)


def copies_of(rows: int, length: int, width: int, threads: int) -> int:
    """How often a thread copies, when a tile of so many rows is copied `width` numbers at a time."""
    return ceil_div(rows * length // width, threads)


def gemm(layer: Geometry, direction: str, tile: GemmTile, masked: bool) -> Counts:
    """Of conv_gemm.cu."""
    view = view_of(layer, direction)
    width = width_of(view.C)
    filters, groups, chunks = ceil_div(view.K, tile.BN), ceil_div(layer.N, tile.IM), ceil_div(view.C, tile.BL)
    steps: Counter[float] = Counter()
    order: list[float] = []
    for rows, columns in phases_of(layer, direction):
        in_rows = taps_of_tiles(rows, view.P, tile.TP, view.H, view.stride_h)
        in_columns = taps_of_tiles(columns, view.Q, tile.TQ, view.W, view.stride_w)
        for r, several in Counter(in_rows).items():
            for s, many in Counter(in_columns).items():
                steps[r * s * chunks / tile.SPLIT] += several * many * filters * groups * tile.SPLIT
        if len(in_rows) * len(in_columns) * filters * groups * tile.SPLIT <= MOST_IN_ORDER:
            of_a_group = [r * s * chunks / tile.SPLIT for r in in_rows for s in in_columns for _ in range(filters)]
            order += of_a_group * groups
    blocks = sum(steps.values())
    in_order = len(steps) > 1 and len(order) * tile.SPLIT == blocks <= MOST_IN_ORDER
    of_x = copies_of(tile.BM, tile.BL, width, tile.threads)
    of_w = copies_of(tile.BN, tile.BL, width_of(view.K) if direction == FORWARD else width, tile.threads)
    quads = tile.BL // 4
    return Counts(
        steps=tuple(sorted(steps.items())),
        order=tuple(order * tile.SPLIT) if in_order else None,
        warps=tile.threads // LANES,
        fmas=tile.BL * tile.TM * tile.TN,
        loads=quads * (tile.TM + tile.TN),
        wavefronts=quads * (tile.TM * wavefronts(LANES // tile.LN) + tile.TN * wavefronts(tile.LN)),
        copies=of_x * (2 if masked else 1) + of_w,
        bytes=4 * tile.BL * (tile.BM * (2 if masked else 1) + tile.BN),
        rounds=1,
        once=tile.TM * tile.TN / width_of(view.K),
        once_bytes=4 * tile.BM * tile.BN,
        sums=4 * layer.N * view.P * view.Q * view.phases * view.K * tile.SPLIT if tile.SPLIT > 1 else 0,
    )


def gemm_filter(layer: Geometry, tile: FilterTile, slices: int, masked: bool) -> Counts:
    """Of conv_gemm_filter.cu."""
    rows = layer.R * layer.S * layer.C
    blocks = ceil_div(rows, tile.BM) * ceil_div(layer.K, tile.BN) * slices
    steps = ceil_div(layer.N, tile.BL) * layer.P * layer.Q / slices
    of_dy = copies_of(tile.BL, tile.BN, width_of(layer.K), tile.threads)
    return Counts(
        steps=((steps, blocks),),
        order=None,
        warps=tile.threads // LANES,
        fmas=tile.BL * tile.TM * tile.TN,
        loads=tile.BL * (tile.TM + tile.TN) / 4,
        wavefronts=tile.BL / 4 * (tile.TM * wavefronts(LANES // tile.LN) + tile.TN * wavefronts(tile.LN)),
        copies=copies_of(tile.BL, tile.BM, width_of(layer.C), tile.threads) + of_dy * (2 if masked else 1),
        bytes=4 * tile.BL * (tile.BM + tile.BN * (2 if masked else 1)),
        rounds=1,
        once=tile.TM * tile.TN / width_of(layer.K),
        once_bytes=4 * tile.BM * tile.BN,
        sums=4 * rows * layer.K * slices,
    )


def small(layer: Geometry, direction: str, tile: SmallTile, masked: bool) -> Counts:
    """Of conv_small.cu."""
    view = view_of(layer, direction)
    groups_q, groups_k = ceil_div(view.Q, tile.PX), ceil_div(view.K, tile.TK)
    threads = tile.TP * groups_q * groups_k * tile.SPLIT
    deep = 1 if view.C < 4 else 4  # channels of a step
    rows, columns = (tile.TP - 1) * view.stride_h + view.R, (groups_q * tile.PX - 1) * view.stride_w + view.S
    band = Band.of(rows, columns, view.C)
    span = (tile.PX - 1) * view.stride_w + view.S
    taps = view.S * deep * tile.TK / 4  # loads of four filters
    filters = view.R * view.S * band.pixel * groups_k * tile.TK
    copied = rows * columns * band.pixel * (2 if masked else 1)
    width = 1 if view.C < 4 else width_of(view.C)
    merged = tile.PX * tile.TK * tile.SPLIT if tile.SPLIT > 1 else 0
    together = min(groups_k, LANES)  # lanes that want different filters
    conflicts = {1: 1, 2: 2, 3: 1, 4: 4, 5: 1}[min(tile.TK // 4, 5)]  # lanes TK numbers apart
    return Counts(
        steps=((ceil_div(view.R * band.pixel // deep, tile.SPLIT), layer.N * ceil_div(view.P, tile.TP)),),
        order=None,
        warps=ceil_div(threads, LANES),
        fmas=tile.PX * view.S * deep * tile.TK,
        loads=span + taps,
        wavefronts=span * (wavefronts(LANES // together) if deep == 4 else 1) + taps * wavefronts(together * conflicts),
        copies=0,
        bytes=0,
        rounds=1,
        once=ceil_div(copied // width, threads)
        + ceil_div(filters // (width_of(view.K) if direction == FORWARD else 1), threads)
        + merged / 4
        + tile.PX * tile.TK / width_of(view.K) / 4,
        once_bytes=4 * (copied + filters + tile.TP * view.Q * view.K),
        sums=0,
    )


def small_filter(layer: Geometry, tile: SmallFilterTile, slices: int, masked: bool) -> Counts:
    """Of conv_small_filter.cu."""
    groups_c, groups_k, together = ceil_div(layer.C, 4), ceil_div(layer.K, 4), min(layer.C, 4)
    threads = layer.R * groups_c * groups_k * tile.SPLIT
    rows, columns = (tile.TP - 1) * layer.stride_h + layer.R, (layer.Q - 1) * layer.stride_w + layer.S
    band = Band.of(rows, columns, layer.C)
    pixels, gradients = rows * columns * band.pixel, tile.TP * layer.Q * 4 * groups_k * (2 if masked else 1)
    loads = min(layer.stride_w, layer.S) * (1 if together == 4 else together) + 1
    numbers = layer.R * layer.S * layer.C * layer.K
    rounds = layer.N * ceil_div(layer.P, tile.TP) / slices
    finish = layer.S * together + ceil_div(numbers, threads) * (tile.SPLIT + 3) / 4
    return Counts(
        steps=((rounds * ceil_div(tile.TP, tile.SPLIT) * layer.Q, slices),),
        order=None,
        warps=ceil_div(threads, LANES),
        fmas=layer.S * together * 4,
        loads=loads,
        wavefronts=FEWEST_WAVEFRONTS * loads,
        copies=0,
        bytes=0,
        rounds=rounds,
        once=ceil_div(pixels // (1 if layer.C < 4 else width_of(layer.C)), threads)
        + ceil_div(gradients // width_of(layer.K), threads)
        + finish / rounds,
        once_bytes=4 * (pixels + gradients + numbers / rounds),
        sums=4 * numbers * slices,
    )
