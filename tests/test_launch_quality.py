"""How well the kernels are launched, by counts: how many launches, of how many blocks, and what they ask of memory.

Nothing here is about right or wrong results: a tile that is too small, an array without its padding against bank
conflicts or a sum by a single block give the same numbers, only later. No clock may say so in a test, but counts may.
They are the same on every machine. Who makes one better writes the better one down; who makes one worse has a reason.
"""

import sys

import numpy as np
import pytest
import stand_in_cupy

import tinycnn
from tinycnn import architectures, emulator, kernels
from tinycnn.devices.base import Mask, Slices, Wanted
from tinycnn.devices.gpu import KernelDevice, cuda
from tinycnn.devices.gpu.emulator import EmulatorDriver
from tinycnn.emulator import Launch
from tinycnn.emulator.build import find_compiler

NO_PADDING, ONE = ((0, 0), (0, 0)), ((1, 1), (1, 1))
BATCH = 128


class Recorder(EmulatorDriver):
    """Launches are written down and not run: what is launched does not depend on any number."""

    def __init__(self):
        super().__init__()
        self.launches = []

    def empty(self, shape, dtype):
        return self.zeros(shape, dtype)  # what a launch that is traced finds there is always the same

    def launch(self, file, kernel, ctype, grid, block, args, shared, cooperative):
        self.launches.append((file, Launch(kernel, grid, block, args, shared)))


@pytest.fixture
def recording(monkeypatch):
    """The current device, which only records: `recording.driver.launches` is a list of (file, Launch)."""
    device = KernelDevice("float32", Recorder())
    device.name = "emulator"
    monkeypatch.setitem(tinycnn.devices._made, ("emulator", "float32"), device)
    with tinycnn.use_device("emulator"):
        yield device


# ---------------------------------------------------------------- launches of a training step

# Each costs some microseconds on a GPU, and where images are small that is most of a step.
A_STEP = {
    "breakdown-1": 26, "breakdown-2": 29, "breakdown-3": 32, "breakdown-4": 23, "breakdown-5": 29, "essentia": 26,
    "vanilla": 29, "vanilla-15k": 29, "go-crazy": 53, "other-1": 60, "other-2": 67, "other-3": 60, "other-4": 53,
    "models-1": 32, "models-2": 37, "models-3": 32, "models-4": 38, "models-5": 37, "models-6": 35, "models-7": 38,
    "models-8": 38, "models-9": 38, "models-10": 55, "cn-1": 24, "cn-2": 46, "cn-3": 62, "eip4-2": 48,
}  # fmt: skip
QUICK = ("breakdown-2", "vanilla-15k", "go-crazy", "cn-3", "eip4-2")
A_STEP_OF_INFERENCE = {"breakdown-2": 12, "go-crazy": 18, "cn-3": 20, "eip4-2": 17}


def launches_of(recording, run):
    """How many launches each batch costs: what three batches take more than two."""
    counts = []
    for batches in (2, 3):
        recording.driver.launches.clear()
        run(np.zeros((BATCH * batches, 28, 28, 1)), np.eye(10)[np.zeros(BATCH * batches, int)])
        counts.append(len(recording.driver.launches))
    return counts[1] - counts[0]


def train(name):
    def run(x, y):
        model = architectures.build(name)
        model.compile("adam", metrics=["accuracy"])
        model.fit(x, y, batch_size=BATCH, verbose=0)

    return run


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in A_STEP])
def test_launches_of_a_training_step(recording, name):
    assert launches_of(recording, train(name)) == A_STEP[name]


def test_every_documented_network_is_counted():
    assert list(A_STEP) == list(architectures.ARCHITECTURES)


# What a step may cost on the device `cuda`, at most.
ON_CUDA = {"go-crazy": 56, "vanilla-15k": 30, "models-9": 44}


