"""Launches of the kernels in kernels/fast, made for a shape: small odd layers, each with a tile of its own."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.devices.gpu import KernelDevice
from tinycnn.devices.gpu.fast import launches as fast
from tinycnn.devices.gpu.fast.instances import (
    BACKWARD_DATA,
    BACKWARD_FILTER,
    FORWARD,
    TURNED,
    FilterTile,
    GemmTile,
    Plan,
    SmallFilterTile,
    SmallTile,
    Tile,
    plan_of,
)
from tinycnn.shapes import UNPADDED, Geometry, Padding, Pair, Shape


class Case(NamedTuple):
    """A direction of a layer, or TURNED, and how it is cut up."""

    layer: Geometry
    direction: str
    tile: Tile
    slices: int = 1  # of backward filter
    masked: bool = False

    def plan(self, itemsize: int) -> Plan:
        """The launch."""
        return plan_of(self.layer, self.direction, self.tile, self.slices, self.masked, itemsize)


def layer(x_shape: Shape, w_shape: Shape, stride: Pair = (1, 1), padding: Padding = UNPADDED) -> Geometry:
    """The numbers of a layer."""
    return Geometry.of(x_shape, w_shape, stride, padding)


SAME_3 = ((1, 1), (1, 1))
ODD = layer((3, 7, 6, 5), (3, 3, 5, 7))
PADDED = layer((5, 9, 8, 10), (3, 3, 10, 38), padding=SAME_3)
UNEVEN = layer((3, 9, 11, 12), (5, 4, 12, 20), padding=((2, 2), (1, 2)))
STRIDED = layer((2, 10, 9, 6), (3, 3, 6, 12), (2, 2), SAME_3)
BEYOND_THE_FILTER = layer((2, 9, 9, 4), (2, 2, 4, 8), (2, 3))
MUCH_PADDING = layer((3, 5, 4, 3), (2, 2, 3, 5), padding=((3, 2), (2, 4)))
STRIDE_ONE_WAY = layer((5, 9, 8, 10), (3, 3, 10, 6), (3, 1), ((0, 4), (2, 1)))
ONE_CHANNEL = layer((3, 8, 8, 1), (7, 7, 1, 5), padding=((3, 3), (3, 3)))
ONE_PIXEL = layer((33, 1, 1, 70), (1, 1, 70, 10))

GEMM = (
    Case(ODD, FORWARD, GemmTile(1, 8, 8, 16, 8, 8, 4, 4, 3, 1, 1)),
    Case(ODD, BACKWARD_DATA, GemmTile(1, 8, 8, 16, 8, 8, 4, 4, 3, 1, 1), masked=True),
    Case(PADDED, FORWARD, GemmTile(32, 1, 1, 16, 12, 2, 8, 2, 2, 1, 1)),
    Case(PADDED, BACKWARD_DATA, GemmTile(32, 2, 2, 32, 12, 16, 4, 8, 3, 1, 1)),
    Case(UNEVEN, FORWARD, GemmTile(2, 4, 8, 20, 12, 2, 20, 1, 3, 3, 1)),
    Case(UNEVEN, BACKWARD_DATA, GemmTile(2, 4, 8, 20, 12, 2, 20, 1, 2, 1, 1), masked=True),
    Case(STRIDED, FORWARD, GemmTile(1, 4, 8, 32, 4, 8, 4, 8, 3, 1, 1)),
    Case(STRIDED, BACKWARD_DATA, GemmTile(1, 4, 8, 32, 4, 8, 4, 8, 3, 2, 1), masked=True),
    Case(BEYOND_THE_FILTER, BACKWARD_DATA, GemmTile(2, 2, 8, 16, 16, 4, 4, 4, 4, 1, 1)),
    Case(MUCH_PADDING, FORWARD, GemmTile(1, 4, 8, 8, 4, 2, 4, 2, 3, 2, 1)),
    Case(MUCH_PADDING, BACKWARD_DATA, GemmTile(1, 4, 8, 8, 4, 2, 4, 2, 3, 1, 1)),
    Case(STRIDE_ONE_WAY, BACKWARD_DATA, GemmTile(32, 1, 1, 16, 8, 4, 4, 4, 3, 1, 1), masked=True),
    Case(ONE_PIXEL, FORWARD, GemmTile(32, 1, 1, 16, 16, 4, 4, 4, 3, 4, 1)),
    Case(ONE_PIXEL, BACKWARD_DATA, GemmTile(32, 1, 1, 16, 16, 4, 4, 4, 3, 1, 1), masked=True),
)
GEMM_FILTER = (
    Case(ODD, BACKWARD_FILTER, FilterTile(32, 16, 4, 4, 4, 4, 3, 1), 5, True),
    Case(PADDED, BACKWARD_FILTER, FilterTile(64, 32, 8, 8, 8, 4, 2, 1), 3),
    Case(UNEVEN, BACKWARD_FILTER, FilterTile(128, 20, 2, 4, 20, 1, 3, 1), 7, True),
    Case(STRIDED, BACKWARD_FILTER, FilterTile(64, 16, 2, 4, 8, 2, 3, 1), 2),
    Case(BEYOND_THE_FILTER, BACKWARD_FILTER, FilterTile(16, 32, 2, 4, 4, 8, 3, 1), 1, True),
    Case(MUCH_PADDING, BACKWARD_FILTER, FilterTile(128, 8, 3, 4, 4, 2, 3, 1), 2, True),
    Case(ONE_CHANNEL, BACKWARD_FILTER, FilterTile(64, 16, 4, 4, 4, 2, 3, 1), 2),
    Case(ONE_PIXEL, BACKWARD_FILTER, FilterTile(64, 16, 8, 8, 4, 4, 4, 1), 9, True),
)
SMALL = (
    Case(ODD, FORWARD, SmallTile(3, 4, 4, 1)),
    Case(ODD, BACKWARD_DATA, SmallTile(3, 4, 4, 1), masked=True),
    Case(PADDED, FORWARD, SmallTile(9, 3, 8, 2)),
    Case(PADDED, BACKWARD_DATA, SmallTile(5, 3, 8, 2)),
    Case(UNEVEN, FORWARD, SmallTile(4, 4, 20, 1)),
    Case(UNEVEN, BACKWARD_DATA, SmallTile(4, 4, 12, 1), masked=True),
    Case(STRIDED, FORWARD, SmallTile(2, 2, 4, 1)),
    Case(MUCH_PADDING, FORWARD, SmallTile(4, 4, 8, 2)),
    Case(MUCH_PADDING, BACKWARD_DATA, SmallTile(2, 4, 4, 2), masked=True),
    Case(ONE_CHANNEL, FORWARD, SmallTile(3, 3, 4, 1)),
    Case(ONE_CHANNEL, BACKWARD_DATA, SmallTile(3, 3, 4, 3)),
)
SMALL_FILTER = (
    Case(ODD, BACKWARD_FILTER, SmallFilterTile(3, 2), 3, True),
    Case(PADDED, BACKWARD_FILTER, SmallFilterTile(9, 4), 2),
    Case(UNEVEN, BACKWARD_FILTER, SmallFilterTile(4, 2), 1, True),
    Case(STRIDED, BACKWARD_FILTER, SmallFilterTile(2, 2), 5),
    Case(BEYOND_THE_FILTER, BACKWARD_FILTER, SmallFilterTile(4, 1), 2, True),
    Case(MUCH_PADDING, BACKWARD_FILTER, SmallFilterTile(4, 2), 2),
    Case(ONE_CHANNEL, BACKWARD_FILTER, SmallFilterTile(3, 3), 4, True),
)
CASES = {
    "fast/conv_gemm": GEMM,
    "fast/conv_gemm_filter": GEMM_FILTER,
    "fast/conv_small": SMALL,
    "fast/conv_small_filter": SMALL_FILTER,
}


def build(device: KernelDevice, cases: tuple[Case, ...]) -> None:
    """Have all kernels of the cases built at once."""
    plans = [case.plan(device.itemsize) for case in cases]
    device.driver.build((plan.file, plan.named(device.ctype)) for plan in plans)


def run(device: KernelDevice, case: Case, x: Array, w: Array, b: Array, dy: Array, y: Array) -> tuple[Array, ...]:
    """(y,), (dx,) or (dw, db) in slices. b and y count where the case has them: with bias and ReLU, or masked."""
    plan, cut = case.plan(device.itemsize), y if case.masked else None
    if case.direction == FORWARD:
        return (fast.forward(device, plan, case.layer, x, w, b, True),)
    if case.direction in (BACKWARD_DATA, TURNED):
        return (fast.backward_data(device, plan, case.layer, dy, cut, w),)
    dw, db = fast.backward_filter(device, plan, case.layer, x, dy, cut, True)
    assert db is not None
    return dw, db


def run_all(device: KernelDevice, file: str) -> None:
    """Launch every case of a file of kernels.FAST on random numbers."""
    build(device, CASES[file])
    rng = np.random.default_rng(0)
    for case in CASES[file]:
        of = case.layer
        shapes = of.x_shape, of.w_shape, (of.K,), of.y_shape, of.y_shape
        run(device, case, *(device.asarray(rng.standard_normal(shape)) for shape in shapes))
