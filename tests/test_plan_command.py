"""`tinycnn plan`: its figures are the planner's, and what it refuses."""

import json
import re
import sys

import pytest
import stand_in_cupy

import tinycnn
from tinycnn import architectures, layers, session
from tinycnn.command import planned
from tinycnn.devices.checks import compile_gate
from tinycnn.devices.checks.compile_gate import NvrtcMissing
from tinycnn.devices.gpu import cards, cuda
from tinycnn.devices.gpu.fast import plan as planner
from tinycnn.fit.products import Product, products, rest
from tinycnn.models import Sequential
from tinycnn.shapes import Geometry

CONV = ("plan", "conv2d", "--shape", "128x26x26x12", "--filters", "3x3x20")
LAYER = Geometry(128, 26, 26, 12, 20, 3, 3, 24, 24, 1, 1, 0, 0)


@pytest.fixture
def without_nvrtc(monkeypatch):
    def missing(*_):
        raise NvrtcMissing("NVRTC is missing: pip install it")

    monkeypatch.setattr(compile_gate, "load_nvrtc", missing)


@pytest.mark.parametrize("card", ["h200", "t4"])
def test_the_table_is_of_the_planners_candidates_in_their_order(run, without_nvrtc, card):
    status, out, _ = run(*CONV, "--card", card)
    assert status == 0
    for direction in ("forward", "backward_data", "backward_filter"):
        choices = planner.choices(LAYER, direction, cards.get(card))
        table = out.split(f"{direction} on {cards.get(card).name}: the best of {len(choices)} candidates")[1]
        rows = table.split("\n\n")[0].splitlines()[3:]
        for row, one in zip(rows, choices[: planned.SHOWN], strict=False):
            assert f"{one.us:.1f}" in row.split() and one.source in row.split()
            assert f"{planner.flop(LAYER) / one.us / 1e6:.1f}" in row.split()
            assert f"about {one.registers}" in row and f"{one.plan.shared / 1024:.1f}" in row.split()
        assert f"{choices[0].counts.blocks:,} blocks" in " ".join(table.split())
    assert "Registers are guessed: NVRTC is missing: pip install it" in out
    assert "Predictions are by a model fitted to times of kernels/fast on an NVIDIA H200" in out


