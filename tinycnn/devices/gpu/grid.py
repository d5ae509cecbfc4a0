"""How much work makes how many blocks. Everything here depends on shapes alone, so that sums keep their order."""

from __future__ import annotations

from tinycnn.devices.base import Array

THREADS = 256
PER_BLOCK = 4 * THREADS  # elements of a block whose threads take four each
MOST_GRID_Y = 65535  # blocks along the y and z axes of a grid
SHARED_BYTES = 48 * 1024  # what a block may have without asking, on every GPU
FLAG_BYTES = 16  # ... of which last_to_arrive of common.cuh takes so many, in kernels whose last block adds up
# About two blocks for each multiprocessor of a large GPU (132 on an H200): enough to keep it busy, and no more
# partial results than that where blocks sum.
BLOCKS = 264

TILE_L = 16  # of common.cuh: what a tile of a matrix product takes of the sum at a time
SHORTEST_SLICE = 128  # of such a sum, when it is cut up


def ceil_div(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


def round_up(n: int, to: int) -> int:
    """The next multiple of `to`, or n itself."""
    return ceil_div(n, to) * to


def evenly(n: int, most: int) -> int:
    """The size of the pieces, at most `most` each, when n is cut into the fewest, as even as can be."""
    return ceil_div(n, ceil_div(n, most)) if n else 1


def flat(total: int, per_block: int = THREADS) -> tuple[tuple[int], tuple[int]]:
    """(grid, block) of a kernel where a thread has one element, or a few."""
    return (ceil_div(total, per_block),), (THREADS,)


class Rows:
    """How the kernels that walk down the rows of a matrix (rows, C) cut it up.

    A block has `block` = (columns, rows) threads, each with `width` neighbouring columns, and rows_per_block rows of
    the matrix.
    """

    def __init__(self, rows: int, C: int, most_blocks: int = BLOCKS, width: int = 1):
        columns = min(C // width, THREADS)
        self.block = (columns, max(1, THREADS // columns))
        column_blocks = ceil_div(C // width, columns)
        wanted = ceil_div(rows, max(1, most_blocks // column_blocks))
        self.rows_per_block = round_up(max(wanted, 4 // width * self.block[1]), self.block[1])
        self.blocks = ceil_div(rows, self.rows_per_block)
        self.grid = (self.blocks, column_blocks)
        self.threads = self.block[0] * self.block[1]


def matrix(array: Array) -> tuple[int, int]:
    """(rows, C): all axes but the last as one."""
    C = array.shape[-1]
    return (array.size // C if C else 0), C


def slices_of(length: int, blocks: int, most_blocks: int = BLOCKS, shortest: int = SHORTEST_SLICE) -> tuple[int, int]:
    """(slices, slice length) of a sum, so that about most_blocks blocks have something to do."""
    slices = max(1, min(most_blocks // blocks, ceil_div(length, shortest)))
    slice_length = round_up(ceil_div(length, slices), TILE_L)
    return max(1, ceil_div(length, slice_length)), slice_length
