"""The benchmarks against cuDNN: what they count, how they judge precision, and the whole script on stand-ins for a GPU.

Nothing is timed for its time's sake: on shapes this small the figures mean nothing.
"""

import json
import math
import sys
from collections import Counter

import conv_cudnn
import expected
import gpu_timing
import layers_cudnn
import machine
import network_shapes
import numpy as np
import pytest
import roofline
import stand_in_cupy
import versus
from precision import precision_of
from problems import BatchNorm, Convolution, Dense, Dropout, MaxPool, SoftmaxCrossEntropy, relative_error
from sides import Bound, How, TinycnnSide

import tinycnn
from tinycnn import architectures, devices
from tinycnn.devices.gpu import cuda

PEAKS = roofline.Peaks("a GPU", 1e12, 8e12, 1e11, "made up")
FACTS = {"device": "a GPU", "l2_bytes": 1, "rounds": 2, "absent": {"cuDNN": "why"}}
SMALL = {
    Convolution(2, 7, 6, 3, 5, 3, 2, (1, 1), ((1, 1), (0, 0))): ["a"],
    Convolution(2, 8, 7, 4, 6, 3, 3, (2, 1)): ["a", "b"],
    Convolution(2, 5, 4, 3, 8, 1, 1): ["b"],
    Dense(3, 7, 5): ["a"],
    MaxPool(2, 6, 8, 3, (2, 2), (2, 2)): ["a"],
    BatchNorm((4, 5, 3, 6)): ["a"],
    BatchNorm((9, 6)): ["b"],
    Dropout((8, 6, 7, 5), 0.25): ["a"],
    SoftmaxCrossEntropy(6, 10): ["a", "b"],
}


# ---------------------------------------------------------------- what is counted


def test_a_convolution_s_operations_and_bytes_are_those_counted_by_hand():
    problem = Convolution(2, 9, 8, 3, 5, 3, 2, (2, 1), ((1, 1), (0, 0)))
    P, Q = 5, 7  # (9 + 2 - 3) // 2 + 1, (8 - 2) // 1 + 1
    assert problem.y_shape == (2, P, Q, 5)
    for direction in problem.directions:
        assert problem.flop(direction) == 2 * (2 * 5 * 7 * 5) * (3 * 2 * 3)
        assert problem.bytes(direction) == 4 * (2 * 9 * 8 * 3 + 3 * 2 * 3 * 5 + 2 * 5 * 7 * 5)
    assert [problem.length(d) for d in problem.directions] == [3 * 2 * 3, 3 * 2 * 5, 2 * 5 * 7]


def test_the_other_layers_are_counted_by_hand_too():
    dense, pool = Dense(4, 10, 3), MaxPool(2, 6, 6, 5, (2, 2), (2, 2))
    assert dense.flop("forward") == 2 * 4 * 10 * 3 and dense.bytes("forward") == 4 * (40 + 30 + 12)
    assert pool.flop("forward") == 4 * 2 * 9 * 5 and pool.bytes("backward") == 4 * 2 * 5 * (36 + 9) + 2 * 9 * 5
    assert BatchNorm((4, 3, 3, 7)).bytes("forward") == 4 * (2 * 4 * 9 * 7 + 6 * 7)
    assert Dropout((4, 9), 0.5).bytes("backward") == 4 * 2 * 36
    assert SoftmaxCrossEntropy(4, 10).bytes("forward and backward") == 4 * (3 * 40 + 1)


def test_every_convolution_of_every_network_is_there_once():
    found = network_shapes.convolutions()
    assert {name for names in found.values() for name in names} == {*architectures.ARCHITECTURES, "resnet-50"}
    assert all(len(set(names)) == len(names) for names in found.values())
    go_crazy = Counter((p.H, p.C, p.R, p.K) for p, names in found.items() if "go-crazy" in names)
    sizes = [(28, 1, 3, 12), (26, 12, 3, 20), (24, 20, 1, 10), (12, 10, 3, 16), (10, 16, 3, 16), (8, 16, 3, 16)]
    assert go_crazy == Counter([*sizes, (6, 16, 3, 16), (4, 16, 4, 10)])
    # The multiply-adds of its documented layers, an image, as test_benchmarks.py has them.
    flop = sum(p.flop("forward") for p, names in found.items() if "go-crazy" in names)
    assert flop == 2 * 1_846_192 * network_shapes.BATCH
    assert Convolution(128, 56, 56, 64, 64, 3, 3, (1, 1), ((1, 1), (1, 1))) in found