@pytest.mark.parametrize("name", ON_CUDA)
def test_kernels_of_the_graph_of_a_recorded_step(monkeypatch, name):
    """As many as are launched, on the stand-in for CuPy; about half of the way back on the branch of the filters."""
    monkeypatch.setitem(sys.modules, "cupy", stand_in_cupy)
    monkeypatch.setattr(cuda, "driver_version", lambda: (13, 0))
    monkeypatch.setenv("TINYCNN_PATH", "general")  # which is counted above
    monkeypatch.setattr(stand_in_cupy.RawModule, "__init__", lambda self, **_: None)
    monkeypatch.setattr(stand_in_cupy.RawModule, "get_function", lambda self, name: noted)
    recordings, record = [], cuda.CudaDriver.record
    monkeypatch.setattr(
        cuda.CudaDriver, "record", lambda self, step: recordings.append(record(self, step)) or recordings[-1]
    )
    monkeypatch.setitem(tinycnn.devices._made, ("cuda", "float32"), cuda.CudaDevice())
    with tinycnn.use_device("cuda"):
        train(name)(np.zeros((BATCH * 2, 28, 28, 1)), np.eye(10)[np.zeros(BATCH * 2, int)])
    (step,) = recordings
    kernels_of = {stream: sum(callable(a) for a in of) for stream, of in step.graph.actions.items()}
    assert sum(kernels_of.values()) == A_STEP[name] <= ON_CUDA[name]
    assert kernels_of[step.beside] == sum(
        layer.kind in ("conv2d", "dense") for layer in architectures.build(name).layers
    )


def noted(grid, block, args, shared_mem=0):
    """A kernel that does nothing: what is launched does not depend on any number."""
    stand_in_cupy.do(lambda: None)


@pytest.mark.parametrize("name", A_STEP_OF_INFERENCE)
def test_launches_of_a_batch_that_is_evaluated(recording, name):
    def evaluate(x, y):
        model = architectures.build(name)
        model.compile(metrics=["accuracy"])
        model.evaluate(x, y, batch_size=BATCH, verbose=0)

    assert launches_of(recording, evaluate) == A_STEP_OF_INFERENCE[name]


# ---------------------------------------------------------------- blocks, and what they ask of memory


def conv2d(direction, x, w, stride=(1, 1), padding=NO_PADDING):
    N, H, W, _ = x
    P = (H + sum(padding[0]) - w[0]) // stride[0] + 1
    Q = (W + sum(padding[1]) - w[1]) // stride[1] + 1
    y = N, P, Q, w[3]
    return {
        "forward": lambda d: d.conv2d_forward(d.zeros(x), d.zeros(w), d.zeros(w[3:]), stride, padding, True),
        "data": lambda d: d.conv2d_backward_data(d.zeros(y), d.zeros(w), x, stride, padding),
        "filter": lambda d: d.conv2d_backward_filter(d.zeros(x), d.zeros(y), w, stride, padding),
    }[direction]


ONE_CHANNEL = (BATCH, 28, 28, 1), (3, 3, 1, 8)
WIDE = (BATCH, 14, 14, 32), (3, 3, 32, 32), (1, 1), ONE
DEEP = (BATCH, 7, 7, 256), (3, 3, 256, 64)
STRIDED = (BATCH, 28, 28, 4), (5, 5, 4, 12), (2, 2), ((2, 2), (2, 2))
PIXELS, COARSE = (BATCH, 24, 24, 8), (BATCH, 12, 12, 8)


def batchnorm(direction, shape, drops=False):
    def call(d):
        mask = Mask(0.25, 1, 2, d.zeros((1,), "int64")) if drops else None
        parameters = [d.zeros(shape[-1:]) for _ in range(4)]
        if direction == "forward":
            return d.batchnorm_forward(d.zeros(shape), *parameters, 0.9, 0.001, mask)
        return d.batchnorm_backward(d.zeros(shape), d.zeros(shape), parameters[0], (*parameters[1:3], mask))

    return call


