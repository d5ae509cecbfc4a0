"""Winograd's convolution on the cpu device: its matrices exactly, and its three directions against float64.

The functions are called directly, so that shapes are checked for which the device multiplies directly.
"""

import math
from fractions import Fraction

import numpy as np
import pytest
from helpers import assert_close, assert_same_bits, normal
from oracles import conv2d, conv2d_data_gradient, conv2d_filter_gradient, rng_of

from tinycnn.devices import get_device
from tinycnn.devices.cpu import CpuDevice, direct, threads, winograd
from tinycnn.devices.cpu.cook_toom import SIZE, matrices

reference = get_device("reference", "float64")
STRIDE = (1, 1)
NO_PADDING = ((0, 0), (0, 0))


def fractions(rng, *shape):
    """Whole numbers as exact fractions."""
    return np.vectorize(Fraction, otypes=[object])(rng.integers(-9, 10, shape))


@pytest.mark.parametrize("R", [3, 5])
def test_the_matrices_compute_a_convolution_and_its_gradients_exactly(R):
    rng, m = rng_of(1, R), SIZE + 1 - R
    B, G, A = (np.array(matrices(R)[name], dtype=object) for name in "BGA")
    d, w, dy = fractions(rng, SIZE, SIZE), fractions(rng, R, R), fractions(rng, m, m)
    y, dx, dw = np.full((m, m), Fraction(0)), np.full((SIZE, SIZE), Fraction(0)), np.full((R, R), Fraction(0))
    for p, q, r, s in np.ndindex(m, m, R, R):
        y[p, q] += d[p + r, q + s] * w[r, s]
        dx[p + r, q + s] += dy[p, q] * w[r, s]
        dw[r, s] += dy[p, q] * d[p + r, q + s]
    d, w, dy = B @ d @ B.T, G @ w @ G.T, A @ dy @ A.T
    assert (A.T @ (w * d) @ A == y).all()
    assert (B.T @ (w * dy) @ B == dx).all()
    assert (G.T @ (d * dy) @ G == dw).all()


SHAPES = {
    # name: (N, H, W, C), R, K, padding
    "whole tiles": ((2, 10, 14, 8), 3, 16, NO_PADDING),
    "whole tiles, 5x5": ((2, 8, 12, 8), 5, 16, NO_PADDING),
    "one output": ((1, 3, 3, 8), 3, 8, NO_PADDING),
    "one output, 5x5": ((1, 5, 5, 9), 5, 11, NO_PADDING),
    "an image in one group, one in the last": ((65, 3, 3, 9), 3, 8, NO_PADDING),
    "parts of tiles and of vectors": ((3, 9, 11, 12), 3, 20, NO_PADDING),
    "parts of tiles and of vectors, 5x5": ((3, 9, 10, 13), 5, 27, NO_PADDING),
    "same": ((2, 7, 6, 17), 3, 10, ((1, 1), (1, 1))),
    "same, 5x5": ((2, 7, 6, 10), 5, 17, ((2, 2), (2, 2))),
    "asymmetric": ((2, 5, 8, 8), 3, 9, ((0, 2), (1, 0))),
    "more padding than filter": ((2, 2, 3, 8), 5, 9, ((6, 3), (0, 5))),
    "smaller than the filter": ((3, 1, 2, 8), 3, 8, ((1, 1), (1, 1))),
    "groups and chunks with a rest": ((71, 7, 8, 10), 3, 12, ((1, 0), (0, 1))),
    "output channels in parts": ((2, 6, 6, 33), 3, 150, NO_PADDING),
    "seven tiles, four at a time": ((1, 5, 29, 12), 3, 20, NO_PADDING),
    "a batch": ((128, 12, 12, 16), 3, 32, ((1, 1), (1, 1))),
    "more tiles than a group likes": ((1, 23, 25, 70), 3, 18, NO_PADDING),
}


def arrays_of(shape, seed):
    """x, w, b and dy of a convolution, float32."""
    (N, H, W, C), R, K, ((top, bottom), (left, right)) = shape
    rng = rng_of(seed)
    sizes = (N, H, W, C), (R, R, C, K), (K,), (N, H + top + bottom - R + 1, W + left + right - R + 1, K)
    return [normal(rng, *size).astype(np.float32) for size in sizes]


def three_directions(shape, seed, relu=False):
    x, w, b, dy = arrays_of(shape, seed)
    padding = shape[3]
    return (
        winograd.forward(x, w, b, padding, relu),
        winograd.backward_data(dy, w, x.shape, padding),
        winograd.backward_filter(x, dy, w.shape, padding),
    )