def test_the_other_layers_of_a_network_are_found_with_their_shapes():
    found = network_shapes.problems(["models-1"], batch=5)
    assert list(found)[-1] == SoftmaxCrossEntropy(5, 10)
    assert {Dense(5, 1024, 512), Dense(5, 512, 128), Dense(5, 128, 10)} < set(found)
    assert BatchNorm((5, 512)) in found and BatchNorm((5, 128)) in found
    assert MaxPool(5, 24, 24, 32, (2, 2), (2, 2)) in found and Dropout((5, 4, 4, 64), 0.25) in found


def test_a_floor_is_the_longer_of_arithmetic_and_memory():
    assert PEAKS.floor(flop=2e12, size=1e11) == (2.0, "arithmetic")
    assert PEAKS.floor(flop=1e10, size=3e11) == (3.0, "memory")
    assert PEAKS.floor(flop=2e12, size=1e11, precision="tf32") == (1.0, "memory")


def test_peaks_come_from_the_data_sheet_or_from_what_the_gpu_says():
    h200 = roofline.peaks_of("NVIDIA H200", {}, (9, 0))
    assert (h200.float32, h200.bandwidth, h200.source) == (67e12, 4.8e12, "data sheet")
    assert roofline.known_peaks("NVIDIA H100 PCIe").bandwidth == 2.0e12
    assert roofline.known_peaks("NVIDIA H100 80GB HBM3").bandwidth == 3.35e12
    said = {"MultiProcessorCount": 10, "ClockRate": 10**6, "MemoryClockRate": 5 * 10**6, "GlobalMemoryBusWidth": 128}
    said |= {"L2CacheSize": 2**20}
    other = roofline.peaks_of("NVIDIA Some GPU", said, (8, 6))
    assert (other.float32, other.bandwidth, other.tf32) == (2 * 128 * 10 * 1e9, 160e9, None)
    assert roofline.peaks_of("NVIDIA Some GPU", said, (7, 5)).float32 == other.float32 / 2


# ---------------------------------------------------------------- precision


def to_tf32(array):
    """Ten bits after the point, rounded to nearest, as tensor cores take their operands."""
    bits = array.astype(np.float32).view(np.uint32)
    return ((bits + 0x1000) & np.uint32(0xFFFFE000)).view(np.float32)


def to_bfloat16(array):
    bits = array.astype(np.float32).view(np.uint32)
    return ((bits + 0x8000) & np.uint32(0xFFFF0000)).view(np.float32)


@pytest.mark.parametrize("length", [1, 9, 108, 2304, 40_000])
@pytest.mark.parametrize("rounded, precision", [(lambda a: a, "float32"), (to_tf32, "tf32"), (to_bfloat16, "wrong")])
def test_precision_is_told_from_the_error(length, rounded, precision):
    rng = np.random.default_rng(length)
    a, b = rng.standard_normal((2, length, 60), np.float32)
    total = np.zeros(60, np.float32)
    for left, right in zip(rounded(a), rounded(b), strict=True):  # the longest chain of roundings
        total += left * right
    error = relative_error(total, (a.astype(np.float64) * b).sum(axis=0))
    assert precision_of(error, length) == precision


@pytest.mark.parametrize("error", [math.nan, math.inf, 0.5])
def test_what_is_no_number_or_far_off_is_wrong(error):
    assert precision_of(error, 100) == "wrong"


@pytest.mark.parametrize("length", [1, 10**6, 10**9])
def test_no_length_makes_tf32_pass_for_float32(length):
    assert precision_of(2e-4, length) == "tf32"


