"""Pooling, batch normalisation, dropout, softmax, concatenation, on every device, against an oracle in float64."""

import math

import numpy as np
import pytest
from helpers import assert_close, assert_same_bits, normal, one_hot, padding_of, spaced
from hypothesis import given
from hypothesis import strategies as st
from oracles import (
    POOLS,
    activation,
    avgpool,
    avgpool_gradient,
    batchnorm,
    batchnorm_gradient,
    counter,
    log_softmax,
    maxpool,
    maxpool_gradient,
    on,
    rng_of,
    seeds,
)

from tinycnn import Tensor, functional, philox
from tinycnn.devices.base import Mask, Wanted

# ---------------------------------------------------------------- pooling


def check_maxpool(device, x, pool, stride, kind, rng):
    padding = padding_of(kind, x.shape, pool, stride)
    want, where = maxpool(x, pool, stride, padding)
    dy = normal(rng, *want.shape)
    dev_x, dev_dy = on(device, x, dy)
    y, argmax = device.maxpool2d_forward(dev_x, pool, stride, padding)
    assert np.array_equal(device.numpy(y), want)
    assert np.issubdtype(device.numpy(argmax).dtype, np.integer)
    assert np.array_equal(device.numpy(argmax), where)
    dx = device.maxpool2d_backward(dev_dy, argmax, x.shape, pool, stride, padding)
    assert_close(device.numpy(dx), maxpool_gradient(dy, where, x.shape, pool, stride, padding), pool[0] * pool[1])


@pytest.mark.parametrize("kind", ["valid", "same"])
@pytest.mark.parametrize("pool, stride", POOLS, ids=str)
@pytest.mark.parametrize("x_shape", [(2, 11, 13, 3), (1, 4, 5, 1), (3, 8, 6, 17)], ids=str)
def test_pooling_takes_the_maximum_and_sends_the_gradient_there(device, x_shape, pool, stride, kind):
    rng = rng_of(11)
    check_maxpool(device, spaced(rng, *x_shape), pool, stride, kind, rng)


@pytest.mark.parametrize("pool", [(16, 16), (17, 17), (1, 257)], ids=str)  # 256 places, and more
@pytest.mark.parametrize("channels", [3, 4])  # one at a time, and by fours
def test_pooling_finds_the_maximum_at_the_last_place_of_a_large_window(device, pool, channels):
    x_shape = 1, pool[0] + 1, pool[1] + 1, channels
    x = spaced(rng_of(20), *x_shape)
    x[:, pool[0] - 1, pool[1] - 1] += x.max() - x.min() + 1
    check_maxpool(device, x, pool, (1, 1), "valid", rng_of(21))


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


@pytest.mark.parametrize(
    "numbers, where",
    [
        ([1, np.nan, 5, 2], 1),
        ([5, 1, np.nan, 7], 2),
        ([3, np.nan, 4, np.nan], 1),
        ([np.nan, 9, 1, 1], 0),
        ([np.inf, 1, 1, np.nan], 3),
    ],
    ids=str,
)
@pytest.mark.parametrize("channels", [3, 4])  # one at a time, and by fours
def test_nan_is_the_maximum_of_its_window_and_the_first_one_stays(device, numbers, where, channels):
    """A network that has diverged shows it, and does not go on with the numbers that are left."""
    x = np.zeros((2, 2, 4, channels))
    x[1, :, :2, 1] = np.reshape(numbers, (2, 2))
    (dev_x,) = on(device, x)
    y, argmax = device.maxpool2d_forward(dev_x, (2, 2), (2, 2), ((0, 0), (0, 0)))
    want = np.zeros((2, 1, 2, channels))
    want[1, 0, 0, 1] = np.nan
    np.testing.assert_array_equal(device.numpy(y), want)
    assert device.numpy(argmax)[1, 0, 0, 1] == where


def test_padding_never_wins_in_pooling(device):
    x = np.full((1, 3, 3, 2), -5.0)
    (dev_x,) = on(device, x)
    y, argmax = device.maxpool2d_forward(dev_x, (3, 3), (1, 1), ((1, 1), (1, 1)))
    assert (device.numpy(y) == -5).all()
    assert device.numpy(argmax)[0, 0, 0, 0] == 4  # the first pixel of the window that lies in the image


