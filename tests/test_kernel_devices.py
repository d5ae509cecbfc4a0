"""What the devices of the CUDA kernels have beyond every device: chunks of shared memory, recorded launches, and the
cuda device's logic, on a stand-in for CuPy."""

import itertools
import sys

import numpy as np
import pytest
import stand_in_cupy
from helpers import assert_close, assert_same_bits, images, normal
from small_trainings import again, assert_alike_alone_and_at_once, compiled, fit, toy

import tinycnn
from tinycnn import command as cli
from tinycnn import emulator, functional, kernels, layers, optimizers
from tinycnn.devices import DeviceError
from tinycnn.devices.base import Slices, Wanted
from tinycnn.devices.checks import cases as kernel_cases
from tinycnn.devices.gpu import cuda
from tinycnn.devices.gpu.emulator import EmulatorDevice
from tinycnn.devices.gpu.launches import conv2d as launches
from tinycnn.models import Sequential
from tinycnn.shapes import UNPADDED, Geometry
from tinycnn.tensor import output_of


def rng_of(*seed):
    return np.random.default_rng(seed)


# ---------------------------------------------------------------- launches


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "limits",
    [
        {"SHARED_BYTES": 4096, "BLOCKS": 1},
        {"ENOUGH_THREADS": 1},
        {"ENOUGH_THREADS": 1, "SHARED_BYTES": 6000},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "x_shape, w_shape, stride, padding",
    [
        ((2, 9, 8, 12), (3, 3, 12, 7), (1, 1), ((1, 1), (1, 1))),
        ((3, 11, 7, 5), (5, 4, 5, 9), (2, 1), ((2, 1), (0, 3))),
        ((1, 9, 17, 1), (7, 8, 1, 36), (1, 1), ((0, 0), (0, 0))),
        ((2, 5, 6, 40), (2, 2, 40, 3), (3, 2), ((0, 1), (1, 0))),
    ],
    ids=str,
)
def test_convolution_in_chunks_is_the_same(dtype, limits, x_shape, w_shape, stride, padding):
    """Large layers take their channels and filter rows in chunks, four pixels a thread; here small ones do so too."""
    reference, device, rng = (
        tinycnn.get_device("reference", "float64"),
        tinycnn.get_device("emulator", dtype),
        rng_of(1),
    )
    x, w, b = normal(rng, *x_shape), normal(rng, *w_shape), normal(rng, w_shape[3])
    y = reference.conv2d_forward(x, w, b, stride, padding, False)
    dy = normal(rng, *y.shape)
    on = [device.asarray(a) for a in (x, w, b, dy)]
    length = int(np.prod(w_shape[:2])) * max(w_shape[2:])
    with kernel_cases.lowered(**limits):
        assert_close(device.conv2d_forward(*on[:3], stride, padding, False), y, length)
        dx = device.conv2d_backward_data(on[3], on[1], x_shape, stride, padding)
        assert_close(dx, reference.conv2d_backward_data(dy, w, x_shape, stride, padding), length)
        dw = device.conv2d_backward_filter(on[0], on[3], w_shape, stride, padding)
        assert_close(dw, reference.conv2d_backward_filter(x, dy, w_shape, stride, padding), dy.size // dy.shape[3])


@pytest.mark.parametrize("itemsize", [4, 8])
@pytest.mark.parametrize(
    "shape",  # images, P, Q, C, K, R, S
    [
        (1, 128, 128, 512, 512, 3, 3),
        (1, 28, 28, 1, 8, 28, 28),
        (1, 4, 2000, 3, 5, 1, 900),
        (64, 7, 7, 2048, 10, 8, 8),
    ],
    ids=str,
)
def test_any_convolution_gets_a_launch_that_a_gpu_can_start(itemsize, shape):
    images, P, Q, C, K, R, S = shape
    geometry = Geometry.of((images, P + R - 1, Q + S - 1, C), (R, S, C, K), (1, 1), UNPADDED)
    tile = launches.choose_tile(geometry, itemsize)
    assert tile.shared <= 48 * 1024 and 1 <= tile.block[0] * tile.block[1] <= 256
    assert tile.rows * tile.columns <= tile.block[1] * tile.pixels and tile.KB == 4 * tile.block[0]
    tile = launches.choose_filter_tile(geometry, itemsize)
    assert tile.shared <= 48 * 1024 and 1 <= tile.units * tile.splits <= 512


def test_a_filter_that_no_block_can_hold_says_so():
    with pytest.raises(ValueError, match="filters of 3 x 9000 do not fit"):
        launches.choose_tile(Geometry.of((1, 3, 9000, 1), (3, 9000, 1, 4), (1, 1), UNPADDED), 8)


@pytest.mark.parametrize("dtype, ctype", [("float32", "float"), ("float64", "double")])
@pytest.mark.parametrize("name", kernels.INSTANCES)
def test_the_cases_launch_every_kernel_of_a_file_and_the_check_reports_nothing(name, dtype, ctype):
    cases = kernel_cases.cases(name, dtype)
    assert {launch.kernel for launch in cases} == set(kernels.instances(name, ctype))
    assert [str(report) for report in emulator.check(kernels.path(name), cases)] == []


def test_a_file_s_operations_run_at_a_shape_that_is_asked_for():
    launches = kernel_cases.cases("conv2d", shape=(1, 7, 6, 2, 3, 3, 2))
    assert [launch.kernel.split("<")[0] for launch in launches] == [
        "conv2d_forward",
        "conv2d_backward_filter",
        "conv2d_backward_data",
    ]
    assert launches[0].args[0].shape == (1, 7, 6, 2) and launches[0].args[1].shape == (3, 2, 2, 3)
    for name, shape, message in (
        ("conv2d", (1, 2, 3), "N,H,W,C,K,R,S"),
        ("conv2d", (1, 2, 3, 1, 1, 3, 3), "do not fit"),
        ("optimizers", (3,), "fixed"),
        ("dropout", (0,), "any shape"),
    ):
        with pytest.raises(ValueError, match=message):
            kernel_cases.cases(name, shape=shape)


def test_cases_of_an_unknown_file_name_those_that_exist():
    with pytest.raises(ValueError, match="conv2d"):
        kernel_cases.cases("conv3d")


def test_an_integer_too_large_for_the_kernel_is_an_error(tmp_path):
    device = tinycnn.get_device("emulator")
    with pytest.raises(OverflowError):
        device.launch("reduce", "reduce<T>", (1,), (32,), 2**31)


def test_without_a_compiler_the_emulator_names_the_remedy(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    emulator.build.find_compiler.cache_clear()
    try:
        with pytest.raises(DeviceError, match="no-such-compiler"):
            EmulatorDevice()
    finally:
        emulator.build.find_compiler.cache_clear()


# ---------------------------------------------------------------- sums that blocks share


@pytest.mark.parametrize("slices", [2, 7, 33, 300])
@pytest.mark.parametrize("name", ["emulator", "numba"])
def test_optimisers_add_up_gradients_in_slices(name, slices):
    device = tinycnn.get_device(name)
    rng = rng_of(slices)
    shapes = [(5, 7), (1,), (33,), (2, 1031)] if name == "emulator" else [(5, 7), (1,)]
    gradients = [normal(rng, slices, *shape) for shape in shapes]
    rate, step = device.asarray(np.array([1.0])), device.asarray(np.array([1]), "int64")

    def updated(update, given):
        parameters = [device.zeros(shape) for shape in shapes]
        state = [[device.zeros(shape) for shape in shapes] for _ in range(2)]
        update(parameters, given, state)
        return [device.numpy(a).copy() for of in (parameters, *state) for a in of]

    def in_slices():
        return [Slices(device.asarray(g)) for g in gradients]

    for update in (
        lambda p, g, s: device.sgd_step(p, g, [], rate, 0.0, False),
        lambda p, g, s: device.sgd_step(p, g, s[0], rate, 0.9, True),
        lambda p, g, s: device.adam_step(p, g, *s, rate, step, (0.9, 0.999), 1e-7),
        lambda p, g, s: device.adadelta_step(p, g, *s, rate, 0.95, 1e-7),
        lambda p, g, s: device.rmsprop_step(p, g, s[0], rate, 0.9, 1e-7),
    ):
        exact = updated(update, [device.asarray(g.sum(axis=0)) for g in gradients])
        found = updated(update, in_slices())
        for mine, its in zip(found, exact, strict=True):
            assert_close(mine, its, slices)
        for mine, its in zip(updated(update, in_slices()), found, strict=True):
            assert_same_bits(mine, its)


@pytest.mark.parametrize("make", [optimizers.SGD, optimizers.Adam, optimizers.Adadelta, optimizers.RMSprop])
def test_an_update_is_one_launch_also_of_gradients_in_slices(monkeypatch, make):
    device, files = EmulatorDevice(), []
    launch = device.driver.launch
    monkeypatch.setattr(device.driver, "launch", lambda file, *rest: (files.append(file), launch(file, *rest)))
    w = tinycnn.Tensor(np.zeros((1, 1, 3, 2)), requires_grad=True, device=device)
    functional.conv1x1(tinycnn.Tensor(np.ones((9, 8, 8, 3)), device=device), w).sum().backward()
    assert isinstance(w.gradient, Slices)
    optimizer = make(0.1)
    optimizer.bind([w])
    files.clear()
    optimizer.step([w])
    assert files == ["optimizers"]


def test_a_gradient_in_slices_is_added_up_by_whoever_looks_at_it():
    with tinycnn.use_device("emulator"):
        w = tinycnn.Tensor(np.zeros((1, 1, 3, 2)), requires_grad=True)
        x = tinycnn.Tensor(normal(rng_of(1), 9, 8, 8, 3))
        for times in (1, 2):  # the second backward adds to the first's
            functional.conv1x1(x, w).sum().backward()
            want = times * np.broadcast_to(x.numpy().sum(axis=(0, 1, 2))[:, None], (3, 2))
            assert_close(w.grad.numpy()[0, 0], want, 9 * 64)
        gradient = w.grad
        assert w.grad is gradient  # what is done to it reaches the optimiser
        w.zero_grad()
        assert w.grad is None


def test_an_optimizer_of_ones_own_is_given_whole_gradients():
    class Plain(optimizers.Optimizer):
        def update(self, device, parameters, gradients):
            for p, g in zip(parameters, gradients, strict=True):
                device.assign(p, device.elementwise("subtract", p, g))

    with tinycnn.use_device("emulator"):
        w = tinycnn.Tensor(np.zeros((1, 1, 3, 2)), requires_grad=True)
        x = tinycnn.Tensor(np.ones((9, 8, 8, 3)))
        functional.conv1x1(x, w).sum().backward()
        Plain(1.0).apply([w])
        np.testing.assert_array_equal(w.numpy(), np.full((1, 1, 3, 2), -9.0 * 64))


@pytest.mark.parametrize("name", ["emulator", "numba"])
def test_counters_are_zero_again_after_a_launch(name, monkeypatch):
    device = tinycnn.get_device(name)
    made, arrivals = [], type(device.driver).arrivals

    def watched(driver, count):
        made.append(arrivals(driver, count))
        return made[-1]

    monkeypatch.setattr(type(device.driver), "arrivals", watched)
    device.dense_forward(device.zeros((3, 700)), device.zeros((700, 5)), None, False)
    assert made and not np.any(device.numpy(made[-1]))


# ---------------------------------------------------------------- the cuda device


@pytest.fixture
def stand_in(monkeypatch):
    """In place of CuPy; the device takes its kernels for any shape, whose launches do not depend on one."""
    monkeypatch.setenv("TINYCNN_PATH", "general")
    monkeypatch.setitem(sys.modules, "cupy", stand_in_cupy)
    monkeypatch.setattr(cuda, "driver_version", lambda: (13, 0))
    return stand_in_cupy


class Peeking(layers.Layer):
    """Looks at its values on the host, which no CUDA graph can do: in the forward or in the backward pass."""

    kind = "peeking"

    def __init__(self, where):
        super().__init__()
        self.where = where

    def call(self, x, training):
        return peek(x, self.where)


def peek(x, where):
    """x, whose values (or whose gradient's) are looked at in passing."""

    def passed_on(array, seen):
        if seen:
            x.device.numpy(array)
        return x.device.copy(array)

    y = passed_on(x.data, where == "forward")
    return output_of("peek", (x,), y, lambda dy: (passed_on(dy, where == "backward"),))


def trained(device, monkeypatch, optimizer=optimizers.Adam, count=22, between=(), by_generator=False):
    """(the weights, the history) of a small network with every kind of layer after three epochs of uneven batches."""
    monkeypatch.setitem(tinycnn.devices._made, (device.name, "float32"), device)
    tinycnn.session.clear_session()
    tinycnn.session.set_random_seed(3)
    x, y = images(rng_of(4), count, channels=2)
    with tinycnn.use_device(device.name):
        model = Sequential()
        model.add(layers.Conv2D(4, 3, activation="relu", input_shape=(8, 8, 2)))
        model.add(layers.BatchNormalization())
        model.add(layers.Dropout(0.25))
        for layer in between:
            model.add(layer)
        model.add(layers.MaxPooling2D())
        model.add(layers.Conv2D(5, 1))
        model.add(layers.Flatten())
        model.add(layers.Dense(3, activation="softmax"))
        model.compile(optimizer(), "categorical_crossentropy", ["accuracy"])
        options = {"epochs": 3, "verbose": 0, "validation_data": (x[:6], y[:6])}
        if by_generator:
            batches = [(x[start : start + 8], y[start : start + 8]) for start in range(0, count, 8)]
            history = model.fit_generator(itertools.cycle(batches), steps_per_epoch=len(batches), **options)
        else:
            history = model.fit(x, y, batch_size=8, **options)
    return [np.array(w) for w in model.get_weights()], history.history["loss"]


def assert_same_training(one, other):
    for a, b in zip(one[0], other[0], strict=True):
        assert_same_bits(a, b)
    assert one[1] == other[1]


@pytest.fixture
def recordings(monkeypatch):
    """All that is recorded on the cuda device from here on."""
    made, record = [], cuda.CudaDriver.record

    def remembered(self, step):
        made.append(record(self, step))
        return made[-1]

    monkeypatch.setattr(cuda.CudaDriver, "record", remembered)
    return made


@pytest.mark.parametrize("optimizer", [optimizers.SGD, optimizers.Adam, optimizers.Adadelta, optimizers.RMSprop])
def test_a_step_recorded_and_replayed_trains_as_one_that_is_launched(stand_in, recordings, monkeypatch, optimizer):
    found = trained(cuda.CudaDevice(), monkeypatch, optimizer)
    assert_same_training(found, trained(EmulatorDevice(), monkeypatch, optimizer))
    # 22 images are two batches of 8 and one of 6, three times; the six validation images one batch.
    runs = sorted((r.runs, r.graph.launches) for r in recordings)
    assert runs == [(3, 2), (3, 2), (6, 5)]


def test_a_recorded_step_takes_each_batch_that_a_generator_gives(stand_in, recordings, monkeypatch):
    found = trained(cuda.CudaDevice(), monkeypatch, by_generator=True)
    assert_same_training(found, trained(EmulatorDevice(), monkeypatch, by_generator=True))
    assert sorted((r.runs, r.graph.launches) for r in recordings) == [(3, 2), (3, 2), (6, 5)]


def without_graphs(monkeypatch):
    monkeypatch.setattr(cuda.CudaDriver, "record", lambda self, step: step)


def test_training_is_the_same_to_the_bit_with_and_without_graphs(stand_in, monkeypatch):
    found = trained(cuda.CudaDevice(), monkeypatch)
    without_graphs(monkeypatch)
    assert_same_training(found, trained(cuda.CudaDevice(), monkeypatch))


def test_training_is_the_same_to_the_bit_with_and_without_graphs_on_a_gpu(recordings, monkeypatch):
    try:
        device = cuda.CudaDevice()
    except DeviceError as error:
        pytest.skip(f"no GPU: {error}")
    found = trained(device, monkeypatch)
    assert all(r.graph is not None for r in recordings) and len(recordings) == 3
    without_graphs(monkeypatch)
    assert_same_training(found, trained(cuda.CudaDevice(), monkeypatch))


def test_threads_that_train_at_once_record_each_its_own_step(stand_in, recordings, monkeypatch):
    """What one launches or copies while another records is no part of that recording, and does not wait for its end."""
    x, y = toy(32)

    def trained(model):
        with tinycnn.use_device("cuda"):
            fit(model, x, y, epochs=3)
        return model.get_weights()

    monkeypatch.setitem(tinycnn.devices._made, ("cuda", "float32"), cuda.CudaDevice())

    def model_of(seed):
        again(seed)
        return compiled("adam")

    with tinycnn.use_device("cuda"):
        assert_alike_alone_and_at_once(model_of, trained, lambda model: model.predict(x))
    assert all(r.graph is not None for r in recordings) and len(recordings) >= 8


def test_a_table_of_addresses_outlives_what_a_recorded_step_lets_go_of(stand_in):
    """Were it in the graph's own pool, it would lie where an earlier kernel of the step writes."""
    device, seen = cuda.CudaDevice(), []
    parameter = device.zeros((6,))

    def step():
        numbers = device.asarray(np.array(7), "int64")  # a kernel writes it, and it is let go of
        del numbers
        seen.append(device.driver.address_table([[parameter]]))

    recorded = device.record(step)
    for _ in range(3):
        recorded()
    table = seen[-1]
    assert recorded.graph.launches == 2 and not recorded.pool.holds(table)
    assert device.numpy(table).tolist() == [[parameter.data.ptr]]


def test_filters_gradients_are_recorded_on_a_branch(stand_in, recordings, monkeypatch):
    found = trained(cuda.CudaDevice(), monkeypatch)
    training = [r for r in recordings if r.beside is not None]
    assert len(training) == 2  # for batches of 8 and of 6; the third recording is of validation
    for recorded in training:
        branch = recorded.graph.actions[recorded.beside]
        assert sum(callable(action) for action in branch) == 3  # two convolutions and a dense layer
    assert_same_training(found, trained(EmulatorDevice(), monkeypatch))


def test_what_a_branch_reads_is_kept_until_it_is_joined(stand_in):
    """The stand-in runs a branch last: what Python lets go of meanwhile would be overwritten before it is read."""
    device = cuda.CudaDevice()
    x, w, found = device.asarray(np.ones((2, 40))), device.zeros((40, 30)), device.zeros((40, 30))

    def step():
        dy = device.elementwise("add", device.zeros((2, 30)), 1.0)
        _, dw, _ = device.dense_backward(dy, None, x, w, Wanted(False, True, False))
        del dy
        for number in range(3):  # of the same size, and so from the same place if that is free
            device.elementwise("add", device.zeros((2, 30)), float(number))
        device.sgd_step([found], [dw], [], device.asarray(np.array([1.0])), 0.0, False)

    recorded = device.record(step)
    for _ in range(3):
        recorded()
    assert recorded.graph.launches == 2
    np.testing.assert_array_equal(device.numpy(found), np.full((40, 30), -6.0))


def test_a_gpu_that_is_in_no_table_computes(stand_in, monkeypatch):
    """Only who chooses a kernel for a card has to know it."""
    monkeypatch.setattr(stand_in.cuda.runtime, "getDeviceProperties", lambda number: {"name": b"a GPU of tomorrow"})
    device = cuda.CudaDevice()
    np.testing.assert_array_equal(device.numpy(device.elementwise("add", device.zeros(3), 1.0)), np.ones(3))


def test_counters_of_a_recorded_step_are_zero_at_every_replay(stand_in):
    device = cuda.CudaDevice()
    x, w = device.asarray(np.ones((3, 700))), device.asarray(np.full((700, 5), 2.0))
    y = device.zeros((3, 5))

    def step():
        product = device.dense_forward(x, w, None, False)  # a sum of 700 numbers, in slices
        device.sgd_step([y], [product], [], device.asarray(np.array([1.0])), 0.0, False)

    recorded = device.record(step)
    for _ in range(4):
        recorded()
    np.testing.assert_array_equal(device.numpy(y), np.full((3, 5), -4 * 1400.0))


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_a_step_that_cannot_be_recorded_is_launched_and_the_reason_named(stand_in, recordings, monkeypatch, where):
    with pytest.warns(
        UserWarning, match="launched one by one: the current stream is capturing, so H2D transfers are disallowed$"
    ):
        found = trained(cuda.CudaDevice(), monkeypatch, between=[Peeking(where)])
    assert any(r.graph is None and r.runs > 2 for r in recordings)
    assert_same_training(found, trained(EmulatorDevice(), monkeypatch, between=[Peeking(where)]))


def test_between_two_steps_nothing_happens_but_the_replay(stand_in, monkeypatch):
    """However many batches an epoch has, as many kernels are launched one by one: those around the epochs."""
    launches, launch = [], cuda.CudaDriver.launch

    def counted(self, file, kernel, *args):
        launches.append(kernel)
        launch(self, file, kernel, *args)

    monkeypatch.setattr(cuda.CudaDriver, "launch", counted)
    counts = []
    for batches in (3, 7):
        launches.clear()
        trained(cuda.CudaDevice(), monkeypatch, count=8 * batches)
        counts.append(len(launches))
    assert counts[0] == counts[1]


def test_the_command_says_in_one_line_that_there_is_no_graph(stand_in, monkeypatch, capsys):
    def refuse(self):
        raise RuntimeError("this driver\nhas no graphs")

    monkeypatch.setattr(stand_in.Stream, "begin_capture", refuse)
    monkeypatch.setattr(stand_in.Stream, "end_capture", lambda self: None)
    monkeypatch.delitem(tinycnn.devices._made, ("cuda", "float32"), raising=False)
    with tinycnn.use_device("reference"), pytest.raises(SystemExit) as stop:
        network = "CN(2,(9,9))->MP(4,4)->FL()->DN(10)"
        words = ["train", network, "--device", "cuda", "--data", "synthetic", "--limit", "256", "--epochs", "1"]
        cli.main(words)
    tinycnn.devices._made.pop(("cuda", "float32"), None)
    assert stop.value.code in (0, None)
    lines = [line for line in capsys.readouterr().err.splitlines() if "graph" in line]
    assert len(set(lines)) == 1 and lines[0].startswith("tinycnn: the step cannot be recorded as a CUDA graph")
    assert lines[0].endswith("this driver has no graphs")


def test_without_a_driver_cupy_or_gpu_the_remedy_is_named(stand_in, monkeypatch):
    monkeypatch.setattr(stand_in.runtime, "getDeviceCount", lambda: 0)
    with pytest.raises(DeviceError, match="no GPU.*nvidia-smi.*emulator"):
        cuda.CudaDevice()
    monkeypatch.setattr(cuda, "driver_version", lambda: (12, 4))
    with pytest.raises(DeviceError, match=r"made for CUDA 13.*supports CUDA 12\.4.*pip install 'tinycnn\[cuda12\]'"):
        cuda.CudaDevice()
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DeviceError, match=r"pip install 'tinycnn\[cuda12\]'"):
        cuda.CudaDevice()
    monkeypatch.setattr(cuda, "driver_version", lambda: None)
    with pytest.raises(DeviceError, match="https://www.nvidia.com/drivers.*--device emulator"):
        cuda.CudaDevice()


def test_out_of_memory_says_how_much_was_asked_and_what_fits(stand_in, monkeypatch):
    device = cuda.CudaDevice()

    def refuse(shape, dtype):
        raise stand_in.OutOfMemoryError("out")

    monkeypatch.setattr(stand_in, "empty", refuse)
    with pytest.raises(
        MemoryError, match=r"no 2 GB left for an array of shape \(1024, 512, 1024\): 3 GB of 4 GB.*batch of 256"
    ):
        device.empty((1024, 512, 1024))
    monkeypatch.setattr(stand_in.default_pool, "used_bytes", lambda: 2**28, raising=False)
    with pytest.raises(
        MemoryError, match=r"256 MB of 1.25 GB are in use; another program or library has 2.75 GB; a batch"
    ):
        device.empty((1024, 512, 1024))


@pytest.mark.parametrize(
    "batch, needed, available, fits",
    [(128, 100, 90, 32), (2, 100, 90, 1), (1000, 10**9, 1, 1), (8192, 101, 100, 4096 // 2)],
)
def test_the_batch_that_fits_is_a_smaller_power_of_two(batch, needed, available, fits):
    assert cuda.batch_that_fits(batch, needed, available) == fits
