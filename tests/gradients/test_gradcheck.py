"""What gradcheck says of gradients that are wrong, and of inputs that cannot be checked."""

import numpy as np
import pytest

import tinycnn
from tinycnn import functional as F
from tinycnn.devices.cpu import CpuDevice
from tinycnn.gradcheck import GradcheckError, NotDifferentiable, gradcheck
from tinycnn.gradcheck.check import WRONG
from tinycnn.tensor import Tensor, output_of


def scaled(x, wrong):
    """3 x, with one element of the gradient replaced."""

    def backward(dy):
        dx = dy * 3
        dx[1, 2] = wrong
        return (dx,)

    return output_of("scaled", (x,), x.data * 3, backward)


@pytest.mark.parametrize("wrong", [100.0, np.nan])
def test_a_wrong_element_is_named(float64, wrong):
    with pytest.raises(GradcheckError, match=r"x \(2, 3\): wrong, at x\[1,2\]") as error:
        gradcheck(lambda x: scaled(x, wrong), [np.ones((2, 3))])
    (row,) = error.value.report.rows
    assert row.index == (1, 2) and not row.error <= row.tolerance


def test_a_kink_is_named_as_one(float64):
    x = np.ones((3, 2))
    x[2, 0] = 0
    with pytest.raises(NotDifferentiable, match=r"not differentiable at x\[2,0\] \(left slope .*, right slope"):
        gradcheck(F.relu, [x])
    with pytest.raises(NotDifferentiable):
        gradcheck(F.maxpool2d, [np.zeros((1, 2, 2, 1))])


@pytest.mark.parametrize(
    "value, message", [(np.arange(3), "dtype int"), (np.array([1.0, np.nan]), "is nan at"), (np.array(["a"]), "dtype")]
)
def test_inputs_without_a_gradient_are_refused(float64, value, message):
    with pytest.raises(ValueError, match=message):
        gradcheck(lambda x: x * 2, [value])


@pytest.mark.parametrize("options", [{"eps": 0}, {"eps": -1e-6}, {"eps": np.nan}, {"atol": np.nan}, {"rtol": -1}])
def test_steps_and_tolerances_that_prove_nothing_are_refused(float64, options):
    with pytest.raises(ValueError, match="eps above 0 and tolerances of at least 0"):
        gradcheck(F.relu, [np.ones(3)], **options)


def test_without_an_input_there_is_nothing_to_check(float64):
    with pytest.raises(ValueError, match="needs an input"):
        gradcheck(lambda: Tensor(1.0), [])


@pytest.mark.parametrize("form", [np.asarray, Tensor])
def test_one_input_may_stand_alone(float64, form):
    (row,) = gradcheck(F.relu, form(np.ones((2, 3)))).rows
    assert (row.argument, row.shape) == ("x", (2, 3))


def test_what_drowns_in_the_rounding_of_a_large_result_is_no_wrong_gradient(float64):
    x, w, b = np.full((1, 4), 1e5), np.full((4, 2), 1e5), np.ones(2)
    with pytest.raises(ValueError, match="the gradient of b.* cannot be checked: results as large as 4e.10"):
        gradcheck(F.dense, [x, w, b])
    assert gradcheck(F.dense, [x, w, b], eps=1.0)  # it is linear: any step will do
    with pytest.raises(ValueError, match=r"the gradient of x\[0\] cannot be checked"):
        gradcheck(lambda x: x * x + 1e12, [np.ones(1)])


def test_a_wrong_gradient_beside_a_large_result_is_still_wrong(float64):
    with pytest.raises(GradcheckError, match="wrong"):
        gradcheck(lambda x: scaled(x, 0.0) + 1e6, [np.ones((2, 3))])


# ---------------------------------------------------------------- the upstream gradient


def spoilt(y, spoil):
    """y, its way back replaced by spoil(dy, the right way back)."""
    if y.creator is not None:
        right = y.creator.backward
        y.creator.backward = lambda dy: spoil(dy, right)
    return y


def first_zero(dy, right):
    first, *rest = right(dy)
    return np.zeros_like(first), *rest


def filter_of_the_reversed(dy, right):
    return right(dy)[0], right(np.ascontiguousarray(dy[:, ::-1, ::-1]))[1]


def batchnorm(x, gamma, beta):
    return F.batchnorm(x, gamma, beta, Tensor(np.zeros(2)), Tensor(np.ones(2)), training=True)


FAULTS = {
    "softmax": (lambda x: spoilt(F.softmax(x), first_zero), [(3, 4)], ["x"]),
    "batchnorm": (lambda *arrays: spoilt(batchnorm(*arrays), first_zero), [(5, 2), (2,), (2,)], ["arrays[0]"]),
    "convolution": (
        lambda x, w: spoilt(F.conv2d(x, w), filter_of_the_reversed),
        [(2, 5, 4, 2), (3, 2, 2, 3)],
        ["w"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_upstream_of_ones_is_blind_where_a_random_one_is_not(float64, monkeypatch, fault):
    function, shapes, wrong = FAULTS[fault]
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape) for shape in shapes]
    report = gradcheck(function, arrays, raise_exception=False)
    assert [row.argument for row in report.rows if row.verdict == WRONG] == wrong
    monkeypatch.setattr("tinycnn.gradcheck.check.random_upstream", lambda rng, shape: np.ones(shape))
    assert gradcheck(function, arrays)


def test_the_same_seed_gives_the_same_report_and_another_seed_another(device):
    x, w = np.random.default_rng(0).standard_normal((2, 3, 3))
    first, again, other = (gradcheck(F.dense, [x, w], device=device, seed=seed) for seed in (1, 1, 2))
    assert first == again and first != other


# ---------------------------------------------------------------- another device


def test_a_device_is_compared_in_value_and_in_every_gradient(device):
    report = gradcheck(F.dense, [np.ones((2, 3)), np.ones((3, 4)), np.ones(4)], device=device)
    arguments = [row.argument for row in report.rows]
    assert arguments[-3:] == ["x", "w", "b"] and report.device == f"{device.name} ({device.dtype})"
    assert (arguments[0] == "(output)") == (device is not tinycnn.get_device("reference", "float64"))


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_a_device_whose_gradient_is_not_a_number_or_wrong_fails(monkeypatch, value):
    monkeypatch.setattr(CpuDevice, "softmax_backward", lambda self, dy, y: np.full_like(y, value))
    with pytest.raises(GradcheckError, match=r"softmax on cpu \(float32\)") as error:
        gradcheck(F.softmax, [np.random.default_rng(0).standard_normal((2, 3))], device="cpu")
    assert [row.argument for row in error.value.report.rows if row.verdict == WRONG] == ["x"]


def test_a_device_whose_result_is_not_a_number_fails(monkeypatch):
    monkeypatch.setattr(CpuDevice, "softmax_forward", lambda self, x: np.full_like(x, np.nan))
    with pytest.raises(GradcheckError, match=r"\(output\) \(2, 3\): wrong"):
        gradcheck(F.softmax, [np.ones((2, 3))], device="cpu")