def check_avgpool(device, x, pool, stride, kind, rng):
    padding = padding_of(kind, x.shape, pool, stride)
    want = avgpool(x, pool, stride, padding)
    dy = normal(rng, *want.shape)
    dev_x, dev_dy = on(device, x, dy)
    length = pool[0] * pool[1]
    assert_close(device.numpy(device.avgpool2d_forward(dev_x, pool, stride, padding)), want, length)
    dx = device.avgpool2d_backward(dev_dy, x.shape, pool, stride, padding)
    assert_close(device.numpy(dx), avgpool_gradient(dy, x.shape, pool, stride, padding), length)


@pytest.mark.parametrize("kind", ["valid", "same"])
@pytest.mark.parametrize("pool, stride", POOLS, ids=str)
@pytest.mark.parametrize("x_shape", [(2, 11, 13, 3), (1, 4, 5, 1), (3, 8, 6, 20)], ids=str)
def test_average_pooling_leaves_padding_out_of_the_mean_and_shares_the_gradient(device, x_shape, pool, stride, kind):
    rng = rng_of(30)
    check_avgpool(device, normal(rng, *x_shape), pool, stride, kind, rng)


@given(data=st.data(), seed=seeds)
def test_average_pooling_of_any_shape(device, data, seed):
    pool = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)), "pool")
    kind = data.draw(st.sampled_from(["valid", "same"]), "padding")
    least = pool if kind == "valid" else (1, 1)
    shape = data.draw(
        st.tuples(st.integers(1, 3), st.integers(least[0], 9), st.integers(least[1], 9), st.integers(1, 9)), "x"
    )
    stride = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)), "stride")
    rng = rng_of(seed)
    check_avgpool(device, normal(rng, *shape), pool, stride, kind, rng)


GLOBAL = [(2, 7, 7, 20), (3, 4, 5, 3), (1, 1, 1, 1), (2, 28, 28, 1), (5, 1, 3, 70)]


@pytest.mark.parametrize("shape", GLOBAL, ids=str)
def test_global_pooling_takes_the_mean_or_the_maximum_of_each_channel(device, shape):
    rng, (N, H, W, C) = rng_of(31), shape
    x, dy = spaced(rng, *shape), normal(rng, N, C)
    dev_x, dev_dy = on(device, x, dy)
    mean, best = device.globalavgpool2d_forward(dev_x), device.globalmaxpool2d_forward(dev_x)
    assert_close(device.numpy(mean), np.einsum("nhwc->nc", x) / (H * W), H * W, scale=np.abs(x).max())
    assert np.array_equal(device.numpy(best), np.sort(x.reshape(N, H * W, C), axis=1)[:, -1])
    want = np.einsum("nc,hw->nhwc", dy, np.full((H, W), 1 / (H * W)))
    assert_close(device.numpy(device.globalavgpool2d_backward(dev_dy, shape)), want)
    want = np.zeros((N, H * W, C))
    for n, c in np.ndindex(N, C):
        want[n, x[n, :, :, c].argmax(), c] = dy[n, c]
    dx = device.globalmaxpool2d_backward(dev_dy, dev_x, best)
    assert_close(device.numpy(dx), want.reshape(shape))


def test_equal_maxima_of_an_image_share_the_gradient_and_so_do_nans(device):
    x = np.zeros((1, 2, 3, 3))
    x[0, :, :, 1] = [[-1, 5, 2], [5, 5, 4]]
    x[0, 0, :, 2] = [np.nan, 7, np.nan]
    dev_x, dy = on(device, x, [[6.0, 6.0, 6.0]])
    best = device.globalmaxpool2d_forward(dev_x)
    np.testing.assert_array_equal(device.numpy(best), [[0, 5, np.nan]])
    dx = device.numpy(device.globalmaxpool2d_backward(dy, dev_x, best))
    assert dx[0, :, :, 0].tolist() == [[1, 1, 1], [1, 1, 1]]
    assert dx[0, :, :, 1].tolist() == [[0, 2, 0], [2, 2, 0]]
    assert dx[0, :, :, 2].tolist() == [[3, 0, 3], [0, 0, 0]]


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


