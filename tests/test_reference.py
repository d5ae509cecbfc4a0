"""The loops to be read beside the kernels compute what the reference computes; and every operation has its rooms."""

import importlib
import pkgutil
import re

import numpy as np
import pytest
from device_operations import ARGUMENTS, Inputs, arrays_in, loops_of, reference_file
from helpers import assert_close

import tinycnn
import tinycnn.devices.gpu.launches
import tinycnn.devices.reference
from tinycnn import kernels
from tinycnn.devices.activation_first import ActivationFirst
from tinycnn.devices.base import Device
from tinycnn.devices.checks.cases import CASES

WITHOUT_LOOPS = {  # they move arrays, or, like matmul, are another operation's special case, or made of others
    "asarray", "numpy", "empty", "zeros", "copy", "record", "matmul",
    "conv2d_backward", "conv1x1_backward", "dense_backward",
}  # fmt: skip


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
            assert_close(mine.astype(dtype), its, length=60)  # a float64 sum of what was computed in dtype
        else:
            np.testing.assert_array_equal(mine, its)


def test_every_operation_of_a_device_has_its_loops_and_they_are_tested():
    of_the_reference = Device.__abstractmethods__ | ActivationFirst.__abstractmethods__
    assert set(ARGUMENTS) == of_the_reference - WITHOUT_LOOPS
    assert not [method for method in ARGUMENTS if loops_of(method) is None]


# ---------------------------------------------------------------- one name, and a room of it everywhere

PART_OF = {  # kernels that do a part of an operation, or that have its work at a special shape
    "batchnorm_statistics": "batchnorm_forward",
    "batchnorm_normalize": "batchnorm_inference",
    "batchnorm_backward_sums": "batchnorm_backward",
    "batchnorm_backward_data": "batchnorm_backward",
    "fill": "assign",
    "dropout": "dropout_forward",
    "zeropad2d": "zeropad2d_forward",
    "binary": "elementwise",
    "binary_flat": "elementwise",
    "binary_number": "elementwise",
    "unary": "elementwise",
    "transpose_matrix": "transpose",
    "copy_columns": "concatenate",
    "sgd": "sgd_step",
    "adam": "adam_step",
    "adadelta": "adadelta_step",
    "rmsprop": "rmsprop_step",
}


def files(package):
    return {module.name for module in pkgutil.iter_modules(importlib.import_module(package).__path__)}


def test_a_kernel_file_has_a_room_of_its_name_everywhere():
    names = set(kernels.INSTANCES)
    assert names == {file.stem for file in kernels.FOLDER.glob("*.cu")}
    assert files("tinycnn.devices.gpu.launches") == names | {"strides", "products"}  # that several share
    assert files("tinycnn.kernels.numba") == names | {"common"}  # as common.cuh
    assert files("tinycnn.devices.reference") == names | {
        "device",
        "windows",
    }  # the class; padding of conv2d, maxpool2d
    assert set(CASES) == names | set(kernels.FAST)


@pytest.mark.parametrize("name", kernels.INSTANCES)
def test_the_head_of_a_kernel_file_leads_to_the_loops_and_every_kernel_has_some(name):
    text = kernels.path(name).read_text()
    head, code = text.split("#include", 1)
    assert f"devices/reference/{name}.py" in head
    found = re.findall(r"__global__ void (\w+)\(", code)
    assert set(found) == {instance.split("<")[0] for instance in kernels.INSTANCES[name]}
    for kernel in found:
        assert hasattr(reference_file(name), PART_OF.get(kernel, kernel) + "_loops"), kernel


def test_no_comment_of_a_kernel_names_a_line():
    """It would be wrong with the next line that is put in above it."""
    files = [file for file in kernels.FOLDER.rglob("*") if file.suffix in (".cu", ".cuh", ".py")]
    assert files and not [file for file in files if re.search(r"\.(cu|cuh|py):\d", file.read_text())]
