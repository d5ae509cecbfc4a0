"""Which tile a layer takes, by simple rules: what the planner is to choose better, from a card's numbers."""

from __future__ import annotations

from tinycnn.devices.gpu.fast.instances import (
    BACKWARD_FILTER,
    FilterTile,
    GemmTile,
    Plan,
    SmallFilterTile,
    SmallTile,
    Tile,
    plan_of,
    view_of,
)
from tinycnn.devices.gpu.grid import BLOCKS, SHARED_BYTES, ceil_div, evenly, round_up
from tinycnn.shapes import Geometry

SMALL = 5e8  # floating-point operations: below, it is waiting that costs
MOST_SLICES = 8  # of a forward sum
SHORTEST_SLICE = 8  # steps


def choose(layer: Geometry, direction: str, masked: bool, itemsize: int) -> Plan:
    """The launch of a direction of this layer, for numbers of so many bytes."""
    operations = 2 * layer.N * layer.P * layer.Q * layer.K * layer.R * layer.S * layer.C
    if layer.H * layer.W > 1 and (operations < SMALL or layer.C < 4):
        small = small_filter_tile(layer) if direction == BACKWARD_FILTER else small_tile(layer, direction)
        plan = launchable(layer, direction, small, masked, itemsize)
        if plan is not None:
            return plan
    tile = filter_tile(layer, itemsize) if direction == BACKWARD_FILTER else gemm_tile(layer, direction, itemsize)
    return plan_of(layer, direction, tile, slices_of(layer, tile), masked, itemsize)


def launchable(layer: Geometry, direction: str, tile: Tile, masked: bool, itemsize: int) -> Plan | None:
    """The launch, or None where it needs more than any GPU has."""
    try:
        plan = plan_of(layer, direction, tile, slices_of(layer, tile), masked, itemsize)
    except ValueError:
        return None
    return plan if plan.shared <= SHARED_BYTES and plan.block[0] <= 512 else None


def slices_of(layer: Geometry, tile: Tile) -> int:
    """In how many slices backward filter leaves its sums."""
    if isinstance(tile, FilterTile):
        blocks = ceil_div(layer.R * layer.S * layer.C, tile.BM) * ceil_div(layer.K, tile.BN)
        steps = ceil_div(layer.N, tile.BL) * layer.P * layer.Q
        return max(1, min(BLOCKS // blocks, steps // SHORTEST_SLICE))
    if isinstance(tile, SmallFilterTile):
        return min(BLOCKS, layer.N * ceil_div(layer.P, tile.TP))
    return 1


def columns(K: int, itemsize: int) -> tuple[int, int, int]:
    """(BN, TN, LN) for so many filters."""
    wide = 8 if itemsize == 4 else 4
    return (64, wide, 64 // wide // 2) if K > 32 else (32, wide, 32 // wide) if K > 16 else (16, wide, 16 // wide)


def gemm_tile(layer: Geometry, direction: str, itemsize: int) -> GemmTile:
    """The same pixel of 64 images, or 64 rows of a product."""
    view = view_of(layer, direction)
    BN, TN, LN = columns(view.K, itemsize)
    BL = 16 if view.C > 12 else round_up(view.C, 4)
    TM = TN if 64 * BN // TN**2 <= 256 else 8
    rows = 32 // LN * TM
    BM = round_up(64, rows)
    tiles = ceil_div(layer.N, BM) * view.P * view.Q * ceil_div(view.K, BN) * view.phases
    steps = view.R * view.S * ceil_div(view.C, BL)
    split = max(1, min(MOST_SLICES, BLOCKS // tiles, steps // SHORTEST_SLICE))
    return GemmTile(BM, 1, 1, BN, BL, TM, TN, LN, 3, split, 1)


def filter_tile(layer: Geometry, itemsize: int) -> FilterTile:
    """As many filters as there are, and 64 rows."""
    BN, TN, LN = columns(layer.K, itemsize)
    BM = round_up(64, 32 // LN * TN)
    return FilterTile(BM, BN, 8, TN, TN, LN, 3, 1)


def small_tile(layer: Geometry, direction: str) -> SmallTile:
    """Four pixels and four filters a thread; a band of as many rows as make 256 threads."""
    view = view_of(layer, direction)
    tasks_in_row = ceil_div(view.Q, 4) * ceil_div(view.K, 4)
    TP = evenly(view.P, max(1, min(view.P, 256 // tasks_in_row)))
    units = view.R * (view.C if view.C < 4 else ceil_div(view.C, 4))
    return SmallTile(TP, 4, 4, max(1, min(units, 4, 128 // (TP * tasks_in_row))))


def small_filter_tile(layer: Geometry) -> SmallFilterTile:
    """A band of half an image, its rows dealt to as many threads as make 256."""
    units = layer.R * ceil_div(layer.C, 4) * ceil_div(layer.K, 4)
    TP = ceil_div(layer.P, 2)
    return SmallFilterTile(TP, max(1, min(TP, 256 // units)))
