"""Launches of dense.cu and conv1x1.cu: matrix products."""

import numpy as np

from tinycnn.devices.kernels_host.arithmetic import sum_slices
from tinycnn.devices.kernels_host.shapes import BLOCKS, ceil_div, flat, round_up

TILE_L = 16  # of common.cuh: what a tile takes of the sum at a time
SHORTEST_SLICE = 128


def slices_of(length, blocks, most_blocks=BLOCKS, shortest=SHORTEST_SLICE):
    """(slices, slice length) of a sum, so that about most_blocks blocks have something to do."""
    slices = max(1, min(most_blocks // blocks, ceil_div(length, shortest)))
    slice_length = round_up(ceil_div(length, slices), TILE_L)
    return max(1, ceil_div(length, slice_length)), slice_length


# ---------------------------------------------------------------- dense


def dense(device, kernel, a, b, sizes, rows, columns, length, bias=None, relu=False):
    """One of dense.cu's products of a and b, (rows, columns) numbers that are sums of `length`."""
    tile = 64 if rows > 32 and columns > 32 else 32
    tiles = ceil_div(rows, tile), ceil_div(columns, tile)
    slices, slice_length = slices_of(length, max(1, tiles[0] * tiles[1]))
    y = device.empty((rows, columns))
    out = y if slices == 1 else device.empty((slices, rows, columns))
    at_once = slices == 1
    args = [a, b, out, *sizes, slice_length]
    if kernel == "forward":
        args.insert(2, a if bias is None else bias)
        args += [int(at_once and bias is not None), int(at_once and relu)]
    device.launch("dense", f"dense_{kernel}<T, {tile}>", (*tiles, slices), (tile * tile // 16,), *args)
    if not at_once:
        has_bias = int(bias is not None)
        device.launch(
            "dense", "dense_finish<T>", *flat(y.size),
            out, out if bias is None else bias, y, np.int64(y.size), columns, slices, has_bias, int(relu),
        )  # fmt: skip
    return y


def dense_forward(device, x, w, b, relu):
    (N, inputs), units = x.shape, w.shape[1]
    return dense(device, "forward", x, w, (N, inputs, units), N, units, inputs, b, relu)


def dense_backward_data(device, dy, w):
    (N, units), inputs = dy.shape, w.shape[0]
    return dense(device, "backward_data", dy, w, (N, inputs, units), N, inputs, units)


def dense_backward_filter(device, x, dy):
    (N, inputs), units = x.shape, dy.shape[1]
    return dense(device, "backward_filter", x, dy, (N, inputs, units), inputs, units, N)


# ---------------------------------------------------------------- conv1x1


def tile_columns(channels):
    """How wide conv1x1.cu's tile is for so many channels."""
    return 8 if channels <= 8 else 16 if channels <= 16 else 32


def conv1x1_forward(device, x, w, b, relu):
    (N, H, W, C), K = x.shape, w.shape[3]
    pixels, columns = N * H * W, tile_columns(K)
    y = device.empty((N, H, W, K))
    device.launch(
        "conv1x1", f"conv1x1_forward<T, {columns}>", (ceil_div(pixels, 2048 // columns), ceil_div(K, columns)), (128,),
        x, w, w if b is None else b, y, pixels, C, K, int(b is not None), int(relu),
    )  # fmt: skip
    return y


def conv1x1_backward_data(device, dy, w):
    (N, H, W, K), C = dy.shape, w.shape[2]
    pixels, columns = N * H * W, tile_columns(C)
    dx = device.empty((N, H, W, C))
    grid = ceil_div(pixels, 2048 // columns), ceil_div(C, columns)
    device.launch("conv1x1", f"conv1x1_backward_data<T, {columns}>", grid, (128,), dy, w, dx, pixels, C, K)
    return dx


def conv1x1_backward_filter(device, x, dy):
    (N, H, W, C), K = x.shape, dy.shape[3]
    pixels, tiles = N * H * W, (ceil_div(C, 32), ceil_div(K, 32))
    slices, slice_length = slices_of(pixels, tiles[0] * tiles[1], 2 * BLOCKS)
    partial = device.empty((slices, 1, 1, C, K))
    args = (x, dy, partial, pixels, C, K, slice_length)
    device.launch("conv1x1", "conv1x1_backward_filter<T>", (*tiles, slices), (64,), *args)
    return sum_slices(device, partial, (1, 1, C, K))