def test_sums_over_many_rows_keep_their_digits(device):
    """Added up one by one in float32, 40,000 times 0.1 is 4,001: a constant would not be its own mean."""
    rows, exact, tolerance = 40000, float(np.asarray(0.1, device.dtype)), 8 * np.finfo(np.float32).eps
    x, ones, zeros, thirds = on(device, np.full((rows, 3), 0.1), np.ones(3), np.zeros(3), np.full((rows, 3), 1 / 3))
    bias = Wanted(False, False, True)
    dense = [device.dense_backward(x, y, x, device.zeros((3, 3)), bias)[2] for y in (x, None)]
    images, one = x.reshape((4, 100, 100, 3)), device.zeros((1, 1, 3, 3))
    biases = [*dense, device.conv1x1_backward(images, images, images, one, bias)[2],
              device.conv2d_backward(images, images, images, one, (1, 1), ((0, 0), (0, 0)), bias)[2]]  # fmt: skip
    y, saved = device.batchnorm_forward(x, ones, zeros, device.copy(zeros), device.copy(ones), 0.9, 1e-3)
    _, dgamma, dbeta = device.batchnorm_backward(x, x, ones, saved)
    loss, _, _ = device.softmax_crossentropy(x, thirds)
    assert np.abs(device.numpy(y)).max() <= tolerance
    for total in (*map(device.whole, biases), dbeta, device.reduce("sum", x, 0)):
        np.testing.assert_allclose(device.numpy(total) / rows, exact, rtol=tolerance)
    np.testing.assert_allclose(device.numpy(device.reduce("sum", x, (0, 1), True)) / (3 * rows), exact, rtol=tolerance)
    assert np.abs(device.numpy(dgamma)).max() <= tolerance * rows
    np.testing.assert_allclose(device.numpy(loss), math.log(3), rtol=tolerance)


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


@given(size=st.integers(1, 3000), seed=st.integers(0, 2**64 - 1), stream=seeds, step=st.integers(0, 2**40))
def test_random_numbers_are_those_of_philox_s_words(device, size, seed, stream, step):
    """The uniform ones to the bit; the normal ones by Box and Muller's formula in float64."""
    words = philox.random_bits(size + size % 2, seed, stream, step)
    u = (words >> 8) / 2.0**24
    array = device.empty((size,))
    device.draw(array, False, seed, stream, counter(device, step))
    assert np.array_equal(device.numpy(array), u[:size])
    radius, angle = np.sqrt(-2 * np.log1p(-u[0::2])), 2 * np.pi * u[1::2]
    want = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)[:size]
    device.draw(array, True, seed, stream, counter(device, step))
    assert_close(device.numpy(array), want)


# Single columns and four at a time, of one block and of several, along both axes of the grid.
BEHIND = [(3, 1), (2, 19, 21, 3), (5, 61, 8), (9, 259), (3, 1028)]


def behind_batchnorm(device, shape, rate, fused):
    """Both passes of a batch normalisation and the dropout behind it, as one operation or as two: their results."""
    rng, C = rng_of(17), shape[-1]
    x, dy, *parameters = on(
        device, normal(rng, *shape), normal(rng, *shape), *(normal(rng, C) for _ in range(3)), 1 + normal(rng, C) ** 2
    )
    mask = Mask(rate, 2**63 + 11, 2**32 - 1, counter(device, 2**33 + 5))
    y, saved = device.batchnorm_forward(x, *parameters, 0.9, 1e-3, mask if fused else None)
    kept = None
    if not fused:
        y, kept = device.dropout_forward(y, *mask)
    device.advance([(mask.step, 1)])  # as the next step of training does, before the way back has read it
    if not fused:
        dy = device.dropout_backward(dy, *mask[:3], kept)
    arrays = [y, *parameters, *device.batchnorm_backward(dy, x, parameters[0], saved)]
    return [device.numpy(array) for array in arrays]


@pytest.mark.parametrize("shape", BEHIND, ids=str)
def test_dropout_behind_batch_normalisation_has_the_same_bits_in_one_operation_as_in_two(device, shape):
    for got, want in zip(*(behind_batchnorm(device, shape, 0.375, fused) for fused in (True, False)), strict=True):
        assert_same_bits(got, want)


