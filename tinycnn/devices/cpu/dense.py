"""Dense layers and 1x1 convolutions: both multiply the rows of a matrix x (M, C) by w (C, K).

M counts the samples of a dense layer, or the pixels of all images: a 1x1 convolution is the same
product. The tiles are those of convolution, with the rows of x in the place of an image's pixels.
"""

import numpy as np

from tinycnn.devices.cpu.direct import add_partials, bias_or_zeros, convolve, pack
from tinycnn.devices.cpu.launch import floats, kernel, launch
from tinycnn.devices.cpu.memory import pool
from tinycnn.devices.cpu.simd import offset
from tinycnn.devices.cpu.threads import call, team
from tinycnn.devices.cpu.tiles import choose, filter_tiles

TASK_TILES = 16  # tiles of rows in one forward task
CHUNK_BYTES = 400_000
MOST_CHUNKS = 64
FAR = 256  # floats from row to row: a column of such a matrix has few places in the L1 cache, and is copied first


@kernel
def backward_filter_rows(arguments, task, thread):
    """One tile of one chunk's partial dw. Task: chunk * tiles + tile."""
    x, dy, totals, partial = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2), floats(arguments, 3)
    whole, last, M, C, K = arguments[4], arguments[5], arguments[6], arguments[7], arguments[8]
    tile_columns, lanes, rows = arguments[9], arguments[10], arguments[11]
    column_tiles, blocks = arguments[12], arguments[13]
    x_column, x_row, dy_column, dy_row = arguments[14], arguments[15], arguments[16], arguments[17]
    chunk, place = task // (column_tiles * blocks), task % (column_tiles * blocks)
    c, k = min(place // blocks * tile_columns, C - tile_columns), place % blocks * lanes
    first = chunk * rows
    totals = offset(totals, thread * tile_columns * lanes)
    for i in range(tile_columns * lanes):
        totals[i] = 0
    x_tile, dy_tile = offset(x, first * x_row + c * x_column), offset(dy, first * dy_row + k * dy_column)
    tile = whole if k + lanes < K else last
    call(tile, (x_tile, dy_tile, totals, 1, min(rows, M - first), 0, x_row, 0, dy_row))
    for i in range(tile_columns):
        for j in range(min(lanes, K - k)):
            partial[(chunk * C + c + i) * K + k + j] = totals[i * lanes + j]


def multiply_rows(x, packed, bias, y, tile, relu):
    """y (M, K) = x (M, C) times a packed filter: rows in groups, the last group overlapping the one before."""
    (M, C), K = x.shape, y.shape[1]
    group = -(-M // -(-M // (tile.columns * TASK_TILES)))  # the fewest groups, as even as can be
    spans = (group * C, (M - group) * C, group * K, (M - group) * K)
    convolve(x, packed, bias, y, tile, (-(-M // group), 1, group, C), (1, group, K), (1, 1, (1, 1)), relu, spans=spans)


def dense_forward(x, w, b, relu):
    """act(x @ w + b)."""
    (M, C), K = x.shape, w.shape[1]
    y = pool.empty((M, K), np.float32)
    tile = choose(1, M, K, 0, C)
    multiply_rows(x, pack(w, (1, 1), C, K, tile.lanes, (0, 0, K, 1)), bias_or_zeros(b, K), y, tile, relu)
    return y


def dense_backward_data(dy, w):
    """dy @ w.T"""
    (M, K), C = dy.shape, w.shape[0]
    dx = pool.empty((M, C), np.float32)
    tile = choose(1, M, C, 0, K)
    multiply_rows(dy, pack(w, (1, 1), K, C, tile.lanes, (0, 0, 1, K)), bias_or_zeros(None, C), dx, tile, False)
    return dx


def dense_backward_filter(x, dy):
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
    totals = pool.empty((team().size * tile.columns * tile.lanes,), np.float32)
    partial = pool.empty((chunks, width, K), np.float32)
    shape = M, width, K, tile.columns, tile.lanes, rows, column_tiles, blocks, *x_steps, *dy_steps
    tasks = chunks * column_tiles * blocks
    launch(backward_filter_rows, tasks, x, dy, totals, partial, *filter_tiles(tile, K), *shape)
    if chunks == 1:
        return partial[0, :C]
    dw = pool.empty((width, K), np.float32)
    launch(add_partials, -(-dw.size // 1024), partial, dw, chunks, dw.size)
    return dw[:C]
