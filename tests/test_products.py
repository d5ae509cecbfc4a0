"""Convolution, dense and what rides in them, on every device, against an oracle in float64."""

import itertools

import numpy as np
import pytest
from helpers import assert_close, assert_same_bits, normal, padding_of
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import STRIDES, WINDOWS, conv2d, conv2d_data_gradient, conv2d_filter_gradient, on, rng_of, seeds

from tinycnn import Tensor
from tinycnn import functional as F
from tinycnn.devices.base import Wanted
from tinycnn.shapes import window_padding

ALL = Wanted(True, True, True)


def check_gradients(device, found, wanted, lengths):
    """dx, dw and db of a device against what they are; lengths: of their sums."""
    for gradient, want, length in zip(found, wanted, lengths, strict=True):
        assert_close(device.numpy(device.whole(gradient)), want, length)


def sum_of_rows(dz):
    return np.einsum("rk->k", dz.reshape(-1, dz.shape[-1]))


# ---------------------------------------------------------------- convolution


def check_conv2d(device, rng, x_shape, filters, window, stride, kind, has_bias=True, relu=False):
    """All passes of one convolution, and the gradients of it as a layer: through ReLU and bias."""
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

    dz = np.where(device.numpy(y) > 0, dy, 0) if relu else dy
    found = device.conv2d_backward(dev_dy, y if relu else None, dev_x, dev_w, stride, padding, ALL)
    dx, dw = (
        conv2d_data_gradient(dz, w, x_shape, stride, padding),
        conv2d_filter_gradient(x, dz, window, stride, padding),
    )
    check_gradients(device, found, (dx, dw, sum_of_rows(dz)), (taps * filters, pixels, pixels))


@pytest.mark.parametrize("kind", ["valid", "same"])
@pytest.mark.parametrize("stride", STRIDES, ids=str)
@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.slow_on("numba")  # the simulator's hundred shapes; a few are drawn below
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
@pytest.mark.slow_on("numba", "cpu")  # the cpu's own shapes are in test_cpu_kernels.py
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
@pytest.mark.parametrize("filters", [5, 8])  # one at a time and four at a time
def test_relu_and_bias_ride_in_the_convolution(device, has_bias, window, filters):
    check_conv2d(device, rng_of(6), (3, 7, 6, 4), filters, window, (1, 1), "valid", has_bias, relu=True)
    check_conv2d(device, rng_of(6), (3, 7, 6, 4), filters, window, (1, 1), "valid", has_bias, relu=False)


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


# Images, window, stride and padding; and the extents of what comes of them.
TRANSPOSED = [
    ((2, 3, 4, 2), (3, 3), (1, 1), "valid", (5, 6)),
    ((2, 3, 4, 2), (3, 2), (2, 2), "same", (6, 8)),
    ((1, 2, 3, 3), (2, 4), (2, 3), "valid", (4, 10)),
    ((1, 3, 2, 4), (2, 2), (3, 3), "valid", (9, 6)),  # gaps
    ((3, 1, 1, 1), (5, 4), (2, 2), "same", (2, 2)),
    ((1, 2, 2, 2), (1, 1), (2, 2), "same", (4, 4)),
]


@pytest.mark.parametrize("x_shape, window, stride, kind, size", TRANSPOSED, ids=str)
@pytest.mark.parametrize("activation", [None, "relu"])
def test_transposed_convolution(device, x_shape, window, stride, kind, size, activation):
    """Every pixel adds its multiple of the filter; and the gradients are those of this sum."""
    rng, K = rng_of(8), 3
    y_shape = (x_shape[0], *size, K)
    padding = padding_of(kind, y_shape, window, stride)
    x, w, b, dy = normal(rng, *x_shape), normal(rng, *window, K, x_shape[3]), normal(rng, K), normal(rng, *y_shape)
    tensors = [Tensor(value, requires_grad=True) for value in (x, w, b)]
    y = F.conv2d_transpose(*tensors, stride, kind, activation)
    want = conv2d_data_gradient(x, w, y_shape, stride, padding) + b
    taps = window[0] * window[1]
    assert y.shape == y_shape
    assert_close(y.numpy(), np.maximum(want, 0) if activation else want, taps * x_shape[3] + 1)
    y.backward(dy)
    dz = np.where(y.numpy() > 0, dy, 0) if activation else dy
    gradients = (
        conv2d(dz, w, np.zeros(x_shape[3]), stride, padding),
        conv2d_filter_gradient(dz, x, window, stride, padding),
        sum_of_rows(dz),
    )
    pixels = x_shape[0] * x_shape[1] * x_shape[2]
    for tensor, gradient, length in zip(tensors, gradients, (taps * K, pixels, dy.size // K), strict=True):
        assert_close(tensor.grad.numpy(), gradient, length)


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
        dz = np.where(device.numpy(y) > 0, dy, 0) if relu else dy
        found = device.conv1x1_backward(dev_dy, y if relu else None, dev_x, dev_w, ALL)
        dx, dw = np.einsum("nhwk,ck->nhwc", dz, w[0, 0]), np.einsum("nhwc,nhwk->ck", x, dz)[None, None]
        check_gradients(device, found, (dx, dw, sum_of_rows(dz)), (K, N * H * W, N * H * W))
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
    dz = np.where(device.numpy(y) > 0, dy, 0) if relu else dy
    found = device.dense_backward(dev_dy, y if relu else None, dev_x, dev_w, ALL)
    gradients = np.einsum("no,io->ni", dz, w), np.einsum("ni,no->io", x, dz), sum_of_rows(dz)
    check_gradients(device, found, gradients, (units, N, N))


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


# The shapes of x, w and y; and device.*_backward's arguments behind dy, y, x and w.
LAYERS = {
    "conv2d": ((2, 5, 4, 3), (3, 2, 3, 5), (2, 3, 3, 5), ((1, 1), ((0, 0), (0, 0)))),
    "conv1x1": ((2, 5, 4, 3), (1, 1, 3, 6), (2, 5, 4, 6), ()),
    "dense": ((9, 7), (7, 4), (9, 4), ()),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_gradients_that_are_not_wanted_are_none_and_the_others_the_same(device, kind):
    rng, (x_shape, w_shape, y_shape, more) = rng_of(9), LAYERS[kind]
    arrays = on(device, *(normal(rng, *shape) for shape in (y_shape, y_shape, x_shape, w_shape)))

    def backward(wanted):
        return getattr(device, f"{kind}_backward")(*arrays, *more, wanted)

    every = [device.numpy(device.whole(g)).copy() for g in backward(ALL)]
    for wanted in itertools.product([True, False], repeat=3):
        for want, whole, gradient in zip(wanted, every, backward(Wanted(*wanted)), strict=True):
            assert (gradient is not None) == want
            if want:
                assert_same_bits(device.numpy(device.whole(gradient)), whole)


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
