"""Accuracy against Keras: the test, who is compared, what is trained. And the dropout of eip4-2."""

import math

import accuracy_vs_keras
import numpy as np
import pytest
import reconstruct_dropout
from benchmark_inputs import learner, readme, tables

import tinycnn
from tinycnn import architectures
from tinycnn.architectures import notation
from tinycnn.datasets import Dataset


def test_the_test_is_welchs():
    pytest.importorskip("scipy")
    test = accuracy_vs_keras.welch([1, 2, 3], [2, 4, 6, 8])
    # Means 2 and 5, variances 1 and 20/3, so the squared errors 1/3 and 5/3 and Welch's 4.0755 degrees of freedom.
    freedom = 2**2 / ((1 / 3) ** 2 / 2 + (5 / 3) ** 2 / 3)

    def tail(t):
        """The probability of more than t on either side, by adding Student's density up."""
        x = np.linspace(-t, t, 200_001)
        density = (1 + x**2 / freedom) ** (-(freedom + 1) / 2)
        scale = math.gamma((freedom + 1) / 2) / (math.sqrt(freedom * math.pi) * math.gamma(freedom / 2))
        return 1 - scale * (x[1] - x[0]) * (density.sum() - density[0])

    assert test["difference"] == -3
    assert test["p"] == pytest.approx(tail(3 / math.sqrt(2)), abs=1e-6)
    assert tail(test["visible"] / math.sqrt(2)) == pytest.approx(0.05, abs=1e-6)


def test_the_conclusion_follows_from_the_test():
    pytest.importorskip("scipy")
    for ours, theirs, words in (
        ([0.99, 0.991, 0.992], [0.99, 0.992, 0.991], "no difference can be seen (p = 1.00)"),
        ([0.99, 0.991, 0.992], [0.95, 0.951, 0.952], "they differ (p = "),
        ([0.99, 0.99], [0.99, 0.99], "not tested: no spread"),
    ):
        assert accuracy_vs_keras.conclusion(accuracy_vs_keras.welch(ours, theirs)).startswith(words)


def accuracy_rows(network, framework, accuracies, epochs=3):
    facts = {"network": network, "framework": framework, "epochs": epochs, "data": "MNIST"}
    facts["versions"] = {"tinycnn": "0.2.0"}
    return [{**facts, "seed": seed, "val_acc": value} for seed, value in enumerate(accuracies)]


def test_only_trainings_of_the_same_kind_are_compared():
    pytest.importorskip("scipy")
    rows = accuracy_rows("go-crazy", "tinycnn", [0.98, 0.99]) + accuracy_rows("go-crazy", "Keras", [0.97, 0.98, 0.99])
    rows += accuracy_rows("go-crazy", "tinycnn", [0.1, 0.2], epochs=1) + accuracy_rows("other-1", "Keras", [0.1, 0.2])
    (row,) = accuracy_vs_keras.compare(rows)
    assert (row["network"], row["epochs"]) == ("go-crazy", 3)
    assert row["tinycnn"] == {
        "seeds": 2,
        "mean": pytest.approx(0.985),
        "standard_deviation": pytest.approx(0.005**0.5 / 10),
    }
    assert row["Keras"] == {"seeds": 3, "mean": pytest.approx(0.98), "standard_deviation": pytest.approx(0.01)}


@pytest.mark.parametrize("framework", ["tinycnn", "Keras"])
def test_both_frameworks_train_by_the_recipe_from_seeds_of_their_own(reference, monkeypatch, framework):
    pytest.importorskip("keras")
    rates = []

    def schedule(epoch):
        rates.append(epoch)
        return 0.01 / (1 + epoch)

    def build(name):
        model = learner()
        model.recipe = {"batch_size": 16, "schedule": None}
        return model

    monkeypatch.setattr(accuracy_vs_keras, "build", build)
    monkeypatch.setattr(accuracy_vs_keras, "schedule_function", lambda _: schedule)
    x = np.random.default_rng(0).random((48, 8, 8, 1), np.float32)
    y = (x.mean(axis=(1, 2, 3)) > 0.5).astype(np.int64)
    data = Dataset(x, y, x[:16], y[:16], 2, "noise", "here")
    first, again, other = (accuracy_vs_keras.train("learner", framework, data, 2, seed) for seed in (0, 0, 1))
    assert rates == [0, 1] * 3
    assert first["history"] == again["history"] != other["history"]
    assert len(first["history"]["val_loss"]) == 2 and first["val_loss"] == first["history"]["val_loss"][-1]
    assert (first["network"], first["framework"], first["epochs"], first["data"]) == ("learner", framework, 2, "noise")
    assert first["versions"]["keras"] and first["versions"]["tinycnn"] == tinycnn.__version__


def test_what_was_trained_is_not_trained_again(monkeypatch, tmp_path, capsys):
    pytest.importorskip("scipy")
    trained = []

    def train(name, framework, data, epochs, seed):
        trained.append((name, framework, seed))
        if len(trained) == 3:
            raise KeyboardInterrupt
        return accuracy_rows(name, framework, [0.9 + 0.01 * seed] * (seed + 1))[seed]

    monkeypatch.setattr(accuracy_vs_keras, "train", train)
    monkeypatch.setattr(accuracy_vs_keras.datasets, "load", lambda: Dataset(*[None] * 4, 10, "MNIST", "nowhere"))
    arguments = ["go-crazy", "--seeds", "2", "--results", str(tmp_path / "results")]
    with pytest.raises(KeyboardInterrupt):
        accuracy_vs_keras.main(arguments)
    accuracy_vs_keras.main(arguments)
    wanted = [("go-crazy", framework, seed) for seed in (0, 1) for framework in ("tinycnn", "Keras")]
    assert trained == [*wanted[:3], *wanted[2:]]
    assert "tinycnn 0.9050 ± 0.0071, Keras 0.9050 ± 0.0071: no difference can be seen" in capsys.readouterr().out
    path = readme(tmp_path, "accuracy-vs-keras")
    assert tables(path, tmp_path) == 0
    (line,) = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("| `go-crazy`")]
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        "`go-crazy`", "3", "2 and 2", "0.9050 ± 0.0071", "0.9050 ± 0.0071", "+0.0000", "0.0304",
        "no difference can be seen (p = 1.00)",
    ]  # fmt: skip


# ---------------------------------------------------------------- the dropout of eip4-2


def test_the_dropout_that_was_chosen_is_one_of_those_that_were_tried(reference):
    chosen = notation.notation(architectures.build("eip4-2"))
    tried = {
        notation.notation(notation.parse(reconstruct_dropout.network(*c))): c for c in reconstruct_dropout.CANDIDATES
    }
    assert tried[chosen] == ("every batch-norm", 0.1)
    assert len(tried) == len(reconstruct_dropout.CANDIDATES)


def test_the_distance_from_the_log_is_that_of_its_gap_between_training_and_validation():
    log = architectures.ARCHITECTURES["eip4-2"].history
    nearer = {"acc": [log["acc"][0] + 0.02, log["acc"][1]], "val_acc": [log["val_acc"][0], log["val_acc"][1] + 0.01]}
    assert reconstruct_dropout.distance(nearer) == pytest.approx((0.02 + 0.01) / 2)
