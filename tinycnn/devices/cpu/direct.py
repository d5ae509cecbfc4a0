"""Convolution: the loops around the tiles.

One task computes one image's share of the output for one block of output channels: it walks over
the image in tiles, and the tile (tiles.py) does the arithmetic. A row of NHWC pixels is contiguous,
so for one filter row r the S taps and C channels under the filter are S * C neighbouring floats, and
the loops over s and c are one loop.

* Padding: the task first copies its image into a frame of zeros, which stays in the cache.
* Backward data is a forward pass over dy, framed likewise and spread out by the stride, with the
  filter turned by 180 degrees and its two channel axes exchanged. Where there is neither padding nor
  stride, most of a small image's frame would be zeros, and backward_data_images does without one.
* Backward filter sums over all images. They are cut into chunks by the shapes alone; each chunk has
  its own partial dw, and these are added up in order, so that the result does not depend on threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np

from tinycnn.devices.cpu.launch import floats, geometry, kernel, launch, real, record
from tinycnn.devices.cpu.memory import pool
from tinycnn.devices.cpu.simd import offset
from tinycnn.devices.cpu.threads import call, team
from tinycnn.devices.cpu.tiles import Tile, choose, filter_tiles, forward_tiles, remainder
from tinycnn.shapes import UNPADDED, Geometry, Padding, Pair, Shape

NEAR_BYTES = 24_000  # what is read again and again: has to stay in the L1 cache, of 32 KB
CHUNK_PIXELS = 512  # a chunk has so many, or adding up the chunks would take longer than they save
PARTIAL_BYTES = 8_000_000  # all partial dw together
MOST_CHUNKS = 64


class Frame(NamedTuple):
    """H x W pixels of zeros, and where an image's pixels go: the first one, and how far apart they are."""

    H: int
    W: int
    top: int = 0
    left: int = 0
    row_spread: int = 1
    column_spread: int = 1


class Cover(NamedTuple):
    """How a task covers its output: by tiles of rows x columns scalars and `lanes` channels."""

    rows: int
    columns: int
    lanes: int


class Steps(NamedTuple):
    """Floats from one image (or group of rows) to the next, and from the first to the last."""

    x: int
    x_last: int
    y: int
    y_last: int


class Operands(NamedTuple):
    """The arrays of a pass: images, packed filter, bias, and the result."""

    x: np.ndarray
    w: np.ndarray
    bias: np.ndarray
    y: np.ndarray


frame_of, cover_of, steps_of = record(Frame), record(Cover), record(Steps)


