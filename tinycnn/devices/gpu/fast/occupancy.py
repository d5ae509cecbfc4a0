"""How many blocks of a kernel a multiprocessor holds at a time, by CUDA's rules, and the registers that it may take."""

from __future__ import annotations

from tinycnn.devices.gpu.cards import Card
from tinycnn.devices.gpu.fast.instances import FilterTile, GemmTile, SmallTile, Tile, view_of
from tinycnn.devices.gpu.grid import ceil_div, round_up
from tinycnn.shapes import Geometry

WARP = 32
SCHEDULERS = 4  # parts of a multiprocessor, each with a quarter of the registers
REGISTERS_AT_A_TIME = 256  # of a warp
SHARED_AT_A_TIME = 128  # bytes of a block
MOST_REGISTERS = 255  # of a thread


def resident(card: Card, threads: int, registers: int, shared: int) -> int:
    """The blocks of so many threads, registers a thread and bytes of shared memory that a multiprocessor holds.

    0 where not one fits.
    """
    warps = ceil_div(threads, WARP)
    of_a_warp = round_up(registers * WARP, REGISTERS_AT_A_TIME)
    by_registers = card.registers // SCHEDULERS // of_a_warp * SCHEDULERS // warps
    by_threads = card.threads // (warps * WARP)
    taken = round_up(shared + card.reserved, SHARED_AT_A_TIME)
    by_shared = card.shared // taken if taken else card.blocks
    fits = shared <= card.shared_of_a_block
    return min(by_registers, by_threads, by_shared, card.blocks) if fits else 0


def most_registers(card: Card, threads: int, blocks: int) -> int:
    """What a compiler may give a thread that is told that so many blocks are to fit, as __launch_bounds__ tells it."""
    able = (r for r in range(MOST_REGISTERS // 8 * 8, 0, -8) if resident(card, threads, r, 0) >= blocks)
    most = next(able, 8)
    return MOST_REGISTERS if most == MOST_REGISTERS // 8 * 8 else most


def guessed_registers(card: Card, layer: Geometry, direction: str, tile: Tile, threads: int) -> int:
    """About what a thread of a block of so many will take: its sums, the numbers that they are made of, and addresses.

    Straight lines through what NVRTC gives for sm_90; the compile gate has the true numbers.
    """
    blocks = tile.MINBLOCKS if isinstance(tile, GemmTile | FilterTile) else 1
    if isinstance(tile, GemmTile):
        needed = 64 + 1.6 * tile.TM * tile.TN
    elif isinstance(tile, FilterTile):
        needed = 48 + 1.22 * tile.TM * tile.TN
    elif isinstance(tile, SmallTile):
        view = view_of(layer, direction)
        span = ((tile.PX - 1) * view.stride_w + view.S) * (1 if view.C < 4 else 4)
        needed = 34 + 1.12 * tile.PX * tile.TK + 0.71 * span
    else:
        needed = 34 + 1.2 * layer.S * min(layer.C, 4) * 4
    return min(round_up(round(needed), 8), most_registers(card, threads, blocks))
