"""The kernels that are compiled for one layer's shape, on the emulator: right on odd shapes, and faultless."""

import json
import re

import fast_compile
import numpy as np
import pytest
from helpers import assert_close, assert_same_bits, normal
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from oracles import conv2d, conv2d_data_gradient, conv2d_filter_gradient, rng_of
from problems import Convolution, Dense, MaxPool
from test_launch_quality import more_than_it_must

import tinycnn
from tinycnn import emulator, kernels
from tinycnn.devices.base import Wanted
from tinycnn.devices.checks import cases as kernel_cases
from tinycnn.devices.checks import compile_gate, disassembly, fast_cases
from tinycnn.devices.checks.compile_gate import ARCHITECTURES
from tinycnn.devices.checks.fast_cases import Case
from tinycnn.devices.gpu import KernelDevice, cards
from tinycnn.devices.gpu.emulator import EmulatorDriver
from tinycnn.devices.gpu.fast import launches as fast
from tinycnn.devices.gpu.fast.instances import (
    BACKWARD_DATA,
    BACKWARD_FILTER,
    DIRECTIONS,
    FORWARD,
    TURNED,
    FilterTile,
    GemmTile,
    SmallFilterTile,
    SmallTile,
    plan_of,
    simplified,
)
from tinycnn.devices.gpu.fast.plan import choices
from tinycnn.devices.gpu.fast.plan import plan as planned
from tinycnn.shapes import UNPADDED, Geometry

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
DOUBLE_IS_SLOW = pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
EVERY_FILE = pytest.mark.parametrize("file", kernels.FAST)
CARDS = {card.arch: card for card in map(cards.get, fast_compile.CARDS)}
DRAWN = 8  # layers and tiles of each file: every one is a kernel to compile


@pytest.fixture
def emulated(dtype):
    return tinycnn.get_device("emulator", dtype)


TURNED_CASES = {
    "odd": Case(fast_cases.ODD, TURNED, GemmTile(1, 8, 8, 16, 8, 8, 4, 4, 3, 1, 1)),
    "padded": Case(fast_cases.PADDED, TURNED, GemmTile(32, 1, 1, 16, 12, 2, 8, 2, 2, 1, 1)),
    "uneven, in slices": Case(fast_cases.UNEVEN, TURNED, GemmTile(2, 4, 8, 20, 12, 2, 20, 1, 3, 3, 1)),
    "one pixel": Case(fast_cases.ONE_PIXEL, TURNED, GemmTile(32, 1, 1, 16, 16, 4, 4, 4, 3, 1, 1)),
}

# ---------------------------------------------------------------- right


def padding_of(layer):
    """((top, bottom), (left, right)) with which the outputs are as many as the layer has."""
    bottom = max(0, (layer.P - 1) * layer.stride_h + layer.R - layer.H - layer.top)
    right = max(0, (layer.Q - 1) * layer.stride_w + layer.S - layer.W - layer.left)
    return (layer.top, bottom), (layer.left, right)


def check(device, case):
    """The case's results on normal numbers, beside the oracles'."""
    layer, rng, padding = case.layer, rng_of(1), padding_of(case.layer)
    x, w, b, dy, y = (
        normal(rng, *shape) for shape in (layer.x_shape, layer.w_shape, (layer.K,), layer.y_shape, layer.y_shape)
    )
    dz = np.where(y > 0, dy, 0) if case.masked else dy
    found = fast_cases.run(device, case, *map(device.asarray, (x, w, b, dy, y)))
    if case.direction == FORWARD:
        want = np.maximum(conv2d(x, w, b, layer.stride, padding), 0)
        assert_close(found[0], want, layer.R * layer.S * layer.C)
    elif case.direction in (BACKWARD_DATA, TURNED):
        want = conv2d_data_gradient(dz, w, layer.x_shape, layer.stride, padding)
        assert_close(found[0], want, layer.R * layer.S * layer.K)
    else:
        dw, db = (slices.sum(axis=0) for slices in found)
        pixels = layer.N * layer.P * layer.Q
        assert found[0].shape[0] == found[1].shape[0] == case.slices
        assert_close(dw, conv2d_filter_gradient(x, dz, layer.w_shape[:2], layer.stride, padding), pixels)
        assert_close(db, dz.sum(axis=(0, 1, 2)), pixels)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", TURNED_CASES)
