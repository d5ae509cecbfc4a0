"""Launches of activation.cu, pooling.cu, batchnorm.cu, dropout.cu and softmax_crossentropy.cu."""

import numpy as np

from tinycnn.devices.kernels_host.arithmetic import sum_slices
from tinycnn.devices.kernels_host.conv2d import output_size
from tinycnn.devices.kernels_host.shapes import BLOCKS, THREADS, Rows, ceil_div, flat, matrix

MOST_GRID_Y = 65535
FOUR = 4 * THREADS  # elements of a block whose threads take four each

# ---------------------------------------------------------------- relu and bias


def relu_forward(device, x):
    y = device.empty(x.shape)
    device.launch("activation", "relu_forward<T>", *flat(x.size, FOUR), x, y, np.int64(x.size))
    return y


def relu_backward(device, dy, y):
    dx = device.empty(dy.shape)
    device.launch("activation", "relu_backward<T>", *flat(dy.size, FOUR), dy, y, dx, np.int64(dy.size))
    return dx


def bias_relu_backward(device, dy, y):
    rows, K = matrix(dy)
    if y is None:
        return dy, device.reduce("sum", dy.reshape((rows, K)), axis=0)
    dz, plan = device.empty(dy.shape), Rows(rows, K)
    partial = device.empty((plan.blocks, K))
    device.launch(
        "activation", "bias_relu_backward<T>", plan.grid, plan.block,
        dy, y, dz, partial, rows, K, plan.rows_per_block, shared=plan.threads * device.itemsize,
    )  # fmt: skip
    return dz, sum_slices(device, partial, (K,))


# ---------------------------------------------------------------- pooling


