"""Every operation of every device against an oracle in float64, written here in another way than reference.py."""

import itertools
import math

import numpy as np
import pytest
from helpers import assert_close, assert_same_bits, normal, one_hot, padding_of, spaced
from hypothesis import given, settings
from hypothesis import strategies as st

from tinycnn import philox
from tinycnn.shapes import window_padding

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


# ---------------------------------------------------------------- the oracles


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


# ---------------------------------------------------------------- convolution


def check_conv2d(device, rng, x_shape, filters, window, stride, kind, has_bias=True, relu=False):
    """All three passes of one convolution."""
    padding = padding_of(kind, x_shape, window, stride)
    x, w = normal(rng, *x_shape), normal(rng, *window, x_shape[3], filters)
    b = normal(rng, filters) if has_bias else np.zeros(filters)
    want = conv2d(x, w, b, stride, padding)
    dy = normal(rng, *want.shape)

    dev_x, dev_w, dev_b, dev_dy = on(device, x, w, b, dy)
    y = device.conv2d_forward(dev_x, dev_w, dev_b if has_bias else None, stride, padding, relu)
    dx = device.conv2d_backward_data(dev_dy, dev_w, x_shape, stride, padding)
    dw = device.conv2d_backward_filter(dev_x, dev_dy, w.shape, stride, padding)

    taps = window[0] * window[1]
    assert_close(device.numpy(y), np.maximum(want, 0) if relu else want, taps * x_shape[3] + 1)
    assert_close(device.numpy(dx), conv2d_data_gradient(dy, w, x_shape, stride, padding), taps * filters)
    pixels = dy.shape[0] * dy.shape[1] * dy.shape[2]
    assert_close(device.numpy(dw), conv2d_filter_gradient(x, dy, window, stride, padding), pixels)


@pytest.mark.parametrize("kind", ["valid", "same"])
@pytest.mark.parametrize("stride", STRIDES, ids=str)
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_convolution_and_its_two_gradients(device, window, stride, kind):
    check_conv2d(device, rng_of(1), (2, 11, 13, 3), 5, window, stride, kind)


@pytest.mark.parametrize(
    "x_shape, filters",
    [
        ((1, 9, 7, 1), 1),
        ((3, 9, 7, 1), 4),
        ((1, 9, 7, 2), 1),
        ((2, 10, 9, 16), 32),
        ((2, 8, 9, 33), 17),
        ((1, 3, 3, 8), 8),
        ((2, 28, 28, 1), 8),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["valid", "same"])
def test_convolution_of_any_batch_and_channels(device, x_shape, filters, kind):
    check_conv2d(device, rng_of(2), x_shape, filters, (3, 3), (1, 1), kind)


def test_convolution_of_a_batch_larger_than_any_block(device):
    check_conv2d(device, rng_of(3), (67, 6, 5, 3), 9, (3, 2), (1, 1), "same")


@pytest.mark.parametrize("window", [(3, 3), (4, 2)], ids=str)
def test_convolution_with_an_image_as_small_as_the_filter(device, window):
    check_conv2d(device, rng_of(4), (3, *window, 2), 5, window, (1, 1), "valid")


def test_same_convolution_with_a_filter_larger_than_the_image(device):
    check_conv2d(device, rng_of(5), (2, 3, 2, 3), 4, (7, 8), (1, 1), "same")


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("window", [(1, 1), (3, 3)], ids=str)
def test_relu_and_bias_ride_in_the_convolution(device, has_bias, window):
    check_conv2d(device, rng_of(6), (3, 7, 6, 4), 5, window, (1, 1), "valid", has_bias, relu=True)
    check_conv2d(device, rng_of(6), (3, 7, 6, 4), 5, window, (1, 1), "valid", has_bias, relu=False)


@given(data=st.data(), seed=seeds)
@settings(max_examples=12)  # every new shape may be a new kernel to compile
def test_convolution_of_any_shape(device, data, seed):
    window = data.draw(st.tuples(st.integers(1, 8), st.integers(1, 8)), "window")
    kind = data.draw(st.sampled_from(["valid", "same"]), "padding")
    least = window if kind == "valid" else (1, 1)
    x_shape = data.draw(
        st.tuples(st.integers(1, 4), st.integers(least[0], 14), st.integers(least[1], 14), st.integers(1, 9)), "x"
    )
    stride = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)), "stride")
    filters = data.draw(st.integers(1, 19), "filters")
    check_conv2d(device, rng_of(seed), x_shape, filters, window, stride, kind, relu=data.draw(st.booleans(), "relu"))


@pytest.mark.parametrize(
    "shape", [(2, 11, 13, 3, 5), (1, 1, 1, 1, 1), (3, 4, 5, 1, 7), (3, 5, 4, 6, 1), (2, 8, 7, 33, 34)], ids=str
)
@pytest.mark.parametrize("relu", [False, True])
def test_one_by_one_convolution_and_its_gradients(device, shape, relu):
    N, H, W, C, K = shape
    rng = rng_of(7)
    x, w, b, dy = normal(rng, N, H, W, C), normal(rng, 1, 1, C, K), normal(rng, K), normal(rng, N, H, W, K)
    dev_x, dev_w, dev_b, dev_dy = on(device, x, w, b, dy)
    for bias, dev_bias in ((b, dev_b), (0, None)):
        want = np.einsum("nhwc,ck->nhwk", x, w[0, 0]) + bias
        y = device.conv1x1_forward(dev_x, dev_w, dev_bias, relu)
        assert_close(device.numpy(y), np.maximum(want, 0) if relu else want, C + 1)
    assert_close(device.numpy(device.conv1x1_backward_data(dev_dy, dev_w)), np.einsum("nhwk,ck->nhwc", dy, w[0, 0]), K)
    dw = device.conv1x1_backward_filter(dev_x, dev_dy)
    assert_close(device.numpy(dw), np.einsum("nhwc,nhwk->ck", x, dy)[None, None], N * H * W)


