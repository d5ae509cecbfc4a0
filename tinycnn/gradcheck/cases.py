"""What `tinycnn gradcheck` checks of every operation: inputs and attributes.

Shapes are small, odd and unequal, so that no two axes can be mistaken for each other, and still leave tiles, warps
and vectors partly empty. Convolution and pooling come with every window, stride and padding of the documented
networks, read from `architectures`, and with some that no network has. Inputs of ReLU and pooling are spaced, so
that no step of a difference crosses a kink.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tinycnn import arithmetic
from tinycnn import functional as F
from tinycnn.devices import get_device
from tinycnn.devices.base import Device, Mask
from tinycnn.gradcheck.check import Report, gradcheck
from tinycnn.shapes import Padding, Pair, Shape, pair
from tinycnn.tensor import Tensor

Inputs = Callable[[np.random.Generator], list[np.ndarray]]


class Case(NamedTuple):
    """function: takes Tensors, returns one; inputs: makes the arrays for it from a random generator."""

    operation: str
    label: str
    function: Callable[..., Tensor]
    inputs: Inputs

    def __str__(self) -> str:
        return f"{self.operation} {self.label}".strip()

    def arrays(self) -> list[np.ndarray]:
        return self.inputs(np.random.default_rng(0))

    def check(self, device: Device | str | None = None) -> Report:
        """The Report of this case on a device."""
        report = gradcheck(self.function, self.arrays(), device=device, raise_exception=False)
        return replace(report, operation=self.operation, case=self.label)


# ---------------------------------------------------------------- inputs


def normal(*shapes: Shape) -> Inputs:
    """Standard normal numbers of these shapes."""
    return lambda rng: [rng.standard_normal(shape) for shape in shapes]


def positive(*shapes: Shape) -> Inputs:
    """Numbers between 0.5 and 2."""
    return lambda rng: [rng.uniform(0.5, 2, shape) for shape in shapes]


def spaced(*shapes: Shape) -> Inputs:
    """A random order of numbers 1/8 apart, none nearer to 0 than 1/16."""

    def inputs(rng: np.random.Generator) -> list[np.ndarray]:
        counts = [math.prod(shape) for shape in shapes]
        return [((rng.permutation(n) - n // 2 + 0.5) / 8).reshape(s) for n, s in zip(counts, shapes, strict=True)]

    return inputs


def away_from_kinks(function: Callable[..., Tensor], *shapes: Shape) -> Inputs:
    """Normal numbers, drawn again until no result of `function`, which a ReLU follows, is near 0."""

    def inputs(rng: np.random.Generator) -> list[np.ndarray]:
        while True:
            arrays = [rng.standard_normal(shape) for shape in shapes]
            if np.abs(on_reference(function, arrays)).min() > 1e-2:
                return arrays

    return inputs


def on_reference(function: Callable[..., Tensor], arrays: list[np.ndarray]) -> np.ndarray:
    return function(*(Tensor(a, device=get_device("reference", "float64")) for a in arrays)).numpy()


# ---------------------------------------------------------------- what the documented networks use


def used(code: str) -> list[dict[str, Any]]:
    """The options of every layer `code` (CN, MP, DP) in the documented networks: a list of dicts."""
    from tinycnn.architectures import ARCHITECTURES
    from tinycnn.architectures.notation import Reader

    found, steps = [], [step for a in ARCHITECTURES.values() for step in Reader(a.layers).network()]
    while steps:
        step = steps.pop()
        steps += [inner for branch in step.branches for inner in branch]
        if step.code == code:
            found.append(step.options)
    return found


def used_windows(code: str, window: str) -> list[tuple[Pair, Pair, str]]:
    """(window, stride, padding) of convolution or pooling in the documented networks, sorted; `window` is the name
    of the layer's argument."""
    return sorted(
        {
            (
                pair(options[window], window),
                pair(options.get("strides") or (options[window] if code == "MP" else 1), "strides"),
                options.get("padding", "valid"),
            )
            for options in used(code)
        }
    )


# ---------------------------------------------------------------- the cases of every operation


