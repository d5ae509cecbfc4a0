"""Times that are measured on this machine: what is kept of them, and that they decide. On a stand-in for CuPy."""

import json
import os
import sys

import pytest
import stand_in_cupy

import tinycnn
from tinycnn.command import doctor
from tinycnn.devices.gpu import cards, cuda
from tinycnn.devices.gpu.fast import measured, measuring
from tinycnn.devices.gpu.fast import plan as planner
from tinycnn.devices.gpu.fast.instances import BACKWARD_DATA, BACKWARD_FILTER, FORWARD, TURNED
from tinycnn.devices.gpu.fast.measured import Time
from tinycnn.shapes import Geometry

H200, T4 = cards.get("h200"), cards.get("t4")
LAYER = Geometry.of((2, 9, 8, 10), (3, 3, 10, 6), (1, 1), ((0, 0), (0, 0)))
CONV = ("plan", "conv2d", "--shape", "2x9x8x10", "--filters", "3x3x6")


@pytest.fixture(autouse=True)
def kept(monkeypatch, tmp_path):
    """An empty folder for times, and a planner that has read none."""
    monkeypatch.setattr(measured, "folder", lambda: tmp_path / "times")
    forget()
    yield tmp_path / "times"
    forget()


def forget():
    measured.read.cache_clear()
    planner.choices.cache_clear()


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "cupy", stand_in_cupy)
    monkeypatch.setattr(cuda, "driver_version", lambda: (13, 0))
    monkeypatch.setattr(stand_in_cupy.cuda, "nvrtc", stand_in_cupy.Nvrtc())
    monkeypatch.setenv("TINYCNN_CUDA_CACHE", str(tmp_path))
    for name, few in (("MOST", 2), ("CALLS", 2), ("ROUNDS", 3)):
        monkeypatch.setattr(measuring, name, few)
    device = cuda.CudaDevice()
    monkeypatch.setitem(tinycnn.devices._made, ("cuda", "float32"), device)
    return device


def a_time(number, us, direction=FORWARD, masked=False, card=H200):
    """That of the planner's number-th best tile for LAYER."""
    one = planner.choices(LAYER, direction, card, masked)[number]
    return Time(one.layer, one.way, masked, one.tile, one.plan.slices, us)


# ---------------------------------------------------------------- what decides


@pytest.mark.parametrize("masked", [False, True])
def test_what_was_measured_on_this_machine_decides(masked):
    slow, quick = (a_time(n, us, BACKWARD_DATA, masked) for n, us in ((0, 90.0), (3, 0.5)))
    measured.keep(H200, [slow, quick])
    planner.choices.cache_clear()
    best = planner.choices(LAYER, BACKWARD_DATA, H200, masked)[0]
    assert (best.tile, best.us, best.source) == (quick.tile, 0.5, planner.MEASURED)
    others = [(FORWARD, H200, masked, 4), (BACKWARD_DATA, T4, masked, 4), (BACKWARD_DATA, H200, masked, 8)]
    for direction, card, mask, itemsize in others:  # of which it says nothing
        found = planner.choices(LAYER, direction, card, mask, itemsize)
        assert {one.source for one in found} == {planner.PREDICTED}


def test_times_of_this_machine_stand_before_those_that_came_with_tinycnn():
    layer, direction, _ = next(key for key, times in measured.by_layer().items() if len(times) > 1)
    came = measured.times(H200, layer, direction)
    (tile, slices), us = next(iter(came.items()))
    measured.keep(H200, [Time(layer, direction, False, tile, slices, us / 2)])
    assert measured.times(H200, layer, direction) == {(tile, slices): us / 2}


def test_later_times_of_a_layer_take_the_place_of_earlier_ones_and_others_stay():
    first, other = a_time(0, 5.0), a_time(0, 3.0, BACKWARD_FILTER)
    measured.keep(H200, [first, other])
    measured.keep(H200, [a_time(1, 4.0)])
    assert list(measured.times(H200, LAYER, FORWARD).values()) == [4.0]
    assert list(measured.times(H200, LAYER, BACKWARD_FILTER).values()) == [3.0]


# ---------------------------------------------------------------- a file is verified


def write(path, change):
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))
    forget()


@pytest.mark.parametrize(
    "damage",
    [
        lambda facts: facts["rows"][0].update(us=0.001),
        lambda facts: facts.pop("sha256"),
        lambda facts: facts.update(rows=7),
    ],
)
def test_a_damaged_file_counts_for_nothing_and_is_named(kept, damage):
    measured.keep(H200, [a_time(3, 0.5)])
    write(kept / "h200.json", damage)
    with pytest.warns(UserWarning, match=r"h200\.json is damaged, its times count for nothing: tinycnn plan --measure"):
        assert planner.choices(LAYER, FORWARD, H200)[0].source == planner.PREDICTED
    measured.keep(H200, [a_time(3, 0.5)])
    assert measured.times(H200, LAYER, FORWARD)


def test_bytes_that_are_no_text_are_a_damaged_file(kept):
    kept.mkdir()
    (kept / "h200.json").write_bytes(b"\xff\xfe{")
    with pytest.warns(UserWarning, match="is damaged"):
        assert measured.read(kept / "h200.json") == {}