CALLS = {
    "conv2d of one channel": conv2d("forward", *ONE_CHANNEL),
    "conv2d of one channel, filter": conv2d("filter", *ONE_CHANNEL),
    "conv2d of 32": conv2d("forward", *WIDE),
    "conv2d of 32, data": conv2d("data", *WIDE),
    "conv2d of 32, filter": conv2d("filter", *WIDE),
    "conv2d of 256": conv2d("forward", *DEEP),
    "conv2d of 256, filter": conv2d("filter", *DEEP),
    "conv2d of 7x7": conv2d("forward", (32, 28, 28, 8), (7, 7, 8, 16)),
    "conv2d in strides": conv2d("forward", *STRIDED),
    "conv2d in strides, data": conv2d("data", *STRIDED),
    "conv1x1": lambda d: d.conv1x1_forward(d.zeros((BATCH, 14, 14, 32)), d.zeros((1, 1, 32, 16)), d.zeros((16,)), True),
    "conv1x1, filter": lambda d: d.conv1x1_backward_filter(
        d.zeros((BATCH, 14, 14, 32)), d.zeros((BATCH, 14, 14, 16))
    ),
    "dense": lambda d: d.dense_forward(d.zeros((BATCH, 784)), d.zeros((784, 64)), d.zeros((64,)), True),
    "dense, data": lambda d: d.dense_backward_data(d.zeros((BATCH, 10)), d.zeros((784, 10))),
    "maxpool2d": lambda d: d.maxpool2d_forward(d.zeros(PIXELS), (2, 2), (2, 2), NO_PADDING),
    "maxpool2d, data": lambda d: d.maxpool2d_backward(
        d.zeros(COARSE), d.zeros(COARSE, "uint8"), PIXELS, (2, 2), (2, 2), NO_PADDING
    ),
    "avgpool2d": lambda d: d.avgpool2d_forward(d.zeros(PIXELS), (2, 2), (2, 2), NO_PADDING),
    "avgpool2d, data": lambda d: d.avgpool2d_backward(d.zeros(COARSE), PIXELS, (2, 2), (2, 2), NO_PADDING),
    "global mean": lambda d: d.globalavgpool2d_forward(d.zeros((BATCH, 7, 7, 64))),
    "global mean, data": lambda d: d.globalavgpool2d_backward(d.zeros((BATCH, 64)), (BATCH, 7, 7, 64)),
    "global maximum": lambda d: d.globalmaxpool2d_forward(d.zeros((BATCH, 7, 7, 64))),
    "global maximum, data": lambda d: d.globalmaxpool2d_backward(
        d.zeros((BATCH, 64)), d.zeros((BATCH, 7, 7, 64)), d.zeros((BATCH, 64))
    ),
    "conv2d with relu and bias, backward": lambda d: d.conv2d_backward(
        *[d.zeros((BATCH, 14, 14, 32))] * 2, d.zeros(WIDE[0]), d.zeros(WIDE[1]), (1, 1), ONE, Wanted(True, True, True)
    ),
    "tanh": lambda d: d.activation_forward("tanh", d.zeros(PIXELS), 0.0),
    "upsample2d": lambda d: d.upsample2d_forward(d.zeros(PIXELS), (2, 2)),
    "upsample2d, data": lambda d: d.upsample2d_backward(d.zeros(PIXELS), (2, 2)),
    "zeropad2d": lambda d: d.zeropad2d_forward(d.zeros(PIXELS), ONE),
    "zeropad2d, data": lambda d: d.zeropad2d_backward(d.zeros(PIXELS), ONE),
    "regularize": lambda d: d.regularize(d.zeros((3, 3, 32, 64)), d.zeros((3, 3, 32, 64)), 0.1, 0.2),
    "relu": lambda d: d.relu_forward(d.zeros(PIXELS)),
    "dropout": lambda d: d.dropout_forward(d.zeros(PIXELS), 0.25, 1, 2, d.zeros((1,), "int64")),
    "batchnorm": batchnorm("forward", PIXELS),
    "batchnorm, data": batchnorm("data", PIXELS),
    "batchnorm of three channels": batchnorm("forward", (*PIXELS[:3], 3)),
    # Few enough rows that the last block is one of those whose accesses are counted.
    "batchnorm with dropout": batchnorm("forward", (3, 12, 12, 8), drops=True),
    "batchnorm with dropout, data": batchnorm("data", (3, 12, 12, 8), drops=True),
    "softmax with the loss": lambda d: d.softmax_crossentropy(d.zeros((BATCH, 10)), d.zeros((BATCH, 10))),
    "sum of columns": lambda d: d.reduce("sum", d.zeros((70000, 32)), axis=0),
    "transposed matrix": lambda d: d.transpose(d.zeros((100, 64)), (1, 0)),
    "transposed middle": lambda d: d.transpose(d.zeros((4, 6, 5, 32)), (0, 2, 1, 3)),
    "concatenate": lambda d: d.concatenate([d.zeros(PIXELS), d.zeros((*PIXELS[:3], 16))]),
    "add": lambda d: d.add([d.zeros(PIXELS)] * 3),
    "add of seven": lambda d: d.add([d.zeros(PIXELS)] * 7),
    "add of equals": lambda d: d.elementwise("add", d.zeros(PIXELS), d.zeros(PIXELS)),
    "add of a row": lambda d: d.elementwise("add", d.zeros(PIXELS), d.zeros((8,))),
    "add of a row to five axes": lambda d: d.elementwise("add", d.zeros((2, 3, 4, 5, 6)), d.zeros((6,))),
    "adam": lambda d: d.adam_step(
        *[[d.zeros((3, 3, 32, 64)), d.zeros((64,))] for _ in range(4)],
        d.zeros((1,)), d.zeros((1,), "int64"), (0.9, 0.999), 1e-7,
    ),
    "adam of gradients in slices": lambda d: d.adam_step(
        [d.zeros((3, 3, 32, 64)), d.zeros((64,))], [Slices(d.zeros((80, 3, 3, 32, 64))), Slices(d.zeros((80, 64)))],
        *[[d.zeros((3, 3, 32, 64)), d.zeros((64,))] for _ in range(2)],
        d.zeros((1,)), d.zeros((1,), "int64"), (0.9, 0.999), 1e-7,
    ),
    "a batch": lambda d: d.gather_batch(
        d.zeros((1000, 28, 28, 1)), d.zeros((1000, 10)), d.zeros((1000,), "int64"), d.zeros((1,), "int64"), BATCH
    ),
}  # fmt: skip
# What each call launches: (kernel, grid, block, bytes of shared memory, and what costs more than it must).
# The last in times: the sectors of global memory that the lanes' words would fill if they lay together, the passes
# of shared memory without bank conflicts. What is not named is at its best. Adam's arrays lie behind a table.
LAUNCHES = {
    "conv2d of one channel": [("conv2d_forward<float, 4, false>", (256, 1), (2, 85), 1968, {"load x": 1.52})],
    "conv2d of one channel, filter": [
        (
            "conv2d_backward_filter<float, false>",
            (1, 128),
            (258,),
            24768,
            {"load dynamic_memory": 1.89, "store dynamic_memory": 5.44, "load x": 1.16},
        ),
        ("reduce<float>", (3, 1), (32, 8), 1024, {}),
    ],
    "conv2d of 32": [
        ("conv2d_forward<float, 4, true>", (256, 1), (8, 25), 29952, {"store dynamic_memory": 1.33, "load b": 4.0})
    ],
    "conv2d of 32, data": [
        (
            "conv2d_backward_data<float, 4, true>",
            (256, 1, 1),
            (8, 25),
            29952,
            {"store dynamic_memory": 1.33, "load w": 2.83},
        )
    ],
    "conv2d of 32, filter": [
        ("conv2d_backward_filter<float, true>", (3, 176), (192,), 26880, {"load dynamic_memory": 4.0}),
        ("reduce<float>", (288, 1), (32, 8), 1024, {}),
    ],
    "conv2d of 256": [("conv2d_forward<float, 1, true>", (128, 2), (8, 25), 43920, {"load b": 4.0})],
    "conv2d of 256, filter": [
        ("conv2d_backward_filter<float, true>", (48, 11), (192,), 12288, {"load dynamic_memory": 4.0}),
        ("reduce<float>", (4608, 1), (32, 8), 1024, {}),
    ],
    "conv2d of 7x7": [
        ("conv2d_forward<float, 1, true>", (320, 1), (4, 55), 34064, {"store dynamic_memory": 1.19, "load b": 2.0})
    ],
    "conv2d in strides": [
        (
            "conv2d_forward<float, 1, true>",
            (512, 1),
            (3, 49),
            9424,
            {"load w": 1.03, "load x": 1.11, "load dynamic_memory": 1.06, "store y": 1.07, "load b": 2.0},
        )
    ],
    "conv2d in strides, data": [
        (
            "conv2d_backward_data<float, 1, true>",
            (128, 1, 4),
            (1, 196),
            14016,
            {"load dy/y": 1.04, "load dynamic_memory": 1.08, "store dx": 2.0, "load w": 1.41},
        )
    ],
    "conv1x1": [
        ("conv1x1_forward<float, 16>", (196, 1), (128,), 0, {"store a_tile": 2.0, "store b_tile": 2.0, "load b": 2.0})
    ],
    "conv1x1, filter": [
        ("conv1x1_backward_filter<float>", (1, 1, 196), (64,), 0, {}),
        ("reduce<float>", (16, 1), (32, 8), 1024, {}),
    ],
    "dense": [
        ("dense_forward<float, 64>", (2, 7), (256,), 0, {"store a_tile": 2.0}),
    ],
    "dense, data": [("dense_backward_data<float, 64>", (26, 1), (256,), 0, {"store a_tile": 2.0, "store b_tile": 2.0})],
    "maxpool2d": [("maxpool2d_forward<float, unsigned char, 4>", (2, 128), (256,), 0, {})],
    "maxpool2d, data": [("maxpool2d_backward<float, unsigned char, 4>", (5, 128), (256,), 0, {})],
    "avgpool2d": [("avgpool2d_forward<float, 4>", (2, 128), (256,), 0, {})],
    "avgpool2d, data": [("avgpool2d_backward<float, 4>", (5, 128), (256,), 0, {})],
    "global mean": [("globalavgpool2d_forward<float>", (256,), (32, 8), 1024, {})],
    "global mean, data": [("globalavgpool2d_backward<float>", (1568,), (256,), 0, {})],
    "global maximum": [("globalmaxpool2d_forward<float>", (256,), (32, 8), 1024, {})],
    "global maximum, data": [("globalmaxpool2d_backward<float>", (256,), (32, 8), 1024, {})],
    "conv2d with relu and bias, backward": [
        ("conv2d_backward_filter<float, true>", (3, 176), (192,), 26880, {"load dynamic_memory": 4.0}),
        (
            "conv2d_backward_data<float, 4, true>",
            (256, 1, 1),
            (8, 25),
            29952,
            {"store dynamic_memory": 1.33, "load w": 2.83},
        ),
    ],
    "tanh": [("activation_forward<float>", (576,), (256,), 0, {})],
    "upsample2d": [("upsample2d_forward<float, 4>", (18, 128), (256,), 0, {})],
    "upsample2d, data": [("upsample2d_backward<float, 4>", (2, 128), (256,), 0, {})],
    "zeropad2d": [("zeropad2d<float, 4>", (6, 128), (256,), 0, {})],
    "zeropad2d, data": [("zeropad2d<float, 4>", (4, 128), (256,), 0, {})],
    "regularize": [("regularize<float>", (18,), (256,), 0, {})],
    "relu": [("relu_forward<float>", (576,), (256,), 0, {})],
    "dropout": [("dropout<float>", (576,), (256,), 0, {})],
    "batchnorm": [
        ("batchnorm_statistics<float, 4>", (192, 1), (2, 128), 9216, {}),
        ("batchnorm_normalize<float, 4, false>", (576, 1), (2, 128), 0, {}),
    ],
    "batchnorm, data": [
        ("batchnorm_backward_sums<float, 4, false>", (192, 1), (2, 128), 8192, {}),
        ("batchnorm_backward_data<float, 4, false>", (576, 1), (2, 128), 0, {}),
    ],
    "batchnorm of three channels": [
        ("batchnorm_statistics<float, 1>", (217, 1), (3, 85), 3060, {"load x": 1.15}),
        ("batchnorm_normalize<float, 1, false>", (217, 1), (3, 85), 0, {"load x": 1.18, "store y": 1.18}),
    ],
    "batchnorm with dropout": [
        ("batchnorm_statistics<float, 4>", (4, 1), (2, 128), 9216, {}),
        ("batchnorm_normalize<float, 4, true>", (4, 1), (2, 128), 0, {}),
    ],
    "batchnorm with dropout, data": [
        ("batchnorm_backward_sums<float, 4, true>", (4, 1), (2, 128), 8192, {}),
        ("batchnorm_backward_data<float, 4, true>", (4, 1), (2, 128), 0, {}),
    ],
    "softmax with the loss": [
        ("softmax_crossentropy<float>", (32,), (32, 4), 0, {}),
    ],
    "sum of columns": [("reduce<float>", (1, 137), (32, 8), 1024, {}), ("reduce<float>", (1, 1), (32, 8), 1024, {})],
    "transposed matrix": [("transpose_matrix<float>", (8, 1), (32, 8), 0, {"store y": 1.12})],
    "transposed middle": [("transpose<float>", (15,), (256,), 0, {})],
    "concatenate": [("copy_columns<float>", (2304,), (256,), 0, {}), ("copy_columns<float>", (4608,), (256,), 0, {})],
    "add": [("add<float>", (576,), (256,), 0, {})],
    "add of seven": [("add<float>", (576,), (256,), 0, {})] * 2,
    "add of equals": [("binary_flat<float>", (2304,), (256,), 0, {})],
    "add of a row to five axes": [("binary<float>", (3,), (256,), 0, {})],
    "add of a row": [("binary<float>", (2304,), (256,), 0, {})],
    "adam": [("adam<float>", (19,), (256,), 0, None)],
    "adam of gradients in slices": [("adam<float>", (578,), (256,), 0, None)],
    "a batch": [("gather_batch<float>", (2, 128), (256,), 0, {"load labels": 1.5, "store y": 1.75})],
}


