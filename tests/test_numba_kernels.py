"""The kernels in Python beside those in C: the same names, arguments, results. The numba device and its two modes."""

import inspect
import json
import os
import re
import subprocess
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gpu_timing
import numba_kernels
import numba_ptx
import numpy as np
import pytest
from helpers import assert_close, assert_same_bits, images, normal
from tinycnn.kernels import numba as in_python

import tinycnn
from tinycnn import architectures, kernels, layers, optimizers
from tinycnn.devices import DeviceError
from tinycnn.devices.gpu import KernelDevice, grid, numba
from tinycnn.devices.gpu.launches import softmax_crossentropy as softmax_launches
from tinycnn.devices.gpu.launches.conv2d import MOST_FILTER_THREADS
from tinycnn.models import Sequential

EVERY_KERNEL = [
    (file, name) for file, names in kernels.INSTANCES.items() for name in dict.fromkeys(n.split("<")[0] for n in names)
]
each_kernel = pytest.mark.parametrize("file, name", EVERY_KERNEL, ids=str)


@pytest.fixture
def simulated():
    """The numba device in float32, where it is the simulator."""
    try:
        device = tinycnn.get_device("numba")
    except DeviceError as error:
        pytest.skip(f"no numba device: {error}")
    if not isinstance(device.driver, numba.SimulatorDriver):
        pytest.skip("the numba device is a GPU here")
    return device


def python(*words, **variables):
    """(exit status, output, errors) of a Python of its own, which chooses Numba's mode anew."""
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_ENABLE_CUDASIM"} | variables
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, timeout=600)
    return done.returncode, done.stdout, done.stderr


# ---------------------------------------------------------------- side by side


@each_kernel
def test_a_kernel_says_what_its_threads_do_and_is_the_twin_of_one_in_the_file_of_its_name(simulated, file, name):
    template = getattr(__import__(f"tinycnn.kernels.numba.{file}", fromlist=[name]), name)
    text = " ".join(template.__doc__.split())
    assert re.search(rf"__global__ void {name}\(", kernels.path(file).read_text())
    assert not re.search(r"\.cuh?:\d", text)  # a line's number would be wrong with the next line above it
    assert re.search(r"[Ss]hared memory", text) and re.search(r"thread|Thread|block \(", text)
    assert re.search(r"\(\w+(, ?\w+)*,?\)", text)  # a shape


@each_kernel
def test_a_kernel_takes_the_arguments_of_its_twin(simulated, file, name):
    want = [argument for argument, _ in numba_ptx.parameters(file, name)]
    if file == "optimizers":  # one tensor in place of a table of them
        assert want[:2] == ["table", "tensors"]
        want = want[2:]
    for instance in kernels.instances(file, "float"):
        if instance.split("<")[0] == name:
            function = in_python.instance(file, instance).py_func
            got = list(inspect.signature(function).parameters)
            assert function.__name__ == name
            assert got[6:] == want if file == "optimizers" else got == want


def test_every_file_in_c_has_its_twin_in_python():
    written = {path.stem for path in Path(in_python.__file__).parent.glob("*.py")} - {"__init__", "common"}
    assert written == set(kernels.INSTANCES)


def test_the_constants_of_the_kernels_are_those_of_the_launches(simulated):
    from tinycnn.kernels.numba import common
    from tinycnn.kernels.numba import optimizers as optimizer_kernels

    assert common.WARPS == softmax_launches.ROWS
    assert optimizer_kernels.PER_THREAD * grid.THREADS == grid.PER_BLOCK
    assert common.TILE_L == grid.TILE_L


# ---------------------------------------------------------------- PTX