@pytest.mark.parametrize("n, k, step", list(itertools.product(range(1, 12), range(1, 9), range(1, 5))))
def test_same_padding_is_the_least_that_fits_with_the_odd_pixel_at_the_end(n, k, step):
    assert window_padding((n, n), (k, k), (step, step), "same") == padding_of("same", (0, n, n), (k, k), (step, step))


# ---------------------------------------------------------------- dense, bias and relu


def check_dense(device, rng, N, inputs, units, has_bias, relu):
    x, w, b, dy = normal(rng, N, inputs), normal(rng, inputs, units), normal(rng, units), normal(rng, N, units)
    dev_x, dev_w, dev_b, dev_dy = on(device, x, w, b, dy)
    want = np.einsum("ni,io->no", x, w) + (b if has_bias else 0)
    y = device.dense_forward(dev_x, dev_w, dev_b if has_bias else None, relu)
    assert_close(device.numpy(y), np.maximum(want, 0) if relu else want, inputs + 1)
    assert_close(device.numpy(device.dense_backward_data(dev_dy, dev_w)), np.einsum("no,io->ni", dy, w), units)
    assert_close(device.numpy(device.dense_backward_filter(dev_x, dev_dy)), np.einsum("ni,no->io", x, dy), N)


@given(
    N=st.sampled_from([1, 2, 5, 33, 70]),
    inputs=st.sampled_from([1, 3, 13, 64, 130]),
    units=st.sampled_from([1, 2, 7, 16, 33]),
    has_bias=st.booleans(),
    relu=st.booleans(),
    seed=seeds,
)
@settings(max_examples=12)  # every new shape may be a new kernel to compile
def test_dense_and_its_gradients(device, N, inputs, units, has_bias, relu, seed):
    check_dense(device, rng_of(seed), N, inputs, units, has_bias, relu)


def test_dense_with_one_of_everything_and_with_much_of_everything(device):
    check_dense(device, rng_of(8), 1, 1, 1, True, False)
    check_dense(device, rng_of(8), 130, 1153, 67, True, True)


@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 5, 6), (1, 1, 1, 1), (70, 3, 3, 1), (2, 9, 8, 33)], ids=str)
def test_the_gradient_of_a_bias_is_the_sum_over_all_axes_but_the_last(device, shape):
    rng = rng_of(9)
    dy, y = normal(rng, *shape), np.maximum(normal(rng, *shape), 0)
    dev_dy, dev_y = on(device, dy, y)
    count = dy.size // shape[-1]
    dz, db = device.bias_relu_backward(dev_dy, dev_y)
    want = np.where(y > 0, dy, 0)
    assert_close(device.numpy(dz), want)
    assert_close(device.numpy(db), np.einsum("rk->k", want.reshape(-1, shape[-1])), count)
    dz, db = device.bias_relu_backward(dev_dy, None)
    assert_close(device.numpy(dz), dy)
    assert_close(device.numpy(db), np.einsum("rk->k", dy.reshape(-1, shape[-1])), count)


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 3, 5, 7), (4, 1031)], ids=str)
def test_relu_keeps_what_is_positive_and_its_gradient_at_zero_is_zero(device, shape):
    rng = rng_of(10)
    x, dy = normal(rng, *shape), normal(rng, *shape)
    x.flat[0] = 0
    dev_x, dev_dy = on(device, x, dy)
    y = device.relu_forward(dev_x)
    assert_same_bits(np.abs(device.numpy(y)), np.where(x > 0, x, 0).astype(device.dtype))
    assert_close(device.numpy(device.relu_backward(dev_dy, y)), np.where(x > 0, dy, 0))
    assert device.numpy(device.relu_backward(dev_dy, y)).flat[0] == 0


# ---------------------------------------------------------------- pooling


def check_maxpool(device, x, pool, stride, kind, rng):
    padding = padding_of(kind, x.shape, pool, stride)
    want, where = maxpool(x, pool, stride, padding)
    dy = normal(rng, *want.shape)
    dev_x, dev_dy = on(device, x, dy)
    y, argmax = device.maxpool2d_forward(dev_x, pool, stride, padding)
    assert np.array_equal(device.numpy(y), want)
    assert device.numpy(argmax).dtype == np.int32
    assert np.array_equal(device.numpy(argmax), where)
    dx = device.maxpool2d_backward(dev_dy, argmax, x.shape, pool, stride, padding)
    assert_close(device.numpy(dx), maxpool_gradient(dy, where, x.shape, pool, stride, padding), pool[0] * pool[1])


@pytest.mark.parametrize("kind", ["valid", "same"])
@pytest.mark.parametrize("pool, stride", POOLS, ids=str)
@pytest.mark.parametrize("x_shape", [(2, 11, 13, 3), (1, 4, 5, 1), (3, 8, 6, 17)], ids=str)
def test_pooling_takes_the_maximum_and_sends_the_gradient_there(device, x_shape, pool, stride, kind):
    rng = rng_of(11)
    check_maxpool(device, spaced(rng, *x_shape), pool, stride, kind, rng)