def test_backward_data_as_a_forward_pass_over_filters_that_were_turned(emulated, name, masked):
    check(emulated, TURNED_CASES[name]._replace(masked=masked))


@DTYPES
@EVERY_FILE
def test_every_case_is_right(emulated, file):
    fast_cases.build(emulated, fast_cases.CASES[file])
    for case in fast_cases.CASES[file]:
        check(emulated, case)


@st.composite
def layers(draw):
    """Any layer whose filter fits into the padded image."""
    R, S = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    padding = draw(st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 2))
    H, W = (draw(st.integers(max(1, taps - sum(pads)), 9)) for taps, pads in zip((R, S), padding, strict=True))
    N, C, K = draw(st.integers(1, 6)), draw(st.integers(1, 70)), draw(st.integers(1, 70))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    return Geometry.of((N, H, W, C), (R, S, C, K), stride, padding)


@st.composite
def products(draw):
    """(BM, BN, TM, TN, LN) of one to four whole warps, with TM a multiple of 4."""
    LN, TM, TN = draw(st.sampled_from([1, 2, 4, 8])), draw(st.sampled_from([4, 8])), draw(st.sampled_from([4, 8]))
    rows, columns = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    return 32 // LN * TM * rows, LN * TN * columns, TM, TN, LN


@st.composite
def gemm_cases(draw):
    layer, (BM, BN, TM, TN, LN) = draw(layers()), draw(products())
    TP, TQ = draw(st.sampled_from([(1, 1), (1, 4), (2, 2), (4, 8), (1, 16), (8, 2)]))
    if BM % (TP * TQ):
        TP = TQ = 1
    BL, stages, split = draw(st.sampled_from([4, 8, 12, 20])), draw(st.integers(2, 4)), draw(st.integers(1, 3))
    tile = GemmTile(BM // (TP * TQ), TP, TQ, BN, BL, TM, TN, LN, stages, split, 1)
    direction = draw(st.sampled_from([FORWARD, BACKWARD_DATA]))
    return Case(layer, direction, tile, 1, direction != FORWARD and draw(st.booleans()))


@st.composite
def gemm_filter_cases(draw):
    BM, BN, TM, TN, LN = draw(products())
    tile = FilterTile(BM, BN, draw(st.integers(1, 9)), TM, TN, LN, draw(st.integers(2, 4)), 1)
    return Case(draw(layers()), BACKWARD_FILTER, tile, draw(st.integers(1, 5)), draw(st.booleans()))


@st.composite
def small_cases(draw):
    layer, direction = draw(layers()), draw(st.sampled_from([FORWARD, BACKWARD_DATA]))
    if direction == BACKWARD_DATA:
        layer = Geometry.of(layer.x_shape, layer.w_shape, (1, 1), padding_of(layer))
    rows = layer.H if direction == BACKWARD_DATA else layer.P
    TP, PX = draw(st.integers(1, rows)), draw(st.integers(1, 5))
    tile = SmallTile(TP, PX, draw(st.sampled_from([4, 8, 20])), draw(st.integers(1, 3)))
    return Case(layer, direction, tile, 1, direction != FORWARD and draw(st.booleans()))


@st.composite
def small_filter_cases(draw):
    layer = draw(layers())
    tile = SmallFilterTile(draw(st.integers(1, layer.P)), draw(st.integers(1, 3)))
    return Case(layer, BACKWARD_FILTER, tile, draw(st.integers(1, 7)), draw(st.booleans()))


STRATEGIES = {
    "fast/conv_gemm": gemm_cases,
    "fast/conv_gemm_filter": gemm_filter_cases,
    "fast/conv_small": small_cases,
    "fast/conv_small_filter": small_filter_cases,
}


def drawn(strategy, count, itemsize):
    """So many cases that can be launched, all at once: their kernels are built together."""
    found = []

    @settings(max_examples=20 * count, phases=[Phase.generate])
    @given(strategy)
    def collect(case):
        if len(found) == count or case in found:
            return
        try:
            plan = case.plan(itemsize)
        except ValueError:
            return
        if plan.shared <= emulator.build.MOST_SHARED:
            found.append(case)

    collect()
    assert len(found) == count
    return tuple(found)


@DOUBLE_IS_SLOW
@EVERY_FILE
def test_any_layer_with_any_tile_is_right(emulated, file):
    cases = drawn(STRATEGIES[file](), DRAWN, emulated.itemsize)
    fast_cases.build(emulated, cases)
    for case in cases:
        check(emulated, case)


# ---------------------------------------------------------------- what a layer asks for


LAYERS = {  # x, w, stride, padding
    "a first layer": ((2, 12, 11, 1), (3, 3, 1, 6), (1, 1), UNPADDED),
    "in the middle": ((3, 9, 8, 10), (3, 3, 10, 18), (1, 1), ((1, 1), (1, 1))),
    "a stride": ((2, 9, 8, 6), (3, 2, 6, 9), (2, 3), ((1, 1), (0, 1))),
    "one pixel": ((3, 1, 1, 5), (1, 1, 5, 7), (1, 1), UNPADDED),
    "1x1": ((2, 5, 6, 9), (1, 1, 9, 4), (1, 1), UNPADDED),
    "1x1 in strides": ((2, 5, 6, 9), (1, 1, 9, 4), (2, 1), UNPADDED),
    "a filter as large as the image": ((4, 3, 4, 5), (3, 4, 5, 11), (1, 1), UNPADDED),
    "that, padded": ((2, 3, 4, 5), (3, 4, 5, 3), (1, 1), ((1, 1), (1, 2))),
}


@DTYPES
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_forward_and_backward_of_a_convolution(emulated, name, masked):
    x_shape, w_shape, stride, padding = LAYERS[name]
    rng = rng_of(2)
    x, w, b = normal(rng, *x_shape), normal(rng, *w_shape), normal(rng, w_shape[3])
    length, want = int(np.prod(w_shape[:3])), conv2d(x, w, b, stride, padding)
    on = [emulated.asarray(a) for a in (x, w, b)]
    y = fast.conv2d_forward(emulated, *on, stride, padding, masked)
    assert_close(y, np.maximum(want, 0) if masked else want, length)
    assert_close(fast.conv2d_forward(emulated, *on[:2], None, stride, padding, False), want - b, length)
    dy = normal(rng, *y.shape)
    dz = np.where(y > 0, dy, 0) if masked else dy
    args = emulated.asarray(dy), y if masked else None, *on[:2], stride, padding
    dx, dw, db = map(emulated.whole, fast.conv2d_backward(emulated, *args, Wanted(True, True, True)))
    pixels = dy.size // dy.shape[3]
    assert_close(dx, conv2d_data_gradient(dz, w, x_shape, stride, padding), length)
    assert_close(dw, conv2d_filter_gradient(x, dz, w_shape[:2], stride, padding), pixels)
    assert_close(db, dz.sum(axis=(0, 1, 2)), pixels)
    for wanted in (Wanted(False, True, False), Wanted(True, False, True)):
        assert [a is not None for a in fast.conv2d_backward(emulated, *args, wanted)] == list(wanted)


@pytest.mark.parametrize("dtype", ["float32"])
def test_a_layer_whose_way_back_is_a_forward_pass_masks_once_for_data_and_filters(emulated, monkeypatch):
    """As the planner has it for large layers; here for a small one."""
    asked = []

    def plan(layer, direction, card, masked, *others):
        asked.append((direction, masked))
        if direction != BACKWARD_DATA:
            return planned(layer, direction, card, masked, *others)
        return next((one.layer, one.plan) for one in choices(layer, direction, card, masked) if one.way == TURNED)

    monkeypatch.setattr(fast, "plan", plan)
    x_shape, w_shape, stride, padding = (3, 7, 6, 5), (3, 3, 5, 8), (1, 1), ((1, 0), (2, 1))
    rng, length = rng_of(8), int(np.prod(w_shape[:3]))
    x, w = normal(rng, *x_shape), normal(rng, *w_shape)
    y = np.maximum(conv2d(x, w, 0, stride, padding), 0).astype(np.float32)
    dy = normal(rng, *y.shape)
    args = *map(emulated.asarray, (dy, y, x, w)), stride, padding
    dx, dw, db = map(emulated.whole, fast.conv2d_backward(emulated, *args, Wanted(True, True, True)))
    dz, pixels = np.where(y > 0, dy, 0), dy.size // dy.shape[3]
    assert_close(dx, conv2d_data_gradient(dz, w, x_shape, stride, padding), length)
    assert_close(dw, conv2d_filter_gradient(x, dz, w_shape[:2], stride, padding), pixels)
    assert_close(db, dz.sum(axis=(0, 1, 2)), pixels)
    assert asked == [(BACKWARD_DATA, True), (BACKWARD_FILTER, False)]


@DTYPES
@pytest.mark.parametrize("shape", [(5, 13, 3), (130, 300, 10), (1, 1, 1), (35, 37, 70)], ids=str)
def test_forward_and_backward_of_a_dense_layer_and_of_a_1x1_convolution(emulated, shape):
    (N, inputs, units), rng = shape, rng_of(3)
    x, w, b, dy = normal(rng, N, inputs), normal(rng, inputs, units), normal(rng, units), normal(rng, N, units)
    on = [emulated.asarray(a) for a in (x, w, b)]
    y = fast.dense_forward(emulated, *on, True)
    assert_close(y, np.maximum(x @ w + b, 0), inputs)
    dz = np.where(y > 0, dy, 0)
    every = Wanted(True, True, True)
    wants = ((dz @ w.T, units), (x.T @ dz, N), (dz.sum(0), N))
    gradients = fast.dense_backward(emulated, emulated.asarray(dy), y, *on[:2], every)
    for found, (want, length) in zip(gradients, wants, strict=True):
        assert_close(emulated.whole(found), want, length)
    image, filters = on[0].reshape((N, 1, 1, inputs)), on[1].reshape((1, 1, inputs, units))
    y4 = fast.conv1x1_forward(emulated, image, filters, on[2], True)
    assert_close(y4.reshape(y.shape), np.maximum(x @ w + b, 0), inputs)
    gradients = fast.conv1x1_backward(emulated, emulated.asarray(dy).reshape(y4.shape), y4, image, filters, every)
    for found, (want, length) in zip(gradients, wants, strict=True):
        assert_close(emulated.whole(found).reshape(want.shape), want, length)


@pytest.mark.parametrize("dtype", ["float32"])
@pytest.mark.parametrize("refused", DIRECTIONS)
def test_what_no_kernel_takes_the_general_ones_compute(emulated, monkeypatch, refused):
    def plan(layer, direction, *others):
        if direction == refused:
            raise ValueError("no kernel takes it")
        return planned(layer, direction, *others)

    monkeypatch.setattr(fast, "plan", plan)
    x_shape, w_shape, stride, padding = LAYERS["in the middle"]
    rng, length = rng_of(6), int(np.prod(w_shape[:3]))
    x, w = normal(rng, *x_shape), normal(rng, *w_shape)
    y = fast.conv2d_forward(emulated, emulated.asarray(x), emulated.asarray(w), None, stride, padding, True)
    assert_close(y, np.maximum(conv2d(x, w, 0, stride, padding), 0), length)
    dy = normal(rng, *y.shape)
    args = emulated.asarray(dy), y, emulated.asarray(x), emulated.asarray(w), stride, padding
    dx, dw, db = map(emulated.whole, fast.conv2d_backward(emulated, *args, Wanted(True, True, True)))
    dz, pixels = np.where(y > 0, dy, 0), dy.size // dy.shape[3]
    assert_close(dx, conv2d_data_gradient(dz, w, x_shape, stride, padding), length)
    assert_close(dw, conv2d_filter_gradient(x, dz, w_shape[:2], stride, padding), pixels)
    assert_close(db, dz.sum(axis=(0, 1, 2)), pixels)


def test_what_a_filter_of_one_pixel_or_of_the_whole_image_computes_is_a_matrix_product():
    for (x_shape, w_shape, *rest), want in (
        (LAYERS["1x1"], Geometry.of_product(60, 9, 4)),
        (LAYERS["a filter as large as the image"], Geometry.of_product(4, 60, 11)),
        (LAYERS["one pixel"], Geometry.of_product(3, 5, 7)),
    ):
        assert simplified(Geometry.of(x_shape, w_shape, *rest)) == want
    for name in ("1x1 in strides", "that, padded", "a stride"):
        layer = Geometry.of(*LAYERS[name])
        assert simplified(layer) == layer


# ---------------------------------------------------------------- the same bits, and NaN


@DTYPES
def test_a_sum_cut_into_slices_does_not_depend_on_which_block_is_the_last(emulated):
    """Whoever is the last to arrive adds the slices up in their order."""
    case = next(case for case in fast_cases.GEMM if case.tile.SPLIT == 4)
    layer, rng, found = case.layer, rng_of(4), []
    x, w = (emulated.asarray(normal(rng, *shape)) for shape in (layer.x_shape, layer.w_shape))
    plan = case.plan(emulated.itemsize)
    name = plan.named(emulated.ctype)
    module = emulator.load(kernels.path(plan.file), [name])
    blocks = np.arange(np.prod(plan.grid))
    for order in (blocks, blocks[::-1], rng.permutation(blocks)):
        y, arrivals = emulated.empty(layer.y_shape), emulated.zeros((plan.grid[0],), "int32")
        scratch = emulated.empty((len(blocks) * plan.outputs,))
        scratch.fill(np.nan)
        args = [x, w, w, y, scratch, arrivals, *map(np.int32, (layer.N, 0, 0))]
        grid, block = emulator.module.check_shape(name, plan.grid, plan.block, plan.shared)
        with module.lock:
            assert not module.run(module.signature(name), grid, block, args, plan.shared, list(map(int, order)))
        assert not arrivals.any()
        found.append(y)
    assert_close(found[0], conv2d(np.asarray(x, float), np.asarray(w, float), 0, (1, 1), UNPADDED), layer.C)
    for y in found[1:]:
        assert_same_bits(y, found[0])


@pytest.mark.parametrize("dtype", ["float32"])
@pytest.mark.parametrize("name", ["in the middle", "1x1"])  # a band in shared memory, and a product
def test_nan_is_seen_and_a_gradient_that_relu_cut_off_is_not(emulated, name):
    x_shape, w_shape, stride, padding = LAYERS[name]
    rng = rng_of(5)
    x, w = normal(rng, *x_shape), normal(rng, *w_shape)
    x[0, 0, 0, 0] = np.nan
    y = fast.conv2d_forward(emulated, emulated.asarray(x), emulated.asarray(w), None, stride, padding, True)
    assert np.isnan(y[0, 0, 0]).all() and np.isfinite(y[1:]).all()
    x[0, 0, 0, 0] = 0
    y, dy = np.ones_like(y), np.zeros_like(y)
    y[0, 0, 0, 1], dy[0, 0, 0, 1] = 0, np.nan  # dy counts only where y > 0
    dy[1, 0, 0, 2] = np.nan
    arrays = dy, y, emulated.asarray(x), emulated.asarray(w)
    found = fast.conv2d_backward(emulated, *arrays, stride, padding, Wanted(True, True, True))
    dx, dw, db = map(emulated.whole, found)
    assert np.isfinite(dx[0]).all() and np.isnan(dx[1, 0, 0]).all()
    assert np.isnan(db).tolist() == [k == 2 for k in range(w_shape[3])]
    assert np.isnan(dw.sum(axis=0)[..., 2]).any() and np.isfinite(np.delete(dw.sum(axis=0), 2, -1)).all()


# ---------------------------------------------------------------- what they ask of memory

WIDE = Geometry.of((128, 28, 28, 32), (3, 3, 32, 64), (1, 1), UNPADDED)
NARROW = Geometry.of((128, 26, 26, 12), (3, 3, 12, 20), (1, 1), UNPADDED)


@pytest.mark.parametrize("dtype", ["float32"])
def test_a_tap_that_sees_only_padding_is_left_out_even_where_its_filter_is_infinite(emulated):
    """Where the tile is one pixel of many images. The general kernels multiply the padding too: see docs/devices.md."""
    case = fast_cases.GEMM[2]
    layer = case.layer
    assert (layer.top, layer.left) == (1, 1) and (case.tile.TP, case.tile.TQ) == (1, 1)
    ones = (
        np.ones(shape, np.float32) for shape in (layer.x_shape, layer.w_shape, (layer.K,), layer.y_shape, layer.y_shape)
    )
    x, w, b, dy, y = map(emulated.asarray, ones)
    w[0, 0] = np.inf
    (found,) = fast_cases.run(emulated, case, x, w, b, dy, y)
    general = emulated.conv2d_forward(x, w, b, layer.stride, padding_of(layer), False)
    assert np.isposinf(found[:, 1:, 1:]).all() and np.isposinf(general[:, 1:, 1:]).all()
    for edge in (np.s_[:, 0], np.s_[:, :, 0]):
        assert np.isfinite(found[edge]).all() and np.isnan(general[edge]).all()


COSTS = [  # (case, what costs more than it must, in times: as LAUNCHES of test_launch_quality.py)
    (Case(WIDE, FORWARD, GemmTile(64, 1, 1, 64, 16, 8, 8, 4, 3, 1, 6)), {"store dynamic_memory": 1.5, "load b": 2.0}),
    (
        Case(WIDE, BACKWARD_DATA, GemmTile(128, 1, 1, 32, 16, 8, 8, 4, 3, 1, 6), 1, True),
        {"load dynamic_memory": 1.2, "store dynamic_memory": 2.0},
    ),
    (Case(WIDE, BACKWARD_FILTER, FilterTile(96, 64, 16, 12, 8, 4, 3, 4), 176, True), {"store dynamic_memory": 4.0}),
    (
        Case(NARROW, FORWARD, SmallTile(24, 8, 4, 1)),
        {"store dynamic_memory": 1.06, "store y": 1.23, "load b": 3.0},
    ),
    (
        Case(NARROW, BACKWARD_FILTER, SmallFilterTile(24, 12), 128, True),
        {"load dynamic_memory": 2.18, "store dynamic_memory": 1.65, "store partial": 1.12},
    ),
]


class Recorder(EmulatorDriver):
    """Launches are written down and not run."""

    launches = ()

    def launch(self, file, kernel, ctype, grid, block, args, shared, cooperative):
        self.launches = (*self.launches, (file, emulator.Launch(kernel, grid, block, args, shared)))


@pytest.mark.parametrize("case, costs", COSTS, ids=lambda value: getattr(value, "direction", ""))
def test_sectors_and_bank_conflicts(case, costs):
    """What is read again and again is read without conflicts; what costs more happens once a step, or once."""
    device, of = KernelDevice("float32", Recorder()), case.layer
    fast_cases.run(device, case, *map(device.zeros, (of.x_shape, of.w_shape, (of.K,), of.y_shape, of.y_shape)))
    ((file, launch),) = device.driver.launches
    assert more_than_it_must(launch, file) == costs


# ---------------------------------------------------------------- without faults, and within what a GPU has


@DOUBLE_IS_SLOW
@EVERY_FILE
def test_the_check_reports_nothing(file, dtype):
    launches = kernel_cases.cases(file, dtype)
    assert len(launches) == len(fast_cases.CASES[file])
    assert [str(report) for report in emulator.check(kernels.path(file), launches)] == []


def test_what_cannot_be_launched_is_refused():
    layer, small = Geometry.of((2, 9, 9, 4), (3, 3, 4, 8), (1, 1), UNPADDED), SmallTile(2, 2, 4, 1)
    strided = Geometry.of((2, 9, 9, 4), (3, 3, 4, 8), (2, 2), UNPADDED)
    huge = Geometry.of((2, 40000, 40000, 4), (3, 3, 4, 8), (1, 1), UNPADDED)
    wide = Geometry.of((2, 9, 9, 4), (3, 3, 4, 71), (1, 1), UNPADDED)
    large = Geometry.of((64, 2100, 2100, 16), (3, 3, 16, 8), (1, 1), UNPADDED)  # one image is not too large, 32 are
    tile = GemmTile(32, 1, 1, 16, 16, 4, 4, 4, 3, 1, 1)
    for of, direction, cut, message in (
        (layer, FORWARD, tile._replace(BN=20), "not whole warps of 32 x 16"),
        (layer, BACKWARD_FILTER, FilterTile(30, 16, 8, 4, 4, 4, 3, 1), "not whole warps"),
        (wide, FORWARD, tile._replace(BN=64, IM=32, TN=16, TM=4), "32 threads, too few to copy a row of 64 chunks"),
        (strided, BACKWARD_DATA, small, "no backward data of a stride"),
        (huge, FORWARD, SmallTile(2, 2, 4, 1), "too large"),
        (large, FORWARD, tile, "too large"),
        (large, BACKWARD_FILTER, FilterTile(32, 16, 32, 4, 4, 4, 3, 1), "too large"),
        (layer, FORWARD, SmallTile(7, 1, 4, 80), "cannot be launched"),
        (layer, FORWARD, tile._replace(IM=128, BN=64, TM=16, TN=16), "needs 342 registers, and has 255"),
        (layer, FORWARD, tile._replace(MINBLOCKS=64), "needs 54 registers, and has 32"),
    ):
        with pytest.raises(ValueError, match=message):
            plan_of(of, direction, cut, 1, False, 4)


@pytest.mark.parametrize(
    "arch", [pytest.param(arch, marks=[] if i == 0 else pytest.mark.slow) for i, arch in enumerate(ARCHITECTURES)]
)
def test_the_kernels_of_a_layer_compile_for_every_architecture_and_spill_nothing(nvrtc, arch):
    layers = [Geometry.of(*LAYERS[name]) for name in ("in the middle", "a stride")]
    layers.append(Geometry.of((128, 13, 13, 64), (5, 5, 64, 128), (1, 1), UNPADDED))
    for layer in layers:
        for direction in DIRECTIONS:
            _, plan = planned(layer, direction, CARDS[arch], direction != FORWARD)
            (row,) = compile_gate.compile_kernels(plan.file, [plan.named("float")], arch)
            assert row.spills == row.stack == 0 and row.registers * plan.block[0] <= 65536, row.kernel


# ---------------------------------------------------------------- the files

HEADERS = ("conv", "copies", "tiles", "bands")


@EVERY_FILE
def test_a_file_keeps_the_house_rules(file):
    """No include but the headers, no atomics or shuffles of its own; a head that says what it is."""
    text = kernels.path(file).read_text()
    included = re.findall(r"#\s*include\s*(.*)", text)
    assert set(included) <= {'"../common.cuh"', *(f'"{name}.cuh"' for name in HEADERS)}
    assert not re.search(r"\basm\b|atomic|__shfl|__activemask", re.sub(r"//.*", "", text))
    head = text.split("#include")[0]
    assert head.startswith("// Convolution of one ") and "x (N,H,W,C)" in head


def test_inline_ptx_is_in_one_header_behind_one_guard():
    for name in HEADERS:
        text = re.sub(r"//.*", "", (kernels.FOLDER / "fast" / f"{name}.cuh").read_text())
        assert not re.search(r"#\s*include", text)
        outside = re.sub(r"#if HAS_ASYNC_COPIES\n.*?(#else|#endif)\n", "", text, flags=re.DOTALL)
        assert ("asm volatile" in text) == (name == "copies") and "asm" not in outside


def test_every_file_of_the_folder_is_listed():
    folder = kernels.FOLDER / "fast"
    assert {f"fast/{path.stem}" for path in folder.glob("*.cu")} == set(kernels.FAST)
    assert {path.stem for path in folder.glob("*.cuh")} == set(HEADERS)


# ---------------------------------------------------------------- the script that compiles every layer


def no_nvdisasm():
    raise disassembly.NvdisasmMissing("it is missing")


def test_the_script_lists_the_kernels_of_a_network(nvrtc, monkeypatch, capsys):
    problems = [Convolution(2, 6, 5, 3, 4, 2, 3), Dense(2, 40, 10), MaxPool(2, 6, 5, 3, (2, 2), (2, 2))]
    monkeypatch.setattr(fast_compile.network_shapes, "problems", lambda networks: dict.fromkeys(problems))
    monkeypatch.setattr(disassembly, "find_nvdisasm", no_nvdisasm)
    assert fast_compile.main(["any", "--card", "a100-40gb"]) == 0
    why, head, columns, *rows, last = capsys.readouterr().out.splitlines()
    assert "Inner loops are not looked at: it is missing" in why
    assert head.endswith("(sm_80)") and columns.split()[-1] == "kernel" and last == "0 spill"
    for row, (layer, direction) in zip(
        rows,
        [(fast_compile.layer_of(problem), way) for problem in problems[:2] for way in DIRECTIONS],
        strict=True,
    ):
        _, plan = planned(layer, direction, cards.get("a100-40gb"), direction != FORWARD)
        threads, registers, shared, warps, spills, code, share, name = row.replace("no nvdisasm", "-").split(maxsplit=7)
        assert name == plan.named("float") and int(spills) == 0 and share == "-"
        assert (int(threads), int(shared)) == (plan.block[0], plan.room)
        assert 16 <= int(registers) <= 255 and int(code) > 500 and 0 < int(warps[:-1]) <= 100


def test_the_script_writes_what_it_finds_of_every_layer(nvrtc, monkeypatch, tmp_path):
    """With inner loops, which are read by test_disassembly.py."""
    monkeypatch.setattr(fast_compile.network_shapes, "problems", lambda networks: dict.fromkeys([Dense(2, 40, 10)]))
    monkeypatch.setattr(fast_compile, "find", lambda: ("nvdisasm", "12.8"))
    monkeypatch.setattr(disassembly, "disassemble", lambda path, code: {"kernel": [path, code]})
    loop = disassembly.Loop((disassembly.Instruction(0, "FFMA", False, None),) * 3)
    monkeypatch.setattr(disassembly, "inner_loop", lambda listing: loop)
    assert fast_compile.main(["--results", str(tmp_path)]) == 0
    content = json.loads((tmp_path / "nvrtc" / "fast_compile.json").read_text())
    assert content["versions"]["nvdisasm"] == "12.8" and content["batch"] == 128
    assert [row["arch"] for row in content["rows"]] == [arch for arch in ARCHITECTURES for _ in DIRECTIONS]
    for row in content["rows"]:
        card = cards.get(row["card"])
        assert card.arch == row["arch"] and row["loop"] == [3, 3] and row["spills"] == 0
        assert row["warps"] == round(row["blocks"] * -(-row["threads"] // 32) * 32 / card.threads, 4) <= 1


def test_the_script_says_where_registers_spill(nvrtc, monkeypatch, capsys):
    monkeypatch.setattr(fast_compile.network_shapes, "problems", lambda networks: [Dense(2, 40, 10)])
    rows_of = compile_gate.rows_of
    monkeypatch.setattr(compile_gate, "rows_of", lambda *args: [row._replace(spills=8) for row in rows_of(*args)])
    assert fast_compile.main(["--card", "h200"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "3 spill"