@pytest.mark.parametrize(
    "arch, forms",
    [
        pytest.param("sm_75", ["double:one"], marks=pytest.mark.slow),
        pytest.param("sm_80", ["float:all"], marks=pytest.mark.slow),
        pytest.param("sm_90", ["float:one"], marks=pytest.mark.slow),
    ],
)
def test_every_kernel_compiles_for_a_gpu_in_its_own_precision_and_in_registers(arch, forms):
    status, out, errors = python(str(Path(__file__).with_name("numba_ptx.py")), arch, *forms)
    if status != 0 and re.search(r"No module named|libnvvm|nvvm.*not found|NvvmSupportError|nvJitLink", errors):
        pytest.skip(f"no compiler of Numba's: {errors.strip().splitlines()[-1]}")
    assert status == 0, errors
    found = json.loads(out)
    assert {name.split("<")[0] for name in found} == {name for _, name in EVERY_KERNEL}
    for name, facts in found.items():
        assert facts["entry"] and facts["target"] == arch, name
        # A bare 0.5 would make doubles of floats. Adam and the running loss compute in double, as in C.
        running = "adam", "softmax_crossentropy", "binary_crossentropy", "mean_squared_error", "regularize"
        double = "<double" in name or name.startswith(running)
        assert facts["double"] <= double, name
        assert not facts["local"], f"{name} keeps its small arrays in memory"
        threads = MOST_FILTER_THREADS if name.startswith("conv2d_backward_filter") else grid.THREADS
        assert facts["registers"] * threads <= 65536, f"a block of {name} has too few registers to start"


# ---------------------------------------------------------------- results


def first_step(device_name, x, y):
    """(initial weights, the weights after one step of breakdown-2, its loss)."""
    tinycnn.session.clear_session()
    tinycnn.session.set_random_seed(5)
    with tinycnn.use_device(device_name):
        model = architectures.build("breakdown-2")
        model.compile(optimizers.Adam(), "categorical_crossentropy", ["accuracy"])
        before = [np.array(w) for w in model.get_weights()]
        history = model.fit(x, y, batch_size=8, epochs=1, verbose=0)
        return before, [np.array(w) for w in model.get_weights()], history.history["loss"][0]


@pytest.mark.slow
def test_a_step_of_breakdown_2_is_that_of_the_cpu_and_of_the_emulator(simulated):
    x, y = images(np.random.default_rng(6), 8, 28, 28, classes=10)
    before, after, loss = first_step("numba", x, y)
    for other in ("cpu", "emulator"):
        try:
            want_before, want_after, want_loss = first_step(other, x, y)
        except DeviceError as error:
            pytest.skip(f"no {other} device: {error}")
        np.testing.assert_allclose(loss, want_loss, rtol=1e-6)
        for got, want in zip(before, want_before, strict=True):
            assert_same_bits(got, want)
        for start, got, want in zip(before, after, want_after, strict=True):
            assert not np.array_equal(got, start)
            # Adam's first step is about its rate, 0.001, whatever the gradient: where that is next to 0, it is noise.
            assert np.median(np.abs(got - want)) < 1e-7 and np.abs(got - want).max() < 1e-4


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_dropout_mask_has_the_same_bits_on_every_device(simulated, dtype):
    x = 1 + np.arange(1031, dtype=np.float64)
    masks = {}
    for name, (_, _, dtypes) in tinycnn.devices.DEVICES.items():
        if dtype not in dtypes:
            continue
        try:
            device = tinycnn.get_device(name, dtype)
        except DeviceError:
            continue
        step = device.asarray(np.array([2**33 + 5]), "int64")
        y, _ = device.dropout_forward(device.asarray(x), 0.375, 2**63 + 11, 2**32 - 1, step)
        masks[name] = device.numpy(y)
    assert {"numba", "reference"} <= set(masks)
    assert 0.3 < (masks["numba"] == 0).mean() < 0.45
    for name, mask in masks.items():
        assert np.array_equal(mask != 0, masks["numba"] != 0), name


@pytest.mark.parametrize("optimizer", [optimizers.SGD, optimizers.Adam, optimizers.Adadelta, optimizers.RMSprop])
def test_an_optimiser_launched_for_each_tensor_does_what_one_launch_does(simulated, optimizer):
    rng = np.random.default_rng(7)
    shapes = [(3, 3, 1, 5), (5,), (1, 1100), (0,), (45, 7)]
    states = {optimizers.SGD: 1, optimizers.Adam: 2, optimizers.Adadelta: 2, optimizers.RMSprop: 1}[optimizer]
    arrays = [[normal(rng, *shape) ** 2 for shape in shapes] for _ in range(2 + states)]

    def updated(device):
        on = [[device.asarray(a) for a in row] for row in arrays]
        rate, step = device.asarray(np.array([0.125])), device.asarray(np.array([3]), "int64")
        if optimizer is optimizers.SGD:
            device.sgd_step(*on, rate, 0.9, True)
        elif optimizer is optimizers.Adam:
            device.adam_step(*on, rate, step, (0.9, 0.999), 1e-7)
        elif optimizer is optimizers.Adadelta:
            device.adadelta_step(*on, rate, 0.95, 1e-7)
        else:
            device.rmsprop_step(*on, rate, 0.9, 1e-7)
        return [device.numpy(a) for row in on for a in row]

    for got, want in zip(updated(simulated), updated(tinycnn.get_device("reference", "float64")), strict=True):
        assert_close(got, want)