@given(data=st.data(), values=st.sampled_from(["ties", "constant", "negative", "random"]), seed=seeds)
def test_pooling_of_any_shape_where_of_equal_values_the_first_wins(device, data, values, seed):
    pool = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)), "pool")
    kind = data.draw(st.sampled_from(["valid", "same"]), "padding")
    least = pool if kind == "valid" else (1, 1)
    shape = data.draw(
        st.tuples(st.integers(1, 3), st.integers(least[0], 9), st.integers(least[1], 9), st.integers(1, 9)), "x"
    )
    stride = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)), "stride")
    rng = rng_of(seed)
    x = {
        "ties": lambda: rng.integers(0, 3, shape) / 2.0,
        "constant": lambda: np.zeros(shape),
        "negative": lambda: -1 - rng.integers(0, 3, shape) / 2.0,
        "random": lambda: normal(rng, *shape),
    }[values]()
    check_maxpool(device, x, pool, stride, kind, rng)


def test_padding_never_wins_in_pooling(device):
    x = np.full((1, 3, 3, 2), -5.0)
    (dev_x,) = on(device, x)
    y, argmax = device.maxpool2d_forward(dev_x, (3, 3), (1, 1), ((1, 1), (1, 1)))
    assert (device.numpy(y) == -5).all()
    assert device.numpy(argmax)[0, 0, 0, 0] == 4  # the first pixel of the window that lies in the image


# ---------------------------------------------------------------- batch normalisation


def check_batchnorm(device, rng, x, factor=8):
    """Both passes on images whose numbers are exact in the device's precision."""
    C, momentum, epsilon = x.shape[-1], 0.9, 1e-3
    gamma, beta, dy = 1 + normal(rng, C) / 4, normal(rng, C), normal(rng, *x.shape)
    moving_mean, moving_variance = normal(rng, C), 1 + np.abs(normal(rng, C))
    y_want, mean, variance = batchnorm(x, gamma, beta, epsilon)
    grown = math.sqrt(x.size / C)
    # x holds numbers of this size in units of the standard deviation: what rounding the mean costs.
    cancellation = float((np.abs(mean) / np.sqrt(variance + epsilon)).max(initial=0))

    dev_x, dev_gamma, dev_beta, dev_dy, dev_mean, dev_variance = on(
        device, x, gamma, beta, dy, moving_mean, moving_variance
    )
    y, saved = device.batchnorm_forward(dev_x, dev_gamma, dev_beta, dev_mean, dev_variance, momentum, epsilon)
    assert_close(device.numpy(y), y_want, scale=np.abs(y_want).max() + cancellation, factor=factor)
    want = moving_mean * momentum + mean * (1 - momentum)
    assert_close(device.numpy(dev_mean), want, scale=max(1, np.abs(want).max()))
    want = moving_variance * momentum + variance * (1 - momentum)
    assert_close(device.numpy(dev_variance), want, grown, scale=max(1, np.abs(want).max()))

    dx, dgamma, dbeta = device.batchnorm_backward(dev_dy, dev_x, dev_gamma, saved)
    dx_want, dgamma_want, dbeta_want = batchnorm_gradient(dy, x, gamma, epsilon)
    size = max(1, np.abs(dx_want).max()) * (1 + cancellation)
    assert_close(
        device.numpy(dx), dx_want, grown, scale=size * max(1, np.abs(dgamma_want).max() / grown**2), factor=factor
    )
    assert_close(
        device.numpy(dgamma),
        dgamma_want,
        grown**2,
        scale=max(1, np.abs(dgamma_want).max()) + cancellation,
        factor=factor,
    )
    assert_close(device.numpy(dbeta), dbeta_want, grown**2)


@given(
    shape=st.one_of(
        st.tuples(st.integers(2, 40), st.integers(1, 40)),
        st.tuples(st.integers(1, 5), st.integers(2, 9), st.integers(1, 9), st.integers(1, 20)),
    ),
    scale=st.sampled_from([0.25, 1.0, 16.0]),
    offset=st.sampled_from([0.0, 1.0, -32.0]),
    seed=seeds,
)
def test_batch_normalisation_and_its_gradients(device, shape, scale, offset, seed):
    rng = rng_of(seed)
    x = (normal(rng, *shape) * scale + offset).astype(np.float32).astype(np.float64)
    check_batchnorm(device, rng, x)


@pytest.mark.parametrize("shape", [(64, 12, 12, 8), (2, 3, 5, 33), (128, 130), (1, 2, 1, 1)], ids=str)
def test_batch_normalisation_of_many_and_of_few_images(device, shape):
    rng = rng_of(12)
    check_batchnorm(device, rng, normal(rng, *shape))


def test_batch_normalisation_does_not_cancel_where_the_mean_is_large_and_the_variance_small(device):
    """E[x^2] - E[x]^2 loses everything here: the mean is 4096, the deviation 1/8, and float32 keeps 24 bits."""
    rng = rng_of(13)
    x = 4096 + rng.integers(-256, 257, (32, 5, 7, 3)) / 1024  # exact in float32, deviation about 1/8
    gamma, beta = np.ones(3), np.zeros(3)
    want, mean, variance = batchnorm(x, gamma, beta, 1e-3)
    arrays = on(device, x, gamma, beta, np.zeros(3), np.ones(3))
    y, saved = device.batchnorm_forward(*arrays, 0.0, 1e-3)
    # One rounding of the mean, 4096 * 2^-24, is 2^-12 / sigma in y.
    tolerance = 8 * 4096 * np.finfo(device.dtype).eps / math.sqrt(variance.min())
    assert np.abs(device.numpy(y) - want).max() <= tolerance
    np.testing.assert_allclose(device.numpy(arrays[4]), variance, rtol=1e-2)
    np.testing.assert_allclose(device.numpy(arrays[3]), mean, rtol=1e-6)


