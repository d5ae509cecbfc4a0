"""The script that measures trainings: what it counts, whom it measures, and when it gives up. Nothing is timed."""

import os

import budget as budgets
import contenders
import machine
import networks
import numpy as np
import pytest
import report
import train_frameworks
from trainer import Trainer

from tinycnn import layers, models

# ---------------------------------------------------------------- what is counted


@pytest.mark.parametrize(
    ("network", "parameters", "multiply_adds", "megaflop"),
    [("go-crazy", 13_880, 1_846_192, 10.93), ("models-1", 646_410, 4_328_704, 25.05)],
)
def test_the_cost_of_a_network_is_counted_from_its_shapes(reference, network, parameters, multiply_adds, megaflop):
    (described,) = report.describe([network])
    assert described["parameters"] == parameters
    assert described["multiply_adds"] == multiply_adds
    assert described["flop"] / 1e6 == pytest.approx(megaflop, abs=0.005)


def test_no_data_gradient_is_counted_before_the_first_parameters(reference):
    x = layers.Input((6, 6, 2))
    a = layers.Conv2D(3, 1)(layers.Dropout(0.5)(x))  # 6*6*3*2 = 216 multiply-adds
    b = layers.Conv2D(1, 3, padding="same")(x)  # 6*6*1*3*3*2 = 648
    y = layers.Dense(2)(layers.Flatten()(layers.Concatenate()([a, b])))  # 144*2 = 288
    model = models.Model(x, y)
    assert [row[1:] for row in networks.multiply_adds(model)] == [(216, False), (648, False), (288, True)]
    assert networks.training_flop(model) == 2 * (2 * 216 + 2 * 648 + 3 * 288)


# ---------------------------------------------------------------- the script