# ---------------------------------------------------------------- the simulator


def test_threads_that_part_at_a_barrier_are_an_error(simulated):
    from numba import cuda

    from tinycnn.devices.gpu.numba_blocks import DivergentBarrier

    # The simulator puts its own `cuda` in place of this name.
    namespace = {"cuda": cuda}
    exec("def halves(x):\n if cuda.threadIdx.x < 3:\n  cuda.syncthreads()\n  x[cuda.threadIdx.x] = 1", namespace)
    with pytest.raises(DivergentBarrier, match=r"3 threads wait at a barrier, the first of them \(0, 0, 0\), and 5"):
        cuda.jit(namespace["halves"])[1, 8](np.zeros(8))
    # What was interrupted leaves nothing behind.
    assert simulated.numpy(simulated.relu_forward(simulated.asarray([-1.0, 2.0]))).tolist() == [0, 2]


@pytest.mark.parametrize("change", ["is gone", "takes other arguments"])
def test_a_simulator_that_plays_blocks_otherwise_is_refused_by_name(simulated, change):
    from tinycnn.devices.gpu import numba_blocks

    class BlockManager:
        def __init__(self, f, grid_dim, block_dim): ...

        def run(self, grid_point, *args): ...

    theirs = types.SimpleNamespace() if change == "is gone" else types.SimpleNamespace(BlockManager=BlockManager)
    with pytest.raises(DeviceError, match=r"numba-cuda \d.* has another simulator .*: pip install 'numba-cuda=="):
        numba_blocks.install(theirs)