def test_batch_normalisation_of_a_constant_channel_is_beta(device):
    x, gamma, beta = np.full((4, 3, 3, 2), 0.5), np.array([2.0, 3.0]), np.array([-1.0, 0.25])
    arrays = on(device, x, gamma, beta, np.zeros(2), np.ones(2))
    y, saved = device.batchnorm_forward(*arrays, 0.99, 1e-3)
    assert_close(device.numpy(y), np.broadcast_to(beta, x.shape))
    dx, dgamma, dbeta = device.batchnorm_backward(*on(device, np.ones(x.shape)), arrays[0], arrays[1], saved)
    assert_close(device.numpy(dx), np.zeros(x.shape), scale=100)  # gamma / sqrt(epsilon) times a rounding
    assert_close(device.numpy(dbeta), [36.0, 36.0])


@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 5, 6), (1, 1, 1, 1), (2, 9, 8, 33)], ids=str)
def test_batch_normalisation_for_inference_uses_the_moving_statistics_and_leaves_them(device, shape):
    rng, C = rng_of(14), shape[-1]
    x, gamma, beta, mean, variance = (
        normal(rng, *shape),
        normal(rng, C),
        normal(rng, C),
        normal(rng, C),
        normal(rng, C) ** 2,
    )
    arrays = on(device, x, gamma, beta, mean, variance)
    y = device.batchnorm_inference(*arrays, 1e-3)
    want = (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    assert_close(device.numpy(y), want, scale=np.abs(want).max() + 40 * np.abs(gamma * mean).max())
    assert np.array_equal(device.numpy(arrays[3]), mean)
    assert np.array_equal(device.numpy(arrays[4]), variance.astype(device.dtype))


# ---------------------------------------------------------------- dropout


@given(
    shape=st.one_of(
        st.tuples(st.integers(1, 300)),
        st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(1, 9)),
    ),
    rate=st.floats(0, 0.95),
    seed=st.integers(0, 2**64 - 1),
    stream=st.integers(0, 2**32 - 1),
    step=st.integers(0, 2**40),
)
def test_a_dropout_mask_is_philox_of_seed_stream_step_and_element(device, shape, rate, seed, stream, step):
    """The exact bits on every device; what is kept is divided by 1 - rate, and backward uses the same mask."""
    n = math.prod(shape)
    kept = (philox.random_bits(n, seed, stream, step).astype(np.uint64) >= round(rate * 2**32)).reshape(shape)
    rng = rng_of(15)
    x, dy = spaced(rng, *shape), spaced(rng, *shape)
    dev_x, dev_dy = on(device, x, dy)
    y, saved = device.dropout_forward(dev_x, rate, seed, stream, counter(device, step))
    assert np.array_equal(device.numpy(y) != 0, kept)
    assert_close(device.numpy(y), np.where(kept, x / (1 - rate), 0))
    dx = device.dropout_backward(dev_dy, rate, seed, stream, saved)
    assert np.array_equal(device.numpy(dx) != 0, kept)
    assert_close(device.numpy(dx), np.where(kept, dy / (1 - rate), 0))


def test_an_element_whose_number_is_the_rate_itself_is_kept(device):
    """Kept from round(rate * 2^32) on, to the last bit."""
    words = philox.random_bits(64, 1, 2)
    (ones,) = on(device, np.ones(64))
    for i in np.flatnonzero(words < 2**31)[:8]:
        for offset, kept in ((0, True), (1, False)):
            y, _ = device.dropout_forward(ones, (int(words[i]) + offset) / 2**32, 1, 2, counter(device))
            assert (device.numpy(y)[i] != 0) == kept


def test_a_dropout_mask_outlives_the_step_that_made_it(device):
    """The step counter moves on in place between the two passes: backward still uses forward's mask."""
    step = counter(device, 7)
    (ones,) = on(device, np.ones((11, 13)))
    y, saved = device.dropout_forward(ones, 0.5, 3, 4, step)
    first = device.numpy(y).copy()
    device.increment(step)
    other, _ = device.dropout_forward(ones, 0.5, 3, 4, step)
    assert not np.array_equal(device.numpy(other), first)
    assert np.array_equal(device.numpy(device.dropout_backward(ones, 0.5, 3, 4, saved)), first)


def test_dropout_drops_its_share(device):
    (ones,) = on(device, np.ones(100_000))
    y, _ = device.dropout_forward(ones, 0.25, 1, 2, counter(device))
    dropped = (device.numpy(y) == 0).mean()
    assert abs(dropped - 0.25) < 5 * math.sqrt(0.25 * 0.75 / 100_000)


def test_dropout_of_rate_zero_changes_nothing(device):
    x = normal(rng_of(16), 5, 7)
    dev_x, dev_dy = on(device, x, -x)
    y, saved = device.dropout_forward(dev_x, 0.0, 1, 2, counter(device))
    assert np.array_equal(device.numpy(y), x)
    assert np.array_equal(device.numpy(device.dropout_backward(dev_dy, 0.0, 1, 2, saved)), -x)


# ---------------------------------------------------------------- softmax and the loss


@given(N=st.integers(1, 70), K=st.integers(1, 40), scale=st.sampled_from([1.0, 16.0]), seed=seeds)
def test_softmax_and_its_gradient(device, N, K, scale, seed):
    rng = rng_of(seed)
    x, dy = normal(rng, N, K) * scale, normal(rng, N, K)
    dev_x, dev_dy = on(device, x, dy)
    y = device.softmax_forward(dev_x)
    want = np.exp(log_softmax(x))
    spread = 1 + np.ptp(x)  # the rounding of x - max is that of the exponent
    assert_close(device.numpy(y), want, K, scale=spread)
    jacobian = np.einsum("ni,ij->nij", want, np.eye(K)) - np.einsum("ni,nj->nij", want, want)
    assert_close(
        device.numpy(device.softmax_backward(dev_dy, y)), np.einsum("nij,nj->ni", jacobian, dy), K, scale=4 * spread
    )


