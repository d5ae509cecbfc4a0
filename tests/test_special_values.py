"""NaN and infinity come out of every operation on every device: a network that has diverged must show it.

Winograd's convolution, which the cpu device takes from 16 images on, adds the pixels of a tile to one another before it
multiplies: there a NaN, and an infinity as NaN, may reach the whole tile. The one test at the end is of that.
"""

import math

import numpy as np
import pytest
from device_operations import ARGUMENTS, Inputs, arrays_in, loops_of

import tinycnn
from tinycnn import Tensor, functional
from tinycnn.devices.base import Wanted
from tinycnn.devices.cpu import winograd
from tinycnn.devices.reference import ReferenceDevice

NAN, INFINITY = math.nan, math.inf
# What is planted into the arguments, one after the other into each array.
PLANTS = {
    "nan": [NAN],
    "inf": [INFINITY],
    "-inf": [-INFINITY],
    "-0.0": [-0.0],
    "both": [INFINITY, -INFINITY],  # whose sum is NaN
}


def batchnorm(device, x, gamma, beta, mean, variance, momentum, epsilon, mask=None):
    """Both passes at once: what the first one keeps for the second is the device's own affair."""
    y, saved = device.batchnorm_forward(x, gamma, beta, mean, variance, momentum, epsilon, mask)
    return y, device.batchnorm_backward(device.copy(x), x, gamma, saved)


def dropout(device, x, rate, seed, stream, step):
    y, saved = device.dropout_forward(x, rate, seed, stream, step)
    return y, device.dropout_backward(device.copy(x), rate, seed, stream, saved)


def through_relu(device, dy, y):
    """dz and db, on the kernels' devices too, which have no pass of their own for it: by products with 1."""
    rows = [None if a is None else a.reshape((a.size, 1)) for a in (dy, y)]
    ones, one = device.asarray(np.ones((dy.size, 1))), device.asarray(np.ones((1, 1)))
    dz, _, _ = device.dense_backward(*rows, ones, one, Wanted(True, False, False))
    pixels = [None if a is None else a.reshape((a.size // a.shape[-1], 1, 1, a.shape[-1])) for a in (dy, y)]
    images, filters = (
        device.asarray(np.ones((pixels[0].shape[0], 1, 1, 1))),
        device.asarray(np.ones((1, 1, 1, dy.shape[-1]))),
    )
    _, _, db = device.conv1x1_backward(*pixels, images, filters, Wanted(False, False, True))
    return device.whole(dz).reshape(dy.shape), device.whole(db)


BOTH_PASSES = {"batchnorm_forward": batchnorm, "dropout_forward": dropout, "bias_relu_backward": through_relu}
OPERATIONS = [
    pytest.param(method, arguments, id=f"{method}-{i}")
    for method, cases in ARGUMENTS.items()
    if method not in ("batchnorm_backward", "dropout_backward")
    for i, arguments in enumerate(cases)
]


def with_parts(value, parts):
    """A list, a tuple or a named tuple like `value`."""
    return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)


def planted(value, target, plants, rng):
    """`value` with special values in array number `target` of its float arrays; the arrays are copies."""
    if isinstance(value, (list, tuple)):
        parts = []
        for part in value:
            parts.append(planted(part, target, plants, rng))
            target -= len(float_arrays(part))
        return with_parts(value, parts)
    if not isinstance(value, np.ndarray):
        return value
    value = value.copy()
    if target == 0 and np.issubdtype(value.dtype, np.floating):
        places = rng.permutation(value.size)[: len(plants)]
        value.flat[places] = plants[: len(places)]
    return value


def float_arrays(value):
    return [array for array in arrays_in(value) if np.issubdtype(array.dtype, np.floating)]


def moved(value, convert):
    """The same arguments, their arrays replaced by convert(array)."""
    if isinstance(value, (list, tuple)):
        return with_parts(value, [moved(part, convert) for part in value])
    return convert(value) if isinstance(value, np.ndarray) else value


def results(device, method, arguments):
    """Everything that an operation gives or changes, as NumPy arrays."""
    operation = BOTH_PASSES.get(method)
    given = operation(device, *arguments) if operation else getattr(device, method)(*arguments)
    found = []

    def collect(value):
        if isinstance(value, (list, tuple)):
            for part in value:
                collect(part)
        elif hasattr(value, "shape") and hasattr(value, "dtype"):
            found.append(np.array(device.numpy(value)))

    collect([given, list(arguments)])
    return found


# A method, and which of its float arrays holds the special value. Where its factor is a zero outside of the image, the
# product is NaN, or it is left out. Both are right.
BORDER_MAY_DIFFER = {("conv2d_backward_data", 1)}
BORDER_OF_LOOPS_MAY_DIFFER = {("conv2d_forward", 1), ("conv2d_backward_filter", 1)}
# Sums that infinities are part of are infinite or NaN, by how they are taken.
INFINITY_MAY_BE_NAN = {"batchnorm_forward", "batchnorm_inference"}
# A label times one logarithm and 1 - label times another, or the label times their difference: an infinite label, or
# the infinite weight of such a sum, which may be 0, comes out as NaN or as infinity.
INFINITY_OR_NAN = {("binary_crossentropy", 1), ("binary_crossentropy", 2)}
# What is clipped to 1 - 1e-7 is another number in each precision, and has its distance from 1 in a logarithm.
IN_ITS_OWN_PRECISION = {"binary_crossentropy"}


def loops(dtype):
    """A device of plain loops."""
    return type("Loops", (ReferenceDevice,), {name: staticmethod(loops_of(name)) for name in ARGUMENTS})(dtype)


def assert_alike(got, want, what):
    """NaN where NaN is wanted, the same infinities, and finite numbers to rounding."""
    finite = np.isfinite(want)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want), err_msg=what)
    np.testing.assert_array_equal(got[np.isinf(want)], want[np.isinf(want)], err_msg=what)
    digits = np.finfo(got.dtype).eps if np.issubdtype(got.dtype, np.floating) else 0
    scale = max(1, np.abs(want[finite]).max(initial=0))
    np.testing.assert_allclose(got[finite], want[finite], rtol=0, atol=100 * digits * scale, err_msg=what)