def test_a_dry_run_names_networks_and_contenders_and_writes_nothing(tmp_path, capsys):
    assert train_frameworks.main(["--dry-run", "--results", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    for expected in ("go-crazy", "13,880", "10.93", "models-1", "646,410", "25.05", "models-9", "cn-1", "tinycnn, cpu"):
        assert expected in text
    assert not list(tmp_path.iterdir())


def test_a_dry_run_for_a_gpu_names_other_networks_and_contenders(monkeypatch, capsys):
    monkeypatch.setattr(machine, "installed", lambda module: True)
    assert train_frameworks.main(["--dry-run", "--device", "cuda"]) == 0
    text = capsys.readouterr().out
    for expected in (
        "cn-3",
        "tinycnn, cuda, fast",
        "CUDA graph, channels-last",
        "compile, channels-first",
        "JAX, epoch",
    ):
        assert expected in text


def test_without_a_gpu_the_benchmark_says_so_and_exits_with_2(monkeypatch, capsys):
    monkeypatch.setattr("tinycnn.devices.gpu.cuda.driver_version", lambda: None)
    assert train_frameworks.main(["--device", "cuda", "--networks", "go-crazy"]) == 2
    assert "needs an NVIDIA GPU" in capsys.readouterr().err


@pytest.mark.parametrize("framework, module", [("PyTorch", "torch"), ("JAX", "jax"), ("Keras on JAX", "keras")])
def test_a_peer_that_finds_no_gpu_says_what_mends_it(reference, framework, module):
    pytest.importorskip(module)
    options = {"device": "cuda", **({"layout": "channels-last"} if framework == "PyTorch" else {})}
    with pytest.raises(RuntimeError, match="no GPU: pip install"):
        contenders.make_trainer(framework, "go-crazy", np.zeros((1, 28, 28, 1)), np.zeros(1), 1, options)


def trainer_of(accuracies):
    """A trainer whose validation accuracies are these, and the learning rates that it was given."""
    rates, found = [], iter(accuracies)
    return Trainer(lambda: 0.5, lambda x, y: lambda: next(found), rates.append, 1), rates


def test_training_to_an_accuracy_stops_there_and_follows_the_schedule():
    trainer, rates = trainer_of([0.8, 0.9, 0.995, 0.999])
    answer = contenders.reach(trainer, lambda epoch: 1 / (1 + epoch), None, None, 0.99, epochs=10, seconds=1000)
    assert answer["reached"] and [e["accuracy"] for e in answer["epochs"]] == [0.8, 0.9, 0.995]
    assert rates == [1, 1 / 2, 1 / 3]


@pytest.mark.parametrize("limits, done", [({"epochs": 2, "seconds": 1000}, 2), ({"epochs": 9, "seconds": -1}, 1)])
def test_training_to_an_accuracy_gives_up(limits, done):
    trainer, _ = trainer_of([0.5] * 9)
    answer = contenders.reach(trainer, None, None, None, 0.99, **limits)
    assert not answer["reached"] and len(answer["epochs"]) == done


def test_seconds_to_an_accuracy_are_told_with_and_without_compiling():
    def answer(reached):
        epochs = [{"seconds": seconds, "accuracy": found} for seconds, found in ((9, 0.7), (1, 0.9), (1, 0.8))]
        return {"reached": reached, "epochs": epochs}

    fast, never = (contenders.Contender("tinycnn", name, {}, (), {}) for name in ("fast", "never"))
    rows = report.reach_rows("go-crazy", {fast: answer(True), never: answer(False)})
    assert (rows[0]["seconds"], rows[0]["seconds_without_compiling"], rows[0]["best_accuracy"]) == (11, 3, 0.9)
    assert rows[1]["seconds"] is None and "not reached" in report.reach_table(rows, 0.994)


def test_an_unknown_network_is_refused_by_name(capsys):
    assert train_frameworks.main(["--dry-run", "--networks", "no-such-network"]) == 1
    assert "no-such-network" in capsys.readouterr().err


def test_a_peer_that_is_not_installed_is_named_with_its_remedy(monkeypatch, capsys):
    monkeypatch.setattr(machine, "installed", lambda module: module not in ("torch", "keras"))
    assert train_frameworks.main(["--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "absent: PyTorch, which needs: pip install torch" in text
    assert "absent: Keras on JAX, which needs: pip install keras\n" in text
    assert "absent: Keras on torch, which needs: pip install keras torch" in text


def test_workers_have_their_own_thread_counts_and_no_gpu(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("NUMBA_NUM_THREADS", "7")
    for contender in contenders.contenders():
        variables = contenders.environment(contender)
        assert variables["CUDA_VISIBLE_DEVICES"] == "" and "NUMBA_NUM_THREADS" not in variables
        assert variables.get("OMP_NUM_THREADS") == (
            str(contender.options["threads"]) if contender.framework == "PyTorch" else None
        )


def test_on_a_gpu_workers_compute_in_float32_and_see_the_gpu(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for contender in contenders.contenders("cuda"):
        variables = contenders.environment(contender)
        assert variables["NVIDIA_TF32_OVERRIDE"] == "0" and "CUDA_VISIBLE_DEVICES" not in variables


def small_data(tmp_path):
    """A file of four images for workers."""
    x, y = np.random.default_rng(0).random((4, 28, 28, 1), np.float32), np.arange(4)
    train_frameworks.Data(x, y, x, y, "small").save(tmp_path / "data.npz")
    return tmp_path / "data.npz"


def test_a_contender_that_fails_is_named_with_its_log(tmp_path):
    contender = contenders.Contender("tinycnn", "broken", {"device": "no-such-device"}, (), {})
    small_data(tmp_path)
    with train_frameworks.Worker(contender, "go-crazy", tmp_path / "data.npz", tmp_path) as worker:
        with pytest.raises(train_frameworks.ContenderError, match="(?s)tinycnn, broken.*no-such-device"):
            worker.answer()


def test_a_peer_that_cannot_start_is_left_out_but_not_the_last_of_tinycnn_s(tmp_path):
    ours = contenders.Contender("tinycnn", "reference", {"device": "reference"}, (), {})
    broken = contenders.Contender("JAX", "broken", {"no_such_option": 1}, (), {})
    data = small_data(tmp_path)
    arguments = 1, 2, data, tmp_path  # a round of warm-up, two that count
    measured, failed = train_frameworks.measure("go-crazy", 13_880, [ours, broken], *arguments)
    assert len(measured[ours]) == 2 and list(measured) == [ours]
    assert list(failed) == [broken] and "no_such_option" in failed[broken]
    answers = train_frameworks.measure_reach("go-crazy", [ours], data, tmp_path)
    assert 0 <= answers[ours]["epochs"][-1]["accuracy"] <= 1
    wrong = contenders.Contender("tinycnn", "broken", {"device": "no-such-device"}, (), {})
    with pytest.raises(train_frameworks.ContenderError, match="no-such-device"):
        train_frameworks.measure("go-crazy", 13_880, [wrong, broken], *arguments)


LIMITS = []  # of the rounds of all Trained


class Trained:
    """A stand-in for a Worker, which answers at once; "late" breaks in its fourth round."""

    def __init__(self, contender, network, data, folder):
        self.contender, self.rounds = contender, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def answer(self, limit=None):
        return {"parameters": 1}

    def train(self, limit=None):
        self.rounds += 1
        LIMITS.append(limit)
        if self.contender.configuration == "late" and self.rounds == 4:
            raise train_frameworks.ContenderError("late ended with status 1. The end of its log:\n  it broke")
        return {"seconds": 0.1, "loss": 0.1}


@pytest.fixture
def trained(monkeypatch):
    monkeypatch.setattr(train_frameworks, "Worker", Trained)
    monkeypatch.setattr(train_frameworks, "SETTLE_S", 0)
    LIMITS.clear()
    return [contenders.Contender(f, c, {}, (), {}) for f, c in (("tinycnn", "cpu"), ("JAX", "late"), ("JAX", "fine"))]


def test_a_peer_that_fails_in_a_later_round_is_left_out_and_the_others_go_on(trained):
    ours, late, fine = trained
    kept = []

    def keep(measured):
        kept.append({c.configuration: len(rounds) for c, rounds in measured.items()})

    measured, failed = train_frameworks.measure("go-crazy", 1, trained, 1, 5, None, None, on_round=keep)
    assert {c: len(rounds) for c, rounds in measured.items()} == {ours: 5, fine: 5}
    assert failed == {late: "it broke"} and set(LIMITS) == {None}
    assert kept[1] == {"cpu": 2, "late": 2, "fine": 2} and kept[2:] == [{"cpu": n, "fine": n} for n in (3, 4, 5)]


def test_rounds_end_with_the_budget_but_not_before_the_first(trained):
    budget = budgets.Budget(0.000001)
    measured, _ = train_frameworks.measure("go-crazy", 1, trained, 1, 5, None, None, budget)
    assert [len(rounds) for rounds in measured.values()] == [1, 1, 1]
    assert LIMITS == [20] * 6  # seconds, of the warm-up too: none hangs, and none is ended at once


def test_nobody_is_measured_where_tinycnn_and_a_peer_do_not_fit(monkeypatch):
    monkeypatch.setattr(machine, "installed", lambda module: True)
    monkeypatch.setattr(machine, "cores", lambda: 2)
    everybody = contenders.contenders("cuda")
    described = {"network": "models-9", "flop": 3e8}
    for seconds in (10, 20):  # the second is enough for tinycnn
        taken, left_out, _ = train_frameworks.chosen(everybody, described, 60_000, "cuda", 5, seconds)
        assert taken == [] and left_out == ["models-9, everybody"]
    taken, left_out, seconds = train_frameworks.chosen(everybody, described, 60_000, "cuda", 5, 90)
    assert [c.framework for c in taken[:3]] == ["tinycnn", "PyTorch", "JAX"] and seconds <= 90
    assert len(taken) + len(left_out) == len(everybody)


def test_a_worker_that_does_not_answer_in_time_is_ended(tmp_path):
    contender = contenders.Contender("tinycnn", "reference", {"device": "reference"}, (), {})
    small_data(tmp_path)
    with train_frameworks.Worker(contender, "go-crazy", tmp_path / "data.npz", tmp_path) as worker:
        with pytest.raises(train_frameworks.ContenderError, match="status"):
            worker.answer(limit=0.01)


def test_workers_end_when_the_benchmark_is_interrupted(tmp_path):
    contender = contenders.contenders()[0]
    small_data(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        with train_frameworks.Worker(contender, "go-crazy", tmp_path / "data.npz", tmp_path) as worker:
            raise KeyboardInterrupt
    with pytest.raises(ProcessLookupError):
        os.kill(worker.process.pid, 0)


def test_speeds_and_ratios_come_from_the_rounds():
    fast = contenders.Contender("tinycnn", "cpu", {}, (), {})
    slow, best = (contenders.Contender("PyTorch", name, {}, (), {}) for name in ("slow", "best"))
    seconds = {fast: [1, 1, 2], slow: [8, 8, 8], best: [4, 2, 4]}
    measured = {c: [{"seconds": s, "loss": 0.1} for s in times] for c, times in seconds.items()}
    rows = report.rows_of("go-crazy", measured, images=400, flop=10)
    assert [row["images_per_s"]["median"] for row in rows] == [400, 50, 100]
    assert rows[0]["images_per_s"] == {"median": 400, "min": 200, "max": 400, "spread": 0.5}
    assert rows[0]["seconds_per_epoch"] == 150
    assert [row["best"] for row in rows] == [True, False, True]
    ratio = report.ratios_of(rows)[0]
    assert ratio["to"] == "PyTorch, best" and ratio["ratio"] == 4
    assert ratio["pairs"] == {"median": 2, "min": 2, "max": 4, "spread": 1}
    assert "4.00" in report.table(rows, report.ratios_of(rows))
