"""The loops to be read beside the kernels compute what the reference computes; and every operation has its rooms."""

import importlib
import pkgutil
import re

import numpy as np
import pytest
from helpers import assert_close, one_hot

import tinycnn
import tinycnn.devices.gpu.launches
import tinycnn.devices.reference
from tinycnn import kernels
from tinycnn.devices.base import Device
from tinycnn.devices.checks.cases import CASES

UNPADDED, PADDED = ((0, 0), (0, 0)), ((1, 2), (2, 1))
WITHOUT_LOOPS = {  # they move arrays, or, like matmul, are another operation's special case
    "asarray", "numpy", "empty", "zeros", "copy", "record", "matmul",
}  # fmt: skip


class Inputs:
    """What the operations take. Two of them give the same numbers: for operations that change their arguments."""

    def __init__(self, dtype):
        self.dtype, self.rng = dtype, np.random.default_rng(0)

    def normal(self, *shape):
        return self.rng.standard_normal(shape).astype(self.dtype)

    def positive(self, *shape):
        return self.normal(*shape) ** 2 + np.asarray(0.1, self.dtype)

    def few(self, *shape):
        """Numbers of which many are equal."""
        return self.rng.integers(-1, 2, shape).astype(self.dtype)

    def number(self, value):
        return np.array([value], self.dtype)

    def several(self):
        return [self.positive(3, 2, 1, 5), self.positive(7), self.positive(1, 1)]


def step_of(value):
    return np.array([value])