@pytest.mark.parametrize("shape", BEHIND, ids=str)
def test_dropout_behind_batch_normalisation_drops_what_philox_says_on_both_ways(device, shape):
    """Against the definition: y and dy are zero in the same places, and dbeta is the sum of what is left of dy."""
    n, C, epsilon = math.prod(shape), shape[-1], 1e-3
    words = philox.random_bits(n, 5, 6, 7).astype(np.uint64)
    kept = (words >= round(0.25 * 2**32)).reshape(shape)
    rng = rng_of(18)
    x, gamma, beta, dy = normal(rng, *shape), 1 + normal(rng, C) / 4, 9 + normal(rng, C), normal(rng, *shape)
    want, _, _ = batchnorm(x, gamma, beta, epsilon)
    arrays = on(device, x, gamma, beta, np.zeros(C), np.ones(C))
    y, saved = device.batchnorm_forward(*arrays, 0.9, epsilon, Mask(0.25, 5, 6, counter(device, 7)))
    assert np.array_equal(device.numpy(y) != 0, kept)
    assert_close(device.numpy(y), np.where(kept, want / 0.75, 0), factor=16)
    dx, dgamma, dbeta = device.batchnorm_backward(*on(device, dy), arrays[0], arrays[1], saved)
    dx_want, dgamma_want, dbeta_want = batchnorm_gradient(np.where(kept, dy / 0.75, 0), x, gamma, epsilon)
    for got, wanted in ((dx, dx_want), (dgamma, dgamma_want), (dbeta, dbeta_want)):
        assert_close(device.numpy(got), wanted, n // C, scale=4 * max(1, np.abs(wanted).max()))


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
    device.advance([(step, 1)])
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


def test_binary_crossentropy_clips_probabilities_and_no_logits(device):
    """A wrong answer that is sure of itself: of the probability nothing is left to learn from, of the logit all is."""
    least = float(np.asarray(1e-7, device.dtype))
    (p, y, x) = on(device, [[0.0, 1.0]], [[1.0, 0.0]], [[-200.0, 200.0]])
    loss, correct, gradient = device.binary_crossentropy(p, y, False)
    far = float(1 - np.asarray(1 - np.asarray(1e-7, device.dtype), device.dtype))
    assert_close(device.numpy(loss), [-(math.log(least) + math.log(far)) / 2], scale=100)
    assert device.numpy(correct).tolist() == [0] and not device.numpy(gradient).any()
    loss, correct, gradient = device.binary_crossentropy(x, y, True)
    assert device.numpy(loss).tolist() == [200] and device.numpy(correct).tolist() == [0]
    assert_close(device.numpy(gradient), [[-0.5, 0.5]])


@given(N=st.integers(1, 70), K=st.integers(1, 40), seed=seeds)
def test_the_losses_of_any_shape_with_weights_and_running_totals(device, N, K, seed):
    rng = rng_of(seed)
    x, y, weights = spaced(rng, N, K) * (16 / (N * K)), rng.integers(0, 2, (N, K)).astype(float), rng.uniform(0, 2, N)
    dev_x, dev_y, dev_weights = on(device, x, y, weights[:, None])
    p = 1 / (1 + np.exp(-x))
    rounded, largest = ((x > 0) == y).mean(axis=1).sum(), (x.argmax(axis=1) == y.argmax(axis=1)).sum()
    squares = ((x > 0.5) == y).sum() if K == 1 else largest
    for call, losses, slope, right in (
        (
            lambda *rest: device.binary_crossentropy(dev_x, dev_y, True, *rest),
            np.logaddexp(0, x) - x * y,
            p - y,
            rounded,
        ),
        (lambda *rest: device.mean_squared_error(dev_x, dev_y, *rest), (x - y) ** 2, 2 * (x - y), squares),
    ):
        totals = device.zeros((2,), "float64")
        loss, correct, gradient = call(dev_weights, totals)
        want = np.mean(weights[:, None] * losses)
        assert_close(device.numpy(loss), [want], N * K, scale=np.abs(losses).max() * 2)
        assert_close(device.numpy(correct), [right], N)
        assert_close(
            device.numpy(gradient), weights[:, None] * slope / (N * K), scale=np.abs(slope).max() * 2 / (N * K)
        )
        np.testing.assert_allclose(device.numpy(totals), [N * want, right], rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------- the other activations

ACTIVATIONS = ["tanh", "sigmoid", "elu", "leaky_relu", "softplus"]


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_and_its_derivative(device, name, alpha):
    rng = rng_of(40)
    x, dy = spaced(rng, 7, 5, 3), normal(rng, 7, 5, 3)
    want, slope = activation(name, x, alpha)
    dev_x, dev_dy = on(device, x, dy)
    y = device.activation_forward(name, dev_x, alpha)
    assert_close(device.numpy(y), want)
    assert_close(device.numpy(device.activation_backward(name, dev_dy, y, alpha)), dy * slope)
    assert_same_bits(device.numpy(dev_x), x.astype(device.dtype))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_keeps_the_digits_of_small_numbers_and_bears_large_ones(device, name):
    tiny = np.array([1e-3, -1e-3])
    want, _ = activation(name, tiny, 0.5)
    got = device.numpy(device.activation_forward(name, *on(device, tiny), 0.5))
    np.testing.assert_allclose(got, want, rtol=8 * np.finfo(device.dtype).eps)
    x = np.array([-3e38, -100.0, 100.0, 3e38])
    y = device.activation_forward(name, *on(device, x), 0.5)
    limits = {"tanh": [-1, -1, 1, 1], "sigmoid": [0, 0, 1, 1], "elu": [-0.5, -0.5, *x[2:]],
              "leaky_relu": [*x[:2] / 2, *x[2:]], "softplus": [0, 0, *x[2:]]}  # fmt: skip
    np.testing.assert_allclose(device.numpy(y), np.array(limits[name], device.dtype), rtol=1e-6, atol=1e-6)
    slopes = {"tanh": [0] * 4, "sigmoid": [0] * 4, "leaky_relu": [0.5, 0.5, 1, 1]}.get(name, [0, 0, 1, 1])
    dx = device.activation_backward(name, *on(device, np.ones(4)), y, 0.5)
    np.testing.assert_allclose(device.numpy(dx), slopes, atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 6), (2, 3, 5), (2, 3, 4, 7)], ids=str)