def test_without_a_card_it_is_this_machines_gpu(run, without_nvrtc, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", stand_in_cupy)
    monkeypatch.setattr(cuda, "driver_version", lambda: (13, 0))
    properties = {"name": b"NVIDIA L4"}
    monkeypatch.setattr(stand_in_cupy.runtime, "getDeviceProperties", lambda number: properties)
    monkeypatch.setattr(planned, "gpu_count", lambda: 1)
    assert run(*CONV, "--direction", "data")[1].startswith("backward_data on NVIDIA L4: ")
    properties["name"] = b"NVIDIA Some GPU"
    said = {"MultiProcessorCount": 10, "ClockRate": 10**6, "MemoryClockRate": 10**6, "GlobalMemoryBusWidth": 128}
    monkeypatch.setattr(stand_in_cupy.Device, "compute_capability", "120")
    monkeypatch.setattr(stand_in_cupy.Device, "attributes", {**said, "L2CacheSize": 2**20})
    card = planned.find_card(None)
    assert (card.name, card.arch, card.multiprocessors) == ("NVIDIA Some GPU", "sm_120", 10)
    monkeypatch.setattr(planned, "gpu_count", lambda: 0)
    assert planned.find_card(None) is cards.get("h200")


def test_only_what_is_asked_for_is_told(run, without_nvrtc):
    _, out, _ = run(*CONV, "--direction", "filter", "--card", "a100")
    assert re.findall(r"^(\w+) on (.*):", out, re.MULTILINE) == [("backward_filter", "NVIDIA A100-SXM4-80GB")]


def test_the_json_has_the_launches(run, without_nvrtc):
    _, out, _ = run(*CONV, "--direction", "forward", "--json", "--card", "h200")
    facts = json.loads(out)
    (found,) = facts["directions"]
    choices = planner.choices(LAYER, "forward", cards.get("h200"))
    assert facts["layer"] == LAYER._asdict() and found["considered"] == len(choices)
    assert found["candidates"][0]["plan"] == json.loads(json.dumps(choices[0].plan._asdict()))
    assert [row["us"] for row in found["candidates"]] == [one.us for one in choices[: planned.SHOWN]]
    assert facts["model"]["errors"]["median"] > 1


def test_registers_are_the_compilers_where_it_is_there(nvrtc, run):
    """As the compile gate tells them of the same kernel; the blocks that a multiprocessor holds follow from them."""
    _, out, _ = run(*CONV, "--direction", "forward", "--json", "--card", "h200")
    (found,) = json.loads(out)["directions"]
    best = found["candidates"][0]
    expression = best["plan"]["kernel"].replace("<T,", "<float,")
    (row,) = compile_gate.compile_kernels(best["plan"]["file"], [expression], "sm_90")
    assert best["registers"] == row.registers and row.spills == 0 and found["guessed"] is None
    assert best["resident"] * best["plan"]["block"][0] * row.registers <= 65536


def test_the_blocks_that_are_there_at_once_follow_from_the_compilers_registers(run, monkeypatch):
    """255 of a thread: 8 warps of a multiprocessor, whose 65,536 are given to a warp 256 at a time."""

    def compile_kernels(file, names, arch):
        return [compile_gate.Row(file, name, arch, 255, 0, 0, 0) for name in names]

    monkeypatch.setattr(compile_gate, "compile_kernels", compile_kernels)
    _, out, _ = run(*CONV, "--direction", "forward", "--json", "--card", "h200")
    for row in json.loads(out)["directions"][0]["candidates"]:
        warps = -(-row["plan"]["block"][0] // 32)
        assert row["registers"] == 255 and row["resident"] == max(1, 8 // warps)


def test_stride_and_padding_change_the_layer(run, without_nvrtc):
    _, out, _ = run(*CONV, "--stride", 2, "--padding", "same", "--direction", "data", "--json", "--card", "h200")
    facts = json.loads(out)
    layer = Geometry(128, 26, 26, 12, 20, 3, 3, 13, 13, 2, 2, 0, 0)
    assert facts["layer"] == layer._asdict()
    best = planner.choices(layer, "backward_data", cards.get("h200"))[0]
    assert facts["directions"][0]["candidates"][0]["us"] == best.us


# ---------------------------------------------------------------- a network


def test_a_networks_launches_are_each_layers_with_their_sum(run):
    status, out, _ = run("plan", "go-crazy", "--card", "h200", "--json")
    facts = json.loads(out)
    with tinycnn.use_device("reference"), session.without_initial_weights():
        found = products(architectures.build("go-crazy"), 128)
    assert status == 0 and facts["batch"] == 128
    for row, product in zip(facts["launches"], found, strict=True):
        assert row["direction"] == product.direction
        masked = product.relu and product.direction != "forward"
        assert row["us"] == planner.choices(product.geometry, product.direction, cards.get("h200"), masked)[0].us
    assert facts["sum_us"] == pytest.approx(sum(row["us"] for row in facts["launches"]))
    assert facts["rest"]["us_from_memory"] == pytest.approx(facts["rest"]["bytes"] / 4.8e6)  # of 4.8 TB/s
    _, text, _ = run("plan", "go-crazy", "--card", "h200")
    assert f"{len(found)} launches" in text and f"{facts['sum_us']:.1f}" in text
    assert "6 BatchNormalization" in text and "it is not predicted" in " ".join(text.split())


def test_a_larger_batch_takes_longer(run):
    small, large = (
        json.loads(run("plan", "models-9", "--card", "l4", "--batch-size", n, "--json")[1]) for n in (16, 256)
    )
    assert small["batch"] == 16 and 2 * small["sum_us"] < large["sum_us"]


def test_products_are_those_that_a_step_computes():
    """No gradient of the images; frozen layers have none of their filters; ReLUs are told."""
    with tinycnn.use_device("reference"):
        model = Sequential(
            [
                layers.Conv2D(4, (3, 3), activation="relu", input_shape=(8, 8, 3)),
                layers.Conv2D(5, (3, 3), padding="same", strides=(2, 2)),
                layers.Flatten(),
                layers.Dense(7, activation="softmax"),
            ]
        )
        first, second, dense = (layer.name for layer in model.layers if layer.weights)
        one = Geometry(6, 8, 8, 3, 4, 3, 3, 6, 6, 1, 1, 0, 0)
        two = Geometry(6, 6, 6, 4, 5, 3, 3, 3, 3, 2, 2, 0, 0)
        three = Geometry(6, 1, 1, 45, 7, 1, 1, 1, 1, 1, 1, 0, 0)
        forward = [(first, one, "forward", True), (second, two, "forward", False), (dense, three, "forward", False)]
        backward = [
            Product(dense, three, "backward_filter", False),
            Product(dense, three, "backward_data", False),
            Product(second, two, "backward_filter", False),
            Product(second, two, "backward_data", False),
            Product(first, one, "backward_filter", True),
        ]
        assert products(model, 6) == [Product(*p) for p in forward] + backward
        model.layers[0].trainable = False
        assert products(model, 6) == [Product(*p) for p in forward] + backward[:3]


def test_a_transposed_convolution_is_the_other_one_s_way_back():
    with tinycnn.use_device("reference"):
        model = Sequential(
            [
                layers.Conv2D(2, (1, 1), input_shape=(3, 4, 5)),
                layers.Conv2DTranspose(7, (3, 2), strides=(2, 1), padding="same", activation="relu"),
            ]
        )
        way_back = Geometry(6, 6, 4, 7, 2, 3, 2, 3, 4, 2, 1, 0, 0)  # from the images that it makes to those it is given
        found = [p for p in products(model, 6) if p.layer == model.layers[1].name]
    assert found == [
        Product(model.layers[1].name, way_back, direction, False)
        for direction in ("backward_data", "backward_filter", "forward")
    ]


def test_the_rest_of_a_step_is_counted():
    with tinycnn.use_device("reference"):
        model = Sequential(
            [
                layers.MaxPooling2D((2, 2), input_shape=(8, 8, 3)),
                layers.Flatten(),
                layers.Dense(7),
            ]
        )
    found = rest(model, 5)
    assert found.layers == {"MaxPooling2D": 1}
    assert found.bytes == 4 * (5 * (2 * (8 * 8 * 3 + 4 * 4 * 3) + 2 * 7) + 3 * (48 * 7 + 7))


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("conv2d",), "conv2d needs its --shape, as 128x28x28x32, and --filters, as 3x3x64"),
        (("conv2d", "--shape", "1x8x8x1"), "--filters"),
        (("conv2d", "--shape", "1x8x8", "--filters", "3x3x4"), "'1x8x8' is not NxHxWxC"),
        (("conv2d", "--shape", "1x8x8x0", "--filters", "3x3x4"), "from 1 to 65535"),
        (("conv2d", "--shape", "1x8x8x1", "--filters", "3xx4"), "'3xx4' is not RxSxK"),
        (("conv2d", "--shape", "1x8x8x1", "--filters", "99999x3x4"), "'99999x3x4' is not RxSxK"),
        (("conv2d", "--shape", "1x8x8x1", "--filters", "9x3x4"), "Negative dimension size"),
        (("conv2d", "--shape", "9x60000x60000x9", "--filters", "3x3x4"), "no kernel of kernels/fast takes"),
        (("conv2d", "--shape", "1x8x8x1", "--filters", "3x3x4", "--stride", "0"), "--stride"),
        (("conv2d", "--shape", "1x8x8x1", "--filters", "3x3x4", "--padding", "full"), "--padding"),
        (("conv2d", "--shape", "1x8x8x1", "--filters", "3x3x4", "--batch-size", "2"), "--batch-size is for networks"),
        ((*CONV[1:], "--card", "h20"), "no card is called 'h20'; did you mean 'h200'?"),
        (("go-crazy", "--source", "--json"), "--json has the source among what it prints"),
        (("go-craz",), "did you mean go-crazy?"),
        (("go-crazy", "--shape", "1x8x8x1"), "--shape is for conv2d; 'go-crazy' is taken for a network"),
        (("go-crazy", "--direction", "all"), "--direction is for conv2d"),
        (("go-crazy", "--card", "voodoo"), "no card is called 'voodoo'"),
        (("CN(4,(9,9))->CN(4,(99,99))",), "Negative dimension size"),
    ],
)
def test_bad_input_is_one_line_and_status_2(run, arguments, words):
    status, out, error = run("plan", *arguments)
    assert status == 2 and out == "" and words in error
    assert error.startswith("tinycnn: ") and error.count("\n") == 1