def test_a_break_in_a_kernel_ends_the_launch_and_the_next_one_runs(simulated):
    from numba import cuda

    def interrupted(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cuda.jit(interrupted)[1, 8](np.zeros(8))
    assert simulated.numpy(simulated.relu_forward(simulated.asarray([-1.0, 2.0]))).tolist() == [0, 2]


def test_threads_may_compute_at_the_same_time(simulated):
    x, start = simulated.asarray(np.arange(-50.0, 50.0)), threading.Barrier(4)

    def work(_):
        start.wait()
        return [simulated.numpy(simulated.relu_forward(x)) for _ in range(10)]

    with ThreadPoolExecutor(4) as pool:
        for results in pool.map(work, range(4)):
            for y in results:
                np.testing.assert_array_equal(y, np.maximum(np.arange(-50, 50), 0))


def test_infinity_and_nan_in_a_kernel_are_no_warning(simulated, recwarn):
    x = simulated.asarray(np.array([0.0, -1.0, 1e30, np.nan, np.inf]))
    with np.errstate(all="warn"):
        logarithms = simulated.numpy(simulated.elementwise("log", x))
        powers = simulated.numpy(simulated.elementwise("exp", simulated.elementwise("multiply", x, x)))
        simulated.softmax_forward(x.reshape(1, 5))
    assert logarithms[0] == -np.inf and np.isnan(logarithms[[1, 3]]).all()
    assert powers[0] == 1 and powers[2] == np.inf
    assert not recwarn.list


def test_a_change_of_numba_s_settings_does_not_take_the_simulator_away(simulated, monkeypatch):
    from numba import config
    from tinycnn.kernels.numba import bookkeeping

    monkeypatch.setattr(config, "ENABLE_CUDASIM", 0)  # as when Numba reads its environment again
    bookkeeping.fill.cache_clear()
    y = simulated.empty((3,))
    simulated.launch("bookkeeping", "fill<T>", (1,), (3,), y, 2.0, np.int64(3))
    assert simulated.numpy(y).tolist() == [2, 2, 2]


# ---------------------------------------------------------------- which mode, and what is missing

MODES = """
import sys, numpy as np, tinycnn
from tinycnn.devices import DeviceError
from tinycnn.devices.gpu import numba
{before}
def by(name):
    device = tinycnn.get_device(name)
    x = device.asarray(np.arange(-300, 324).reshape(2, 12, 13, 2) / 8)
    w = device.asarray(np.arange(-50, 40).reshape(3, 3, 2, 5) / 8)
    return device.numpy(device.conv2d_forward(x, w, None, (1, 1), ((1, 1), (1, 1)), True))
first = by("cpu")
try:
    device = tinycnn.get_device("numba")
except DeviceError as error:
    print("error:", error)
else:
    print(device.remark)
    x = device.asarray(np.array([-1.0, 2.0]))
    print(device.numpy(device.relu_forward(x)).tolist())
np.testing.assert_array_equal(by("cpu"), first)
"""


@pytest.mark.parametrize(
    "before, variables, output",
    [
        ("numba.gpu_count = lambda: 0", {}, r"no GPU: Numba's simulator .*slower.*\n\[0.0, 2.0\]\n"),
        ("numba.gpu_count = lambda: 1", {"NUMBA_ENABLE_CUDASIM": "1"}, r"Numba's simulator .*slower.*\n\[0.0, 2.0\]\n"),
        ("numba.gpu_count = lambda: 1", {"CUDA_VISIBLE_DEVICES": ""}, r"error: Numba cannot run a kernel on this GPU"),
        (
            "numba.gpu_count = lambda: 0; from numba import cuda",
            {"CUDA_VISIBLE_DEVICES": ""},
            r"error: Numba cannot run a kernel on this GPU",
        ),
    ],
    ids=["no GPU", "the simulator is wanted", "a GPU that fails", "numba.cuda was imported before"],
)
def test_the_mode_is_chosen_when_the_device_is_first_asked_for_and_leaves_the_cpu_as_it_was(before, variables, output):
    pytest.importorskip("numba_cuda")
    status, out, errors = python("-c", MODES.format(before=before), **variables)
    assert status == 0, errors
    assert re.match(output, out), out


@pytest.mark.parametrize("driver, command", [(None, "numba"), ((12, 4), "numba12"), ((13, 0), "numba13")])
@pytest.mark.parametrize("missing", ["numba_cuda", "greenlet"])
def test_without_its_packages_the_device_names_the_command_that_brings_them(monkeypatch, driver, command, missing):
    monkeypatch.setattr(numba.importlib.util, "find_spec", lambda name: None if name == missing else object())
    monkeypatch.setattr(tinycnn.devices.gpu.cuda, "driver_version", lambda: driver)
    wanted = re.escape(f"needs {missing.replace('_', '-')}: pip install 'tinycnn[{command}]'")
    with pytest.raises(DeviceError, match=f"{wanted}.*--device emulator"):
        numba.NumbaDevice()


def test_the_kernels_come_without_numba_cuda():
    """Importing tinycnn, its devices and the kernels' package loads nothing of Numba's CUDA."""
    code = "import sys, tinycnn, tinycnn.kernels.numba, tinycnn.devices.gpu.numba; print('numba.cuda' in sys.modules)"
    assert python("-c", code)[1] == "False\n"


# ---------------------------------------------------------------- the GPU's driver, on the simulator's arrays


@pytest.fixture
def on_gpu_arrays(simulated, monkeypatch):
    """A device over GpuDriver. Its arrays and kernels are the simulator's, which offer what those of a GPU do."""
    from numba import cuda
    from numba.cuda.simulator.cudadrv import devicearray

    monkeypatch.setattr(devicearray, "FakeShape", tuple)  # a GPU's shapes know a last axis, the simulator's do not
    device = KernelDevice("float32", numba.GpuDriver(cuda))
    device.name = "numba"
    return device


def trained(device, monkeypatch):
    """(the weights, the losses) of a small network with every kind of layer after two uneven batches."""
    monkeypatch.setitem(tinycnn.devices._made, ("numba", "float32"), device)
    tinycnn.session.clear_session()
    tinycnn.session.set_random_seed(3)
    x, y = images(np.random.default_rng(4), 5, 6, 6, channels=2)
    with tinycnn.use_device("numba"):
        model = Sequential()
        model.add(layers.Conv2D(4, 3, activation="relu", input_shape=(6, 6, 2)))
        model.add(layers.BatchNormalization())
        model.add(layers.Dropout(0.25))
        model.add(layers.MaxPooling2D())
        model.add(layers.Conv2D(5, 1))
        model.add(layers.Flatten())
        model.add(layers.Dense(3, activation="softmax"))
        model.compile(optimizers.Adam(), "categorical_crossentropy", ["accuracy"])
        history = model.fit(x, y, batch_size=3, epochs=1, verbose=0)
    return [np.array(w) for w in model.get_weights()], history.history["loss"]


def test_training_on_device_arrays_gives_the_same_bits(simulated, on_gpu_arrays, monkeypatch):
    with np.errstate(all="ignore"):
        weights, losses = trained(on_gpu_arrays, monkeypatch)
    want_weights, want_losses = trained(simulated, monkeypatch)
    assert losses == want_losses
    for got, want in zip(weights, want_weights, strict=True):
        assert_same_bits(got, want)


def test_device_arrays_go_to_the_gpu_and_back_whatever_their_shape(on_gpu_arrays):
    device = on_gpu_arrays
    x = np.arange(24.0).reshape(2, 3, 4)
    on = device.asarray(x)
    assert device.driver.holds(on) and not device.driver.holds(x)
    assert device.asarray(on) is on
    assert np.array_equal(device.numpy(on[:, 1:]), x[:, 1:])
    assert np.array_equal(device.numpy(device.copy(on[:, 1:])), x[:, 1:])
    assert device.numpy(device.asarray(on, "int64")).dtype == np.int64
    for shape in ((0, 3), (), (1,), (2, 0, 4)):
        assert device.numpy(device.zeros(shape)).shape == device.numpy(device.copy(device.empty(shape))).shape == shape
    device.assign(on, 5 * x)
    copied = device.copy(on)
    device.assign(on, np.float32(1))
    assert np.array_equal(device.numpy(copied), 5 * x) and (device.numpy(on) == 1).all()
    device.assign(on, copied)
    assert np.array_equal(device.numpy(on), 5 * x)


def test_a_gpu_out_of_memory_says_how_much_was_asked_and_what_fits(on_gpu_arrays, monkeypatch):
    cuda = on_gpu_arrays.driver.cuda

    def refuse(shape, dtype):
        raise RuntimeError("[CUresult.CUDA_ERROR_OUT_OF_MEMORY] Call to cuMemAlloc results in ...")

    class Context:
        def get_memory_info(self):
            return 1 * 2**30, 4 * 2**30

    monkeypatch.setattr(cuda, "device_array", refuse)
    monkeypatch.setattr(cuda, "current_context", Context)
    with pytest.raises(MemoryError, match=r"no 2 GB left for an array of shape \(1024, 512, 1024\): 3 GB of 4 GB"):
        on_gpu_arrays.empty((1024, 512, 1024))


# ---------------------------------------------------------------- the benchmark


@pytest.mark.slow
def test_the_benchmark_times_the_same_launches_on_both_devices(simulated, monkeypatch):
    monkeypatch.setattr(numba_kernels, "CALLS", 1)
    monkeypatch.setattr(numba_kernels, "ROUNDS", 1)
    shapes = {"conv2d": [(1, 5, 4, 2, 3, 3, 2)], "optimizers": [()], "softmax_crossentropy": [(3, 5)]}
    marks = dict.fromkeys(("cuda", "numba"), gpu_timing.HostMarks())
    emulator = tinycnn.get_device("emulator")
    found = numba_kernels.rows(emulator, simulated, shapes, shapes, marks, busy=4)
    want = [name for file in shapes for name in dict.fromkeys(n.split("<")[0] for n in kernels.INSTANCES[file])]
    assert sorted({row["kernel"].split("<")[0] for row in found}) == sorted(want)
    assert all(row["cuda"] > 0 and row["numba"] > 0 and row["threads"] >= 1 for row in found)
    lines = numba_kernels.table(found).splitlines()
    assert len(lines) == 2 + len(found) and "`conv2d_forward<float, 1, false>`" in lines[2]


def test_the_benchmark_has_shapes_for_every_kernel_file(capsys):
    assert set(numba_kernels.SHAPES) == set(kernels.INSTANCES)
    assert numba_kernels.main(["--dry-run"]) == 0
    assert capsys.readouterr().out.count("\n") == 2 + len(kernels.INSTANCES)


def test_without_a_gpu_the_benchmark_says_so(monkeypatch, capsys):
    monkeypatch.setattr(tinycnn.devices.gpu.cuda, "driver_version", lambda: None)
    monkeypatch.setitem(tinycnn.devices._made, ("cuda", "float32"), None)
    monkeypatch.delitem(tinycnn.devices._made, ("cuda", "float32"))
    assert numba_kernels.main([]) == 2
    assert "needs an NVIDIA GPU" in capsys.readouterr().err