def conv2d() -> Iterator[Case]:
    for window, stride, padding in used_windows("CN", "kernel_size"):
        N, C, K = (2, 2, 3) if max(window) <= 3 else (2, 1, 2)
        image = (window[0] + 2, window[1] + 1) if padding == "valid" else (window[0] + 1, window[1])
        yield conv2d_case((N, *image, C), (*window, C, K), stride, padding)
    for x_shape, w_shape, stride, padding in (
        ((2, 7, 6, 2), (3, 3, 2, 3), (2, 2), "valid"),
        ((2, 7, 6, 2), (3, 3, 2, 3), (2, 1), "same"),
        ((1, 8, 9, 3), (4, 3, 3, 2), (2, 3), "same"),
        ((2, 6, 5, 1), (2, 5, 1, 5), (1, 1), "same"),
        ((2, 5, 7, 2), (1, 4, 2, 1), (1, 2), "valid"),
        ((2, 5, 4, 3), (1, 1, 3, 2), (2, 2), "valid"),  # the windows leave gaps
        ((2, 4, 6, 2), (2, 2, 2, 3), (3, 3), "valid"),
        ((3, 4, 3, 2), (4, 3, 2, 3), (1, 1), "valid"),  # the filter covers the image: a dense layer
        ((2, 5, 4, 4), (3, 3, 4, 8), (1, 1), "same"),  # vectors of four
        ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1), "valid"),
    ):
        yield conv2d_case(x_shape, w_shape, stride, padding)
    yield Case("conv2d", "3x3 without bias", lambda x, w: F.conv2d(x, w), normal((2, 5, 4, 2), (3, 3, 2, 3)))
    for has_bias in (True, False):
        shapes = [(2, 5, 4, 2), (3, 2, 2, 3), (3,)][: 2 + has_bias]
        label = "3x2 relu" if has_bias else "3x2 relu without bias"
        yield Case(
            "conv2d", label,
            lambda x, w, b=None: F.conv2d(x, w, b, activation="relu"), away_from_kinks(F.conv2d, *shapes),
        )  # fmt: skip