def more_than_it_must(launch, file):
    """{'load x': 2.0} where a line that loads from x takes twice as many sectors or passes as its lanes need.

    Of four of the grid's blocks. By lines and as a ratio: compilers join and split accesses differently.
    """
    found = {}
    for line in emulator.trace(kernels.path(file), launch, blocks=4).lines:
        in_global = line.space == "global"
        ratio = line.sectors / line.fewest_sectors if in_global else line.passes / line.fewest_passes
        key = f"{line.op} {line.array}"
        found[key] = max(found.get(key, 1), round(ratio, 2))
    return {key: ratio for key, ratio in found.items() if ratio > 1}


@pytest.mark.parametrize("call", CALLS)
def test_blocks_and_shared_memory(recording, call):
    CALLS[call](recording)
    found = [(launch.kernel, launch.grid, launch.block, launch.shared) for _, launch in recording.driver.launches]
    assert found == [row[:4] for row in LAUNCHES[call]]


@pytest.mark.parametrize("call", [call for call, rows in LAUNCHES.items() if rows[0][4] is not None])
def test_sectors_and_bank_conflicts(recording, call):
    try:
        find_compiler()
    except emulator.CompilerMissing as error:
        pytest.skip(str(error))
    CALLS[call](recording)
    found = {launch.kernel: more_than_it_must(launch, file) for file, launch in recording.driver.launches}
    assert found == {kernel: costs for kernel, *_, costs in LAUNCHES[call]}
