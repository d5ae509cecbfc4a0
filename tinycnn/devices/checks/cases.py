"""Launches of every shipped kernel on small odd shapes, for `tinycnn check` and `tinycnn trace`.

They are recorded from the operations of the device itself, so the launch code has one source: what is checked is
what runs. The shapes leave tiles, warps and vectors partly empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tinycnn import emulator, kernels
from tinycnn.devices.base import Array, Mask, Slices, Wanted
from tinycnn.devices.checks import fast_cases
from tinycnn.devices.gpu import KernelDevice
from tinycnn.devices.gpu.emulator import EmulatorDriver
from tinycnn.devices.gpu.launches import conv2d as conv2d_launches
from tinycnn.devices.gpu.launches.activations import ACTIVATIONS
from tinycnn.devices.gpu.launches.layout import turned
from tinycnn.shapes import UNPADDED, Padding, Pair, Shape

EVERY, NO_BIAS = Wanted(True, True, True), Wanted(True, True, False)


class RecordingDriver(EmulatorDriver):
    """Runs launches, and keeps a description of each with its arrays as they were before."""

    def __init__(self) -> None:
        super().__init__()
        self.launches: list[tuple[str, emulator.Launch]] = []  # with the name of its file
        # id of a table of addresses: (the table, the arrays that it points to)
        self.behind_table: dict[int, tuple[Array, list[np.ndarray]]] = {}

    def address_table(self, rows: Sequence[Sequence[Array | int]]) -> Array:
        table = super().address_table(rows)
        self.behind_table[id(table)] = table, [n for row in rows for n in row if isinstance(n, np.ndarray)]
        return table

    def launch(
        self, file: str, kernel: str, ctype: str, grid: Shape, block: Shape, args: Sequence[Any], shared: int,
        cooperative: bool = False,
    ) -> None:  # fmt: skip
        buffers = [a for arg in args if id(arg) in self.behind_table for a in self.behind_table[id(arg)][1]]
        kept = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
        launch = emulator.Launch(kernel, grid, block, kept, shared, buffers, cooperative)
        self.launches.append((file, launch))
        super().launch(file, kernel, ctype, grid, block, args, shared, cooperative)


class Operations:
    """A recording device, and inputs for it."""

    def __init__(self, dtype: str):
        self.driver = RecordingDriver()
        self.device = KernelDevice(dtype, self.driver)
        self.rng = np.random.default_rng(0)

    def normal(self, *shape: int) -> Array:
        """Standard normal numbers."""
        return self.device.asarray(self.rng.standard_normal(shape))

    def counter(self, value: int = 0) -> Array:
        """An int64 array of one element."""
        return self.device.asarray(np.array([value]), "int64")

    def convolve(
        self, x_shape: Shape, w_shape: Shape, stride: Pair = (1, 1), padding: Padding = UNPADDED, relu: bool = False
    ) -> None:
        """All three passes of one convolution."""
        x, w = self.normal(*x_shape), self.normal(*w_shape)
        y = self.device.conv2d_forward(x, w, self.normal(w_shape[3]) if relu else None, stride, padding, relu)
        dy, wanted = self.normal(*y.shape), EVERY if relu else NO_BIAS
        self.device.conv2d_backward(dy, y if relu else None, x, w, stride, padding, wanted)

    def average(self, x_shape: Shape, pool: Pair, stride: Pair, padding: Padding = UNPADDED) -> None:
        """Both passes of one average pooling."""
        y = self.device.avgpool2d_forward(self.normal(*x_shape), pool, stride, padding)
        self.device.avgpool2d_backward(self.normal(*y.shape), x_shape, pool, stride, padding)

    def pool(self, x_shape: Shape, pool: Pair, stride: Pair, padding: Padding = UNPADDED) -> None:
        """Both passes of one max pooling."""
        y, argmax = self.device.maxpool2d_forward(self.normal(*x_shape), pool, stride, padding)
        self.device.maxpool2d_backward(self.normal(*y.shape), argmax, x_shape, pool, stride, padding)


@contextmanager
def lowered(**limits: int) -> Iterator[None]:
    """The limits that decide which kernel a shape takes, lowered: small shapes then run as large ones do."""
    before = {name: getattr(conv2d_launches, name) for name in limits}
    try:
        for name, value in limits.items():
            setattr(conv2d_launches, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(conv2d_launches, name, value)


# ---------------------------------------------------------------- the operations of a kernel file, at one shape


def activations(on: Operations, *shape: int) -> None:
    for name in ACTIVATIONS:
        y = on.device.activation_forward(name, on.normal(*shape), 0.3)
        on.device.activation_backward(name, on.normal(*shape), y, 0.3)


def add(on: Operations, *shape: int) -> None:
    for count in (2, 3, 6):
        on.device.add([on.normal(*shape) for _ in range(count)])


def regularize(on: Operations, *shape: int) -> None:
    on.device.regularize(on.normal(*shape), on.normal(*shape), 0.1, 0.2, 5, on.device.zeros((2,), "float64"))
    on.device.regularize(on.normal(*shape), Slices(on.normal(3, *shape)), 0.1, 0.2)
    on.device.regularize(on.normal(*shape), None, 0.1, 0.2)


def relu(on: Operations, *shape: int) -> None:
    y = on.device.relu_forward(on.normal(*shape))
    on.device.relu_backward(on.normal(*shape), y)


def avgpool2d(on: Operations, N: int, H: int, W: int, C: int) -> None:
    on.average((N, H, W, C), (2, 2), (2, 2))


def batchnorm(on: Operations, *shape: int) -> None:
    C = shape[-1]
    x, gamma, beta = on.normal(*shape), on.normal(C), on.normal(C)
    mean, variance = on.device.zeros((C,)), on.device.zeros((C,))
    for mask in (None, Mask(0.3, 2**40 + 1, 7, on.counter(3))):
        _, saved = on.device.batchnorm_forward(x, gamma, beta, mean, variance, 0.9, 1e-3, mask)
        on.device.batchnorm_backward(on.normal(*shape), x, gamma, saved)
    on.device.batchnorm_inference(x, gamma, beta, mean, variance, 1e-3)


def conv1x1(on: Operations, N: int, H: int, W: int, C: int, K: int) -> None:
    x, w, dy = on.normal(N, H, W, C), on.normal(1, 1, C, K), on.normal(N, H, W, K)
    y = on.device.conv1x1_forward(x, w, on.normal(K), True)
    on.device.conv1x1_backward(dy, y, x, w, EVERY)
    on.device.conv1x1_forward(x, w, None, False)
    on.device.conv1x1_backward(dy, None, x, w, NO_BIAS)


def conv2d(on: Operations, N: int, H: int, W: int, C: int, K: int, R: int, S: int) -> None:
    on.convolve((N, H, W, C), (R, S, C, K), relu=True)


def dense(on: Operations, N: int, inputs: int, units: int) -> None:
    x, w, dy = on.normal(N, inputs), on.normal(inputs, units), on.normal(N, units)
    y = on.device.dense_forward(x, w, on.normal(units), True)
    on.device.dense_backward(dy, y, x, w, EVERY)
    on.device.dense_forward(x, w, None, False)
    on.device.dense_backward(dy, None, x, w, NO_BIAS)


def draw(on: Operations, *shape: int) -> None:
    for normal in (False, True):
        on.device.draw(on.device.empty(shape), normal, 2**40 + 1, 7, on.counter(3))


def dropout(on: Operations, *shape: int) -> None:
    _, saved = on.device.dropout_forward(on.normal(*shape), 0.3, 2**40 + 1, 7, on.counter(3))
    on.device.dropout_backward(on.normal(*shape), 0.3, 2**40 + 1, 7, saved)


def elementwise(on: Operations, *shape: int) -> None:
    a = on.normal(*shape)
    on.device.elementwise("add", a, on.normal(*shape))
    on.device.elementwise("multiply", a, on.normal(*shape[:-1], 1))
    on.device.elementwise("divide", 0.5, a)
    on.device.elementwise("exp", a)


def globalpool2d(on: Operations, N: int, H: int, W: int, C: int) -> None:
    x, dy = on.normal(N, H, W, C), on.normal(N, C)
    on.device.globalavgpool2d_forward(x)
    on.device.globalavgpool2d_backward(dy, x.shape)
    on.device.globalmaxpool2d_backward(dy, x, on.device.globalmaxpool2d_forward(x))


def layout(on: Operations, *shape: int) -> None:
    x = on.normal(*shape)
    on.device.transpose(x, tuple(reversed(range(len(shape)))))
    on.device.split(on.device.concatenate([x, x]), [shape[-1], shape[-1]])


def maxpool2d(on: Operations, N: int, H: int, W: int, C: int) -> None:
    on.pool((N, H, W, C), (2, 2), (2, 2))


def reduce(on: Operations, *shape: int) -> None:
    on.device.reduce("sum", on.normal(*shape), 0)
    on.device.reduce("max", on.normal(*shape), -1)


def softmax_crossentropy(on: Operations, N: int, K: int) -> None:
    logits, labels = on.normal(N, K), on.device.asarray(np.eye(K)[on.rng.integers(0, K, N)])
    on.device.softmax_backward(on.normal(N, K), on.device.softmax_forward(logits))
    p, weights = on.device.softmax_forward(logits), on.normal(N, 1)
    for loss in (
        on.device.softmax_crossentropy, on.device.mean_squared_error,
        partial(on.device.binary_crossentropy, from_logits=True),
    ):  # fmt: skip
        loss(logits, labels)
        loss(logits, labels, weights=weights, totals=on.device.zeros((2,), "float64"))
    on.device.binary_crossentropy(p, labels, False)


def zeropad2d(on: Operations, N: int, H: int, W: int, C: int) -> None:
    padding = (1, 2), (0, 1)
    on.device.zeropad2d_backward(on.device.zeropad2d_forward(on.normal(N, H, W, C), padding), padding)


def upsample2d(on: Operations, N: int, H: int, W: int, C: int) -> None:
    size = 2, 3
    on.device.upsample2d_backward(on.device.upsample2d_forward(on.normal(N, H, W, C), size), size)


def bookkeeping(on: Operations, size: int, *shape: int) -> None:
    images, labels = on.normal(size + 4, *shape), on.normal(size + 4, 3)
    order = on.device.asarray(on.rng.permutation(size + 4), "int64")
    on.device.gather_batch(images, labels, order, on.counter(2), size)


# ---------------------------------------------------------------- what one shape does not reach


def more_avgpool2d(on: Operations) -> None:
    on.average((1, 6, 7, 8), (3, 2), (2, 1), ((1, 1), (0, 1)))
    on.average((2, 5, 6, 3), (2, 2), (3, 3))


def more_conv2d(on: Operations) -> None:
    on.convolve((2, 8, 7, 4), (3, 3, 4, 8), padding=((1, 1), (1, 1)), relu=True)
    on.convolve((1, 9, 10, 3), (4, 3, 3, 6), stride=(2, 3), padding=((1, 2), (0, 1)))
    on.convolve((1, 6, 5, 12), (2, 5, 12, 35), padding=((0, 0), (2, 2)))
    with lowered(ENOUGH_THREADS=1):  # four pixels a thread
        on.convolve((1, 13, 9, 3), (3, 2, 3, 7), padding=((1, 1), (0, 1)))
        on.convolve((1, 11, 8, 8), (3, 3, 8, 12), stride=(2, 1), relu=True)
    with lowered(SHARED_BYTES=512 * on.device.itemsize, BLOCKS=1):  # channels and filter rows in several chunks
        on.convolve((2, 7, 6, 12), (3, 3, 12, 7))
        on.convolve((1, 8, 7, 5), (5, 4, 5, 6), stride=(1, 2), padding=((2, 2), (1, 0)))


def more_dense(on: Operations) -> None:
    x, w, dy = on.normal(270, 3), on.normal(3, 270), on.normal(270, 270)  # every sum in slices
    on.device.dense_backward(dy, on.normal(270, 270), x, w, EVERY)


def more_elementwise(on: Operations) -> None:
    on.device.elementwise("power", on.normal(2, 1, 4), on.normal(3, 1))


def more_layout(on: Operations) -> None:
    x = on.normal(3, 5, 7, 2)
    on.device.transpose(x, (2, 0, 3, 1))
    turned(on.device, on.normal(3, 34, 5), 3, 34, 5)
    joined = on.device.concatenate([x, on.normal(3, 5, 7, 5)])
    on.device.split(joined, [3, 4])


def fast(on: Operations, file: str) -> None:
    fast_cases.run_all(on.device, file)


def optimizers(on: Operations) -> None:
    shapes = [(3, 3, 1, 5), (5,), (1, 1100), (45, 7)]

    def arrays() -> list[Array]:
        return [on.normal(*shape) ** 2 for shape in shapes]

    def gradients() -> list[Array | Slices]:
        whole, *rest = arrays()
        return [whole, *(Slices(on.normal(count, *g.shape)) for count, g in zip((2, 19, 260), rest, strict=True))]

    rate = on.device.asarray(np.array([0.1]))
    on.device.sgd_step(arrays(), gradients(), [], rate, 0.0, False)
    on.device.sgd_step(arrays(), gradients(), arrays(), rate, 0.9, True)
    on.device.adam_step(arrays(), gradients(), arrays(), arrays(), rate, on.counter(2), (0.9, 0.999), 1e-7)
    on.device.adadelta_step(arrays(), gradients(), arrays(), arrays(), rate, 0.95, 1e-7)
    on.device.rmsprop_step(arrays(), gradients(), arrays(), rate, 0.9, 1e-7)


def more_maxpool2d(on: Operations) -> None:
    on.pool((1, 6, 7, 8), (3, 2), (2, 1), ((1, 1), (0, 1)))
    on.pool((1, 18, 19, 3), (17, 17), (1, 2))  # places that are no bytes
    on.pool((2, 17, 19, 4), (17, 17), (2, 1))


def more_reduce(on: Operations) -> None:
    for shape, axis in (((5, 7, 3), None), ((2, 9, 35), 1)):
        on.device.reduce("sum", on.normal(*shape), axis)
        on.device.reduce("max", on.normal(*shape), axis)


def more_bookkeeping(on: Operations) -> None:
    on.device.advance([(on.counter(), 1)])
    on.device.advance([(on.counter(), 5), (on.counter(7), 1), (on.counter(), 2)])
    on.device.assign(on.device.zeros((1,)), np.array([0.5]))
    on.device.assign(on.counter(), np.array([5]))


class Cases(NamedTuple):
    """What is launched for a kernel file: `at` each of the shapes, and `more`."""

    at: Callable[..., None] | None
    takes: str  # the numbers of a shape
    shapes: tuple[Shape, ...]
    more: Callable[[Operations], None] | None = None


CASES = {
    "activations": Cases(activations, "any shape", ((5, 7, 3), (260,))),
    "add": Cases(add, "any shape", ((31, 33, 2), (7,))),
    "avgpool2d": Cases(avgpool2d, "N,H,W,C", ((2, 7, 9, 3),), more_avgpool2d),
    "batchnorm": Cases(batchnorm, "...,C", ((2, 19, 21, 3), (5, 61, 8), (1, 9, 260), (3, 1028), (9, 259), (3, 1))),
    "bookkeeping": Cases(bookkeeping, "N,H,W,C", ((5, 4, 3, 1), (5, 8, 5, 2)), more_bookkeeping),
    "conv1x1": Cases(conv1x1, "N,H,W,C,K", ((2, 5, 7, 3, 5), (2, 5, 7, 9, 12), (2, 5, 7, 20, 33))),
    "conv2d": Cases(conv2d, "N,H,W,C,K,R,S", ((2, 9, 11, 1, 5, 3, 3),), more_conv2d),
    "dense": Cases(dense, "N,I,O", ((5, 13, 3), (7, 300, 10), (35, 37, 39)), more_dense),
    "draw": Cases(draw, "any shape", ((5, 7, 3),)),
    "dropout": Cases(dropout, "any shape", ((5, 7, 3),)),
    "elementwise": Cases(elementwise, "any shape", ((5, 7, 3),), more_elementwise),
    "globalpool2d": Cases(globalpool2d, "N,H,W,C", ((2, 7, 9, 3), (1, 3, 5, 35))),
    "layout": Cases(layout, "any shape", ((33, 35),), more_layout),
    "maxpool2d": Cases(maxpool2d, "N,H,W,C", ((2, 7, 9, 3),), more_maxpool2d),
    "optimizers": Cases(None, "", (), optimizers),
    "reduce": Cases(reduce, "any shape", ((7, 3), (17001,)), more_reduce),
    "regularize": Cases(regularize, "any shape", ((5, 7, 3), (3, 1031))),
    "relu": Cases(relu, "...,C", ((31, 33, 2), (2, 3, 260))),
    "softmax_crossentropy": Cases(softmax_crossentropy, "N,K", ((5, 10), (3, 37), (261, 2))),
    "upsample2d": Cases(upsample2d, "N,H,W,C", ((2, 5, 7, 3), (2, 5, 7, 4))),
    "zeropad2d": Cases(zeropad2d, "N,H,W,C", ((2, 5, 7, 3), (2, 5, 7, 4))),
    **{file: Cases(None, "", (), partial(fast, file=file)) for file in kernels.FAST},
}


def cases(file_name: str, dtype: str = "float32", shape: Shape | None = None) -> list[emulator.Launch]:
    """The launches of kernels/`file_name`.cu as emulator.Launch: every kernel at least once, on small odd shapes.

    shape: the one shape to run the file's operations at instead; what its numbers mean is CASES[name].takes.
    Raises ValueError for a file that does not exist, or that does not take such a shape.
    """
    name = file_name.removesuffix(".cu")
    if name not in CASES:
        raise ValueError(f"there is no kernels/{name}.cu; there are: {', '.join(kernels.INSTANCES)}")
    on, case = Operations(dtype), CASES[name]
    if shape is not None:
        check_shape(name, case, shape)
    if case.at:
        for numbers in case.shapes if shape is None else (shape,):
            case.at(on, *numbers)
    if case.more and shape is None:
        case.more(on)
    return [launch for file, launch in on.driver.launches if file == name]


def check_shape(name: str, case: Cases, shape: Shape) -> None:
    """Raises ValueError unless the numbers are as many as the file's operations take."""
    if case.at is None:
        raise ValueError(f"the launches of {name}.cu have fixed shapes")
    fits = len(shape) >= 1 if "any" in case.takes or "..." in case.takes else len(shape) == case.takes.count(",") + 1
    if not fits or min(shape) < 1:
        raise ValueError(f"a shape for {name}.cu is {case.takes}, not {','.join(map(str, shape))}")
    if name == "conv2d" and (shape[5] > shape[1] or shape[6] > shape[2]):
        raise ValueError(f"filters of {shape[5]} x {shape[6]} do not fit into images of {shape[1]} x {shape[2]}")
