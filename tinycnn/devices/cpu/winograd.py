"""Convolution with fewer multiplications, for 3 x 3 and 5 x 5 filters with stride 1 (see cook_toom.py for how).

Each image is covered by tiles, 6 x 6 pixels of x and m x m of y, m = 4 or 2. At each of its 36 points the sum over the
channels is a matrix product, of all tiles at once, for which there are register tiles (tiles.py):

    forward          products (tiles, K) = points of x (tiles, C) @ points of w (C, K)
    backward data    products (tiles, C) = points of dy (tiles, K) @ transposed points of w (K, C)
    backward filter  totals (C, K) += transposed points of x (C, tiles) @ points of dy (tiles, K)

What is saved and what it costs, for the 5 x 5 filters of models-1 (12 x 12 x 32 -> 64):

* Multiplications: 36 for every 100, and the products run at the same share of a core's speed as a direct convolution.
  (Of a 3 x 3 filter's 144 it is 36 also, but tiles reach over an image's edges: 26 x 26 pixels are a perfect fit.)
* The transforms: each of a tile's channels costs as much, there and back, as 400 multiplications, most of it for
  loading and storing. 32 + 64 channels make that a half of the 36 * 32 * 64 that remain: 1.8 times as fast altogether,
  by this count, and 1.6 to 2.1 times by the clock. With 12 and 20 channels the transforms take more than the
  products, and of the 4 times that are saved 1.3 to 1.7 remain; with 100 and 100 about 3.
* Memory: at the points are 36 / m^2 floats for each pixel of y and each channel, 9 for 5 x 5 filters. So a task takes a
  few images through all three steps, in the L2 cache. The products of one block of channels are transformed before the
  next block's, and one point's tiles, with its block of w, lie in the L1 cache.
* Backward data is not a forward pass over a framed dy, which would have 36 tiles instead of 16 here, but the forward
  pass transposed: it has the same tiles, and adds up those of dx where they overlap.

An image's result does not depend on the images beside it, and partial dw are cut and added as in conv.py: results are
the same for any number of threads. NaN and infinity in a pixel reach all outputs of its tiles, as NaN.
"""

import numba
import numpy as np

from tinycnn.devices.cpu.cook_toom import SIZE, from_points, to_points
from tinycnn.devices.cpu.direct import bias_or_zeros, chunk_images, frame_image, pack, sum_of
from tinycnn.devices.cpu.launch import floats, integers, kernel, launch, real
from tinycnn.devices.cpu.memory import pool
from tinycnn.devices.cpu.simd import add, fill8, load8, load_first8, maximum, offset, store_first
from tinycnn.devices.cpu.threads import call, team
from tinycnn.devices.cpu.tiles import choose, filter_tiles, product_tiles

TILE_POINTS = SIZE * SIZE
GROUP_BYTES = 250_000  # a group's tiles at their points, and the products of one block: half of an L2 cache
FEWEST_TILES = 32  # in a group, for which the points of w are read once
FEWEST_FILTER_TILES = 96  # in a group, for which the totals of dw are read and written once
FEWEST_GROUPS = 32  # of a whole batch: they are the tasks
FEWEST_IMAGES = 16  # a task computes whole images, and there should be some for every thread
PART_CHANNELS = 64  # of dw in one task
FEWEST_CHANNELS = 8  # a vector

# What else it costs, in multiplications:
TRANSFORM = 400  # to the points and back, for one channel of a tile
FILTER_TRANSFORM = 300  # for one weight
LAUNCHES = 1_200_000
GAIN = 1.25  # how much faster it has to look