def pooling_launch(device, kernel, arrays, x_shape, y_shape, threads, pool, stride, padding):
    N, H, W, C = x_shape
    width = 4 if C % 4 == 0 else 1
    grid = ceil_div(threads // width, THREADS), min(N, MOST_GRID_Y)
    device.launch(
        "pooling", f"maxpool2d_{kernel}<T, {width}>", grid, (THREADS,),
        *arrays, N, H, W, C, *pool, *y_shape[1:3], *stride, padding[0][0], padding[1][0],
    )  # fmt: skip


def maxpool2d_forward(device, x, pool, stride, padding):
    N, _, _, C = x.shape
    P, Q = output_size(x.shape, pool, stride, padding)
    y, argmax = device.empty((N, P, Q, C)), device.empty((N, P, Q, C), "int32")
    pooling_launch(device, "forward", (x, y, argmax), x.shape, y.shape, P * Q * C, pool, stride, padding)
    return y, argmax


def maxpool2d_backward(device, dy, argmax, x_shape, pool, stride, padding):
    dx = device.empty(x_shape)
    threads = x_shape[1] * x_shape[2] * x_shape[3]
    pooling_launch(device, "backward", (dy, argmax, dx), x_shape, dy.shape, threads, pool, stride, padding)
    return dx


# ---------------------------------------------------------------- batch normalisation

CHANNELS = 4  # warps of a block, each of which finishes one channel


def batchnorm_forward(device, x, gamma, beta, moving_mean, moving_variance, momentum, epsilon):
    rows, C = matrix(x)
    plan = Rows(rows, C)
    partial = device.empty((plan.blocks, 3, C))
    device.launch(
        "batchnorm", "batchnorm_statistics<T>", plan.grid, plan.block,
        x, partial, rows, C, plan.rows_per_block, shared=3 * plan.threads * device.itemsize,
    )  # fmt: skip
    mean, inverse_std = device.empty((C,)), device.empty((C,))
    device.launch(
        "batchnorm", "batchnorm_finish_statistics<T>", (ceil_div(C, CHANNELS),), (32, CHANNELS),
        partial, mean, inverse_std, moving_mean, moving_variance, plan.blocks, C, 1.0 - momentum, float(epsilon),
    )  # fmt: skip
    return normalize(device, x, gamma, beta, mean, inverse_std, False, epsilon), (mean, inverse_std)


def batchnorm_inference(device, x, gamma, beta, moving_mean, moving_variance, epsilon):
    return normalize(device, x, gamma, beta, moving_mean, moving_variance, True, epsilon)


def normalize(device, x, gamma, beta, mean, spread, inference, epsilon):
    rows, C = matrix(x)
    y, plan = device.empty(x.shape), Rows(rows, C, 4 * BLOCKS)
    device.launch(
        "batchnorm", "batchnorm_normalize<T>", plan.grid, plan.block,
        x, gamma, beta, mean, spread, y, rows, C, plan.rows_per_block, int(inference), float(epsilon),
    )  # fmt: skip
    return y


def batchnorm_backward(device, dy, x, gamma, saved):
    (mean, inverse_std), (rows, C) = saved, matrix(x)
    plan = Rows(rows, C)
    partial = device.empty((plan.blocks, 2, C))
    device.launch(
        "batchnorm", "batchnorm_backward_sums<T>", plan.grid, plan.block,
        dy, x, mean, inverse_std, partial, rows, C, plan.rows_per_block, shared=2 * plan.threads * device.itemsize,
    )  # fmt: skip
    dgamma, dbeta, dx = device.empty((C,)), device.empty((C,)), device.empty(x.shape)
    grid = (ceil_div(C, CHANNELS),)
    args = (partial, dgamma, dbeta, plan.blocks, C)
    device.launch("batchnorm", "batchnorm_finish_backward<T>", grid, (32, CHANNELS), *args)
    plan = Rows(rows, C, 4 * BLOCKS)
    device.launch(
        "batchnorm", "batchnorm_backward_data<T>", plan.grid, plan.block,
        dy, x, gamma, mean, inverse_std, dgamma, dbeta, dx, rows, C, plan.rows_per_block,
    )  # fmt: skip
    return dx, dgamma, dbeta


# ---------------------------------------------------------------- dropout


def dropout(device, x, rate, seed, stream, step, saved):
    """saved: the array that takes the step (forward), or None (backward)."""
    y = device.empty(x.shape)
    device.launch(
        "dropout", "dropout<T>", *flat(max(1, x.size), FOUR),
        x, y, step, step if saved is None else saved, np.int64(x.size), np.uint64(seed), np.uint32(stream),
        np.uint64(round(rate * 2**32)), 1 / (1 - rate), int(saved is not None),
    )  # fmt: skip
    return y


# ---------------------------------------------------------------- softmax and the loss

ROWS = 4  # warps of a block, each of which computes one row


def softmax_forward(device, x):
    (N, K), y = x.shape, device.empty(x.shape)
    device.launch("softmax_crossentropy", "softmax_forward<T>", (ceil_div(N, ROWS),), (32, ROWS), x, y, N, K)
    return y


def softmax_backward(device, dy, y):
    (N, K), dx = y.shape, device.empty(y.shape)
    device.launch("softmax_crossentropy", "softmax_backward<T>", (ceil_div(N, ROWS),), (32, ROWS), dy, y, dx, N, K)
    return dx


def softmax_crossentropy(device, logits, labels):
    N, K = logits.shape
    dlogits, row_loss, row_correct = device.empty((N, K)), device.empty((N,)), device.empty((N,))
    device.launch(
        "softmax_crossentropy", "softmax_crossentropy<T>", (ceil_div(N, ROWS),), (32, ROWS),
        logits, labels, dlogits, row_loss, row_correct, N, K,
    )  # fmt: skip
    loss, correct = device.empty((1,)), device.empty((1,))
    args = (row_loss, row_correct, loss, correct, N)
    device.launch("softmax_crossentropy", "softmax_crossentropy_finish<T>", (1,), (256,), *args)
    return loss, correct, dlogits