@pytest.mark.parametrize(
    "change",
    [
        {"us": -1.0},
        {"us": float("inf")},
        {"numbers": [1, 2]},
        {"numbers": [1.5, 4, 4, 1]},
        {"layer": [1] * 12},
        {"direction": "up"},
        {"tile": "X"},
    ],
)
def test_what_is_no_time_is_refused_though_its_digest_is_right(kept, change):
    measured.keep(H200, [a_time(3, 0.5)])

    def sealed(facts):
        facts["rows"][0].update(change)
        facts["sha256"] = measured.digest(facts["rows"])

    write(kept / "h200.json", sealed)
    with pytest.warns(UserWarning, match="is damaged"):
        assert measured.read(kept / "h200.json") == {}


def test_times_of_a_kernel_that_was_written_anew_count_no_more(monkeypatch):
    measured.keep(H200, [a_time(3, 0.5)])
    monkeypatch.setattr(measured, "source_of", lambda tile: "another")
    forget()
    assert not measured.times(H200, LAYER, FORWARD)


# ---------------------------------------------------------------- measuring


@pytest.fixture
def launched(gpu, monkeypatch):
    """The launches of that GPU, which computes nothing: (kernel's name, bytes of shared memory)."""
    found = []
    monkeypatch.setattr(gpu.driver, "build", lambda wanted: None)
    monkeypatch.setattr(gpu.driver, "launch", lambda file, name, *rest: found.append((name, rest[4])))
    return found


def test_a_measured_layer_is_planned_by_its_times(run, gpu, kept):
    status, out, error = run(*CONV, "--direction", "data", "--measure", "--json")
    assert status == 0, error
    facts = json.loads(out)
    (found,) = facts["directions"]
    times = measured.times(H200, LAYER, BACKWARD_DATA)
    turned = measured.times(H200, LAYER, TURNED)  # as a forward pass, for which filters were turned
    assert facts["card"] == "NVIDIA H200" and len(times) >= 2 and turned
    known = {*times.values(), *turned.values()}
    assert known >= {row["us"] for row in found["candidates"] if row["source"] == "measured"}
    files = {planner.plan_of(LAYER, BACKWARD_DATA, tile, n, False, 4).file for tile, n in times}
    assert files == {"fast/conv_gemm", "fast/conv_small"}  # the best of each kernel that can compute it
    assert {file for file, _ in gpu.driver.functions} == {*files, "layout"}
    row = json.loads((kept / "h200.json").read_text())["rows"][0]
    assert row["layer"] == list(LAYER) and row["us"] > 0


def test_a_time_is_the_median_of_a_launch_in_its_graph(gpu, launched, monkeypatch):
    """Replays of 60, 20 and 40 us, each of two launches."""
    taken = iter([60e-6, 20e-6, 40e-6])
    monkeypatch.setattr(measuring, "tried", lambda *_: planner.choices(LAYER, FORWARD, H200)[:1])
    monkeypatch.setattr(measuring, "seconds_of", lambda device, replay: next(taken))
    (time,) = measuring.measure(LAYER, FORWARD, False, gpu)
    best = planner.choices(LAYER, FORWARD, H200)[0]
    assert time == Time(LAYER, FORWARD, False, best.tile, best.plan.slices, pytest.approx(20.0))
    assert launched == [(best.plan.named("float"), best.plan.shared)] * 4  # run once, and recorded


def test_all_products_of_a_network_are_measured_as_training_launches_them(run, gpu, launched):
    """Behind a ReLU with its mask, and each once."""
    network = "CN(4,3)->CN(4,3)->CN(10,24,activation=none)->FL()->AC(softmax)"
    status, out, error = run("plan", network, "--measure", "--batch-size", "2", "--json")
    assert status == 0, error
    rows = json.loads(out)["launches"]
    assert len(rows) == 8 and {row["source"] for row in rows} == {"measured"}
    masks = {(direction, masked) for _, direction, masked in measured.read(measured.file_of(H200))}
    assert masks == {(FORWARD, False)} | {
        (way, masked) for way in (BACKWARD_DATA, TURNED, BACKWARD_FILTER) for masked in (False, True)
    }
    assert any("_backward_data<float, true, " in name for name, _ in launched)


def test_times_are_of_graphs_or_none_is_taken(gpu, launched, monkeypatch):
    monkeypatch.setattr(cuda.Recording, "capture", lambda self: None)
    with pytest.raises(RuntimeError, match="takes the host's time"):
        measuring.measure(LAYER, FORWARD, False, gpu)


def test_what_cannot_be_measured_here_is_refused(run, gpu, monkeypatch):
    status, _, error = run(*CONV, "--measure", "--card", "t4")
    assert status == 2 and "--measure is for this machine's NVIDIA H200, and --card names another" in error
    monkeypatch.delitem(tinycnn.devices._made, ("cuda", "float32"))
    monkeypatch.setattr(cuda, "driver_version", lambda: None)
    status, _, error = run(*CONV, "--measure")
    assert status == 2 and "needs an NVIDIA GPU and its driver" in error


def test_doctor_names_the_folder_and_how_to_empty_it(kept):
    measured.keep(H200, [a_time(0, 1.0)])
    facts = doctor.times()
    assert (facts["folder"], facts["files"]) == (str(kept), 1) and facts["bytes"] > 100
    os.system(facts["emptied_by"])
    assert list(kept.iterdir()) == []