def test_softmax_is_taken_over_the_last_axis_whatever_the_others_are(device, shape):
    x = normal(rng_of(41), *shape)
    y = functional.softmax(Tensor(x))
    assert_close(y.numpy().reshape(-1, shape[-1]), np.exp(log_softmax(x.reshape(-1, shape[-1]))), shape[-1])


# ---------------------------------------------------------------- padding


@pytest.mark.parametrize("padding", [((1, 2), (0, 3)), ((0, 0), (0, 0)), ((2, 0), (1, 0))], ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 1, 1, 4), (1, 5, 2, 1)], ids=str)
def test_padding_puts_zeros_around_images_and_the_way_back_cuts_them_off(device, shape, padding):
    rng = rng_of(42)
    x = normal(rng, *shape)
    (top, bottom), (left, right) = padding
    dy = normal(rng, shape[0], top + shape[1] + bottom, left + shape[2] + right, shape[3])
    dev_x, dev_dy = on(device, x, dy)
    y = device.numpy(device.zeropad2d_forward(dev_x, padding))
    inside = np.s_[:, top : top + shape[1], left : left + shape[2]]
    assert y.shape == dy.shape and np.array_equal(y[inside], x)
    assert np.count_nonzero(y) == np.count_nonzero(x)
    assert np.array_equal(device.numpy(device.zeropad2d_backward(dev_dy, padding)), dy[inside])


# ---------------------------------------------------------------- larger images


@pytest.mark.parametrize("size", [(2, 2), (1, 3), (3, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 1, 1, 4), (1, 5, 2, 20)], ids=str)
def test_pixels_are_repeated_and_the_way_back_adds_them_up(device, shape, size):
    rng = rng_of(43)
    x = normal(rng, *shape)
    pixels = np.ones((1, *size, 1))  # that each pixel becomes
    want = np.stack([np.stack([np.kron(channel, pixels[0, :, :, 0]) for channel in image.transpose(2, 0, 1)], -1)
                     for image in x])  # fmt: skip
    dy = normal(rng, *want.shape)
    dev_x, dev_dy = on(device, x, dy)
    assert np.array_equal(device.numpy(device.upsample2d_forward(dev_x, size)), want)
    dx = device.numpy(device.upsample2d_backward(dev_dy, size))
    blocks = [dy[:, r :: size[0], s :: size[1]] for r, s in np.ndindex(size)]
    assert_close(dx, np.sum(blocks, axis=0), np.prod(size))


# ---------------------------------------------------------------- add, concatenate and split


@pytest.mark.parametrize("shape", [(5,), (2, 3, 5), (3, 7, 4, 17), (1,)], ids=str)
@pytest.mark.parametrize("count", [2, 3, 4, 5, 9])
def test_add_adds_up_any_number_of_arrays_in_their_order(device, shape, count):
    rng = rng_of(18)
    arrays = [(normal(rng, *shape) * 10.0**k).astype(device.dtype) for k in range(count)]
    want = arrays[0]
    for array in arrays[1:]:
        want = want + array
    given = on(device, *arrays)
    assert_same_bits(device.numpy(device.add(given)), want)
    for before, after in zip(arrays, given, strict=True):
        assert_same_bits(device.numpy(after), before)


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