def apart(floats):
    """Where the next of several rows that are read side by side may begin: an odd number of cache lines further.

    Rows a multiple of 4096 bytes apart would share one place in the L1 cache.
    """
    return 16 * (-(-floats // 16) | 1)


@kernel
def transform_filter(arguments, task, thread):
    """A packed filter (blocks, R, R, C, lanes) at its points: (blocks, points, C, lanes). Task: block * C + c."""
    packed, points, transform = floats(arguments, 0), floats(arguments, 1), arguments[2]
    R, C, lanes, step = arguments[3], arguments[4], arguments[5], arguments[6]
    block, c = task // C, task % C
    plane = C * lanes
    call(
        transform,
        (
            offset(packed, block * R * R * plane + c * lanes), offset(points, block * TILE_POINTS * step + c * lanes),
            lanes, R * plane, plane, SIZE * step, step,
        ),
    )  # fmt: skip


@numba.njit
def transform_image(transform, image, rows, columns, m, row, pixel, channels, points, step):
    """The tiles of an image, m pixels apart, at their points: (points, tiles, channels)."""
    for i in range(rows):
        for j in range(columns):
            call(
                transform,
                (
                    offset(image, i * m * row + j * m * pixel), offset(points, (i * columns + j) * channels),
                    channels, row, pixel, SIZE * step, step,
                ),
            )  # fmt: skip


@kernel
def multiply_images(arguments, task, thread):
    """The results of a group of images: y from x, or dx from dy. Task: the group."""
    x, w, bias, y = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2), floats(arguments, 3)
    frames, points = floats(arguments, 4), floats(arguments, 5)
    products, results = floats(arguments, 6), floats(arguments, 7)
    to, back, whole, last = arguments[8], arguments[9], arguments[10], arguments[11]
    shape, floor = integers(arguments, 12), real(arguments, 13)
    N, H, W, C, P, Q, K = shape[0], shape[1], shape[2], shape[3], shape[4], shape[5], shape[6]
    images, rows, columns, m = shape[7], shape[8], shape[9], shape[10]
    top, left, frame_H, frame_W = shape[11], shape[12], shape[13], shape[14]
    result_top, result_left, result_H, result_W = shape[15], shape[16], shape[17], shape[18]
    tile_columns, lanes, step, w_step, product_step = shape[19], shape[20], shape[21], shape[22], shape[23]

    first, tiles = task * images, rows * columns
    count = min(images, N - first)
    group = max(count * tiles, tile_columns)  # in a last group that is too small, what lay there before takes part
    frame = offset(frames, thread * frame_H * frame_W * C)
    points = offset(points, thread * TILE_POINTS * step)
    products = offset(products, thread * TILE_POINTS * product_step)
    result = offset(results, thread * result_H * result_W * lanes)
    for n in range(count):
        frame_image(offset(x, (first + n) * H * W * C), frame, H, W, C, top, left, 1, 1, frame_H, frame_W)
        transform_image(to, frame, rows, columns, m, frame_W * C, C, C, offset(points, n * tiles * C), step)
    blocks = (K + lanes - 1) // lanes
    for block in range(blocks):
        tile = whole if block + 1 < blocks else last
        for point in range(TILE_POINTS):
            w_point = offset(w, (block * TILE_POINTS + point) * w_step)
            to_product = offset(products, point * product_step)
            call(tile, (offset(points, point * step), w_point, to_product, group, C))
        channels = min(lanes, K - block * lanes)
        vectors = (channels + 7) // 8 * 8
        for n in range(count):
            for i in range(result_H * result_W * lanes):
                result[i] = 0
            for i in range(rows):
                for j in range(columns):
                    call(
                        back,
                        (
                            offset(products, ((n * rows + i) * columns + j) * lanes),
                            offset(result, (i * result_W + j) * m * lanes), vectors,
                            SIZE * product_step, product_step, result_W * lanes, lanes,
                        ),
                    )  # fmt: skip
            inside = offset(result, (result_top * result_W + result_left) * lanes)
            y_block = offset(y, (first + n) * P * Q * K + block * lanes)
            finish(inside, result_W * lanes, lanes, offset(bias, block * lanes), floor, y_block, P, Q, K, channels)


@numba.njit
def finish(result, row, lanes, bias, floor, y, P, Q, K, channels):
    """y (P, Q, K) = max(result + bias, floor), for one block of channels."""
    least = fill8(floor)
    for k in range(0, channels, 8):
        count = min(8, channels - k)
        begin = load_first8(bias, k, count)
        for p in range(P):
            for q in range(Q):
                value = maximum(add(load8(result, p * row + q * lanes + k), begin), least)
                store_first(y, (p * Q + q) * K + k, value, count)


def multiply(x, w, w_steps, bias, y, R, grid, to, back, frame, result, relu):
    """Launch multiply_images.

    w_steps: floats from row to row of w, column to column, and between neighbours of the channels of x and of y;
    grid: rows and columns of tiles; to and back: names of matrices; frame and result: (top, left, H, W) of the frame
    around x, and of that which y is cut from.
    """
    N, H, W, C = x.shape
    P, Q, K = y.shape[1:]
    images = group_images(N // FEWEST_GROUPS, grid, C, FEWEST_TILES)
    tiles = images * grid[0] * grid[1]
    tile = choose(1, tiles, K, 0, C)
    blocks, lanes = -(-K // tile.lanes), tile.lanes
    step, w_step, product_step = apart(tiles * C), apart(C * lanes), apart(tiles * lanes)
    packed = pack(w, (R, R), C, K, lanes, w_steps)
    w_points = pool.empty((blocks * TILE_POINTS * w_step,), np.float32)
    launch(transform_filter, blocks * C, packed, w_points, to_points("G", R), R, C, lanes, w_step)
    scratch = [
        pool.empty((team().size * size,), np.float32)
        for size in (
            frame[2] * frame[3] * C, TILE_POINTS * step, TILE_POINTS * product_step, result[2] * result[3] * lanes,
        )
    ]  # fmt: skip
    shape = np.array(
        [
            N, H, W, C, P, Q, K, images, *grid, SIZE + 1 - R, *frame, *result,
            tile.columns, lanes, step, w_step, product_step,
        ],
        np.int64,
    )  # fmt: skip
    launch(
        multiply_images, -(-N // images), x, w_points, bias, y, *scratch,
        to_points(to, R), from_points(back, R), *product_tiles(tile, K), shape, 0.0 if relu else -np.inf,
    )  # fmt: skip


def group_images(most_images, grid, C, fewest_tiles):
    """How many images are computed together: few enough to stay in the L2 cache, but enough to use a filter well."""
    tiles = grid[0] * grid[1]
    most = GROUP_BYTES // (4 * TILE_POINTS * tiles * (C + 16))
    return max(1, min(most_images, max(most, -(-fewest_tiles // tiles))))


def pays(x_shape, w_shape, stride, padding):
    """Whether this is the faster way, in all three directions; by the shapes alone."""
    (N, H, W, C), (R, S, _, K) = x_shape, w_shape
    if R != S or R not in (3, 5) or stride != (1, 1) or min(C, K) < FEWEST_CHANNELS or N < FEWEST_IMAGES:
        return False
    P, Q = H + sum(padding[0]) - R + 1, W + sum(padding[1]) - R + 1
    (rows, columns), _, _ = grid_of(P, Q, R)
    one_tile = TILE_POINTS * C * K + TRANSFORM * (-(-C // 8) + -(-K // 8)) * 8
    cost = N * rows * columns * one_tile + FILTER_TRANSFORM * C * K + LAUNCHES
    return N * P * Q * R * R * C * K > GAIN * cost


def grid_of(P, Q, R):
    """How many tiles cover P x Q outputs, and (H, W) of the inputs and of the outputs that they cover."""
    m = SIZE + 1 - R
    rows, columns = -(-P // m), -(-Q // m)
    return (rows, columns), (rows * m + R - 1, columns * m + R - 1), (rows * m, columns * m)


def forward(x, w, b, padding, relu):
    """y (N,P,Q,K) of base.Device.conv2d_forward, with stride 1 and at least 8 channels."""
    N, H, W, C = x.shape
    R, _, _, K = w.shape
    (top, bottom), (left, right) = padding
    P, Q = H + top + bottom - R + 1, W + left + right - R + 1
    y = pool.empty((N, P, Q, K), np.float32)
    grid, inputs, outputs = grid_of(P, Q, R)
    steps, bias = (R * C * K, C * K, K, 1), bias_or_zeros(b, K)
    multiply(x, w, steps, bias, y, R, grid, "B", "A", (top, left, *inputs), (0, 0, *outputs), relu)
    return y


def backward_data(dy, w, x_shape, padding):
    """dx of `x_shape`."""
    R, _, C, K = w.shape
    (top, _), (left, _) = padding
    dx = pool.empty(x_shape, np.float32)
    grid, inputs, outputs = grid_of(*dy.shape[1:3], R)
    steps, zeros = (R * C * K, C * K, 1, K), bias_or_zeros(None, C)
    multiply(dy, w, steps, zeros, dx, R, grid, "A", "B", (0, 0, *outputs), (top, left, *inputs), False)
    return dx


@kernel
def backward_filter_chunks(arguments, task, thread):
    """Some blocks of output channels of one chunk's partial dw. Task: chunk * parts + part."""
    x, dy, partial = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2)
    frames, dy_frames, points, dy_points = (
        floats(arguments, 3), floats(arguments, 4), floats(arguments, 5), floats(arguments, 6),
    )  # fmt: skip
    totals, results, shape = floats(arguments, 7), floats(arguments, 8), integers(arguments, 9)
    to, dy_to, back, whole, last = arguments[10], arguments[11], arguments[12], arguments[13], arguments[14]
    N, H, W, C, P, Q, K, R = shape[0], shape[1], shape[2], shape[3], shape[4], shape[5], shape[6], shape[7]
    images, group, rows, columns = shape[8], shape[9], shape[10], shape[11]
    top, left, frame_H, frame_W, dy_H, dy_W = shape[12], shape[13], shape[14], shape[15], shape[16], shape[17]
    tile_columns, lanes, step, dy_step, total_step = shape[18], shape[19], shape[20], shape[21], shape[22]
    places, blocks, parts = shape[23], shape[24], shape[25]

    chunk, part = task // parts, task % parts
    first_block, end_block = part * blocks // parts, (part + 1) * blocks // parts
    first_k, m, tiles, size = first_block * lanes, SIZE + 1 - R, rows * columns, tile_columns * lanes
    channels = min(end_block * lanes, K) - first_k
    frame, dy_frame = offset(frames, thread * frame_H * frame_W * C), offset(dy_frames, thread * dy_H * dy_W * K)
    points, dy_points = offset(points, thread * TILE_POINTS * step), offset(dy_points, thread * TILE_POINTS * dy_step)
    totals, result = offset(totals, thread * TILE_POINTS * total_step), offset(results, thread * R * R * lanes)
    for i in range(TILE_POINTS * total_step):
        totals[i] = 0
    end = min((chunk + 1) * images, N)
    for first in range(chunk * images, end, group):
        count = min(group, end - first)
        for n in range(count):
            frame_image(offset(x, (first + n) * H * W * C), frame, H, W, C, top, left, 1, 1, frame_H, frame_W)
            transform_image(to, frame, rows, columns, m, frame_W * C, C, C, offset(points, n * tiles * C), step)
            frame_image(offset(dy, (first + n) * P * Q * K), dy_frame, P, Q, K, 0, 0, 1, 1, dy_H, dy_W)
            transform_image(
                dy_to, offset(dy_frame, first_k), rows, columns, m, dy_W * K, K, channels,
                offset(dy_points, n * tiles * channels), dy_step,
            )  # fmt: skip
        for point in range(TILE_POINTS):
            for block in range(first_block, end_block):
                dy_block = offset(dy_points, point * dy_step + (block - first_block) * lanes)
                total = offset(totals, point * total_step + (block - first_block) * places * size)
                for place in range(places):
                    c = min(place * tile_columns, C - tile_columns)
                    call(
                        whole if block + 1 < blocks else last,
                        (
                            offset(points, point * step + c), dy_block, offset(total, place * size), 1, count * tiles,
                            0, C, 0, channels,
                        ),
                    )  # fmt: skip
    for block in range(first_block, end_block):
        for c in range(C):
            place = c // tile_columns
            i = c - min(place * tile_columns, C - tile_columns)
            total = offset(totals, ((block - first_block) * places + place) * size + i * lanes)
            for tap in range(R * R * lanes):
                result[tap] = 0
            call(back, (total, result, lanes, SIZE * total_step, total_step, R * lanes, lanes))
            for tap in range(R * R):
                dw = offset(partial, ((chunk * R * R + tap) * C + c) * K + block * lanes)
                for k in range(min(lanes, K - block * lanes)):
                    dw[k] = result[tap * lanes + k]


def backward_filter(x, dy, w_shape, padding):
    """dw of `w_shape`, summed over the images in fixed chunks."""
    N, H, W, C = x.shape
    _, P, Q, K = dy.shape
    R = w_shape[0]
    (top, _), (left, _) = padding
    grid, inputs, outputs = grid_of(P, Q, R)
    tile = choose(1, C, K, 0, 1)
    images = chunk_images(N, P * Q, R * R * C * K)
    chunks, places, blocks = -(-N // images), -(-C // tile.columns), -(-K // tile.lanes)
    parts = max(1, min(blocks // 2, K // PART_CHANNELS))
    part_blocks = -(-blocks // parts)
    part_channels = min(part_blocks * tile.lanes, K)
    group = group_images(images, grid, C + part_channels, FEWEST_FILTER_TILES)
    tiles = group * grid[0] * grid[1]
    step, dy_step = apart(tiles * C), apart(tiles * part_channels)
    total_step = apart(part_blocks * places * tile.columns * tile.lanes)
    scratch = [
        pool.empty((team().size * size,), np.float32)
        for size in (
            inputs[0] * inputs[1] * C, outputs[0] * outputs[1] * K,
            TILE_POINTS * step, TILE_POINTS * dy_step, TILE_POINTS * total_step, R * R * tile.lanes,
        )
    ]  # fmt: skip
    partial = pool.empty((chunks, R * R * C * K), np.float32)
    shape = np.array(
        [
            N, H, W, C, P, Q, K, R, images, group, *grid, top, left, *inputs, *outputs,
            tile.columns, tile.lanes, step, dy_step, total_step, places, blocks, parts,
        ],
        np.int64,
    )  # fmt: skip
    launch(
        backward_filter_chunks, chunks * parts, x, dy, partial, *scratch, shape,
        to_points("B", R), to_points("A", R), from_points("G", R), *filter_tiles(tile, K),
    )  # fmt: skip
    return sum_of(partial, w_shape)