def test_softmax_of_large_numbers_is_finite(device):
    x = np.array([[1e4, 1e4, -1e4], [-1e30, -1e30, -1e30], [1e38, 0, -1e38], [88.0, 89.0, 90.0]])
    (dev_x,) = on(device, x)
    y = device.numpy(device.softmax_forward(dev_x))
    tail = np.exp([-2.0, -1.0, 0.0])
    assert_close(y, np.stack([[0.5, 0.5, 0], [1 / 3] * 3, [1, 0, 0], tail / tail.sum()]))


@given(N=st.integers(1, 70), K=st.integers(2, 40), soft=st.booleans(), seed=seeds)
def test_softmax_crossentropy_gives_loss_hits_and_gradient(device, N, K, soft, seed):
    rng = rng_of(seed)
    logits = spaced(rng, N, K) * (16 / (N * K))
    labels = rng.integers(0, K, N)
    y = one_hot(labels, K)
    if soft:
        y = (0.75 * y + 0.25 / K).astype(np.float32).astype(np.float64)
    loss, correct, dlogits = device.softmax_crossentropy(*on(device, logits, y))
    log_p = log_softmax(logits)
    assert_close(device.numpy(loss), [np.mean(np.sum(-y * log_p, axis=1))], N + K)
    assert device.numpy(correct).shape == (1,)
    assert device.numpy(correct)[0] == np.sum(np.argmax(logits, axis=1) == labels)
    assert_close(device.numpy(dlogits), (np.exp(log_p) - y) / N, K, scale=4 / N)


def test_softmax_crossentropy_of_extreme_logits_is_finite_and_right(device):
    logits = np.array([[1e4, 0, 0], [0, 1e4, -1e4], [-1e30, 0, 0], [200.0, 100.0, 0.0]])
    y = one_hot([0, 0, 1, 2], 3)
    loss, correct, dlogits = device.softmax_crossentropy(*on(device, logits, y))
    assert_close(device.numpy(loss), [(0 + 1e4 + math.log(2) + 200) / 4], 7)
    assert device.numpy(correct)[0] == 2
    want = np.array([[0, 0, 0], [-1, 1, 0], [0, -0.5, 0.5], [1, 0, -1]]) / 4
    assert_close(device.numpy(dlogits), want)


def test_of_equal_logits_the_first_counts_as_the_answer(device):
    logits = np.zeros((3, 4))
    _, correct, _ = device.softmax_crossentropy(*on(device, logits, one_hot([0, 1, 0], 4)))
    assert device.numpy(correct)[0] == 2


def test_softmax_crossentropy_of_many_rows(device):
    rng = rng_of(17)
    logits, labels = normal(rng, 1037, 10), rng.integers(0, 10, 1037)
    loss, correct, dlogits = device.softmax_crossentropy(*on(device, logits, one_hot(labels, 10)))
    log_p = log_softmax(logits)
    assert_close(device.numpy(loss), [-log_p[np.arange(1037), labels].mean()], 1037)
    assert device.numpy(correct)[0] == (logits.argmax(axis=1) == labels).sum()
    assert_close(device.numpy(dlogits), (np.exp(log_p) - one_hot(labels, 10)) / 1037, 10, scale=1 / 1037)


# ---------------------------------------------------------------- concatenate and split


@given(
    lead=st.sampled_from([(3,), (2, 3, 5), (1, 1, 1)]),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    seed=seeds,
)
def test_concatenate_joins_the_channels_and_split_takes_them_apart(device, lead, sizes, seed):
    rng = rng_of(seed)
    parts = [normal(rng, *lead, size) for size in sizes]
    joined = device.concatenate(on(device, *parts))
    want = np.empty((*lead, sum(sizes)))
    first = 0
    for part in parts:
        want[..., first : first + part.shape[-1]] = part
        first += part.shape[-1]
    assert np.array_equal(device.numpy(joined), want)
    back = device.split(joined, sizes)
    assert len(back) == len(parts)
    for got, part in zip(back, parts, strict=True):
        assert np.array_equal(device.numpy(got), part)


# ---------------------------------------------------------------- batches and counters


def test_gather_takes_the_next_rows_in_order_and_moves_on(device):
    rng = rng_of(18)
    images, labels = normal(rng, 23, 5, 3, 2), one_hot(rng.integers(0, 4, 23), 4)
    order = rng.permutation(23)
    dev_images, dev_labels = on(device, images, labels)
    dev_order, start = device.asarray(order, "int64"), counter(device)
    taken = 0
    for size in (7, 7, 1, 8):
        x, y = device.gather_batch(dev_images, dev_labels, dev_order, start, size)
        rows = order[taken : taken + size]
        assert np.array_equal(device.numpy(x), images[rows])
        assert np.array_equal(device.numpy(y), labels[rows])
        taken += size
        assert device.numpy(start).tolist() == [taken]


def test_a_counter_counts(device):
    step = counter(device, 2**33)
    device.increment(step)
    device.increment(step)
    assert device.numpy(step).tolist() == [2**33 + 2]


def test_accumulate_sums_the_loss_by_image_and_the_hits(device):
    totals = device.zeros((2,), "float64")
    for loss, correct, size in ((0.5, 3, 8), (0.25, 1, 2), (2.0, 0, 1)):
        device.accumulate(totals, *on(device, [loss], [correct]), size)
    assert device.numpy(totals).dtype == np.float64
    assert device.numpy(totals).tolist() == [0.5 * 8 + 0.25 * 2 + 2.0, 4.0]