@kernel
def pack_filter(arguments, task, thread):
    """w in blocks of `lanes` output channels, zeros behind the last: (blocks, outer, inner, C, lanes).

    outer and inner count the filter's taps; steps of w are given for all axes, so they may be read in
    any order or direction. Task: one tap of one block.
    """
    w, packed = floats(arguments, 0), floats(arguments, 1)
    outer, inner, C, K, lanes = arguments[2], arguments[3], arguments[4], arguments[5], arguments[6]
    outer_step, inner_step, c_step, k_step = arguments[7], arguments[8], arguments[9], arguments[10]
    block, tap = task // (outer * inner), task % (outer * inner)
    tap_w = offset(w, tap // inner * outer_step + tap % inner * inner_step + block * lanes * k_step)
    tap_packed = offset(packed, task * C * lanes)
    channels = min(lanes, K - block * lanes)
    if channels < lanes:
        for i in range(C * lanes):
            tap_packed[i] = 0
    for first_c in range(0, C, 16):  # 16 x lanes at a time, to stay in the cache whichever way w is read
        last_c = min(first_c + 16, C)
        if k_step == 1:
            for c in range(first_c, last_c):
                for k in range(channels):
                    tap_packed[c * lanes + k] = tap_w[c * c_step + k]
        else:
            for k in range(channels):
                for c in range(first_c, last_c):
                    tap_packed[c * lanes + k] = tap_w[c * c_step + k * k_step]


@numba.njit
def frame_image(image, H, W, C, frame, pixels):
    """Copy an image (H, W, C) to `pixels`, laid out as the Frame says, with zeros around. What lies outside is left."""
    for i in range(frame.H * frame.W * C):
        pixels[i] = 0
    # Where a row's pixels are neighbours, those that lie inside.
    first, end = max(0, -frame.left), min(W, frame.W - frame.left)
    for h in range(H):
        row = frame.top + h * frame.row_spread
        if 0 <= row < frame.H:
            if frame.column_spread == 1:
                to, a = (row * frame.W + frame.left + first) * C, (h * W + first) * C
                for i in range((end - first) * C):
                    pixels[to + i] = image[a + i]
                continue
            for w in range(W):
                column = frame.left + w * frame.column_spread
                if 0 <= column < frame.W:
                    to = (row * frame.W + column) * C
                    a = (h * W + w) * C
                    for c in range(C):
                        pixels[to + c] = image[a + c]


@kernel
def forward_images(arguments, task, thread):
    """y for one image and one block of output channels. Task: block * N + image."""
    x, frames, w = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2)
    bias, y = floats(arguments, 3), floats(arguments, 4)
    whole, last, floor, framed = arguments[5], arguments[6], real(arguments, 7), arguments[8]
    g, frame, cover = geometry(arguments, 9), frame_of(arguments, 22), cover_of(arguments, 28)
    steps = steps_of(arguments, 31)

    n, block = task % g.N, task // g.N
    image = offset(x, min(n * steps.x, steps.x_last))
    if framed:
        pixels = offset(frames, thread * frame.H * frame.W * g.C)
        frame_image(image, g.H, g.W, g.C, frame, pixels)
        image = pixels
    y_block = offset(y, min(n * steps.y, steps.y_last) + block * cover.lanes)
    w_block = offset(w, block * cover.lanes * g.R * g.S * g.C)
    begin, row = offset(bias, block * cover.lanes), frame.W * g.C
    tile = whole if (block + 1) * cover.lanes < g.K else last
    for i in range((g.P + cover.rows - 1) // cover.rows):
        p = min(i * cover.rows, g.P - cover.rows)
        for j in range((g.Q + cover.columns - 1) // cover.columns):
            q = min(j * cover.columns, g.Q - cover.columns)
            x_tile = offset(image, p * g.stride_h * row + q * g.stride_w * g.C)
            y_tile = offset(y_block, (p * g.Q + q) * g.K)
            call(
                tile,
                (
                    x_tile, w_block, begin, y_tile, g.R, g.S * g.C, row, g.S * g.C * cover.lanes,
                    0, 0, g.Q * g.K, g.K, floor,
                ),
            )  # fmt: skip


@kernel
def backward_data_images(arguments, task, thread):
    """dx for one image and one block of its channels, without padding and with stride 1. Task: block * N + image.

    Row h of dx, moved left by s columns, is a sum over the rows h - r of dy. So for each s a tile of dx
    is loaded, all r and k are added, and it is stored again.
    """
    dy, w, dx = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2)
    g, cover = geometry(arguments, 7), cover_of(arguments, 20)

    n, block = task % g.N, task // g.N
    is_last = (block + 1) * cover.lanes >= g.C
    tile, rest = arguments[4 if is_last else 3], arguments[6 if is_last else 5]
    image = offset(dy, n * g.P * g.Q * g.K)
    channels, no_floor = min(cover.lanes, g.C - block * cover.lanes), np.float32(-np.inf)
    dx_image = offset(dx, n * g.H * g.W * g.C + block * cover.lanes)
    for pixel in range(g.H * g.W):
        for c in range(channels):
            dx_image[pixel * g.C + c] = 0
    for s in range(g.S):
        for h in range(g.H):
            first_r, last_r = max(0, h - g.P + 1), min(g.R, h + 1)
            w_s = offset(w, ((block * g.S + s) * g.R + first_r) * g.K * cover.lanes)
            dx_row = offset(dx_image, (h * g.W + s) * g.C)
            for q in range(0, g.Q, cover.columns):
                dy_tile, dx_tile = offset(image, ((h - first_r) * g.Q + q) * g.K), offset(dx_row, q * g.C)
                call(
                    tile if q + cover.columns <= g.Q else rest,
                    (
                        dy_tile, w_s, dx_tile, dx_tile, last_r - first_r, g.K, -g.Q * g.K, g.K * cover.lanes,
                        0, g.C, 0, g.C, no_floor,
                    ),
                )  # fmt: skip


@kernel
def backward_filter_chunks(arguments, task, thread):
    """One block of output channels of one chunk's partial dw. Task: chunk * blocks + block.

    All tiles of dw walk over the same few rows of an image, a band, before the next rows come: they stay in the L1
    cache. Between bands a tile's totals lie in `totals`, tile by tile, because tiles may overlap in dw.
    """
    x, dy, totals, partial = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2), floats(arguments, 3)
    whole, last, images, band = arguments[4], arguments[5], arguments[6], arguments[7]
    g, cover = geometry(arguments, 8), cover_of(arguments, 21)

    row_tiles, column_tiles = -(-g.R // cover.rows), -(-(g.S * g.C) // cover.columns)
    blocks, size = -(-g.K // cover.lanes), cover.rows * cover.columns * cover.lanes
    chunk, block = task // blocks, task % blocks
    totals = offset(totals, thread * row_tiles * column_tiles * size)
    for i in range(row_tiles * column_tiles * size):
        totals[i] = 0
    for n in range(chunk * images, min(chunk * images + images, g.N)):
        for p in range(0, g.P, band):
            rows = offset(x, (n * g.H + p * g.stride_h) * g.W * g.C)
            dy_rows = offset(dy, (n * g.P + p) * g.Q * g.K + block * cover.lanes)
            for place in range(row_tiles * column_tiles):
                r = min(place // column_tiles * cover.rows, g.R - cover.rows)
                t = min(place % column_tiles * cover.columns, g.S * g.C - cover.columns)
                call(
                    whole if block + 1 < blocks else last,
                    (
                        offset(rows, r * g.W * g.C + t), dy_rows, offset(totals, place * size), min(band, g.P - p), g.Q,
                        g.stride_h * g.W * g.C, g.stride_w * g.C, g.Q * g.K, g.K,
                    ),
                )  # fmt: skip
    channels = min(cover.lanes, g.K - block * cover.lanes)
    for place in range(row_tiles * column_tiles):
        r = min(place // column_tiles * cover.rows, g.R - cover.rows)
        t = min(place % column_tiles * cover.columns, g.S * g.C - cover.columns)
        for i in range(cover.rows):
            for j in range(cover.columns):
                dw = offset(partial, ((chunk * g.R + r + i) * g.S * g.C + t + j) * g.K + block * cover.lanes)
                sums = offset(totals, place * size + (i * cover.columns + j) * cover.lanes)
                for k in range(channels):
                    dw[k] = sums[k]


@kernel
def add_partials(arguments, task, thread):
    """total[i] = partial[0][i] + partial[1][i] + ... for 1024 i, in that order."""
    partial, total, chunks, n = floats(arguments, 0), floats(arguments, 1), arguments[2], arguments[3]
    begin, end = task * 1024, min(task * 1024 + 1024, n)
    for i in range(begin, end):
        total[i] = partial[i]
    for chunk in range(1, chunks):
        for i in range(begin, end):
            total[i] += partial[chunk * n + i]


def cover_by(tile: Tile) -> Cover:
    return Cover(tile.rows, tile.columns, tile.lanes)


def convolve(
    g: Geometry, arrays: Operands, tile: Tile, relu: bool = False, frame: Frame | None = None,
    steps: Steps | None = None,
) -> None:  # fmt: skip
    """y of a forward pass over x, whose images are framed first, or are contiguous and `steps` apart."""
    frames = scratch(frame.H * frame.W * g.C if frame else 0)
    launch(
        forward_images, -(-g.K // tile.lanes) * g.N,
        arrays.x, frames, arrays.w, arrays.bias, arrays.y, *forward_tiles(tile, g.K), 0.0 if relu else -np.inf,
        frame is not None, g, frame or Frame(g.H, g.W), cover_by(tile),
        steps or Steps(g.H * g.W * g.C, arrays.x.size, g.P * g.Q * g.K, arrays.y.size),
    )  # fmt: skip


def pack(w: np.ndarray, taps: Pair, C: int, K: int, lanes: int, steps: Sequence[int]) -> np.ndarray:
    """The filter as the tiles read it: see pack_filter. taps: (outer, inner), steps: of outer, inner, C and K."""
    count = -(-K // lanes) * taps[0] * taps[1]
    packed = pool.empty((count * C * lanes,), np.float32)
    launch(pack_filter, count, w, packed, *taps, C, K, lanes, *steps)
    return packed


def scratch(floats: int) -> np.ndarray:
    """So many floats for every thread."""
    return pool.empty((team().size * floats,), np.float32)


def bias_or_zeros(b: np.ndarray | None, K: int) -> np.ndarray:
    return np.zeros(K, np.float32) if b is None else b


def forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, stride: Pair, padding: Padding, relu: bool
) -> np.ndarray:
    """y (N,P,Q,K) of base.Device.conv2d_forward."""
    g = Geometry.of(x.shape, w.shape, stride, padding)
    (top, bottom), (left, right) = padding
    frame = Frame(g.H + top + bottom, g.W + left + right, top, left)
    y = pool.empty(g.y_shape, np.float32)
    tile = choose(g.P, g.Q, g.K, g.stride_h * frame.W * g.C, g.stride_w * g.C)
    packed = pack(w, (g.R, g.S), g.C, g.K, tile.lanes, (g.S * g.C * g.K, g.C * g.K, g.K, 1))
    arrays = Operands(x, packed, bias_or_zeros(b, g.K), y)
    convolve(g, arrays, tile, relu, None if padding == UNPADDED else frame)
    return y


def backward_data(dy: np.ndarray, w: np.ndarray, x_shape: Shape, stride: Pair, padding: Padding) -> np.ndarray:
    """dx of `x_shape`."""
    g = Geometry.of(x_shape, w.shape, stride, padding)
    dx = pool.empty(x_shape, np.float32)
    if stride == (1, 1) and padding == UNPADDED:
        tile = choose(1, g.Q, g.C, 0, g.K, overlap=False)
        packed = pack(w, (g.S, g.R), g.K, g.C, tile.lanes, (g.C * g.K, g.S * g.C * g.K, 1, g.K))
        tiles = *forward_tiles(tile, g.C), *forward_tiles(remainder(tile, g.Q), g.C)
        launch(backward_data_images, g.N * -(-g.C // tile.lanes), dy, packed, dx, *tiles, g, cover_by(tile))
        return dx
    # A forward pass over dy, framed so that every pixel of dx sees all it contributed to.
    frame = Frame(g.H + g.R - 1, g.W + g.S - 1, g.R - 1 - g.top, g.S - 1 - g.left, *stride)
    tile = choose(g.H, g.W, g.C, frame.W * g.K, g.K)
    turned = w[::-1, ::-1]  # a view: the pointer to its first tap, and steps backwards
    packed = pack(turned, (g.R, g.S), g.K, g.C, tile.lanes, (-g.S * g.C * g.K, -g.C * g.K, 1, g.K))
    over_dy = Geometry(g.N, g.P, g.Q, g.K, g.C, g.R, g.S, g.H, g.W, stride_h=1, stride_w=1, top=0, left=0)
    convolve(over_dy, Operands(dy, packed, bias_or_zeros(None, g.C), dx), tile, frame=frame)
    return dx


def chunk_images(N: int, pixels: int, weights: int) -> int:
    """How many images make a chunk, by the shapes alone."""
    return max(1, -(-N // MOST_CHUNKS), -(-CHUNK_PIXELS // pixels), -(-N * 4 * weights // PARTIAL_BYTES))


def sum_of(partial: np.ndarray, w_shape: Shape) -> np.ndarray:
    """dw from its parts (chunks, ...), added in order."""
    chunks = len(partial)
    if chunks == 1:
        return partial.reshape(w_shape)
    dw = pool.empty(w_shape, np.float32)
    launch(add_partials, -(-dw.size // 1024), partial, dw, chunks, dw.size)
    return dw


def backward_filter(x: np.ndarray, dy: np.ndarray, w_shape: Shape, stride: Pair, padding: Padding) -> np.ndarray:
    """dw of `w_shape`, summed over the images in fixed chunks."""
    if padding != UNPADDED:
        x = np.pad(x, ((0, 0), *padding, (0, 0)))
    g = Geometry.of(x.shape, w_shape, stride, UNPADDED)
    tile = choose(g.R, g.S * g.C, g.K, g.W * g.C, 1)
    band = max(1, min(g.P, NEAR_BYTES // (4 * (g.stride_h * g.W * g.C + g.Q * min(g.K, tile.lanes)))))
    images = chunk_images(g.N, g.P * g.Q, g.R * g.S * g.C * g.K)
    chunks, tiles = -(-g.N // images), -(-g.R // tile.rows) * -(-(g.S * g.C) // tile.columns)
    totals = scratch(tiles * tile.rows * tile.columns * tile.lanes)
    partial = pool.empty((chunks, g.R * g.S * g.C * g.K), np.float32)
    launch(
        backward_filter_chunks, chunks * -(-g.K // tile.lanes),
        x, dy, totals, partial, *filter_tiles(tile, g.K), images, band, g, cover_by(tile),
    )  # fmt: skip
    return sum_of(partial, w_shape)
