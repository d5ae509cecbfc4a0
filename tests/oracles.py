"""Every operation in float64, written in another way than the reference device, and inputs for them."""

import numpy as np
from hypothesis import strategies as st

WINDOWS = [(1, 1), (3, 3), (4, 4), (5, 5), (7, 7), (8, 8), (3, 5), (1, 4), (7, 2)]
STRIDES = [(1, 1), (2, 1), (2, 3)]
POOLS = [  # (window, stride): side by side, overlapping, with gaps
    ((2, 2), (2, 2)),
    ((3, 3), (2, 2)),
    ((3, 3), (1, 1)),
    ((2, 2), (1, 1)),
    ((2, 3), (3, 1)),
    ((4, 4), (4, 4)),
    ((1, 1), (2, 2)),
]
seeds = st.integers(0, 2**32 - 1)


def rng_of(*seed):
    return np.random.default_rng(seed)


def on(device, *arrays):
    """Copies of the arrays on the device, floats in its precision."""
    return [device.asarray(np.array(a, dtype=device.dtype)) for a in arrays]


def counter(device, value=0):
    return device.asarray(np.array([value]), "int64")


def windows(x, window, stride, padding, fill=0.0):
    """Every window of the padded images: (N, P, Q, C, R, S)."""
    x = np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=fill)
    return np.lib.stride_tricks.sliding_window_view(x, window, axis=(1, 2))[:, :: stride[0], :: stride[1]]


def conv2d(x, w, b, stride, padding):
    return np.einsum("npqcrs,rsck->npqk", windows(x, w.shape[:2], stride, padding), w) + b


def conv2d_data_gradient(dy, w, x_shape, stride, padding):
    """Each output pixel adds its gradient, times the filter, to the pixels that it saw."""
    R, S = w.shape[:2]
    (top, bottom), (left, right) = padding
    dx = np.zeros((x_shape[0], x_shape[1] + top + bottom, x_shape[2] + left + right, x_shape[3]))
    for p, q in np.ndindex(dy.shape[1:3]):
        h, v = p * stride[0], q * stride[1]
        dx[:, h : h + R, v : v + S] += np.einsum("nk,rsck->nrsc", dy[:, p, q], w)
    return dx[:, top : top + x_shape[1], left : left + x_shape[2]]


def conv2d_filter_gradient(x, dy, window, stride, padding):
    return np.einsum("npqcrs,npqk->rsck", windows(x, window, stride, padding), dy)


def maxpool(x, pool, stride, padding):
    """(y, argmax) by loops that keep the first of equal values."""
    seen = windows(x, pool, stride, padding, fill=-np.inf)
    y, argmax = np.empty(seen.shape[:4]), np.empty(seen.shape[:4], np.int32)
    for place in np.ndindex(y.shape):
        best, where = -np.inf, None
        for i, value in enumerate(seen[place].ravel()):
            if value > best:
                best, where = value, i
        y[place], argmax[place] = best, where
    return y, argmax


def maxpool_gradient(dy, argmax, x_shape, pool, stride, padding):
    dx = np.zeros(x_shape)
    for n, p, q, c in np.ndindex(dy.shape):
        r, s = divmod(int(argmax[n, p, q, c]), pool[1])
        dx[n, p * stride[0] + r - padding[0][0], q * stride[1] + s - padding[1][0], c] += dy[n, p, q, c]
    return dx


def avgpool(x, pool, stride, padding):
    """The mean of those pixels of each window that are in the image: those that are not are NaN."""
    return np.nanmean(windows(x, pool, stride, padding, fill=np.nan), axis=(4, 5))


def avgpool_gradient(dy, x_shape, pool, stride, padding):
    """Each output shares its gradient equally among the pixels that it saw."""
    dx = np.pad(np.zeros(x_shape), ((0, 0), *padding, (0, 0)), constant_values=np.nan)
    for n, p, q, c in np.ndindex(dy.shape):
        h, v = p * stride[0], q * stride[1]
        seen = dx[n, h : h + pool[0], v : v + pool[1], c]
        seen += dy[n, p, q, c] / np.isfinite(seen).sum()  # what is NaN stays so
    (top, _), (left, _) = padding
    return dx[:, top : top + x_shape[1], left : left + x_shape[2]]


def batchnorm(x, gamma, beta, epsilon):
    """By rows of a matrix, in extended precision: (y, mean, variance)."""
    rows = x.reshape(-1, x.shape[-1]).astype(np.longdouble)
    mean = rows.sum(axis=0) / len(rows)
    centred = rows - mean
    variance = (centred * centred).sum(axis=0) / len(rows)
    y = centred / np.sqrt(variance + epsilon) * gamma + beta
    return y.reshape(x.shape).astype(np.float64), mean.astype(np.float64), variance.astype(np.float64)


def batchnorm_gradient(dy, x, gamma, epsilon):
    """Through the mean and the variance one after the other, as in the paper: (dx, dgamma, dbeta)."""
    rows, up = x.reshape(-1, x.shape[-1]), dy.reshape(-1, x.shape[-1])
    m = len(rows)
    mean = rows.mean(axis=0)
    variance = rows.var(axis=0)
    dx_hat = up * gamma
    dvariance = (dx_hat * (rows - mean)).sum(axis=0) * -0.5 * (variance + epsilon) ** -1.5
    dmean = -dx_hat.sum(axis=0) / np.sqrt(variance + epsilon) - 2 * dvariance * (rows - mean).mean(axis=0)
    dx = dx_hat / np.sqrt(variance + epsilon) + dvariance * 2 * (rows - mean) / m + dmean / m
    dgamma = (up * (rows - mean) / np.sqrt(variance + epsilon)).sum(axis=0)
    return dx.reshape(x.shape), dgamma, up.sum(axis=0)


def log_softmax(x):
    return x - np.logaddexp.reduce(x, axis=1, keepdims=True)


def activation(name, x, alpha):
    """In extended precision, where differences of exponentials keep enough digits: (y, the derivative by x)."""
    x = x.astype(np.longdouble)
    up, down, positive = np.exp(x), np.exp(-x), x > 0
    y, slope = {
        "tanh": lambda: ((up - down) / (up + down), 4 / (up + down) ** 2),
        "sigmoid": lambda: (up / (1 + up), up / (1 + up) ** 2),
        "elu": lambda: (np.where(positive, x, alpha * (up - 1)), np.where(positive, 1, alpha * up)),
        "leaky_relu": lambda: (np.where(positive, x, alpha * x), np.where(positive, 1, alpha)),
        "softplus": lambda: (np.log(1 + up), up / (1 + up)),
    }[name]()
    return y.astype(np.float64), slope.astype(np.float64)
