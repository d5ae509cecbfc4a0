"""Dense layers and 1x1 convolutions: both multiply the rows of a matrix x (M, C) by w (C, K).

M counts the samples of a dense layer, or the pixels of all images: a 1x1 convolution is the same
product. The tiles are those of convolution, with the rows of x in the place of an image's pixels.
"""

import numpy as np

from tinycnn.devices.cpu.conv import add_partials, bias_or_zeros, convolve, pack
from tinycnn.devices.cpu.launch import floats, kernel, launch
from tinycnn.devices.cpu.memory import pool
from tinycnn.devices.cpu.simd import offset
from tinycnn.devices.cpu.threads import call
from tinycnn.devices.cpu.tiles import choose, filter_tile

TASK_TILES = 16  # tiles of rows in one forward task
CHUNK_BYTES = 400_000
MOST_CHUNKS = 64


@kernel
def backward_filter_rows(arguments, task, thread):
    """One tile of one chunk's partial dw. Task: chunk * tiles + tile."""
    x, dy, partial, tile = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2), arguments[3]
    M, C, K = arguments[4], arguments[5], arguments[6]
    tile_columns, lanes, rows = arguments[7], arguments[8], arguments[9]
    column_tiles, blocks = arguments[10], arguments[11]
    chunk, place = task // (column_tiles * blocks), task % (column_tiles * blocks)
    block = place % blocks
    c = min(place // blocks * tile_columns, C - tile_columns)
    first = chunk * rows
    dw_tile = offset(partial, (chunk * C + c) * K + block * lanes)
    x_tile, dy_tile = offset(x, first * C + c), offset(dy, first * K + block * lanes)
    call(tile, (x_tile, dy_tile, dw_tile, 1, 1, min(rows, M - first), 0, 0, C, 0, 0, 0, K, K - block * lanes))


def multiply_rows(x, packed, bias, y, tile, relu):
    """y (M, K) = x (M, C) times a packed filter: rows in groups, the last group overlapping the one before."""
    (M, C), K = x.shape, y.shape[1]
    group = min(M, tile.columns * TASK_TILES)
    spans = (group * C, (M - group) * C, group * K, (M - group) * K)
    convolve(x, packed, bias, y, tile, (-(-M // group), 1, group, C), (1, group, K), (1, 1, (1, 1)), relu, spans=spans)


def forward(x, w, b, relu):
    """act(x @ w + b)."""
    (M, C), K = x.shape, w.shape[1]
    y = pool.empty((M, K), np.float32)
    tile = choose(1, M, K, 0, C)
    multiply_rows(x, pack(w, (1, 1), C, K, tile.lanes, (0, 0, K, 1)), bias_or_zeros(b, K), y, tile, relu)
    return y


def backward_data(dy, w):
    """dy @ w.T"""
    (M, K), C = dy.shape, w.shape[0]
    dx = pool.empty((M, C), np.float32)
    tile = choose(1, M, C, 0, K)
    multiply_rows(dy, pack(w, (1, 1), K, C, tile.lanes, (0, 0, 1, K)), bias_or_zeros(None, C), dx, tile, False)
    return dx


def backward_filter(x, dy):
    """x.T @ dy, the rows summed in fixed chunks."""
    (M, C), K = x.shape, dy.shape[1]
    tile = choose(1, C, K, 0, 1)
    rows = max(CHUNK_BYTES // (4 * (C + K)), -(-M // MOST_CHUNKS), 64)
    chunks, column_tiles, blocks = -(-M // rows), -(-C // tile.columns), -(-K // tile.lanes)
    partial = pool.empty((chunks, C, K), np.float32)
    launch(
        backward_filter_rows,
        chunks * column_tiles * blocks,
        *(x, dy, partial, filter_tile(tile), M, C, K, tile.columns, tile.lanes, rows, column_tiles, blocks),
    )
    if chunks == 1:
        return partial[0]
    dw = pool.empty((C, K), np.float32)
    launch(add_partials, -(-dw.size // 1024), partial, dw, chunks, dw.size)
    return dw