def test_dropout_is_judged_by_what_it_keeps():
    problem, rng = Dropout((50, 40), 0.25), np.random.default_rng(0)
    inputs = problem.inputs("forward", rng)
    kept = rng.random((50, 40)) >= 0.25
    assert problem.errors("forward", inputs, [inputs["x"] * kept / 0.75], None)[0] < 1e-7
    assert problem.errors("forward", inputs, [inputs["x"] * kept], None)[0] > 0.2
    assert problem.errors("forward", inputs, [inputs["x"] / 0.75], None) == [math.inf]
    assert math.isnan(problem.errors("forward", inputs, [inputs["x"] * math.nan], None)[0])


# ---------------------------------------------------------------- the whole of it, without a GPU


class StandIn(TinycnnSide):
    """A peer: the reference, whose results may be spoilt, and which can be let fail."""

    def __init__(self, spoil=lambda array: array, tf32=lambda array: array, failure=None):
        super().__init__(tinycnn.get_device("reference"))
        self.label, self.spoil, self.tf32, self.failure = "stand-in", spoil, tf32, failure

    def variants(self, problem, direction):
        ways = {"strict": How()}
        return ways | {"TF32": How(tf32=True)} if versus.has_tf32(problem) else ways

    def bind(self, problem, direction, how, inputs):
        if self.failure:
            raise self.failure
        if how.tf32:
            inputs = {name: self.tf32(array) for name, array in inputs.items()}
        call = super().bind(problem, direction, how, inputs).call
        return Bound(lambda: tuple(self.spoil(array) for array in call()), self.to_host, self.poison)


def rows_of(problems, ours, peers):
    return versus.measure(problems, ours, peers, PEAKS, cache=1, rounds=2)


def on(name):
    try:
        return TinycnnSide(tinycnn.get_device(name))
    except devices.DeviceError as error:
        pytest.skip(f"no {name} device: {error}")


@pytest.mark.parametrize("name", ["cpu", "emulator"])
def test_every_operation_is_measured_and_right_before_and_after(name):
    rows = rows_of(SMALL, [on(name)], [StandIn(tf32=to_tf32)])
    directions = [(p.operation, p.name, d) for p in SMALL for d in p.directions]
    for table in ("float32", "tf32"):
        wanted = [k for k in directions if table == "float32" or k[0] in ("conv2d", "dense")]
        assert [(r["operation"], r["name"], r["direction"]) for r in rows if r["precision"] == table] == wanted
    for row in rows:
        assert row["tinycnn_precision"] == "float32" and row["tinycnn_us"] > 0 and row["ratio"] > 0
        assert row["ratio"] == pytest.approx(row["cudnn_us"] / row["tinycnn_us"])
        assert row["tinycnn_tflops"] == pytest.approx(row["flop"] / row["tinycnn_us"] / 1e6)
        for one in row["measured"]:
            assert one["excluded"] is None and len(one["errors"]) == 3 and set(one["us"]) == {"rotating", "warm"}
    allowed = {m["precision"] for r in rows for m in r["measured"] if m["tf32_allowed"]}
    assert allowed == {"tf32"}
    strict = [m for r in rows if r["precision"] == "float32" for m in r["measured"]]
    assert not any(m["tf32_allowed"] for m in strict)


def test_a_peer_that_takes_tf32_without_leave_does_not_stand_in_the_strict_table():
    problem = {Dense(16, 40, 12): ["a"]}
    cheat = StandIn()
    cheat.variants = lambda problem, direction: {"strict": How()}
    honest = cheat.bind
    cheat.bind = lambda p, d, how, inputs: honest(p, d, how, {n: to_tf32(a) for n, a in inputs.items()})
    for row in rows_of(problem, [on("reference")], [cheat]):
        assert row["cudnn_us"] is None and row["ratio"] is None
        (excluded,) = [m["excluded"] for m in row["measured"] if m["side"] == "stand-in"]
        assert "TF32, which was not allowed" in excluded