# For each method of a device: functions of Inputs that give its arguments. Odd shapes, one channel and more than four,
# strides, padding, ties.
ARGUMENTS = {
    "conv2d_forward": [
        lambda on: (on.normal(2, 6, 5, 1), on.normal(3, 2, 1, 5), None, (1, 1), UNPADDED, False),
        lambda on: (on.normal(1, 7, 6, 5), on.normal(4, 3, 5, 3), on.normal(3), (2, 3), PADDED, True),
    ],
    "conv2d_backward_data": [
        lambda on: (on.normal(2, 4, 4, 5), on.normal(3, 2, 1, 5), (2, 6, 5, 1), (1, 1), UNPADDED),
        lambda on: (on.normal(1, 4, 3, 3), on.normal(4, 3, 5, 3), (1, 7, 6, 5), (2, 3), PADDED),
    ],
    "conv2d_backward_filter": [
        lambda on: (on.normal(2, 6, 5, 1), on.normal(2, 4, 4, 5), (3, 2, 1, 5), (1, 1), UNPADDED),
        lambda on: (on.normal(1, 7, 6, 5), on.normal(1, 4, 3, 3), (4, 3, 5, 3), (2, 3), PADDED),
    ],
    "conv1x1_forward": [
        lambda on: (on.normal(2, 3, 4, 1), on.normal(1, 1, 1, 5), None, False),
        lambda on: (on.normal(1, 3, 2, 6), on.normal(1, 1, 6, 3), on.normal(3), True),
    ],
    "conv1x1_backward_data": [lambda on: (on.normal(2, 3, 4, 5), on.normal(1, 1, 3, 5))],
    "conv1x1_backward_filter": [lambda on: (on.normal(2, 3, 4, 5), on.normal(2, 3, 4, 3))],
    "dense_forward": [
        lambda on: (on.normal(3, 7), on.normal(7, 5), None, False),
        lambda on: (on.normal(1, 9), on.normal(9, 1), on.normal(1), True),
        lambda on: (on.normal(4, 3), on.normal(3, 6), on.normal(6), True),
    ],
    "dense_backward_data": [lambda on: (on.normal(3, 5), on.normal(7, 5))],
    "dense_backward_filter": [lambda on: (on.normal(3, 7), on.normal(3, 5))],
    "bias_relu_backward": [
        lambda on: (on.normal(2, 3, 4, 5), on.few(2, 3, 4, 5)),
        lambda on: (on.normal(6, 1), None),
    ],
    "relu_forward": [lambda on: (on.few(3, 4, 5),), lambda on: (on.normal(7),)],
    "relu_backward": [lambda on: (on.normal(3, 4, 5), on.few(3, 4, 5))],
    "maxpool2d_forward": [
        lambda on: (on.few(2, 6, 5, 1), (2, 2), (2, 2), UNPADDED),
        lambda on: (on.few(1, 7, 6, 5), (3, 2), (2, 1), ((1, 2), (1, 0))),
    ],
    "maxpool2d_backward": [
        lambda on: (on.normal(2, 3, 2, 1), places(on, 2, 3, 2, 1, below=4), (2, 6, 5, 1), (2, 2), (2, 2), UNPADDED),
        lambda on: (
            on.normal(1, 4, 6, 5),
            places(on, 1, 4, 6, 5, below=6),
            (1, 7, 6, 5),
            (3, 2),
            (2, 1),
            ((1, 2), (1, 0)),
        ),
    ],
    "batchnorm_forward": [
        lambda on: (on.normal(3, 4, 5, 1), *(on.positive(1) for _ in range(4)), 0.9, 1e-3),
        lambda on: (on.normal(7, 6), *(on.positive(6) for _ in range(4)), 0.75, 1e-5),
    ],
    "batchnorm_inference": [lambda on: (on.normal(2, 3, 3, 6), *(on.positive(6) for _ in range(4)), 1e-3)],
    "batchnorm_backward": [
        lambda on: (on.normal(3, 4, 5, 1), on.normal(3, 4, 5, 1), on.normal(1), (on.normal(1), on.positive(1))),
        lambda on: (on.normal(7, 6), on.normal(7, 6), on.normal(6), (on.normal(6), on.positive(6))),
    ],
    "dropout_forward": [lambda on: (on.normal(3, 5, 1), 0.3, 2**40 + 1, 7, step_of(2**33))],
    "dropout_backward": [lambda on: (on.normal(3, 5), 0.3, 1, 7, on.normal(3, 5) > 0)],
    "softmax_forward": [lambda on: (on.normal(3, 7),), lambda on: (on.normal(2, 1),)],
    "softmax_backward": [lambda on: (on.normal(3, 7), on.positive(3, 7))],
    "softmax_crossentropy": [
        lambda on: (on.normal(5, 7), one_hot([0, 6, 3, 3, 1], 7).astype(on.dtype)),
        lambda on: (on.few(9, 3), np.full((9, 3), 1 / 3, on.dtype)),  # equal labels, equal logits: the first counts
    ],
    "sgd_step": [
        lambda on: (on.several(), on.several(), [], on.number(0.1), 0.0, False),
        lambda on: (on.several(), on.several(), on.several(), on.number(0.1), 0.9, False),
        lambda on: (on.several(), on.several(), on.several(), on.number(0.1), 0.9, True),
    ],
    "adam_step": [
        lambda on: (*(on.several() for _ in range(4)), on.number(0.1), step_of(3), (0.9, 0.999), 1e-7),
    ],
    "adadelta_step": [lambda on: (*(on.several() for _ in range(4)), on.number(0.5), 0.95, 1e-7)],
    "elementwise": [
        *(
            (lambda on, name=name: (name, on.few(3, 1, 5), on.few(4, 1)))
            for name in ("add", "subtract", "multiply", "equal", "greater")
        ),
        lambda on: ("divide", on.normal(3, 5), on.positive(5)),
        lambda on: ("power", on.positive(3, 1), on.normal(2)),
        lambda on: ("subtract", 0.5, on.normal(3)),
        *((lambda on, name=name: (name, on.positive(3, 5))) for name in ("negative", "exp", "log", "sqrt")),
    ],
    "reduce": [
        *((lambda on, name=name: (name, on.normal(3, 4, 5))) for name in ("sum", "max")),
        *((lambda on, name=name: (name, on.normal(3, 4, 5), (0, -1), True)) for name in ("sum", "max")),
        lambda on: ("sum", on.normal(3, 4, 5), 1),
    ],
    "transpose": [lambda on: (on.normal(3, 5), (1, 0)), lambda on: (on.normal(2, 3, 4, 5), (2, 0, -1, 1))],
    "concatenate": [lambda on: ([on.normal(2, 3, 1), on.normal(2, 3, 5), on.normal(2, 3, 2)],)],
    "split": [lambda on: (on.normal(2, 3, 8), [1, 5, 2])],
    "gather_batch": [lambda on: (on.normal(9, 3, 2, 1), on.normal(9, 4), on.rng.permutation(9), step_of(2), 5)],
    "advance": [lambda on: ([(step_of(3), 1), (step_of(0), 5)],)],
    "accumulate": [lambda on: (np.array([1.0, 2.0]), on.number(0.3), on.number(4), 5)],
    "assign": [lambda on: (on.normal(1), np.array([0.5])), lambda on: (on.normal(2, 3), on.normal(2, 3))],
}


