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

An image's result does not depend on the images beside it, and partial dw are cut and added as in direct.py: results are
the same for any number of threads. NaN and infinity in a pixel reach all outputs of its tiles, as NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np

from tinycnn.devices.cpu.cook_toom import SIZE, from_points, to_points
from tinycnn.devices.cpu.direct import (
    Frame,
    Operands,
    bias_or_zeros,
    chunk_images,
    cover_by,
    cover_of,
    frame_image,
    frame_of,
    pack,
    scratch,
    sum_of,
)
from tinycnn.devices.cpu.launch import floats, geometry, kernel, launch, real, record
from tinycnn.devices.cpu.memory import pool
from tinycnn.devices.cpu.simd import add, fill8, load8, load_first8, maximum, offset, store_first
from tinycnn.devices.cpu.threads import call
from tinycnn.devices.cpu.tiles import choose, filter_tiles, product_tiles
from tinycnn.shapes import Geometry, Padding, Pair, Shape

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


class Grid(NamedTuple):
    """The tiles of an image: how many rows and columns of them, and how many outputs one has in each direction."""

    rows: int
    columns: int
    m: int

    @classmethod
    def of(cls, g: Geometry) -> Grid:
        m = SIZE + 1 - g.R
        return cls(-(-g.P // m), -(-g.Q // m), m)

    @property
    def tiles(self) -> int:
        return self.rows * self.columns

    def inputs(self, top: int, left: int) -> Frame:
        """The frame around an image's inputs, which starts at `top` and `left`, that the tiles cover."""
        overlap = SIZE - self.m
        return Frame(self.rows * self.m + overlap, self.columns * self.m + overlap, top, left)

    def outputs(self) -> Frame:
        """The same for its outputs."""
        return Frame(self.rows * self.m, self.columns * self.m)


class Apart(NamedTuple):
    """Floats from one point's values to the next point's: of the images, of the filter or dy, of the results."""

    x: int
    w: int
    y: int


class Span(NamedTuple):
    """Floats from one row to the next, and from one pixel to the next; and channels of a pixel."""

    row: int
    pixel: int
    channels: int


grid_of, apart_of = record(Grid), record(Apart)


def apart(floats: int) -> int:
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
def transform_image(transform, grid, image, span, points, step):
    """The tiles of an image, at their points `step` apart: (points, tiles, channels)."""
    for i in range(grid.rows):
        for j in range(grid.columns):
            call(
                transform,
                (
                    offset(image, i * grid.m * span.row + j * grid.m * span.pixel),
                    offset(points, (i * grid.columns + j) * span.channels),
                    span.channels, span.row, span.pixel, SIZE * step, step,
                ),
            )  # fmt: skip


@kernel
def multiply_images(arguments, task, thread):
    """The results of a group of images: y from x, or dx from dy. Task: the group."""
    x, w, bias, y = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2), floats(arguments, 3)
    frames, points = floats(arguments, 4), floats(arguments, 5)
    products, results = floats(arguments, 6), floats(arguments, 7)
    to, back, whole, last = arguments[8], arguments[9], arguments[10], arguments[11]
    floor, images, g = real(arguments, 12), arguments[13], geometry(arguments, 14)
    grid, before, after = grid_of(arguments, 27), frame_of(arguments, 30), frame_of(arguments, 36)
    cover, step = cover_of(arguments, 42), apart_of(arguments, 45)

    lanes, tiles = cover.lanes, grid.rows * grid.columns
    first = task * images
    count = min(images, g.N - first)
    group = max(count * tiles, cover.columns)  # in a last group that is too small, what lay there before takes part
    frame = offset(frames, thread * before.H * before.W * g.C)
    points = offset(points, thread * TILE_POINTS * step.x)
    products = offset(products, thread * TILE_POINTS * step.y)
    result = offset(results, thread * after.H * after.W * lanes)
    for n in range(count):
        frame_image(offset(x, (first + n) * g.H * g.W * g.C), g.H, g.W, g.C, before, frame)
        span = Span(before.W * g.C, g.C, g.C)
        transform_image(to, grid, frame, span, offset(points, n * tiles * g.C), step.x)
    blocks = (g.K + lanes - 1) // lanes
    for block in range(blocks):
        tile = whole if block + 1 < blocks else last
        for point in range(TILE_POINTS):
            w_point = offset(w, (block * TILE_POINTS + point) * step.w)
            call(tile, (offset(points, point * step.x), w_point, offset(products, point * step.y), group, g.C))
        channels = min(lanes, g.K - block * lanes)
        vectors = (channels + 7) // 8 * 8
        for n in range(count):
            for i in range(after.H * after.W * lanes):
                result[i] = 0
            for i in range(grid.rows):
                for j in range(grid.columns):
                    call(
                        back,
                        (
                            offset(products, ((n * grid.rows + i) * grid.columns + j) * lanes),
                            offset(result, (i * after.W + j) * grid.m * lanes), vectors,
                            SIZE * step.y, step.y, after.W * lanes, lanes,
                        ),
                    )  # fmt: skip
            inside = offset(result, (after.top * after.W + after.left) * lanes)
            y_block = offset(y, (first + n) * g.P * g.Q * g.K + block * lanes)
            finish(inside, Span(after.W * lanes, lanes, channels), offset(bias, block * lanes), floor, g, y_block)


@numba.njit
def finish(result, span, bias, floor, g, y):
    """y (P, Q, K) = max(result + bias, floor), for one block of channels."""
    least = fill8(floor)
    for k in range(0, span.channels, 8):
        count = min(8, span.channels - k)
        begin = load_first8(bias, k, count)
        for p in range(g.P):
            for q in range(g.Q):
                value = maximum(add(load8(result, p * span.row + q * span.pixel + k), begin), least)
                store_first(y, (p * g.Q + q) * g.K + k, value, count)


class Way(NamedTuple):
    """A direction: the matrices to the points and back, and the frames around the images and around the results."""

    to: str
    back: str
    before: Frame
    after: Frame


def multiply(g: Geometry, grid: Grid, way: Way, arrays: Operands, w_steps: Sequence[int], relu: bool = False) -> None:
    """Launch multiply_images: arrays.y (N,P,Q,K) from arrays.x (N,H,W,C), these being the letters of `g`.

    w_steps: floats from row to row of w, column to column, and between neighbours of the channels of x and of y.
    """
    images = group_images(g.N // FEWEST_GROUPS, grid, g.C, FEWEST_TILES)
    tiles = images * grid.tiles
    tile = choose(1, tiles, g.K, 0, g.C)
    blocks, lanes = -(-g.K // tile.lanes), tile.lanes
    step = Apart(apart(tiles * g.C), apart(g.C * lanes), apart(tiles * lanes))
    packed = pack(arrays.w, (g.R, g.R), g.C, g.K, lanes, w_steps)
    w_points = pool.empty((blocks * TILE_POINTS * step.w,), np.float32)
    launch(transform_filter, blocks * g.C, packed, w_points, to_points("G", g.R), g.R, g.C, lanes, step.w)
    frames = scratch(way.before.H * way.before.W * g.C)
    points, products = scratch(TILE_POINTS * step.x), scratch(TILE_POINTS * step.y)
    results = scratch(way.after.H * way.after.W * lanes)
    launch(
        multiply_images, -(-g.N // images),
        arrays.x, w_points, arrays.bias, arrays.y, frames, points, products, results,
        to_points(way.to, g.R), from_points(way.back, g.R), *product_tiles(tile, g.K),
        0.0 if relu else -np.inf, images, g, grid, way.before, way.after, cover_by(tile), step,
    )  # fmt: skip


def group_images(most_images: int, grid: Grid, C: int, fewest_tiles: int) -> int:
    """How many images are computed together: few enough to stay in the L2 cache, but enough to use a filter well."""
    most = GROUP_BYTES // (4 * TILE_POINTS * grid.tiles * (C + 16))
    return max(1, min(most_images, max(most, -(-fewest_tiles // grid.tiles))))


def pays(x_shape: Shape, w_shape: Shape, stride: Pair, padding: Padding) -> bool:
    """Whether this is the faster way, in all three directions; by the shapes alone."""
    g = Geometry.of(x_shape, w_shape, stride, padding)
    if g.R != g.S or g.R not in (3, 5) or stride != (1, 1) or min(g.C, g.K) < FEWEST_CHANNELS or g.N < FEWEST_IMAGES:
        return False
    one_tile = TILE_POINTS * g.C * g.K + TRANSFORM * (-(-g.C // 8) + -(-g.K // 8)) * 8
    cost = g.N * Grid.of(g).tiles * one_tile + FILTER_TRANSFORM * g.C * g.K + LAUNCHES
    return g.N * g.P * g.Q * g.R * g.R * g.C * g.K > GAIN * cost


def forward(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, padding: Padding, relu: bool) -> np.ndarray:
    """y (N,P,Q,K) of base.Device.conv2d_forward, with stride 1 and at least 8 channels."""
    g = Geometry.of(x.shape, w.shape, (1, 1), padding)
    grid = Grid.of(g)
    y = pool.empty(g.y_shape, np.float32)
    way = Way("B", "A", grid.inputs(g.top, g.left), grid.outputs())
    steps = g.R * g.C * g.K, g.C * g.K, g.K, 1
    multiply(g, grid, way, Operands(x, w, bias_or_zeros(b, g.K), y), steps, relu)
    return y


def backward_data(dy: np.ndarray, w: np.ndarray, x_shape: Shape, padding: Padding) -> np.ndarray:
    """dx of `x_shape`."""
    g = Geometry.of(x_shape, w.shape, (1, 1), padding)
    grid = Grid.of(g)
    dx = pool.empty(x_shape, np.float32)
    way = Way("A", "B", grid.outputs(), grid.inputs(g.top, g.left))
    steps = g.R * g.C * g.K, g.C * g.K, 1, g.K
    from_dy = Geometry(g.N, g.P, g.Q, g.K, g.C, g.R, g.S, g.H, g.W, stride_h=1, stride_w=1, top=0, left=0)
    multiply(from_dy, grid, way, Operands(dy, w, bias_or_zeros(None, g.C), dx), steps)
    return dx


class Parts(NamedTuple):
    """How dw is summed: a chunk has so many images, which go through the points in groups; its output channels are cut
    into blocks of lanes, and the blocks into parts, which are tasks of their own."""

    images: int
    group: int
    blocks: int
    parts: int


parts_of = record(Parts)


@kernel
def backward_filter_chunks(arguments, task, thread):
    """Some blocks of output channels of one chunk's partial dw. Task: chunk * parts + part."""
    x, dy, partial = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2)
    frames, dy_frames = floats(arguments, 3), floats(arguments, 4)
    points, dy_points = floats(arguments, 5), floats(arguments, 6)
    totals, results = floats(arguments, 7), floats(arguments, 8)
    to, dy_to, back, whole, last = arguments[9], arguments[10], arguments[11], arguments[12], arguments[13]
    g, grid, cut = geometry(arguments, 14), grid_of(arguments, 27), parts_of(arguments, 30)
    before, dy_before, cover = frame_of(arguments, 34), frame_of(arguments, 40), cover_of(arguments, 46)
    step = apart_of(arguments, 49)

    chunk, part, lanes = task // cut.parts, task % cut.parts, cover.lanes
    first_block, end_block = part * cut.blocks // cut.parts, (part + 1) * cut.blocks // cut.parts
    first_k, tiles, size = first_block * lanes, grid.rows * grid.columns, cover.columns * lanes
    places, channels = -(-g.C // cover.columns), min(end_block * lanes, g.K) - first_k
    frame = offset(frames, thread * before.H * before.W * g.C)
    dy_frame = offset(dy_frames, thread * dy_before.H * dy_before.W * g.K)
    points, dy_points = offset(points, thread * TILE_POINTS * step.x), offset(dy_points, thread * TILE_POINTS * step.w)
    totals, result = offset(totals, thread * TILE_POINTS * step.y), offset(results, thread * g.R * g.R * lanes)
    span, dy_span = Span(before.W * g.C, g.C, g.C), Span(dy_before.W * g.K, g.K, channels)
    for i in range(TILE_POINTS * step.y):
        totals[i] = 0
    end = min((chunk + 1) * cut.images, g.N)
    for first in range(chunk * cut.images, end, cut.group):
        count = min(cut.group, end - first)
        for n in range(count):
            frame_image(offset(x, (first + n) * g.H * g.W * g.C), g.H, g.W, g.C, before, frame)
            transform_image(to, grid, frame, span, offset(points, n * tiles * g.C), step.x)
            frame_image(offset(dy, (first + n) * g.P * g.Q * g.K), g.P, g.Q, g.K, dy_before, dy_frame)
            of_part, its_points = offset(dy_frame, first_k), offset(dy_points, n * tiles * channels)
            transform_image(dy_to, grid, of_part, dy_span, its_points, step.w)
        for point in range(TILE_POINTS):
            for block in range(first_block, end_block):
                dy_block = offset(dy_points, point * step.w + (block - first_block) * lanes)
                total = offset(totals, point * step.y + (block - first_block) * places * size)
                for place in range(places):
                    c = min(place * cover.columns, g.C - cover.columns)
                    call(
                        whole if block + 1 < cut.blocks else last,
                        (
                            offset(points, point * step.x + c), dy_block, offset(total, place * size), 1, count * tiles,
                            0, g.C, 0, channels,
                        ),
                    )  # fmt: skip
    for block in range(first_block, end_block):
        for c in range(g.C):
            place = c // cover.columns
            i = c - min(place * cover.columns, g.C - cover.columns)
            total = offset(totals, ((block - first_block) * places + place) * size + i * lanes)
            for tap in range(g.R * g.R * lanes):
                result[tap] = 0
            call(back, (total, result, lanes, SIZE * step.y, step.y, g.R * lanes, lanes))
            for tap in range(g.R * g.R):
                dw = offset(partial, ((chunk * g.R * g.R + tap) * g.C + c) * g.K + block * lanes)
                for k in range(min(lanes, g.K - block * lanes)):
                    dw[k] = result[tap * lanes + k]


def backward_filter(x: np.ndarray, dy: np.ndarray, w_shape: Shape, padding: Padding) -> np.ndarray:
    """dw of `w_shape`, summed over the images in fixed chunks."""
    g = Geometry.of(x.shape, w_shape, (1, 1), padding)
    grid = Grid.of(g)
    before, dy_before = grid.inputs(g.top, g.left), grid.outputs()
    tile = choose(1, g.C, g.K, 0, 1)
    images = chunk_images(g.N, g.P * g.Q, g.R * g.R * g.C * g.K)
    chunks, places, blocks = -(-g.N // images), -(-g.C // tile.columns), -(-g.K // tile.lanes)
    parts = max(1, min(blocks // 2, g.K // PART_CHANNELS))
    part_blocks = -(-blocks // parts)
    part_channels = min(part_blocks * tile.lanes, g.K)
    group = group_images(images, grid, g.C + part_channels, FEWEST_FILTER_TILES)
    tiles = group * grid.tiles
    totals_size = part_blocks * places * tile.columns * tile.lanes
    step = Apart(apart(tiles * g.C), apart(tiles * part_channels), apart(totals_size))
    frames, dy_frames = scratch(before.H * before.W * g.C), scratch(dy_before.H * dy_before.W * g.K)
    points, dy_points = scratch(TILE_POINTS * step.x), scratch(TILE_POINTS * step.w)
    totals, results = scratch(TILE_POINTS * step.y), scratch(g.R * g.R * tile.lanes)
    partial = pool.empty((chunks, g.R * g.R * g.C * g.K), np.float32)
    launch(
        backward_filter_chunks, chunks * parts,
        x, dy, partial, frames, dy_frames, points, dy_points, totals, results,
        to_points("B", g.R), to_points("A", g.R), from_points("G", g.R), *filter_tiles(tile, g.K),
        g, grid, Parts(images, group, blocks, parts), before, dy_before, cover_by(tile), step,
    )  # fmt: skip
    return sum_of(partial, w_shape)