def test_a_wrong_result_is_excluded_and_named_and_nan_is_wrong():
    for spoil in (lambda array: array * 1.01, lambda array: np.full_like(array, np.nan)):
        rows = rows_of({Dense(4, 6, 5): ["a"]}, [on("reference")], [StandIn(spoil)])
        assert all(row["ratio"] is None for row in rows)
        assert all("wrong" in m["excluded"] for r in rows for m in r["measured"] if m["side"] == "stand-in")


def test_outputs_that_a_replay_does_not_write_are_noticed():
    """The replay of a side that keeps its first results is checked over poison."""

    class Lazy(StandIn):
        def bind(self, problem, direction, how, inputs):
            bound, made = super().bind(problem, direction, how, inputs), []

            def call():
                made[:] = made or [bound.call()]
                return made[0]

            return bound._replace(call=call)

    rows = rows_of({Dense(4, 6, 5): ["a"]}, [on("reference")], [Lazy()])
    assert all(row["cudnn_us"] is None for row in rows)


def test_a_contender_that_fails_is_left_out_with_its_reason():
    peer = StandIn(failure=RuntimeError("no plan"))
    rows = rows_of({MaxPool(2, 4, 4, 3, (2, 2), (2, 2)): ["a"]}, [on("reference")], [peer])
    for row in rows:
        assert row["tinycnn_us"] > 0 and row["cudnn_us"] is None
        assert "no plan" in [m["excluded"] for m in row["measured"]]


def test_torch_computes_what_tinycnn_does_in_every_layout():
    pytest.importorskip("torch")
    from cudnn_peer import TorchSide

    rows = rows_of(SMALL, [on("reference")], [TorchSide("cpu")])
    for row in rows:
        assert all(m["excluded"] is None for m in row["measured"]), row
    variants = {m["variant"] for row in rows for m in row["measured"] if m["side"] == "PyTorch"}
    assert {"channels-first", "channels-last", "channels-first, TF32", "rows"} <= variants


def test_results_in_float64_are_worked_out_ahead_by_other_processes(monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: expected.SPARE + 1)
    problem = Dense(4, 6, 5)
    places = [(problem, way) for way in problem.directions] + [(Dense(3, 5, 2), "forward")]
    with expected.Results(places) as results:
        assert results.pool is not None
        for place in (places[0], places[3]):  # there was no time for those between
            (found,), (right,) = results(*place), expected.result_of(*place)
            np.testing.assert_array_equal(found, right)
        assert not results.jobs


def test_results_are_written_as_json_markdown_and_a_picture(tmp_path, capsys):
    problems = {p: names for p, names in SMALL.items() if p.operation == "conv2d"}
    sides, folder = ([on("reference")], [StandIn(tf32=to_tf32)]), tmp_path / "a-gpu"
    assert versus.run("conv_cudnn", "A title", FACTS, [], problems, *sides, PEAKS, folder) == 0
    result = json.loads((tmp_path / "a-gpu" / "conv_cudnn.json").read_text(encoding="utf-8"))
    assert result["device"] == "a GPU"
    assert all(row["versions"]["tinycnn"] == tinycnn.__version__ for row in result["rows"])
    assert {"direction", "shape", "precision", "tinycnn_us", "cudnn_us", "ratio"} <= set(result["rows"][0])
    ratios = [r["ratio"] for r in result["rows"] if r["precision"] == "float32" and r["direction"] == "forward"]
    mean = result["geomean"]["float32"]["conv2d"]["forward"]
    assert mean == {"ratio": pytest.approx(math.prod(ratios) ** (1 / len(ratios))), "rows": 3}
    text = (tmp_path / "a-gpu" / "conv_cudnn.md").read_text(encoding="utf-8")
    assert "## A title, strict float32" in text and "## A title, TF32 allowed" in text
    assert "| conv2d      | backward_filter |" in text
    for table in ("float32", "tf32"):
        assert (tmp_path / "a-gpu" / f"conv_cudnn-{table}.png").stat().st_size > 5000
    assert "absent: cuDNN: why" in capsys.readouterr().out


