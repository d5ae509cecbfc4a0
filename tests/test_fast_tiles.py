"""Which tiles fast_tiles.py tries, and what it writes of them, on a stand-in for a GPU."""

import json
import sys

import fast_tiles
import network_shapes
import numpy as np
import pytest
import stand_in_cupy
from problems import Convolution, Dense

import tinycnn
from tinycnn import kernels
from tinycnn.devices.gpu import cards, cuda
from tinycnn.devices.gpu.fast import measuring
from tinycnn.devices.gpu.fast.instances import DIRECTIONS, FORWARD

SMALL = (Convolution(2, 6, 5, 4, 8, 3, 3), Dense(5, 12, 8))


def test_every_product_of_the_networks_is_there_once_the_large_ones_first():
    found = fast_tiles.cases()
    assert len({(case.problem, case.direction, case.masked) for case in found}) == len(found)
    unmasked = [(case.problem, case.direction) for case in found if not case.masked]
    assert unmasked == [(problem, way) for problem in dict(unmasked) for way in DIRECTIONS]
    assert set(found[0].networks) & set(network_shapes.LARGE)
    behind = {case.problem for case in found if case.masked}
    assert behind and not any(case.masked and case.direction == FORWARD for case in found)
    assert Convolution(128, 28, 28, 1, 12, 3, 3) in behind  # the first of go-crazy
    assert network_shapes.CLASSICS[0] not in behind


def test_candidates_that_differ_are_tried_of_every_kernel_that_can_compute_the_layer():
    card = cards.get("h200")
    case = fast_tiles.Case(Convolution(128, 26, 26, 16, 32, 3, 3), ("a",), FORWARD, False)
    found = fast_tiles.tried(case, card)
    assert {one.plan.file for one in found} == {"fast/conv_gemm", "fast/conv_small"}
    sizes = [fast_tiles.size_of(one) for one in found]
    assert len(found) >= fast_tiles.MOST and max(map(sizes.count, sizes)) <= fast_tiles.ALIKE


@pytest.fixture
def on_a_stand_in(monkeypatch, tmp_path):
    """Runs the script on small layers; returns (exit status, the file's content)."""
    monkeypatch.setitem(sys.modules, "cupy", stand_in_cupy)
    monkeypatch.setattr(cuda, "driver_version", lambda: (13, 0))
    monkeypatch.setattr(stand_in_cupy.cuda, "nvrtc", stand_in_cupy.Nvrtc())
    monkeypatch.setenv("TINYCNN_CUDA_CACHE", str(tmp_path / "cache"))
    for dtype in ("float32", "float64"):
        monkeypatch.setitem(tinycnn.devices._made, ("cuda", dtype), cuda.CudaDevice(dtype))
    for name, few in (("CALLS", 1), ("ROUNDS", 1)):
        monkeypatch.setattr(measuring, name, few)
    monkeypatch.setattr(fast_tiles, "MOST", 1)
    monkeypatch.setattr(fast_tiles, "MOST_MASKED", 1)
    masks = [(FORWARD, False), *((way, masked) for way in DIRECTIONS[1:] for masked in (False, True))]
    small = [fast_tiles.Case(problem, ("a",), way, masked) for problem in SMALL for way, masked in masks]
    monkeypatch.setattr(fast_tiles, "cases", lambda: small)

    def run():
        status = fast_tiles.main(["--results", str(tmp_path)])
        (path,) = tmp_path.glob("*/fast_tiles.json")
        return status, json.loads(path.read_text(encoding="utf-8"))

    return run


@pytest.mark.slow
def test_times_are_kept_with_how_far_off_the_results_are(on_a_stand_in):
    status, content = on_a_stand_in()
    assert status == 0 and content["left_out"] == []
    assert {row["path"] for row in content["rows"]} == {"fast"}
    assert [row["name"] for row in content["rows"]] == [p.name for p in SMALL for _ in range(5)]
    assert {one["kernel"] for row in content["rows"] for one in row["tried"]} == set(kernels.FAST)
    for row in content["rows"]:
        for one in row["tried"]:
            assert one["us"] > 0 and one["expected_us"] > 0 and one["error"] < fast_tiles.MOST_ERROR
            assert one["registers"] > 0 and one["local_bytes"] == 0


def test_a_wrong_result_fails_the_run_and_is_named(on_a_stand_in, monkeypatch, capsys):
    right = fast_tiles.result
    monkeypatch.setattr(fast_tiles, "result", lambda *of: right(*of) * np.float32(1.001))
    status, _ = on_a_stand_in()
    assert status == 1 and "FAILED: 6x5x4 * 3x3 -> 8 forward: fast/conv_" in capsys.readouterr().out


def test_without_a_gpu_it_counts_or_says_so(monkeypatch, capsys):
    monkeypatch.setattr(cuda, "driver_version", lambda: None)
    monkeypatch.delitem(tinycnn.devices._made, ("cuda", "float32"), raising=False)
    assert fast_tiles.main([]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("fast_tiles.py: ") and "needs an NVIDIA GPU" in line
    monkeypatch.setattr(fast_tiles, "cases", lambda: [fast_tiles.Case(SMALL[0], ("a",), FORWARD, False)])
    assert fast_tiles.main(["--dry-run"]) == 0
    assert "launches\nnothing would be left out" in capsys.readouterr().out
