"""The gradients of the 27 documented networks, from the loss to every parameter: `cpu` against `reference`, which is
checked by finite differences on the way. All of them in full: models-10 has 38 million parameters."""

import numpy as np
import pytest

from tinycnn.architectures import ARCHITECTURES
from tinycnn.gradcheck.check import WRONG, checked_device
from tinycnn.gradcheck.networks import check_network

# Batch normalisation and dropout, 1x1 convolutions, padding, dense layers on top: a few of each kind that are quick.
QUICK = ("go-crazy", "essentia", "other-3", "other-4", "models-5", "eip4-2")


@pytest.mark.parametrize(
    "network", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in ARCHITECTURES]
)
def test_the_gradients_of_a_documented_network(network):
    report = check_network(network, device="cpu", directions=1)
    assert report, str(report)


# ---------------------------------------------------------------- what is found

NETWORK = "go-crazy"  # 24 operations, among the documented networks one of the deepest
FILTERS = (3, 3, 12, 20)  # of its second convolution


def wrong_parameters(report):
    return {row.argument for row in report.rows if row.verdict == WRONG}


@pytest.mark.parametrize("name", ["reference", "cpu"])
def test_a_filter_gradient_that_is_1_percent_too_large_is_found(monkeypatch, name):
    device = checked_device(name)
    right = device.conv2d_backward_filter

    def wrong(x, dy, w_shape, stride, padding):
        dw = right(x, dy, w_shape, stride, padding)
        return dw * dw.dtype.type(1.01) if tuple(w_shape) == FILTERS else dw

    monkeypatch.setattr(device, "conv2d_backward_filter", wrong)
    assert wrong_parameters(check_network(NETWORK, device=name, directions=1)) == {"conv2d_2.kernel"}


@pytest.mark.parametrize("name", ["reference", "cpu"])
def test_a_bias_without_a_gradient_is_found(monkeypatch, name):
    device = checked_device(name)
    right = device.bias_relu_backward

    def wrong(dy, y):
        dz, db = right(dy, y)
        return dz, np.zeros_like(db)

    monkeypatch.setattr(device, "bias_relu_backward", wrong)
    report = check_network("vanilla-15k", device=name, directions=1)
    biases = {row.argument for row in report.rows if row.argument.endswith("bias")}
    assert biases and wrong_parameters(report) == biases
