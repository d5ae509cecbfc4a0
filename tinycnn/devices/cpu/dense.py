"""Dense layers and 1x1 convolutions: both multiply the rows of a matrix x (M, C) by w (C, K).

M counts the samples of a dense layer, or the pixels of all images: a 1x1 convolution is the same
product. The tiles are those of convolution, with the rows of x in the place of an image's pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinycnn.devices.cpu.direct import (
    Operands,
    Steps,
    bias_or_zeros,
    convolve,
    cover_by,
    cover_of,
    pack,
    scratch,
    sum_of,
)
from tinycnn.devices.cpu.launch import floats, kernel, launch, record
from tinycnn.devices.cpu.memory import pool
from tinycnn.devices.cpu.simd import offset
from tinycnn.devices.cpu.threads import call
from tinycnn.devices.cpu.tiles import Tile, choose, filter_tiles
from tinycnn.shapes import UNPADDED, Geometry

TASK_TILES = 16  # tiles of rows in one forward task
CHUNK_BYTES = 400_000
MOST_CHUNKS = 64
FAR = 256  # floats from row to row: a column of such a matrix has few places in the L1 cache, and is copied first


class Layout(NamedTuple):
    """Floats from one column, and from one row, of x and of dy to the next."""

    x_column: int
    x_row: int
    dy_column: int
    dy_row: int


layout_of = record(Layout)


@kernel
def backward_filter_rows(arguments, task, thread):
    """One tile of one chunk's partial dw. Task: chunk * tiles + tile."""
    x, dy, totals, partial = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2), floats(arguments, 3)
    whole, last, M, C, K, rows = (
        arguments[4], arguments[5], arguments[6], arguments[7], arguments[8], arguments[9],
    )  # fmt: skip
    cover, steps = cover_of(arguments, 10), layout_of(arguments, 13)

    blocks = -(-K // cover.lanes)
    tiles = -(-C // cover.columns) * blocks
    chunk, place = task // tiles, task % tiles
    c, k = min(place // blocks * cover.columns, C - cover.columns), place % blocks * cover.lanes
    first, size = chunk * rows, cover.columns * cover.lanes
    totals = offset(totals, thread * size)
    for i in range(size):
        totals[i] = 0
    x_tile = offset(x, first * steps.x_row + c * steps.x_column)
    dy_tile = offset(dy, first * steps.dy_row + k * steps.dy_column)
    tile = whole if k + cover.lanes < K else last
    call(tile, (x_tile, dy_tile, totals, 1, min(rows, M - first), 0, steps.x_row, 0, steps.dy_row))
    for i in range(cover.columns):
        for j in range(min(cover.lanes, K - k)):
            partial[(chunk * C + c + i) * K + k + j] = totals[i * cover.lanes + j]


def multiply_rows(arrays: Operands, tile: Tile, relu: bool = False) -> None:
    """y (M, K) = x (M, C) times a packed filter: rows in groups, the last group overlapping the one before.

    To `convolve` a group is an image of one row, and the filter has one tap.
    """
    (M, C), K = arrays.x.shape, arrays.y.shape[1]
    group = -(-M // -(-M // (tile.columns * TASK_TILES)))  # the fewest groups, as even as can be
    g = Geometry.of((-(-M // group), 1, group, C), (1, 1, C, K), (1, 1), UNPADDED)
    convolve(g, arrays, tile, relu, steps=Steps(group * C, (M - group) * C, group * K, (M - group) * K))


def dense_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, relu: bool) -> np.ndarray:
    """act(x @ w + b)."""
    (M, C), K = x.shape, w.shape[1]
    y = pool.empty((M, K), np.float32)
    tile = choose(1, M, K, 0, C)
    packed = pack(w, (1, 1), C, K, tile.lanes, (0, 0, K, 1))
    multiply_rows(Operands(x, packed, bias_or_zeros(b, K), y), tile, relu)
    return y


def dense_backward_data(dy: np.ndarray, w: np.ndarray) -> np.ndarray:
    """dy @ w.T"""
    (M, K), C = dy.shape, w.shape[0]
    dx = pool.empty((M, C), np.float32)
    tile = choose(1, M, C, 0, K)
    packed = pack(w, (1, 1), K, C, tile.lanes, (0, 0, 1, K))
    multiply_rows(Operands(dy, packed, bias_or_zeros(None, C), dx), tile)
    return dx


def dense_backward_filter(x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """x.T @ dy, the rows summed in fixed chunks."""
    (M, C), K = x.shape, dy.shape[1]
    tile = choose(1, C, K, 0, 1)
    rows = max(CHUNK_BYTES // (4 * (C + K)), -(-M // MOST_CHUNKS), 64)
    chunks, column_tiles, blocks = -(-M // rows), -(-C // tile.columns), -(-K // tile.lanes)
    width, x_steps, dy_steps = C, (1, C), (1, K)
    if C >= FAR:  # as (column tiles, M, columns of a tile), with zeros behind the last
        x = pack(x, (1, 1), M, C, tile.columns, (0, 0, C, 1))
        width, x_steps = column_tiles * tile.columns, (M, tile.columns)
    if K >= FAR:
        dy = pack(dy, (1, 1), M, K, tile.lanes, (0, 0, K, 1))
        dy_steps = M, tile.lanes
    totals = scratch(tile.columns * tile.lanes)
    partial = pool.empty((chunks, width, K), np.float32)
    launch(
        backward_filter_rows, chunks * column_tiles * blocks, x, dy, totals, partial, *filter_tiles(tile, K),
        M, width, K, rows, cover_by(tile), Layout(*x_steps, *dy_steps),
    )  # fmt: skip
    return sum_of(partial, (width, K))[:C]