def test_accumulate_keeps_float64_over_a_long_epoch(device):
    totals = device.zeros((2,), "float64")
    arrays = on(device, [0.1], [1])
    value = float(device.numpy(arrays[0])[0])
    for _ in range(1000):
        device.accumulate(totals, *arrays, 128)
    np.testing.assert_allclose(device.numpy(totals), [128_000 * value, 1000], rtol=1e-12)


def test_a_recorded_step_does_the_same_each_time(device):
    step, (x,) = counter(device), on(device, np.zeros(3))
    gradient, rate = on(device, np.ones(3), [0.5])

    def work():
        device.increment(step)
        device.sgd_step([x], [gradient], [], rate, 0.0, False)

    recorded = device.record(work)
    before = int(device.numpy(step)[0])
    values = float(device.numpy(x)[0])
    recorded()
    device.assign(rate, np.array([0.25]))
    recorded()
    assert device.numpy(step).tolist() == [before + 2]
    assert device.numpy(x).tolist() == [values - 0.75] * 3


# ---------------------------------------------------------------- optimisers

SHAPES = [(3, 3, 1, 5), (5,), (1,), (45, 7), (7,)]


def optimise(device, update, slots, rates=(0.1, 0.1, 0.05, 0.05, 0.2)):
    """Five updates of several parameters on the device. Returns what the parameters and their state are then,
    and the gradients. update(device, p, g, state, rate, step)."""
    rng = rng_of(19)
    start = [normal(rng, *shape) for shape in SHAPES]
    gradients = [[normal(rng, *shape) for shape in SHAPES] for _ in rates]
    parameters = on(device, *start)
    state = [[device.zeros(shape) for shape in SHAPES] for _ in range(slots)]
    rate, step = device.zeros((1,)), counter(device)
    for now, gradient in zip(rates, gradients, strict=True):
        device.assign(rate, np.array([now]))
        device.increment(step)
        update(device, parameters, on(device, *gradient), state, rate, step)
    return start, gradients, rates, [device.numpy(p) for p in parameters]


def check_optimiser(device, update, slots, oracle):
    start, gradients, rates, got = optimise(device, update, slots)
    for i, p in enumerate(start):
        want = oracle(p.copy(), [g[i] for g in gradients], rates)
        assert_close(got[i], want, 5)


def test_sgd(device):
    def update(device, p, g, state, rate, step):
        device.sgd_step(p, g, [], rate, 0.0, False)

    def oracle(p, gradients, rates):
        return p - sum(rate * g for rate, g in zip(rates, gradients, strict=True))

    check_optimiser(device, update, 0, oracle)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_with_momentum(device, nesterov):
    def update(device, p, g, state, rate, step):
        device.sgd_step(p, g, state[0], rate, 0.9, nesterov)

    def oracle(p, gradients, rates):
        velocity = np.zeros_like(p)
        for rate, g in zip(rates, gradients, strict=True):
            velocity = 0.9 * velocity - rate * g
            p = p + 0.9 * velocity - rate * g if nesterov else p + velocity
        return p

    check_optimiser(device, update, 1, oracle)


def test_adam(device):
    def update(device, p, g, state, rate, step):
        device.adam_step(p, g, *state, rate, step, 0.9, 0.999, 1e-7)

    def oracle(p, gradients, rates):
        """From the sums that the running means stand for."""
        for t, rate in enumerate(rates, start=1):
            m = sum(0.1 * 0.9 ** (t - i) * gradients[i - 1] for i in range(1, t + 1))
            v = sum(0.001 * 0.999 ** (t - i) * gradients[i - 1] ** 2 for i in range(1, t + 1))
            p = p - rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-7)
        return p

    check_optimiser(device, update, 2, oracle)


def test_adam_stays_exact_where_the_gradient_is_tiny(device):
    """Epsilon is outside the root: with |g| = 1e-7 it makes up most of the denominator."""
    p, g, m, v, rate = on(device, [1.0], [1e-7], [0.0], [0.0], [1.0])
    device.adam_step([p], [g], [m], [v], rate, counter(device, 1), 0.9, 0.999, 1e-7)
    want = 1 - math.sqrt(0.001) / 0.1 * 1e-8 / (math.sqrt(0.001) * 1e-7 + 1e-7)
    assert_close(device.numpy(p), [want], 5)


def test_adadelta(device):
    def update(device, p, g, state, rate, step):
        device.adadelta_step(p, g, *state, rate, 0.95, 1e-7)

    def oracle(p, gradients, rates):
        square, delta = np.zeros_like(p), np.zeros_like(p)
        for rate, g in zip(rates, gradients, strict=True):
            square = 0.95 * square + 0.05 * g**2
            u = g * np.sqrt((delta + 1e-7) / (square + 1e-7))
            p = p - rate * u
            delta = 0.95 * delta + 0.05 * u**2
        return p

    check_optimiser(device, update, 2, oracle)


# ---------------------------------------------------------------- arrays and tensor arithmetic

BINARY = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide}


@pytest.mark.parametrize("operation", ["add", "subtract", "multiply", "divide", "power", "equal", "greater"])
@pytest.mark.parametrize(
    "a_shape, b_shape", [((2, 3), (2, 3)), ((2, 1, 4), (3, 1)), ((1,), (5, 7)), ((), (3,)), ((3, 2), ())], ids=str
)
def test_elementwise_arithmetic_broadcasts(device, operation, a_shape, b_shape):
    rng = rng_of(20)
    a, b = rng.integers(1, 5, a_shape) / 2.0, rng.integers(1, 5, b_shape) / 2.0
    lhs, rhs = np.broadcast_arrays(a, b)
    want = np.empty(lhs.shape)
    rule = {
        "add": lambda p, q: p + q,
        "subtract": lambda p, q: p - q,
        "multiply": lambda p, q: p * q,
        "divide": lambda p, q: p / q,
        "power": lambda p, q: p**q,
        "equal": lambda p, q: float(p == q),
        "greater": lambda p, q: float(p > q),
    }[operation]
    for place in np.ndindex(want.shape):
        want[place] = rule(float(lhs[place]), float(rhs[place]))
    got = device.numpy(device.elementwise(operation, *on(device, a, b)))
    assert got.dtype == device.dtype
    assert_close(got, want)