def conv2d_case(x_shape: Shape, w_shape: Shape, stride: Pair, padding: str) -> Case:
    label = f"{w_shape[0]}x{w_shape[1]}{strided(stride)} {padding}, C{x_shape[3]}"

    def function(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return F.conv2d(x, w, b, stride, padding)

    return Case("conv2d", label, function, normal(x_shape, w_shape, w_shape[3:]))


def conv2d_transpose() -> Iterator[Case]:
    for x_shape, w_shape, stride, padding in (
        ((2, 3, 4, 2), (3, 3, 3, 2), (2, 2), "same"),
        ((2, 3, 2, 2), (3, 2, 3, 2), (1, 1), "valid"),
        ((1, 2, 3, 3), (2, 4, 1, 3), (2, 3), "valid"),
        ((2, 3, 2, 4), (2, 2, 8, 4), (3, 3), "valid"),  # the windows leave gaps; vectors of four
        ((2, 2, 3, 2), (1, 1, 3, 2), (1, 1), "same"),
    ):
        label = f"{w_shape[0]}x{w_shape[1]}{strided(stride)} {padding}, C{x_shape[3]}"
        function = partial(F.conv2d_transpose, stride=stride, padding=padding)
        yield Case("conv2d_transpose", label, function, normal(x_shape, w_shape, w_shape[2:3]))
    yield Case(
        "conv2d_transpose", "without bias, sigmoid",
        lambda x, w: F.conv2d_transpose(x, w, activation="sigmoid"), normal((2, 2, 3, 2), (3, 3, 2, 2)),
    )  # fmt: skip


def strided(stride: Pair) -> str:
    return "" if stride == (1, 1) else f" stride {stride[0]}x{stride[1]}"


def conv1x1() -> Iterator[Case]:
    for label, x_shape, K in (("", (2, 3, 4, 5), 3), ("C8 K20", (2, 3, 2, 8), 20)):
        yield Case("conv1x1", label, F.conv1x1, normal(x_shape, (1, 1, x_shape[3], K), (K,)))
    yield Case("conv1x1", "without bias", lambda x, w: F.conv1x1(x, w), normal((2, 3, 2, 3), (1, 1, 3, 2)))
    yield Case(
        "conv1x1", "relu",
        lambda x, w, b: F.conv1x1(x, w, b, "relu"), away_from_kinks(F.conv1x1, (2, 3, 2, 3), (1, 1, 3, 2), (2,)),
    )  # fmt: skip


def dense() -> Iterator[Case]:
    yield Case("dense", "2x3x4 by its last axis", F.dense, normal((2, 3, 4), (4, 5), (5,)))
    sizes = (4, 7, 3), (1, 3, 5), (35, 2, 3), (2, 37, 3), (3, 2, 35), (1, 130, 2)  # the last: a sum in two slices
    for N, inputs, units in sizes:
        yield Case("dense", f"{N}x{inputs}x{units}", F.dense, normal((N, inputs), (inputs, units), (units,)))
    yield Case("dense", "without bias", lambda x, w: F.dense(x, w), normal((4, 3), (3, 2)))
    for N, inputs, units in ((4, 5, 3), (17, 2, 16)):  # the last: several vectors of the cpu device
        yield Case(
            "dense", f"{N}x{inputs}x{units} relu",
            lambda x, w, b: F.dense(x, w, b, "relu"), away_from_kinks(F.dense, (N, inputs), (inputs, units), (units,)),
        )  # fmt: skip


def maxpool2d() -> Iterator[Case]:
    odd = [((3, 2), (1, 1), "same"), ((2, 3), (3, 1), "valid"), ((3, 3), (2, 2), "same"), ((2, 2), (3, 3), "valid")]
    for window, stride, padding in used_windows("MP", "pool_size") + odd:
        yield pooling_case("maxpool2d", (2, 5, 6, 3), window, stride, padding)
    yield pooling_case("maxpool2d", (1, 5, 3, 4), (2, 2), (1, 2), "same")  # vectors of four


def avgpool2d() -> Iterator[Case]:
    for window, stride, padding in (
        ((2, 2), (2, 2), "valid"), ((2, 2), (2, 2), "same"), ((3, 2), (1, 1), "same"), ((2, 3), (3, 1), "valid"),
        ((3, 3), (2, 2), "same"), ((2, 2), (3, 3), "valid"),
    ):  # fmt: skip
        yield pooling_case("avgpool2d", (2, 5, 6, 3), window, stride, padding)
    yield pooling_case("avgpool2d", (1, 5, 3, 4), (2, 2), (1, 2), "same")  # vectors of four


def pooling_case(operation: str, x_shape: Shape, window: Pair, stride: Pair, padding: str) -> Case:
    label = f"{window[0]}x{window[1]} stride {stride[0]}x{stride[1]} {padding}, C{x_shape[3]}"
    return Case(operation, label, lambda x: getattr(F, operation)(x, window, stride, padding), spaced(x_shape))


def zeropad2d() -> Iterator[Case]:
    for C, padding in ((3, ((1, 2), (0, 1))), (4, ((0, 1), (2, 1))), (1, ((0, 0), (0, 0)))):
        yield Case("zeropad2d", f"{padding}, C{C}", partial_padding(padding), normal((2, 3, 2, C)))


def partial_padding(padding: Padding) -> Callable[[Tensor], Tensor]:
    return lambda x: F.zeropad2d(x, padding)


def upsample2d() -> Iterator[Case]:
    for C, size in ((3, (2, 2)), (4, (3, 1)), (1, (1, 2))):
        yield Case("upsample2d", f"{size[0]}x{size[1]}, C{C}", partial(upsampled, size), normal((2, 3, 2, C)))


def upsampled(size: Pair, x: Tensor) -> Tensor:
    return F.upsample2d(x, size)


def globalpool2d(operation: str) -> Iterator[Case]:
    for shape in ((2, 3, 5, 3), (3, 2, 1, 5), (1, 3, 9, 35)):  # the last: channels of two blocks
        yield Case(operation, "x".join(map(str, shape)), getattr(F, operation), spaced(shape))


def batchnorm() -> Iterator[Case]:
    for shape in ((7, 3), (2, 4, 3, 5), (2, 1), (3, 7, 5, 4)):  # the last: several vectors of the cpu device
        yield batchnorm_case("batchnorm", shape, True)
    for shape in ((7, 3), (2, 5, 2, 4)):  # single columns, and four at a time
        yield batchnorm_case("batchnorm", shape, True, rate=0.3)


def batchnorm_inference() -> Iterator[Case]:
    for shape in ((7, 3), (2, 4, 3, 5)):
        yield batchnorm_case("batchnorm_inference", shape, False)


def batchnorm_case(operation: str, shape: Shape, training: bool, rate: float | None = None) -> Case:
    """rate: of a dropout behind it, or None."""
    C = shape[-1]

    def function(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        rng = np.random.default_rng(1)
        mean, variance = (Tensor(v, device=x.device) for v in (rng.standard_normal(C), rng.uniform(0.5, 2, C)))
        mask = None if rate is None else Mask(rate, 1, 2, x.device.asarray(np.array([3]), "int64"))
        return F.batchnorm(x, gamma, beta, mean, variance, training, mask=mask)

    def inputs(rng: np.random.Generator) -> list[np.ndarray]:
        return [2 * rng.standard_normal(shape) + 1, rng.standard_normal(C), rng.standard_normal(C)]

    label = "x".join(map(str, shape)) + ("" if rate is None else f" with dropout {rate}")
    return Case(operation, label, function, inputs)


def dropout() -> Iterator[Case]:
    for rate in sorted({options["rate"] for options in used("DP")} | {0.9}):

        def function(x: Tensor, rate: float = rate) -> Tensor:
            step = x.device.asarray(np.array([3]), "int64")  # the same step, so the same mask
            return F.dropout(x, rate, seed=1, stream=2, step=step)

        yield Case("dropout", f"rate {rate}", function, normal((5, 4, 3)))


def relu() -> Iterator[Case]:
    yield Case("relu", "", F.relu, spaced((3, 5, 3)))


def activation(operation: str) -> Iterator[Case]:
    yield Case(operation, "", getattr(F, operation), spaced((3, 5, 3)))
    if operation in ("elu", "leaky_relu"):
        yield Case(operation, "alpha 0.7", lambda x: getattr(F, operation)(x, 0.7), spaced((3, 5)))
    if operation in F.ACTIVATIONS:
        function = partial(F.dense, activation=operation)
        yield Case(operation, "of dense", lambda x, w, b: function(x, w, b), normal((4, 5), (5, 3), (3,)))


def softmax() -> Iterator[Case]:
    for shape in ((4, 5), (3, 10), (2, 37), (2, 3, 4)):
        yield Case("softmax", "x".join(map(str, shape)), F.softmax, normal(shape))


def softmax_crossentropy() -> Iterator[Case]:
    sizes = ("4x3", 4, 3, 0), ("3x10", 3, 10, 0), ("soft labels", 4, 3, 0.25), ("2x37", 2, 37, 0)
    for label, N, K, smoothing in sizes:
        labels = (1 - smoothing) * np.eye(K)[np.arange(N) % K] + smoothing / K
        yield Case(
            "softmax_crossentropy", label,
            lambda logits, labels=labels: F.softmax_crossentropy(logits, labels)[0], normal((N, K)),
        )  # fmt: skip


def binary_crossentropy() -> Iterator[Case]:
    probabilities = lambda rng: [rng.uniform(0.05, 0.95, (4, 3))]  # noqa: E731
    for label, from_logits, inputs in (("", False, probabilities), ("from logits", True, normal((4, 3)))):
        yield Case(
            "binary_crossentropy", label,
            lambda outputs, from_logits=from_logits: F.binary_crossentropy(
                outputs, (np.arange(12) % 5 / 4).reshape(4, 3), from_logits
            )[0],
            inputs,
        )  # fmt: skip


def mean_squared_error() -> Iterator[Case]:
    for N, K in ((4, 3), (2, 37), (5, 1)):
        targets = (np.arange(N * K) % 7 / 3).reshape(N, K)
        function = lambda outputs, targets=targets: F.mean_squared_error(outputs, targets)[0]  # noqa: E731
        yield Case("mean_squared_error", f"{N}x{K}", function, normal((N, K)))


def regularize() -> Iterator[Case]:
    for l1, l2 in ((0.3, 0.0), (0.0, 0.7), (0.2, 0.1)):
        function = lambda w, l1=l1, l2=l2: F.regularize(w, l1, l2)  # noqa: E731
        yield Case("regularize", f"l1 {l1} l2 {l2}", function, spaced((3, 2, 5)))


def concatenate() -> Iterator[Case]:
    parts = [(2, 3, 2, channels) for channels in (1, 3, 2)]
    yield Case("concatenate", "three", lambda *parts: F.concatenate(parts), normal(*parts))
    yield Case("concatenate", "one thrice", lambda x: F.concatenate([x, x * 2.0, x]), normal(parts[1]))
    yield Case("concatenate", "a result twice", lambda x: F.concatenate([y := x * 2.0, y]), normal(parts[1]))


def flatten() -> Iterator[Case]:
    yield Case("flatten", "", F.flatten, normal((2, 3, 2, 4)))


BROADCASTS = (((3, 4), (3, 4)), ((2, 1, 4), (3, 1)), ((4,), (2, 3, 4)))
OPERATORS = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "power": lambda a, b: a**b,
}
FUNCTIONS = {
    "negative": lambda a: -a,
    "exp": lambda a: a.exp(),
    "log": lambda a: a.log(),
    "sqrt": lambda a: a.sqrt(),
}


def binary(operation: str) -> Iterator[Case]:
    for shapes in BROADCASTS:
        label = " and ".join("x".join(map(str, shape)) for shape in shapes)
        yield Case(operation, label, OPERATORS[operation], positive(*shapes))
    if operation == "add":
        for count in (2, 3, 6):  # a network's branches; the kernel takes four at once
            yield Case("add", f"{count} of one shape", lambda *parts: F.add(parts), normal(*[(2, 3, 5)] * count))
        yield Case("add", "one thrice", lambda x: F.add([x, x * 2.0, x]), normal((2, 3)))


def unary(operation: str) -> Iterator[Case]:
    yield Case(operation, "", FUNCTIONS[operation], positive((3, 5)))


def keep() -> Iterator[Case]:
    for label, shape in (("", (3, 5)), ("stretched", (5,))):
        mask = np.arange(15).reshape(3, 5) % 2
        yield Case("keep", label, lambda x, mask=mask: arithmetic.keep(x, Tensor(mask, device=x.device)), normal(shape))


def matmul() -> Iterator[Case]:
    yield Case("matmul", "", lambda a, b: a @ b, normal((3, 5), (5, 2)))


def reduction(operation: str) -> Iterator[Case]:
    for axis in (None, 1, (0, 2)):
        yield Case(operation, f"axis {axis}", lambda a, axis=axis: getattr(a, operation)(axis), spaced((2, 3, 4)))
    yield Case(operation, "columns", lambda a: getattr(a, operation)(0), spaced((7, 3)))  # halved: 7 is 4 and 3


def reshape() -> Iterator[Case]:
    yield Case("reshape", "", lambda a: a.reshape(4, -1), normal((2, 3, 4)))


def transpose() -> Iterator[Case]:
    yield Case("transpose", "three axes", lambda a: a.transpose(2, 0, 1), normal((2, 3, 4)))
    yield Case("transpose", "a matrix", lambda a: a.T, normal((3, 5)))


def slicing() -> Iterator[Case]:
    yield Case("slice", "rows", lambda a: a[1:, ..., 2], normal((3, 2, 4)))
    yield Case("slice", "steps", lambda a: a[::2, -1], normal((3, 2, 4)))


OPERATIONS: dict[str, Callable[[], Iterator[Case]]] = {
    **{
        make.__name__: make
        for make in (
            conv2d, conv2d_transpose, conv1x1, dense, maxpool2d, avgpool2d, zeropad2d, upsample2d, batchnorm,
            batchnorm_inference, dropout,
            relu, softmax, softmax_crossentropy, binary_crossentropy, mean_squared_error, regularize,
            concatenate, flatten,
        )
    },
    **{name: partial(activation, name) for name in ("tanh", "sigmoid", "elu", "leaky_relu", "softplus")},
    **{name: partial(globalpool2d, name) for name in ("globalavgpool2d", "globalmaxpool2d")},
    **{name: partial(binary, name) for name in OPERATORS},
    **{name: partial(unary, name) for name in FUNCTIONS},
    "keep": keep,
    "matmul": matmul,
    **{name: partial(reduction, name) for name in ("sum", "mean", "max")},
    "reshape": reshape,
    "transpose": transpose,
    "slice": slicing,
}  # fmt: skip


def cases(operation: str | None = None) -> list[Case]:
    """The cases of an operation by its name in OPERATIONS, or of all."""
    names = OPERATIONS if operation is None else [operation]
    return [case for name in names for case in OPERATIONS[name]()]
