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

import numba
import numpy as np

from tinycnn.devices.cpu.launch import floats, integers, kernel, launch, real
from tinycnn.devices.cpu.memory import pool
from tinycnn.devices.cpu.simd import offset
from tinycnn.devices.cpu.threads import call, team
from tinycnn.devices.cpu.tiles import choose, filter_tiles, forward_tiles, remainder

NEAR_BYTES = 24_000  # what is read again and again: has to stay in the L1 cache, of 32 KB
CHUNK_PIXELS = 512  # a chunk has so many, or adding up the chunks would take longer than they save
PARTIAL_BYTES = 8_000_000  # all partial dw together
MOST_CHUNKS = 64


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
def frame_image(x, frame, H, W, C, top, left, row_stride, column_stride, frame_H, frame_W):
    """Copy an image into a frame of zeros, from row `top`, column `left` on, its pixels `stride` apart."""
    for i in range(frame_H * frame_W * C):
        frame[i] = 0
    first, end = max(0, -left), min(W, frame_W - left)  # where a row's pixels are neighbours, those that lie inside
    for h in range(H):
        row = top + h * row_stride
        if 0 <= row < frame_H:
            if column_stride == 1:
                to, a = (row * frame_W + left + first) * C, (h * W + first) * C
                for i in range((end - first) * C):
                    frame[to + i] = x[a + i]
                continue
            for w in range(W):
                column = left + w * column_stride
                if 0 <= column < frame_W:
                    to = (row * frame_W + column) * C
                    a = (h * W + w) * C
                    for c in range(C):
                        frame[to + c] = x[a + c]