@pytest.mark.parametrize("operation", ["negative", "exp", "log", "sqrt"])
def test_elementwise_functions(device, operation):
    x = np.array([[0.25, 1.0, 2.0], [3.0, 0.5, 7.0]])
    want = [
        [{"negative": lambda v: -v, "exp": math.exp, "log": math.log, "sqrt": math.sqrt}[operation](v) for v in row]
        for row in x
    ]
    assert_close(device.numpy(device.elementwise(operation, *on(device, x))), want)


def test_elementwise_takes_python_numbers_and_keeps_the_precision(device):
    (x,) = on(device, [1.0, 2.0])
    for got in (device.elementwise("multiply", x, 0.1), device.elementwise("subtract", 0.1, x)):
        assert device.numpy(got).dtype == device.dtype
    assert_close(device.numpy(device.elementwise("subtract", 0.5, x)), [-0.5, -1.5])


@pytest.mark.parametrize("operation", ["sum", "max"])
@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 2), (1, 2), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions(device, operation, axis, keepdims):
    x = normal(rng_of(21), 3, 5, 4)
    axes = {a % 3 for a in ((0, 1, 2) if axis is None else axis if isinstance(axis, tuple) else (axis,))}
    kept = np.zeros([1 if i in axes else n for i, n in enumerate(x.shape)])
    kept -= np.inf if operation == "max" else 0
    for place in np.ndindex(x.shape):
        to = tuple(0 if i in axes else p for i, p in enumerate(place))
        kept[to] = max(kept[to], x[place]) if operation == "max" else kept[to] + x[place]
    want = kept if keepdims else kept.reshape([n for i, n in enumerate(x.shape) if i not in axes])
    assert_close(device.numpy(device.reduce(operation, *on(device, x), axis=axis, keepdims=keepdims)), want, 60)


def test_matrix_product_and_transposition(device):
    rng = rng_of(22)
    a, b, c = normal(rng, 3, 5), normal(rng, 5, 7), normal(rng, 2, 3, 4, 5)
    dev_a, dev_b, dev_c = on(device, a, b, c)
    assert_close(device.numpy(device.matmul(dev_a, dev_b)), np.einsum("ij,jk->ik", a, b), 5)
    moved = device.numpy(device.transpose(dev_c, (2, 0, 3, 1)))
    assert moved.flags.c_contiguous
    assert np.array_equal(moved, np.einsum("abcd->cadb", c))


def test_arrays_come_and_go_unchanged(device):
    x = normal(rng_of(23), 3, 4)
    (held,) = on(device, x)
    assert held.shape == (3, 4) and held.size == 12 and device.numpy(held).dtype == device.dtype
    assert np.array_equal(device.numpy(held), x)
    assert np.array_equal(device.numpy(held.reshape((2, 6))), x.reshape(2, 6))
    assert np.array_equal(device.numpy(device.copy(held[1:, ::2])), x[1:, ::2])
    copy = device.copy(held)
    device.assign(held, np.zeros((3, 4)))
    assert np.array_equal(device.numpy(copy), x)
    device.assign(held, copy)
    assert np.array_equal(device.numpy(held), x)
    assert device.numpy(device.zeros((2, 3))).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert device.empty((2, 3)).shape == (2, 3)


# ---------------------------------------------------------------- what holds for every operation


def passes(device, scale=1.0):
    """{operation: the list of arrays it returns}, from fixed inputs; `scale` multiplies every upstream gradient."""
    rng = rng_of(24)
    x, w, b = normal(rng, 5, 9, 8, 3), normal(rng, 4, 3, 3, 6), normal(rng, 6)
    stride, padding = (2, 1), padding_of("same", x.shape, (4, 3), (2, 1))
    dy = normal(rng, 5, 5, 8, 6) * scale
    dev_x, dev_w, dev_b, dev_dy = on(device, x, w, b, dy)
    y = device.conv2d_forward(dev_x, dev_w, dev_b, stride, padding, True)
    dz, db = device.bias_relu_backward(dev_dy, y)
    done = {
        "conv2d": ([y], [dz, db, device.conv2d_backward_data(dev_dy, dev_w, x.shape, stride, padding),
                         device.conv2d_backward_filter(dev_x, dev_dy, w.shape, stride, padding)]),
    }  # fmt: skip
    w1, dy1 = on(device, normal(rng, 1, 1, 3, 6), normal(rng, 5, 9, 8, 6) * scale)
    done["conv1x1"] = (
        [device.conv1x1_forward(dev_x, w1, dev_b, False)],
        [device.conv1x1_backward_data(dy1, w1), device.conv1x1_backward_filter(dev_x, dy1)],
    )
    flat, wd, dyd = on(device, normal(rng, 67, 31), normal(rng, 31, 6), normal(rng, 67, 6) * scale)
    logits = device.dense_forward(flat, wd, dev_b, False)
    done["dense"] = [logits], [device.dense_backward_data(dyd, wd), device.dense_backward_filter(flat, dyd)]
    pooled, argmax = device.maxpool2d_forward(dev_x, (3, 2), (2, 1), ((1, 0), (0, 1)))
    (dyp,) = on(device, normal(rng, *pooled.shape) * scale)
    done["maxpool2d"] = [pooled], [device.maxpool2d_backward(dyp, argmax, x.shape, (3, 2), (2, 1), ((1, 0), (0, 1)))]
    gamma, beta, mean, variance, dyn = on(
        device, normal(rng, 3), normal(rng, 3), np.zeros(3), np.ones(3), normal(rng, *x.shape) * scale
    )
    normed, saved = device.batchnorm_forward(dev_x, gamma, beta, mean, variance, 0.9, 1e-3)
    done["batchnorm"] = [normed, mean, variance], list(device.batchnorm_backward(dyn, dev_x, gamma, saved))
    dropped, mask = device.dropout_forward(dev_x, 0.3, 5, 6, counter(device, 7))
    done["dropout"] = [dropped], [device.dropout_backward(dyn, 0.3, 5, 6, mask)]
    rectified = device.relu_forward(dev_x)
    done["relu"] = [rectified], [device.relu_backward(dyn, rectified)]
    p = device.softmax_forward(logits)
    done["softmax"] = [p], [device.softmax_backward(dyd, p)]
    (labels,) = on(device, one_hot(np.arange(67) % 6, 6))
    done["softmax_crossentropy"] = list(device.softmax_crossentropy(logits, labels)), []
    done["concatenate"] = [device.concatenate([dev_x, normed])], device.split(dyn, [1, 2])
    return done