def check(shape, seed):
    """All directions against the reference device."""
    (N, _, _, C), R, K, padding = shape
    x, w, b, dy = (array.astype(np.float64) for array in arrays_of(shape, seed))
    y, dx, dw = three_directions(shape, seed)
    assert_close(y, reference.conv2d_forward(x, w, b, STRIDE, padding, False), R * R * C + 1)
    assert_close(dx, reference.conv2d_backward_data(dy, w, x.shape, STRIDE, padding), R * R * K)
    assert_close(dw, reference.conv2d_backward_filter(x, dy, w.shape, STRIDE, padding), dy.size // K)
    relu, _, _ = three_directions(shape, seed, relu=True)
    assert_same_bits(relu, np.where(y < 0, np.float32(0), y))


@pytest.mark.parametrize("name", SHAPES)
def test_all_directions_agree_with_float64(name):
    check(SHAPES[name], 2)


@pytest.fixture
def one_thread():
    before = threads.team().size
    threads.set_team_size(1)
    yield
    threads.set_team_size(before)


@pytest.mark.parametrize(
    "name",
    ["an image in one group, one in the last", "output channels in parts", "seven tiles, four at a time"],
)
def test_what_lay_in_the_buffers_has_no_effect_and_what_lies_behind_them_stays(name, monkeypatch, one_thread):
    """With one thread, because the buffers of several lie behind one another."""
    behind = []

    def nan_before_sevens(shape, dtype):
        size = math.prod(shape)
        whole = np.full(size + 1000, np.nan, dtype)
        whole[size:] = 7
        behind.append(whole[size:])
        return whole[:size].reshape(shape)

    monkeypatch.setattr(winograd.pool, "empty", nan_before_sevens)
    check(SHAPES[name], 3)
    assert behind and all((floats == 7).all() for floats in behind)


def test_a_bias_may_be_missing():
    shape = SHAPES["parts of tiles and of vectors"]
    x, w, _, _ = arrays_of(shape, 4)
    zeros = np.zeros(shape[2], np.float32)
    y = winograd.forward(x, w, None, NO_PADDING, False)
    assert_same_bits(y, winograd.forward(x, w, zeros, NO_PADDING, False))


@pytest.mark.parametrize("name", ["groups and chunks with a rest", "output channels in parts", "a batch"])
def test_neither_the_number_of_threads_nor_a_second_run_changes_a_bit(name):
    results, before = [], threads.team().size
    try:
        for size in (1, 2, 3, 1):
            threads.set_team_size(size)
            results.append(three_directions(SHAPES[name], 5))
    finally:
        threads.set_team_size(before)
    for other in results[1:]:
        for got, want in zip(other, results[0], strict=True):
            assert_same_bits(got, want)


def root_mean_square(values):
    return np.sqrt(np.mean(np.square(values)))


@pytest.mark.parametrize("R, size", [(3, 14), (5, 12)])
def test_errors_are_at_most_three_times_those_of_multiplying_directly(R, size):
    """Measured: up to 2.5 times, in dw; by the usual points 0, 1, -1, 2, -2 it would be up to 6 times."""
    shape = (16, size, size, 32), R, 40, NO_PADDING
    x, w, b, dy = arrays_of(shape, 6)
    directly = (
        direct.forward(x, w, b, STRIDE, NO_PADDING, False),
        direct.backward_data(dy, w, x.shape, STRIDE, NO_PADDING),
        direct.backward_filter(x, dy, w.shape, STRIDE, NO_PADDING),
    )
    x, w, b, dy = (array.astype(np.float64) for array in (x, w, b, dy))
    wants = (
        conv2d(x, w, b, STRIDE, NO_PADDING),
        conv2d_data_gradient(dy, w, x.shape, STRIDE, NO_PADDING),
        conv2d_filter_gradient(x, dy, (R, R), STRIDE, NO_PADDING),
    )
    for got, other, want in zip(three_directions(shape, 6), directly, wants, strict=True):
        assert root_mean_square(got - want) <= 3 * root_mean_square(other - want)


def test_nan_reaches_every_output_that_sees_it():
    x, w, b, _ = arrays_of(SHAPES["parts of tiles and of vectors"], 7)
    x[1, 4, 5, 3] = np.nan
    y = winograd.forward(x, w, b, NO_PADDING, True)
    assert np.isnan(y[1, 2:5, 3:6]).all()
    assert np.isfinite(y[[0, 2]]).all()


@pytest.mark.parametrize(
    "x_shape, R, K, multiplies_less",
    [
        ((128, 12, 12, 32), 5, 64, True),
        ((128, 10, 10, 16), 3, 16, True),
        ((128, 12, 12, 10), 3, 16, False),
        ((4, 12, 12, 32), 5, 64, False),
        ((128, 12, 12, 1), 3, 16, False),
        ((32, 10, 10, 32), 7, 16, False),
    ],
    ids=str,
)
def test_the_device_takes_the_way_that_is_estimated_to_be_faster(x_shape, R, K, multiplies_less):
    assert winograd.pays(x_shape, (R, R, x_shape[3], K), STRIDE, NO_PADDING) == multiplies_less


@pytest.mark.parametrize("K, multiplies_less", [(16, True), (4, False)])
def test_all_directions_of_a_layer_go_the_same_way(K, multiplies_less):
    x_shape, padding = (64, 12, 12, 16), ((1, 1), (1, 1))
    assert winograd.pays(x_shape, (3, 3, 16, K), STRIDE, padding) == multiplies_less
    x, w, b, dy = arrays_of((x_shape, 3, K, padding), 8)
    device = CpuDevice()
    if multiplies_less:
        wants = three_directions((x_shape, 3, K, padding), 8)
    else:
        wants = (
            direct.forward(x, w, b, STRIDE, padding, False),
            direct.backward_data(dy, w, x.shape, STRIDE, padding),
            direct.backward_filter(x, dy, w.shape, STRIDE, padding),
        )
    assert_same_bits(device.conv2d_forward(x, w, b, STRIDE, padding, False), wants[0])
    assert_same_bits(device.conv2d_backward_data(dy, w, x.shape, STRIDE, padding), wants[1])
    assert_same_bits(device.conv2d_backward_filter(x, dy, w.shape, STRIDE, padding), wants[2])


def test_strides_and_oblong_filters_are_computed_directly():
    x_shape = (128, 20, 20, 32)
    assert winograd.pays(x_shape, (3, 3, 32, 32), (1, 1), NO_PADDING)
    assert not winograd.pays(x_shape, (3, 3, 32, 32), (1, 2), NO_PADDING)
    assert not winograd.pays(x_shape, (3, 5, 32, 32), (1, 1), NO_PADDING)