def test_what_was_measured_before_stays_where_device_and_settings_are_the_same(tmp_path):
    sides, path = ([on("reference")], [StandIn()]), tmp_path / "x.json"
    dense, pool = {Dense(4, 6, 5): ["a"]}, {MaxPool(2, 4, 4, 3, (2, 2), (2, 2)): ["a"]}
    assert machine.rows_before(path, FACTS) == []
    versus.run("x", "t", FACTS, [], dense | pool, *sides, PEAKS, tmp_path)
    versus.run("x", "t", FACTS, machine.rows_before(path, FACTS), pool, *sides, PEAKS, tmp_path)
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    assert Counter(map(versus.key_of, rows)) == {
        **{("dense", "6 -> 5", d, t): 1 for d in Dense.directions for t in ("float32", "tf32")},
        **{("maxpool2d", "4x4x3, 2x2, stride 2x2", d, "float32"): 1 for d in MaxPool.directions},
    }
    assert machine.rows_before(path, {**FACTS, "l2_bytes": 2}) == []


def test_a_wrong_result_of_tinycnn_s_fails_the_run(tmp_path, capsys):
    wrong = on("reference")
    right = wrong.bind

    def bind(*args):
        bound = right(*args)
        return bound._replace(call=lambda: tuple(array + 1 for array in bound.call()))

    wrong.bind = bind
    status = versus.run("x", "t", FACTS, [], {Dense(4, 6, 5): ["a"]}, [wrong], [StandIn()], PEAKS, tmp_path)
    assert status == 1 and "FAILED: dense forward, 6 -> 5: reference" in capsys.readouterr().out


def test_geometric_means_leave_out_rows_without_a_peer():
    row = {"precision": "float32", "operation": "conv2d", "direction": "forward"}
    means = versus.geomeans([{**row, "ratio": ratio} for ratio in (4.0, 1.0, None)])
    assert means == {"float32": {"conv2d": {"forward": {"ratio": 2.0, "rows": 2}}}}


def test_rotating_buffers_do_not_fit_into_the_cache():
    assert gpu_timing.sets_needed(size=10, cache=100) == 30
    assert gpu_timing.sets_needed(size=1000, cache=100) == 2
    assert gpu_timing.sets_needed(size=1, cache=10**9) == gpu_timing.MOST_SETS


def test_contenders_are_replayed_in_turn_and_each_times_its_calls():
    order, clock = [], iter(range(1000))

    class Marks:
        def now(self):
            return next(clock)

        def between(self, begin, end):
            return end - begin

    replays = {name: (lambda name=name: order.append(name), calls, Marks()) for name, calls in (("a", 1), ("b", 4))}
    seconds = gpu_timing.in_turn(replays, rounds=2)
    assert seconds == {"a": [1, 1], "b": [0.25, 0.25]}
    assert order[2 * gpu_timing.WARM_UP :: 2] == ["a", "b", "b", "a"]  # each after a replay that is not timed


# ---------------------------------------------------------------- the commands


def test_on_the_cuda_device_calls_become_a_graph_and_the_whole_script_runs(stand_in_for_cupy, tmp_path, capsys):
    assert conv_cudnn.main(["--only", "3x3x16 * 3x3", "--results", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "nvidia-h200-stand-in" / "conv_cudnn.json").read_text(encoding="utf-8"))
    assert {r["direction"] for r in result["rows"]} == {"forward", "backward_data", "backward_filter"}
    for row in result["rows"]:
        assert [m["side"] for m in row["measured"]] == ["fast", "general"]
        assert all(m["timed_by"] == "graph" and m["excluded"] is None for m in row["measured"])
        fast, general = (m["us"]["rotating"]["median"] for m in row["measured"])
        assert (row["tinycnn_us"], row["general_us"], row["path"]) == (fast, general, "fast")
    assert result["peaks"]["bandwidth"] == 4.8e12
    assert "cuDNN through PyTorch" in result["absent"] and "absent: cuDNN through PyTorch" in capsys.readouterr().out


