"""What is particular to the cpu device: its tiles, its threads, its buffers. All devices' tests cover the rest."""

import gc
import os
import queue
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from small_trainings import again, assert_alike_alone_and_at_once, fit, network

import tinycnn
from tinycnn import philox
from tinycnn.devices.cpu import CpuDevice, threads
from tinycnn.devices.cpu.launch import address
from tinycnn.devices.cpu.memory import Pool
from tinycnn.devices.cpu.relu import relu_pass
from tinycnn.devices.cpu.tiles import choose

device = CpuDevice()


@pytest.fixture
def rng():
    return np.random.default_rng(1)


@pytest.fixture
def one_and_two_threads():
    """A function that runs something with 1 and with 2 threads."""

    def both(run):
        results = []
        for size in (1, 2):
            threads.set_team_size(size)
            results.append(run())
        return results

    before = threads.team().size
    yield both
    threads.set_team_size(before)


def taps(x, R, S, stride, padding):
    """float64 windows (N,P,Q,R,S,C) of the padded images."""
    x = np.pad(x.astype(np.float64), ((0, 0), *padding, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (R, S), axis=(1, 2))
    return windows[:, :: stride[0], :: stride[1]].transpose(0, 1, 2, 4, 5, 3)


def close(actual, expected, summands):
    """Whether float32 sums of that many products are as good as float32 sums are."""
    return np.abs(actual - expected).max() <= 1e-5 * np.sqrt(summands)


NO_PADDING = ((0, 0), (0, 0))
CONVOLUTIONS = {
    # name: (N, H, W, C), (R, S, K), stride, padding
    "first layer": ((3, 28, 28, 1), (3, 3, 12), (1, 1), NO_PADDING),
    "channels of no power of two": ((3, 26, 26, 12), (3, 3, 20), (1, 1), NO_PADDING),
    "one image, one pixel": ((1, 1, 1, 1), (1, 1, 1), (1, 1), NO_PADDING),
    "one filter": ((2, 9, 8, 3), (3, 3, 1), (1, 1), NO_PADDING),
    "rows and columns differ": ((3, 9, 7, 5), (4, 2, 7), (1, 1), NO_PADDING),
    "same, even filter, stride": ((2, 9, 7, 5), (4, 2, 33), (2, 3), ((1, 2), (0, 1))),
    "stride that leaves pixels over": ((2, 8, 9, 3), (3, 3, 4), (3, 2), NO_PADDING),
    "7x7 same": ((2, 14, 14, 4), (7, 7, 10), (1, 1), ((3, 3), (3, 3))),
    "8x8 as large as the image": ((5, 8, 8, 10), (8, 8, 10), (1, 1), NO_PADDING),
    "more padding than filter": ((2, 3, 3, 2), (2, 2, 3), (1, 1), ((2, 3), (3, 2))),
    "more padding than filter on one side": ((2, 5, 4, 2), (3, 3, 3), (1, 1), ((0, 4), (0, 4))),
    "a remainder of every tile": ((70, 5, 7, 17), (3, 3, 41), (1, 1), NO_PADDING),
    "a large filter": ((2, 5, 5, 260), (3, 3, 300), (1, 1), ((1, 1), (1, 1))),
    "rows 4096 bytes apart": ((40, 1, 1, 1024), (1, 1, 48), (1, 1), NO_PADDING),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_agrees_with_float64_sums(name, rng):
    x_shape, (R, S, K), stride, padding = CONVOLUTIONS[name]
    C = x_shape[3]
    x = rng.standard_normal(x_shape, np.float32)
    w = rng.standard_normal((R, S, C, K), np.float32)
    b = rng.standard_normal(K, np.float32)
    windows = taps(x, R, S, stride, padding)
    y = np.einsum("npqrsc,rsck->npqk", windows, w.astype(np.float64), optimize=True) + b
    assert close(device.conv2d_forward(x, w, b, stride, padding, relu=True), np.maximum(y, 0), R * S * C)
    assert close(device.conv2d_forward(x, w, None, stride, padding, relu=False), y - b, R * S * C)

    dy = rng.standard_normal(y.shape, np.float32)
    dw = np.einsum("npqrsc,npqk->rsck", windows, dy.astype(np.float64), optimize=True)
    assert close(device.conv2d_backward_filter(x, dy, w.shape, stride, padding), dw, dy.size // K)

    dx = np.pad(np.zeros(x_shape), ((0, 0), *padding, (0, 0)))
    spread = np.einsum("npqk,rsck->npqrsc", dy.astype(np.float64), w.astype(np.float64), optimize=True)
    for p, q, r, s in np.ndindex(*dy.shape[1:3], R, S):
        dx[:, p * stride[0] + r, q * stride[1] + s] += spread[:, p, q, r, s]
    (top, _), (left, _) = padding
    dx = dx[:, top : top + x_shape[1], left : left + x_shape[2]]
    assert close(device.conv2d_backward_data(dy, w, x_shape, stride, padding), dx, R * S * K)


@pytest.mark.parametrize("M, C, K", [(1, 1, 1), (128, 512, 130), (5, 7, 3), (1000, 20, 10), (3, 1024, 33)])
def test_dense_and_1x1_agree_with_float64(M, C, K, rng):
    x, w, dy = (rng.standard_normal(shape, np.float32) for shape in ((M, C), (C, K), (M, K)))
    x64, w64, dy64 = (array.astype(np.float64) for array in (x, w, dy))
    assert close(device.dense_forward(x, w, None, False), x64 @ w64, C)
    assert close(device.dense_backward_data(dy, w), dy64 @ w64.T, K)
    assert close(device.dense_backward_filter(x, dy), x64.T @ dy64, M)
    images, dy_images = x.reshape(M, 1, 1, C), dy.reshape(M, 1, 1, K)
    filters = w.reshape(1, 1, C, K)
    assert np.array_equal(
        device.conv1x1_forward(images, filters, None, False).reshape(M, K), device.dense_forward(x, w, None, False)
    )
    assert close(device.conv1x1_backward_data(dy_images, filters).reshape(M, C), dy64 @ w64.T, K)
    assert close(device.conv1x1_backward_filter(images, dy_images)[0, 0], x64.T @ dy64, M)


def test_nan_and_infinity_pass_through_relu(rng):
    x = np.ones((1, 4, 4, 3), np.float32)
    x[0, 0, 0, 0], x[0, 3, 3, 0] = np.nan, np.inf
    y = device.conv2d_forward(x, np.ones((1, 2, 3, 5), np.float32), None, (1, 1), NO_PADDING, relu=True)
    assert np.isnan(y[0, 0, 0]).all() and np.isinf(y[0, 3, 2]).all()
    assert np.isnan(device.relu_forward(x)[0, 0, 0, 0])


def every_reduction(seed):
    """The results of all operations that add up over images, for one seed."""
    rng = np.random.default_rng(seed)
    x, dy = (rng.standard_normal((70, 10, 11, 12), np.float32) for _ in range(2))
    w = rng.standard_normal((3, 3, 12, 12), np.float32)
    gamma, beta = rng.standard_normal((2, 12), np.float32)
    y, saved = device.batchnorm_forward(x, gamma, beta, np.zeros(12, np.float32), np.ones(12, np.float32), 0.99, 1e-3)
    return [
        device.conv2d_forward(x, w, beta, (1, 1), NO_PADDING, True),
        device.conv2d_backward_filter(x, dy[:, :8, :9].copy(), w.shape, (1, 1), NO_PADDING),
        device.conv2d_backward_data(dy, w, (70, 12, 13, 12), (1, 1), NO_PADDING),
        device.conv1x1_backward_filter(x, dy),
        device.dense_backward_filter(x.reshape(70, -1), dy.reshape(70, -1)[:, :20].copy()),
        device.bias_relu_backward(dy, x)[1],
        y,
        *device.batchnorm_backward(dy, x, gamma, saved),
        *device.softmax_crossentropy(
            x.reshape(-1, 12), np.eye(12, dtype=np.float32)[rng.integers(0, 12, x.size // 12)]
        ),
        device.dropout_forward(x, 0.3, 5, 1, np.array([3]))[0],
    ]


def test_the_number_of_threads_changes_no_bit(one_and_two_threads):
    one, two = one_and_two_threads(lambda: every_reduction(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_a_second_run_changes_no_bit():
    assert all(np.array_equal(a, b) for a, b in zip(every_reduction(3), every_reduction(3), strict=True))


def test_two_python_threads_may_compute_at_once():
    expected = every_reduction(4)
    results = {}
    workers = [threading.Thread(target=lambda i=i: results.update({i: every_reduction(4)})) for i in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for result in results.values():
        assert all(np.array_equal(a, b) for a, b in zip(result, expected, strict=True))
    assert len(results) == 3


def test_threads_that_train_and_predict_networks_at_once_give_what_each_gives_alone():
    """Networks of every kind of layer, on arrays large enough to come from the pool."""
    rng = np.random.default_rng(6)
    x, y = rng.random((256, 20, 20, 1), np.float32), np.eye(3, dtype=np.float32)[rng.integers(0, 3, 256)]

    def model_of(seed):
        again(seed)
        with tinycnn.use_device("cpu"):
            model = network(input_shape=(20, 20, 1))
            model.compile("adam")
        return model

    def trained(model):
        fit(model, x, y, batch_size=64)
        return [*model.get_weights(), model.predict(x, batch_size=100)]

    assert_alike_alone_and_at_once(model_of, trained, lambda model: model.predict(x, batch_size=100))


def test_a_team_that_was_sent_home_still_does_what_is_asked():
    """Whoever had asked for the team before another thread changed it."""
    team = threads.Team(3)
    x, y = np.ones(20_000, np.float32), np.zeros(20_000, np.float32)
    team.stop()
    team.run(relu_pass.address, [address(x), address(y), 20_000], 3)
    assert (y == x).all()
    assert not any(helper.is_alive() for helper in team.helpers)


def test_more_arguments_than_fit_are_refused():
    with pytest.raises(struct.error):
        threads.team().run(relu_pass.address, [0] * (threads.MOST_ARGUMENTS + 1), 1)


def test_addresses_are_those_of_numpy():
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    frozen = array.copy()
    frozen.flags.writeable = False
    for each in (array, frozen, array[1:, 2:], array[::-1], array.T, np.empty((0, 3)), np.zeros(())):
        assert address(each) == each.ctypes.data


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_computes():
    program = (
        "import os, numpy as np; from tinycnn.devices.cpu import CpuDevice; d = CpuDevice();"
        "x = np.ones((64, 9, 9, 3), 'f'); d.relu_forward(x); child = os.fork();"
        "ok = d.relu_forward(x).sum() == x.sum();"
        "os._exit(not ok) if child == 0 else print('child', os.waitpid(child, 0)[1])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert result.stdout == "child 0\n", result.stderr


@pytest.mark.parametrize("step", [0, 7, 2**32 - 1, 2**33 + 5])
def test_dropout_keeps_where_philox_says(step, rng):
    x = np.ones((3, 5, 7, 11), np.float32)
    seed, stream, rate = 2**63 + 12345, philox.stream_id(philox.DROPOUT, 3), 0.4
    keep = philox.random_bits(x.size, seed, stream, step) >= round(rate * 2**32)
    y, saved = device.dropout_forward(x, rate, seed, stream, np.array([step]))
    assert np.array_equal(y.reshape(-1) != 0, keep)
    assert np.allclose(y[y != 0], 1 / (1 - rate))
    assert np.array_equal(device.dropout_backward(x, rate, seed, stream, saved), y)


def test_batchnorm_keeps_its_digits_far_from_zero(rng):
    x = (1000 + rng.standard_normal((64, 6, 6, 12))).astype(np.float32)
    ones, zeros = np.ones(12, np.float32), np.zeros(12, np.float32)
    moving_mean, moving_variance = zeros.copy(), zeros.copy()
    device.batchnorm_forward(x, ones, zeros, moving_mean, moving_variance, 0.0, 1e-3)
    x64 = x.astype(np.float64)
    assert np.allclose(moving_mean, x64.mean((0, 1, 2)), rtol=1e-6)
    assert np.allclose(moving_variance, x64.var((0, 1, 2)), rtol=1e-4)


def test_maxpool_gradient_never_leaves_the_image():
    x = np.full((1, 3, 3, 2), -np.inf, np.float32)
    y, argmax = device.maxpool2d_forward(x, (2, 2), (2, 2), ((1, 0), (1, 0)))
    dx = device.maxpool2d_backward(np.ones_like(y), argmax, x.shape, (2, 2), (2, 2), ((1, 0), (1, 0)))
    assert dx.sum() == y.size


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[1:],
        lambda a: a.reshape(-1).T[5:],
        lambda a: a[::-1, ::2].transpose(),
        lambda a: np.asarray(memoryview(a)),
        lambda a: np.frombuffer(a, np.uint8)[7:],
        lambda a: a.view(np.recarray)[3:],
        lambda a: np.from_dlpack(a),
        lambda a: np.lib.stride_tricks.as_strided(a, (2, 2), (4, 8)),
        lambda a: np.broadcast_to(a, (3, 300, 300)),
    ],
    ids=range(9),
)
def test_the_pool_reuses_only_what_nobody_holds(view):
    pool = Pool(limit=1 << 24)
    a = pool.empty((300, 300), np.float32)
    held = view(a)[:]
    address = a.ctypes.data
    assert pool.empty((300, 300), np.float32).ctypes.data != address
    del a
    gc.collect()
    assert pool.empty((300, 300), np.float32).ctypes.data != address  # a view still lives
    del held
    gc.collect()
    reused = [pool.empty((300, 300), np.float32) for _ in range(4)]
    assert address in [array.ctypes.data for array in reused]
    assert len({array.ctypes.data for array in reused}) == 4
    assert all(array.ctypes.data % 64 == 0 for array in reused)


def test_the_pool_keeps_no_more_than_its_limit():
    pool = Pool(limit=1 << 20)
    for size in range(50_000, 90_000, 1000):
        pool.empty((size,), np.float32)
    large = [pool.empty((1 << 18,), np.float32) for _ in range(3)]  # more than the limit in use at once: given
    assert all(array.size == 1 << 18 for array in large)
    del large
    pool.empty((50_000,), np.float32)
    kept = sum(size * len(memories) for size, memories in pool.free.items())
    assert pool.free_bytes == kept <= pool.limit


def test_the_pool_lets_go_of_the_size_that_was_freed_least_recently():
    pool = Pool(limit=1 << 20)
    for size in (100_000, 120_000, 100_000, 110_000):
        pool.empty((size,), np.float32)
    pool.empty((9000,), np.float32)
    assert list(pool.free) == [400_000, 440_000]


@pytest.fixture
def threads_in_turn():
    """Threads take turns after a microsecond instead of five milliseconds: what may go wrong between two lines does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_the_pool_serves_threads_that_give_back_each_other_s_arrays(threads_in_turn):
    pool = Pool(limit=1 << 24)
    arrays = queue.SimpleQueue()

    def use(number):
        wrong = 0
        for i in range(8000):
            array = pool.empty((9000 + i % 3,), np.float32)
            array[:] = number
            other = pool.empty((9000 + i % 3,), np.float32)
            other[:] = -1
            wrong += int((array != number).sum())
            arrays.put(array)
            del array, other
            arrays.get()
        return wrong

    with ThreadPoolExecutor(4) as workers:
        assert list(workers.map(use, range(4))) == [0] * 4
    pool.empty((9000,), np.float32)
    assert pool.free_bytes == sum(size * len(blocks) for size, blocks in pool.free.items())
    assert len(pool.leases) <= 1


def test_tiles_fit_the_registers_and_waste_nothing_where_a_width_divides():
    assert 26 % choose(26, 26, 16, 26 * 12, 12).columns == 0
    for channels in (1, 10, 12, 20, 64, 72, 100):
        tile = choose(24, 24, channels, 24 * 12, 12)
        assert tile.rows * tile.columns * len(tile.widths) < 32


def test_float64_names_the_remedy():
    with pytest.raises(ValueError, match="reference"):
        CpuDevice(dtype="float64")
