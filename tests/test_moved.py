"""Imports of 0.1.0 give the modules of today, with a warning that says where they are."""

import importlib
import sys

import numpy as np
import pytest

from tinycnn import moved
from tinycnn.tensor import Function, Tensor


@pytest.mark.parametrize("old", moved.MODULES)
def test_an_old_name_is_the_module_of_today(old):
    today = importlib.import_module(f"tinycnn.{moved.MODULES[old]}")
    spec = today.__spec__
    sys.modules.pop(f"tinycnn.{old}", None)
    with pytest.warns(DeprecationWarning, match=f"tinycnn.{old} has moved to tinycnn.{moved.MODULES[old]}"):
        module = importlib.import_module(f"tinycnn.{old}")
    assert module is today and module.__spec__ is spec


def test_what_is_in_a_moved_package_is_not_loaded_a_second_time():
    from tinycnn.devices.gpu import driver
    from tinycnn.pictures import paper

    with pytest.warns(DeprecationWarning):
        assert importlib.import_module("tinycnn.devices.kernels_host.driver") is driver
    with pytest.warns(DeprecationWarning):
        assert importlib.import_module("tinycnn.lessons.pictures.paper") is paper


def test_a_name_that_never_was_is_no_module():
    for name in ("tinycnn.never_there", "tinycnn.devices.kernels_host.never_there"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(name)


def test_the_convolution_of_old_computes_what_it_did(float64):
    from tinycnn import functional as F

    x, w = np.random.default_rng(0).standard_normal((2, 1, 3, 3, 1))
    x, w = Tensor(x[None]), Tensor(w.reshape(3, 3, 1, 1))
    with pytest.warns(DeprecationWarning, match="conv2d"):
        old = F.Conv2D((1, 1), ((2, 1), (0, 1)), False)(x.reshape(1, 3, 3, 1), w)
    today = F.conv2d(x.reshape(1, 3, 3, 1), w, padding=((2, 1), (0, 1)))
    assert old.shape == (1, 4, 2, 1) and np.array_equal(old.numpy(), today.numpy())


class Square(Function):
    """An operation as a class, as 0.1.0 had all of them."""

    def forward(self, x):
        self.x = x
        return x * x

    def backward(self, dy):
        return 2 * self.x * dy


def test_an_operation_of_one_s_own_is_a_class(float64):
    x = Tensor([3.0], requires_grad=True)
    y = Square()(x)
    y.backward()
    assert y.item() == 9 and x.grad.item() == 6
    with pytest.raises(RuntimeError, match="Square.*freed"):
        y.backward()