def test_within_a_budget_nothing_is_measured_with_tf32_and_what_is_missing_is_named(
    stand_in_for_cupy, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("TINYCNN_COMMIT", "abc1234")
    machine.commit.cache_clear()
    monkeypatch.setattr(versus, "seconds_for", lambda place: 1 if place[1] == "forward" else 1e6)
    options = ["--only", "3x3x16 * 3x3", "--results", str(tmp_path), "--budget", "1000"]
    assert conv_cudnn.main(options) == 0
    machine.commit.cache_clear()
    result = json.loads((tmp_path / "nvidia-h200-stand-in" / "conv_cudnn.json").read_text(encoding="utf-8"))
    assert {(r["direction"], r["precision"]) for r in result["rows"]} == {("forward", "float32")}
    *missing, tf32 = result["left_out"]
    assert tf32 == "everything with TF32 allowed" and len(missing) == 2 * len(result["rows"])
    assert all(name.startswith(("conv2d backward_data, ", "conv2d backward_filter, ")) for name in missing)
    assert result["rounds"] == versus.ROUNDS_WITHIN_A_BUDGET < versus.ROUNDS
    for row in result["rows"]:
        assert (row["commit"], row["device"], row["path"]) == ("abc1234", "cuda", "fast")
        assert row["card"] == result["device"]
    assert "left out, for 1000 s" in capsys.readouterr().err


def test_the_important_shapes_are_measured_first():
    convolutions = list(network_shapes.convolutions().items())
    large = [p for p, names in convolutions if p.flop("forward") >= 2e9 and set(names) & set(network_shapes.LARGE)]
    assert [p for p, _ in convolutions[: len(large)]] == sorted(large, key=lambda p: -p.flop("forward"))
    rest = [set(names) for _, names in convolutions[len(large) :]]
    of_go_crazy = ["go-crazy" in names for names in rest]
    assert of_go_crazy == sorted(of_go_crazy, reverse=True) and sum(of_go_crazy) == 8
    assert "go-crazy" in next(iter(network_shapes.other_layers().values()))


@pytest.fixture
def stand_in_for_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", stand_in_cupy)
    monkeypatch.setattr(cuda, "driver_version", lambda: (13, 0))
    monkeypatch.setattr(versus, "peers_and_what_is_absent", lambda: ([], {"cuDNN through PyTorch": "no GPU"}))
    monkeypatch.setattr(versus, "CALLS", 1)
    for name, few in (("WARM_UP", 0), ("MOST_SETS", 2)):
        monkeypatch.setattr(gpu_timing, name, few)
    monkeypatch.delitem(devices._made, ("cuda", "float32"), raising=False)
    yield
    devices._made.pop(("cuda", "float32"), None)


def test_a_dry_run_needs_nothing_and_says_what_would_be_measured(capsys):
    assert conv_cudnn.main(["--dry-run", "--only", "go-crazy"]) == 0
    text = capsys.readouterr().out
    assert "NVIDIA H200: 67 TFLOP/s" in text and "26x26x12 * 3x3 -> 20" in text and "24 rows of conv2d" in text
    assert layers_cudnn.main(["--dry-run", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {"maxpool2d", "batchnorm", "dropout", "softmax_crossentropy", "dense"} == {r["operation"] for r in rows}
    assert all(r["flop"] > 0 and r["bytes"] > 0 and r["floor_us"] > 0 for r in rows)


@pytest.mark.parametrize("script", [conv_cudnn, layers_cudnn])
def test_without_a_gpu_a_script_says_so_in_a_line_and_exits_with_2(script, capsys, monkeypatch):
    monkeypatch.setattr(cuda, "driver_version", lambda: None)
    monkeypatch.delitem(devices._made, ("cuda", "float32"), raising=False)
    assert script.main([]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "needs an NVIDIA GPU" in line and "--dry-run" in line and "emulator" not in line


def test_a_text_that_nothing_contains_is_refused(capsys):
    assert conv_cudnn.main(["--dry-run", "--only", "no-such-thing"]) == 2
    assert "no-such-thing" in capsys.readouterr().err