def check_special_values(device, method, arguments, plants, border):
    oracle = tinycnn.get_device("reference", "float64")
    if method in IN_ITS_OWN_PRECISION and device.dtype == "float32":
        oracle = loops("float32")
    for target in range(len(float_arrays(arguments(Inputs(device.dtype))))):
        values = planted(arguments(Inputs(device.dtype)), target, plants, np.random.default_rng(target))
        for_oracle = moved(values, lambda a: a.astype(oracle.dtype) if a.dtype == np.float32 else a.copy())
        with np.errstate(all="ignore"):
            want = results(oracle, method, for_oracle)
            got = results(device, method, moved(values, lambda a: device.asarray(a, a.dtype.name)))
        assert len(got) == len(want)
        for place, (mine, its) in enumerate(zip(got, want, strict=True)):
            if mine.dtype == np.float64:
                mine = mine.astype(device.dtype)  # a sum in float64 of what was computed in the device's precision
            either = ~np.isfinite(mine) | ~np.isfinite(its)
            if (method, target) in border | INFINITY_OR_NAN:
                assert np.isfinite(mine).all() == np.isfinite(its).all()
                mine, its = mine[~either], its[~either]
            elif method in INFINITY_MAY_BE_NAN:
                its = np.where(np.isnan(mine) & np.isinf(its), np.nan, its)
            assert_alike(mine, its, f"argument {target}, result {place}")


@pytest.mark.parametrize("method, arguments", OPERATIONS)
@pytest.mark.parametrize("plants", PLANTS)
def test_special_values_come_out_as_the_reference_has_them(device, method, arguments, plants):
    check_special_values(device, method, arguments, PLANTS[plants], BORDER_MAY_DIFFER)


@pytest.mark.parametrize("method, arguments", OPERATIONS)
@pytest.mark.parametrize("plants", PLANTS)
def test_special_values_come_out_of_the_loops_too(method, arguments, plants):
    check_special_values(loops("float64"), method, arguments, PLANTS[plants], BORDER_OF_LOOPS_MAY_DIFFER)


def test_minus_infinity_alone_has_its_maximum_in_the_image_and_never_in_the_padding(device):
    x = device.asarray(np.full((1, 3, 3, 5), -INFINITY))
    y, argmax = device.maxpool2d_forward(x, (2, 2), (2, 2), ((1, 0), (1, 0)))
    np.testing.assert_array_equal(device.numpy(y), np.full((1, 2, 2, 5), -INFINITY))
    np.testing.assert_array_equal(device.numpy(argmax)[0, :, :, 0], [[3, 2], [1, 0]])
    dy = device.asarray(np.ones((1, 2, 2, 5)))
    dx = device.numpy(device.maxpool2d_backward(dy, argmax, (1, 3, 3, 5), (2, 2), (2, 2), ((1, 0), (1, 0))))
    np.testing.assert_array_equal(dx[0, :, :, 0], [[1, 1, 0], [1, 1, 0], [0, 0, 0]])


def test_a_network_that_has_diverged_predicts_nan(device):
    """Infinity minus infinity in a convolution comes through ReLU, pooling and softmax."""
    x, w = np.full((1, 6, 6, 2), INFINITY), np.ones((3, 3, 2, 3))
    w[:, :, 1] = -1
    with np.errstate(invalid="ignore"):
        y = functional.maxpool2d(functional.conv2d(Tensor(x), Tensor(w), activation="relu"), 2)
        y = functional.dense(functional.flatten(functional.relu(y)), Tensor(np.ones((12, 2))), activation="relu")
        assert np.isnan(functional.softmax(y).numpy()).all()


@pytest.mark.parametrize("value", [NAN, INFINITY, -INFINITY])
@pytest.mark.slow
def test_winograd_s_convolution_loses_no_nan_and_keeps_it_in_its_image(value):
    rng, oracle, unpadded = np.random.default_rng(0), tinycnn.get_device("reference", "float64"), ((0, 0), (0, 0))
    x, w, dy = (rng.standard_normal(shape).astype(np.float32) for shape in ((3, 9, 9, 8), (3, 3, 8, 9), (3, 7, 7, 9)))
    x[1, 4, 4, 2] = dy[1, 3, 3, 5] = value
    with np.errstate(invalid="ignore"):
        pairs = [
            (winograd.forward(x, w, None, unpadded, True), oracle.conv2d_forward(x, w, None, (1, 1), unpadded, True)),
            (
                winograd.backward_data(dy, w, x.shape, unpadded),
                oracle.conv2d_backward_data(dy, w, x.shape, (1, 1), unpadded),
            ),
        ]
        dw = winograd.backward_filter(x, dy, w.shape, unpadded)
        assert not np.isfinite(dw[~np.isfinite(oracle.conv2d_backward_filter(x, dy, w.shape, (1, 1), unpadded))]).any()
    for got, want in pairs:
        assert not np.isfinite(got[~np.isfinite(want)]).any() and not np.isfinite(want[1]).all()
        np.testing.assert_allclose(got[[0, 2]], want[[0, 2]], atol=1e-4)
