"""Grids of launches: what a GPU takes, for layers of any size, and nothing at all for arrays without elements."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest

from tinycnn.devices import get_device
from tinycnn.devices.base import Wanted
from tinycnn.devices.gpu.launches import conv2d, dense
from tinycnn.emulator.module import MOST_GRID
from tinycnn.shapes import window_padding

EVERY = Wanted(True, True, True)


class Noted:
    """A device that launches nothing: `grids` has what it would."""

    itemsize = 4

    def __init__(self):
        self.grids = []
        self.driver = SimpleNamespace(arrivals=lambda count: None, branch=contextlib.nullcontext)

    def empty(self, shape):
        return SimpleNamespace(shape=shape, reshape=lambda shape: self.empty(shape))

    def launch(self, file, kernel, grid, block, *args, shared=0):
        self.grids.append(grid)


@pytest.mark.parametrize("rows, inputs, units", [(1, 1, 2**21), (1, 2**21, 1), (128, 2**21, 64), (64, 64, 2**22 + 1)])
def test_grids_of_dense_layers_are_no_longer_than_a_gpu_has_them(rows, inputs, units):
    device = Noted()
    x, w, dy = (device.empty(shape) for shape in ((rows, inputs), (inputs, units), (rows, units)))
    dense.dense_forward(device, x, w, None, relu=False)
    dense.data_gradient(device, dy, None, w)
    dense.filter_gradient(device, x, dy, None, EVERY)
    assert len(device.grids) == 3
    assert not [
        grid for grid in device.grids if any(extent > most for extent, most in zip(grid, MOST_GRID, strict=False))
    ]


def test_the_grid_of_a_wide_convolutions_filter_gradient_is_not_either():
    device = Noted()
    x, dy = device.empty((1, 2, 2, 2**15)), device.empty((1, 2, 2, 2**15))
    padding = window_padding((2, 2), (1, 1), (1, 1), "same")
    conv2d.filter_gradient(device, x, dy, None, (1, 1, 2**15, 2**15), (1, 1), padding, EVERY)
    ((x_extent, y_extent),) = device.grids
    assert x_extent > MOST_GRID[1] >= y_extent


@pytest.mark.parametrize("shape, axis", [((3, 0), 0), ((0, 3), 1), ((2, 3, 0), 1), ((0, 3), 0)])
def test_a_sum_with_nothing_in_it_is_as_numpys(shape, axis):
    for name in ("emulator", "reference"):
        device = get_device(name)
        found = device.numpy(device.reduce("sum", device.asarray(np.zeros(shape, np.float32)), axis))
        np.testing.assert_array_equal(found, np.zeros(shape).sum(axis))