@kernel
def forward_images(arguments, task, thread):
    """y for one image and one block of output channels. Task: block * N + image."""
    x, frames, w = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2)
    bias, y, shape = floats(arguments, 3), floats(arguments, 4), integers(arguments, 5)
    whole, last, floor = arguments[6], arguments[7], real(arguments, 8)
    N, H, W, C = shape[0], shape[1], shape[2], shape[3]
    P, Q, K = shape[4], shape[5], shape[6]
    R, S = shape[7], shape[8]
    row_stride, column_stride = shape[9], shape[10]
    framed, top, left = shape[11], shape[12], shape[13]
    row_spread, column_spread, frame_H, frame_W = shape[14], shape[15], shape[16], shape[17]
    tile_rows, tile_columns, lanes = shape[18], shape[19], shape[20]
    x_image, x_last, y_image, y_last = shape[21], shape[22], shape[23], shape[24]

    n, block = task % N, task // N
    image = offset(x, min(n * x_image, x_last))
    if framed:
        frame = offset(frames, thread * frame_H * frame_W * C)
        frame_image(image, frame, H, W, C, top, left, row_spread, column_spread, frame_H, frame_W)
        image = frame
    y_block = offset(y, min(n * y_image, y_last) + block * lanes)
    w_block = offset(w, block * lanes * R * S * C)
    begin, row = offset(bias, block * lanes), frame_W * C
    tile = whole if (block + 1) * lanes < K else last
    for i in range((P + tile_rows - 1) // tile_rows):
        p = min(i * tile_rows, P - tile_rows)
        for j in range((Q + tile_columns - 1) // tile_columns):
            q = min(j * tile_columns, Q - tile_columns)
            x_tile = offset(image, p * row_stride * row + q * column_stride * C)
            y_tile = offset(y_block, (p * Q + q) * K)
            call(
                tile,
                (
                    x_tile, w_block, begin, y_tile, R, S * C, row, S * C * lanes,
                    0, 0, Q * K, K, floor,
                ),
            )  # fmt: skip


@kernel
def backward_data_images(arguments, task, thread):
    """dx for one image and one block of its channels, without padding and with stride 1. Task: block * N + image.

    Row h of dx, moved left by s columns, is a sum over the rows h - r of dy. So for each s a tile of dx
    is loaded, all r and k are added, and it is stored again.
    """
    dy, w, dx, shape = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2), integers(arguments, 3)
    N, P, Q, K, H, W, C, R, S = shape[0], shape[1], shape[2], shape[3], shape[4], shape[5], shape[6], shape[7], shape[8]
    tile_columns, lanes = shape[9], shape[10]

    n, block = task % N, task // N
    is_last = (block + 1) * lanes >= C
    tile, rest = arguments[5 if is_last else 4], arguments[7 if is_last else 6]
    image = offset(dy, n * P * Q * K)
    channels, no_floor = min(lanes, C - block * lanes), np.float32(-np.inf)
    dx_image = offset(dx, n * H * W * C + block * lanes)
    for pixel in range(H * W):
        for c in range(channels):
            dx_image[pixel * C + c] = 0
    for s in range(S):
        for h in range(H):
            first_r, last_r = max(0, h - P + 1), min(R, h + 1)
            w_s = offset(w, ((block * S + s) * R + first_r) * K * lanes)
            dx_row = offset(dx_image, (h * W + s) * C)
            for q in range(0, Q, tile_columns):
                dy_tile, dx_tile = offset(image, ((h - first_r) * Q + q) * K), offset(dx_row, q * C)
                call(
                    tile if q + tile_columns <= Q else rest,
                    (
                        dy_tile, w_s, dx_tile, dx_tile, last_r - first_r, K, -Q * K, K * lanes,
                        0, C, 0, C, no_floor,
                    ),
                )  # fmt: skip


@kernel
def backward_filter_chunks(arguments, task, thread):
    """One block of output channels of one chunk's partial dw. Task: chunk * blocks + block.

    All tiles of dw walk over the same few rows of an image before the next rows come: they stay in the L1 cache.
    Between rows a tile's totals lie in `totals`, tile by tile, because tiles may overlap in dw.
    """
    x, dy, totals, partial = floats(arguments, 0), floats(arguments, 1), floats(arguments, 2), floats(arguments, 3)
    whole, last, shape = arguments[4], arguments[5], integers(arguments, 6)
    N, H, W, C = shape[0], shape[1], shape[2], shape[3]
    P, Q, K = shape[4], shape[5], shape[6]
    R, S = shape[7], shape[8]
    row_stride, column_stride = shape[9], shape[10]
    tile_rows, tile_columns, lanes = shape[11], shape[12], shape[13]
    images, row_tiles, column_tiles, blocks, band = shape[14], shape[15], shape[16], shape[17], shape[18]

    chunk, block = task // blocks, task % blocks
    size = tile_rows * tile_columns * lanes
    totals = offset(totals, thread * row_tiles * column_tiles * size)
    for i in range(row_tiles * column_tiles * size):
        totals[i] = 0
    for n in range(chunk * images, min(chunk * images + images, N)):
        for p in range(0, P, band):
            rows = offset(x, (n * H + p * row_stride) * W * C)
            dy_rows = offset(dy, (n * P + p) * Q * K + block * lanes)
            for place in range(row_tiles * column_tiles):
                r = min(place // column_tiles * tile_rows, R - tile_rows)
                t = min(place % column_tiles * tile_columns, S * C - tile_columns)
                call(
                    whole if block + 1 < blocks else last,
                    (
                        offset(rows, r * W * C + t), dy_rows, offset(totals, place * size), min(band, P - p), Q,
                        row_stride * W * C, column_stride * C, Q * K, K,
                    ),
                )  # fmt: skip
    channels = min(lanes, K - block * lanes)
    for place in range(row_tiles * column_tiles):
        r = min(place // column_tiles * tile_rows, R - tile_rows)
        t = min(place % column_tiles * tile_columns, S * C - tile_columns)
        for i in range(tile_rows):
            for j in range(tile_columns):
                dw = offset(partial, ((chunk * R + r + i) * S * C + t + j) * K + block * lanes)
                sums = offset(totals, place * size + (i * tile_columns + j) * lanes)
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


def convolve(x, packed, bias, y, tile, x_shape, y_shape, geometry, relu, frame=None, spans=None):
    """Launch forward_images.

    x_shape (N,H,W,C), y_shape (P,Q,K), geometry (R, S, stride);
    frame: (top, left, row spread, column spread, H, W) of the framed image;
    spans: floats from image to image, and to the last, in x and then in y.
    """
    N, H, W, C = x_shape
    P, Q, K = y_shape
    R, S, stride = geometry
    top, left, row_spread, column_spread, frame_H, frame_W = frame or (0, 0, 1, 1, H, W)
    frames = pool.empty((team().size * frame_H * frame_W * C if frame else 0,), np.float32)
    x_image, x_last, y_image, y_last = spans or (H * W * C, x.size, P * Q * K, y.size)
    shape = np.array(
        [
            N, H, W, C, P, Q, K, R, S, *stride,
            frame is not None, top, left, row_spread, column_spread, frame_H, frame_W,
            tile.rows, tile.columns, tile.lanes, x_image, x_last, y_image, y_last,
        ],
        np.int64,
    )  # fmt: skip
    blocks = -(-K // tile.lanes)
    floor = 0.0 if relu else -np.inf
    launch(forward_images, blocks * N, x, frames, packed, bias, y, shape, *forward_tiles(tile, K), float(floor))


def pack(w, taps, C, K, lanes, steps):
    """The filter as the tiles read it: see pack_filter. taps: (outer, inner), steps: of outer, inner, C and K."""
    count = -(-K // lanes) * taps[0] * taps[1]
    packed = pool.empty((count * C * lanes,), np.float32)
    launch(pack_filter, count, w, packed, *taps, C, K, lanes, *steps)
    return packed


def bias_or_zeros(b, K):
    return np.zeros(K, np.float32) if b is None else b


def forward(x, w, b, stride, padding, relu):
    """y (N,P,Q,K) of base.Device.conv2d_forward."""
    N, H, W, C = x.shape
    R, S, _, K = w.shape
    (top, bottom), (left, right) = padding
    frame_H, frame_W = H + top + bottom, W + left + right
    P, Q = (frame_H - R) // stride[0] + 1, (frame_W - S) // stride[1] + 1
    y = pool.empty((N, P, Q, K), np.float32)
    tile = choose(P, Q, K, stride[0] * frame_W * C, stride[1] * C)
    packed, bias = pack(w, (R, S), C, K, tile.lanes, (S * C * K, C * K, K, 1)), bias_or_zeros(b, K)
    frame = (top, left, 1, 1, frame_H, frame_W) if top or bottom or left or right else None
    convolve(x, packed, bias, y, tile, x.shape, (P, Q, K), (R, S, stride), relu, frame)
    return y


def backward_data(dy, w, x_shape, stride, padding):
    """dx of `x_shape`."""
    N, H, W, C = x_shape
    P, Q = dy.shape[1:3]
    R, S, _, K = w.shape
    (top, bottom), (left, right) = padding
    dx = pool.empty(x_shape, np.float32)
    if stride == (1, 1) and not (top or bottom or left or right):
        tile = choose(1, Q, C, 0, K, overlap=False)
        packed = pack(w, (S, R), K, C, tile.lanes, (C * K, S * C * K, 1, K))
        shape = np.array([N, P, Q, K, H, W, C, R, S, tile.columns, tile.lanes], np.int64)
        tiles = *forward_tiles(tile, C), *forward_tiles(remainder(tile, Q), C)
        launch(backward_data_images, N * -(-C // tile.lanes), dy, packed, dx, shape, *tiles)
        return dx
    # A forward pass over dy, framed so that every pixel of dx sees all it contributed to.
    frame_H, frame_W = H + R - 1, W + S - 1
    tile = choose(H, W, C, frame_W * K, K)
    turned = w[::-1, ::-1]  # a view: the pointer to its first tap, and steps backwards
    packed = pack(turned, (R, S), K, C, tile.lanes, (-S * C * K, -C * K, 1, K))
    frame = (R - 1 - top, S - 1 - left, *stride, frame_H, frame_W)
    convolve(dy, packed, bias_or_zeros(None, C), dx, tile, dy.shape, (H, W, C), (R, S, (1, 1)), False, frame)
    return dx


def chunk_images(N, pixels, weights):
    """How many images make a chunk, by the shapes alone."""
    return max(1, -(-N // MOST_CHUNKS), -(-CHUNK_PIXELS // pixels), -(-N * 4 * weights // PARTIAL_BYTES))


def sum_of(partial, w_shape):
    """dw from its parts (chunks, ...), added in order."""
    chunks = len(partial)
    if chunks == 1:
        return partial.reshape(w_shape)
    dw = pool.empty(w_shape, np.float32)
    launch(add_partials, -(-dw.size // 1024), partial, dw, chunks, dw.size)
    return dw


def backward_filter(x, dy, w_shape, stride, padding):
    """dw of `w_shape`, summed over the images in fixed chunks."""
    N, H, W, C = x.shape
    R, S, _, K = w_shape
    P, Q = dy.shape[1:3]
    (top, bottom), (left, right) = padding
    if top or bottom or left or right:
        x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
        N, H, W, C = x.shape
    tile = choose(R, S * C, K, W * C, 1)
    band = max(1, min(P, NEAR_BYTES // (4 * (stride[0] * W * C + Q * min(K, tile.lanes)))))
    images = chunk_images(N, P * Q, R * S * C * K)
    chunks = -(-N // images)
    row_tiles, column_tiles, blocks = -(-R // tile.rows), -(-(S * C) // tile.columns), -(-K // tile.lanes)
    shape = np.array(
        [
            N, H, W, C, P, Q, K, R, S, *stride, tile.rows, tile.columns, tile.lanes,
            images, row_tiles, column_tiles, blocks, band,
        ],
        np.int64,
    )  # fmt: skip
    tile_size = tile.rows * tile.columns * tile.lanes
    totals = pool.empty((team().size * row_tiles * column_tiles * tile_size,), np.float32)
    partial = pool.empty((chunks, R * S * C * K), np.float32)
    launch(backward_filter_chunks, chunks * blocks, x, dy, totals, partial, *filter_tiles(tile, K), shape)
    return sum_of(partial, w_shape)