def test_results_are_identical_from_run_to_run(device):
    first, second = passes(device), passes(device)
    for name in first:
        for one, other in zip(sum(first[name], []), sum(second[name], []), strict=True):
            assert_same_bits(device.numpy(one), device.numpy(other))


def test_results_stay_as_they_are_while_others_are_computed(device):
    first = passes(device)
    kept = {name: [device.numpy(a).copy() for a in sum(arrays, [])] for name, arrays in first.items()}
    for scale in (2.0, 3.0):
        passes(device, scale)
    for name, arrays in first.items():
        for array, copy in zip(sum(arrays, []), kept[name], strict=True):
            assert_same_bits(device.numpy(array), copy)


def test_a_zero_upstream_gives_exactly_zero_gradients(device):
    for name, (_, backward) in passes(device, scale=0.0).items():
        for gradient in backward:
            assert not np.any(device.numpy(gradient)), name


def test_operations_leave_their_inputs_alone(device):
    rng = rng_of(25)
    x, w, b = on(device, normal(rng, 3, 7, 6, 4), normal(rng, 3, 3, 4, 5), normal(rng, 5))
    padding = ((1, 1), (1, 1))
    dy, flat, wd, dyd = on(device, normal(rng, 3, 7, 6, 5), normal(rng, 9, 7), normal(rng, 7, 5), normal(rng, 9, 5))
    gamma, beta, mean, variance = on(device, normal(rng, 4), normal(rng, 4), np.zeros(4), np.ones(4))
    watched = [x, w, b, dy, flat, wd, dyd, gamma, beta]
    before = [device.numpy(a).copy() for a in watched]
    y = device.conv2d_forward(x, w, b, (1, 1), padding, True)
    kept = device.numpy(y).copy()
    device.bias_relu_backward(dy, y)
    device.conv2d_backward_data(dy, w, x.shape, (1, 1), padding)
    device.conv2d_backward_filter(x, dy, w.shape, (1, 1), padding)
    pooled, argmax = device.maxpool2d_forward(x, (2, 2), (1, 1), ((0, 1), (0, 1)))
    device.maxpool2d_backward(pooled, argmax, x.shape, (2, 2), (1, 1), ((0, 1), (0, 1)))
    _, saved = device.batchnorm_forward(x, gamma, beta, mean, variance, 0.9, 1e-3)
    device.batchnorm_backward(x, x, gamma, saved)
    device.batchnorm_inference(x, gamma, beta, mean, variance, 1e-3)
    _, mask = device.dropout_forward(x, 0.5, 1, 2, counter(device))
    device.dropout_backward(x, 0.5, 1, 2, mask)
    device.relu_backward(x, device.relu_forward(x))
    logits = device.dense_forward(flat, wd, b, False)
    device.dense_backward_data(dyd, wd)
    device.dense_backward_filter(flat, dyd)
    device.softmax_backward(dyd, device.softmax_forward(logits))
    device.softmax_crossentropy(logits, on(device, one_hot(np.arange(9) % 5, 5))[0])
    device.concatenate([x, x])
    device.split(x, [1, 3])
    for array, copy in zip([*watched, y], [*before, kept], strict=True):
        assert_same_bits(device.numpy(array), copy)


def test_nan_in_the_input_is_not_hidden(device):
    """A network that has diverged must show it: no kernel turns NaN into a number."""
    x = np.ones((1, 4, 4, 2))
    x[0, 1, 1, 0] = np.nan
    (dev_x,) = on(device, x)
    w, b = on(device, np.ones((3, 3, 2, 3)), np.zeros(3))
    for relu in (False, True):
        assert np.isnan(device.numpy(device.conv2d_forward(dev_x, w, b, (1, 1), ((0, 0), (0, 0)), relu))).all()
    assert np.isnan(device.numpy(device.relu_forward(dev_x))).sum() == 1
    assert np.isnan(device.numpy(device.softmax_forward(*on(device, [[1.0, np.nan, 2.0]])))).all()
    loss, _, _ = device.softmax_crossentropy(*on(device, [[1.0, np.nan, 2.0]], [[1.0, 0, 0]]))
    assert np.isnan(device.numpy(loss)).all()
