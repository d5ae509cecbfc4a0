"""Launches of dense.cu: matrix products, (N, inputs) x (inputs, units)."""

import numpy as np

from tinycnn.devices.gpu.grid import ceil_div, flat, slices_of


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


def matmul(device, a, b):
    return dense_forward(device, a, b, None, False)