def places(on, *shape, below):
    return on.rng.integers(0, below, shape).astype(np.int32)


def loops_of(method):
    """The function of plain loops for a device's method, wherever it stands in devices/reference; None without one."""
    found = [
        getattr(module, f"{method}_loops")
        for module in map(reference_file, kernels.INSTANCES)
        if getattr(getattr(module, f"{method}_loops", None), "__module__", None) == module.__name__
    ]
    assert len(found) < 2
    return found[0] if found else None


def reference_file(name):
    return importlib.import_module(f"tinycnn.devices.reference.{name}")


def arrays_in(value):
    """The arrays in nested lists and tuples, in order."""
    if isinstance(value, (list, tuple)):
        return [array for part in value for array in arrays_in(part)]
    return [value] if isinstance(value, np.ndarray) else []


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "method, arguments",
    [pytest.param(m, a, id=f"{m}-{i}") for m, cases in ARGUMENTS.items() for i, a in enumerate(cases)],
)
def test_the_loops_give_what_the_reference_gives(method, arguments, dtype):
    device = tinycnn.get_device("reference", dtype)
    for_loops, for_device = arguments(Inputs(dtype)), arguments(Inputs(dtype))
    got = arrays_in([loops_of(method)(*for_loops), for_loops])
    want = arrays_in([getattr(device, method)(*for_device), for_device])
    assert len(got) == len(want)
    for mine, its in zip(got, want, strict=True):
        assert mine.dtype == its.dtype
        if np.issubdtype(mine.dtype, np.floating):
            assert_close(mine, its, length=60)
        else:
            np.testing.assert_array_equal(mine, its)


def test_every_operation_of_a_device_has_its_loops_and_they_are_tested():
    assert set(ARGUMENTS) == Device.__abstractmethods__ - WITHOUT_LOOPS
    assert not [method for method in ARGUMENTS if loops_of(method) is None]


# ---------------------------------------------------------------- one name, and a room of it everywhere

PART_OF = {  # kernels that do a part of an operation, or that have its work at a special shape
    "batchnorm_statistics": "batchnorm_forward",
    "batchnorm_finish_statistics": "batchnorm_forward",
    "batchnorm_normalize": "batchnorm_inference",
    "batchnorm_backward_sums": "batchnorm_backward",
    "batchnorm_finish_backward": "batchnorm_backward",
    "batchnorm_backward_data": "batchnorm_backward",
    "fill": "assign",
    "dense_finish": "dense_forward",
    "dropout": "dropout_forward",
    "binary": "elementwise",
    "binary_flat": "elementwise",
    "binary_number": "elementwise",
    "unary": "elementwise",
    "transpose_matrix": "transpose",
    "copy_columns": "concatenate",
    "sgd": "sgd_step",
    "adam": "adam_step",
    "adadelta": "adadelta_step",
    "softmax_crossentropy_finish": "softmax_crossentropy",
}


def files(package):
    return {module.name for module in pkgutil.iter_modules(importlib.import_module(package).__path__)}


def test_a_kernel_file_has_a_room_of_its_name_everywhere():
    names = set(kernels.INSTANCES)
    assert names == {file.stem for file in kernels.FOLDER.glob("*.cu")}
    assert files("tinycnn.devices.gpu.launches") == names | {"strides"}  # of elementwise and layout
    assert files("tinycnn.kernels.numba") == names | {"common"}  # as common.cuh
    assert files("tinycnn.devices.reference") == names | {
        "device",
        "windows",
    }  # the class; padding of conv2d, maxpool2d
    assert set(CASES) == names


@pytest.mark.parametrize("name", kernels.INSTANCES)
def test_the_head_of_a_kernel_file_leads_to_the_loops_and_every_kernel_has_some(name):
    text = kernels.path(name).read_text()
    head, code = text.split("#include", 1)
    assert f"devices/reference/{name}.py" in head
    found = re.findall(r"__global__ void (\w+)\(", code)
    assert set(found) == {instance.split("<")[0] for instance in kernels.INSTANCES[name]}
    for kernel in found:
        assert hasattr(reference_file(name), PART_OF.get(kernel, kernel) + "_loops"), kernel


@pytest.mark.parametrize("file", sorted(kernels.FOLDER.rglob("*.[cp]*")), ids=lambda file: file.name)
def test_no_comment_names_a_line(file):
    assert not re.search(r"\.(cu|cuh|py):\d", file.read_text())
