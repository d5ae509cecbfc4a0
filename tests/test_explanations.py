"""`tinycnn reproduce NAME --explain`: what each change changes, what is concluded, and that it goes on."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tables_of_results

import tinycnn
from tinycnn import command as cli
from tinycnn.architectures import (
    ARCHITECTURES,
    Architecture,
    Params,
    catalogue,
    notation,
    reproduction,
    reproduction_report,
)
from tinycnn.architectures import explanation_report as report
from tinycnn.architectures.explanations import EXPLANATIONS, RECIPE, UnbiasedVariance, explanations_of
from tinycnn.callbacks import Callback
from tinycnn.datasets import Dataset
from tinycnn.fit.data import Resident
from tinycnn.layers import BatchNormalization, Dense, Flatten
from tinycnn.models import Sequential, load_model

pytestmark = pytest.mark.usefixtures("reference")

TINY = Architecture(
    "tiny", "Tiny", "BN()->CN(4,5,strides=3)->MP(2,2)->FL()->DN(10)", catalogue.SCHEDULED_ADAM, Params(0, 0, 0), 0.9
)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "tiny", TINY)
    return "tiny"


def data(count=20):
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 1, (count, 28, 28, 1)).astype(np.float32), np.arange(count) % 10
    return Dataset(x, y, x[:8], y[:8], 10, "noise", "here")


def run_of(explanation, epochs=1):
    return reproduction.Run("tiny", 3, epochs, explanation)


def begun(explanation, tmp_path):
    """The model as a training with this change begins."""
    return reproduction.begin(run_of(explanation), {"history": {"loss": []}}, tmp_path / "none")


class Seen(Callback):
    """What fit is asked for, and the rate of every epoch."""

    def on_train_begin(self, logs=None):
        self.facts, self.rates = self.params, []

    def on_epoch_end(self, epoch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))


def trained(explanation, tmp_path, epochs=1):
    """(the model, what was seen) of a training with this change on 20 images."""
    run, seen = run_of(explanation, epochs), Seen()
    results = reproduction.Results(tmp_path / str(explanation))
    row, model = results.row(run, data()), begun(explanation, tmp_path)
    reproduction.fit(run, row, data(), results, model, verbose=0, others=[seen])
    return model, seen


# ---------------------------------------------------------------- what is changed


@pytest.mark.parametrize("initialiser", ["glorot_normal", "he_uniform", "he_normal"])
def test_kernels_are_drawn_as_a_network_with_that_initialiser_draws_them(tiny, tmp_path, initialiser):
    tinycnn.set_random_seed(3)
    other = f"BN()->CN(4,5,strides=3,init={initialiser})->MP(2,2)->FL()->DN(10,init={initialiser})"
    want = notation.parse(other)
    got = begun(f"initialiser {initialiser}", tmp_path)
    for a, b in zip(got.get_weights(), want.get_weights(), strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(got.get_weights()[4], begun(RECIPE, tmp_path).get_weights()[4])


def test_another_epsilon_stays_through_a_checkpoint(tiny, tmp_path):
    model = begun("epsilon 1e-5 in batch normalisation", tmp_path)
    model.save(tmp_path / "a.safetensors")
    assert [m.layers[0].epsilon for m in (model, load_model(tmp_path / "a.safetensors"))] == [1e-5, 1e-5]
    model = begun("epsilon 1e-8 in the optimiser", tmp_path)
    model.save(tmp_path / "b.safetensors")
    assert [m.optimizer.epsilon for m in (model, load_model(tmp_path / "b.safetensors"))] == [1e-8, 1e-8]


def test_the_unbiased_moving_variance_is_that_of_the_batches_times_m_by_m_less_one():
    # Of flat images M is the number of images, and of the last batch another one.
    model = Sequential([Flatten(input_shape=(2, 3, 1)), BatchNormalization(), Dense(3, activation="softmax")])
    model.compile("sgd")
    x, y = np.random.default_rng(0).uniform(0, 1, (20, 2, 3, 1)).astype(np.float32), np.eye(3)[np.arange(20) % 3]
    arguments = {"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0, "validation_data": (x, y)}
    model.fit(x, y, callbacks=[UnbiasedVariance()], **arguments)
    want, momentum = np.ones(6), 0.99
    for images in (slice(0, 8), slice(8, 16), slice(16, 20)) * 2:
        want = want * momentum + np.var(x[images].reshape(-1, 6).astype(np.float64), axis=0, ddof=1) * (1 - momentum)
    np.testing.assert_allclose(model.layers[1].moving_variance.numpy(), want, rtol=1e-6)


def test_the_unbiased_moving_variance_changes_no_weight(tiny, tmp_path):
    plain, unbiased = (trained(name, tmp_path, 2)[0] for name in (RECIPE, "unbiased moving variance"))
    same = [np.array_equal(a, b) for a, b in zip(plain.get_weights(), unbiased.get_weights(), strict=True)]
    assert same == [True, True, True, False, True, True, True, True]  # all but the moving variance


def test_the_schedule_is_an_epoch_ahead_or_behind(tiny, tmp_path):
    rates = [0.003 / (1 + 0.319 * epoch) for epoch in range(4)]
    for name, want in (
        (RECIPE, [0, 1, 2]),
        ("schedule an epoch ahead", [1, 2, 3]),
        ("schedule an epoch behind", [0, 0, 1]),
    ):
        assert trained(name, tmp_path, 3)[1].rates == pytest.approx([rates[i] for i in want], abs=1e-9)


def test_without_shuffling_the_images_come_in_their_order(tiny, tmp_path, monkeypatch):
    orders, rewind = [], Resident.rewind

    def noted(self, order):
        orders.append(list(order))
        rewind(self, order)

    monkeypatch.setattr(Resident, "rewind", noted)
    trained(RECIPE, tmp_path)
    assert orders.pop(0) != list(range(20))
    orders.clear()
    trained("no shuffling", tmp_path)
    assert orders[0] == list(range(20))


def test_batches_have_the_size_that_the_change_names(tiny, tmp_path):
    assert trained(RECIPE, tmp_path)[1].facts["batch_size"] == 128
    assert trained("batches of 32", tmp_path)[1].facts["batch_size"] == 32


def test_the_optimiser_is_that_of_the_network_that_the_change_names_and_stays_so(monkeypatch, tiny, tmp_path):
    monkeypatch.setitem(ARCHITECTURES, "tiny", replace(TINY, recipe=catalogue.OPEN))
    model, seen = trained("the optimiser of go-crazy", tmp_path, 2)
    model.save(path := tmp_path / "a.safetensors")
    for again in (model, load_model(path)):
        assert again.optimizer.name == "Adam" and again.recipe["schedule"] == ["inverse_time", 0.003, 0.319]
        assert again.recipe["batch_size"] == 128
    assert seen.rates == pytest.approx([0.003, 0.003 / 1.319], abs=1e-9)
    plain, seen = trained(RECIPE, tmp_path, 2)
    assert seen.rates == pytest.approx([0.001, 0.001])
    assert (model.loss, model.metrics) == (plain.loss, plain.metrics)
    adadelta = begun("the optimiser of models-1", tmp_path).optimizer
    assert (adadelta.name, adadelta.learning_rate) == ("Adadelta", 1.0)


def test_twice_as_many_epochs_are_so_of_what_is_asked_for():
    runs = {run.explanation: run.epochs for run in reproduction.plan_to_explain(["other-4"], epochs=3)}
    assert (runs[RECIPE], runs["twice as many epochs"]) == (3, 6)


def test_pixels_are_those_that_the_change_names(tiny):
    found = data()
    standardised = EXPLANATIONS["pixels standardised"].data(found)
    assert standardised.x_train.mean() == pytest.approx(0, abs=1e-6)
    assert standardised.x_train.std() == pytest.approx(1, abs=1e-6)
    scale = np.ptp(found.x_train) / np.ptp(standardised.x_train)  # test images by the same figures
    np.testing.assert_allclose(np.diff(standardised.x_test, axis=0) * scale, np.diff(found.x_test, axis=0), atol=1e-6)
    undivided = EXPLANATIONS["pixels from 0 to 255"].data(found)
    np.testing.assert_allclose(undivided.x_test, found.x_test * 255, rtol=1e-6)


def test_only_what_the_document_leaves_open_is_changed():
    assert "unbiased moving variance" not in explanations_of("vanilla-15k")  # it normalises nothing
    assert "epsilon 1e-8 in the optimiser" not in explanations_of("vanilla-15k")  # SGD
    assert "schedule an epoch ahead" in explanations_of("go-crazy") and "batches of 64" not in explanations_of(
        "go-crazy"
    )
    assert "batches of 64" in explanations_of("breakdown-2") and "batches of 128" not in explanations_of("breakdown-2")
    assert "the optimiser of go-crazy" in explanations_of("breakdown-2")
    # The document of other-4 says sgd, and neither the size of the batches nor for how long.
    assert {"batches of 128", "twice as many epochs"} < set(explanations_of("other-4"))
    assert "the optimiser of go-crazy" not in explanations_of("other-4")
    assert "twice as many epochs" not in explanations_of("breakdown-3")
    # The documents of models-1 to models-10 say he_normal.
    assert "initialiser he_uniform" in explanations_of("go-crazy")
    assert not [name for name in explanations_of("models-1") if "initialiser" in name]
    for name in ARCHITECTURES:
        assert explanations_of(name)[0] == RECIPE


@pytest.mark.parametrize(
    ("explanation", "taken"),
    [
        ("no shuffling", "Adam 0.001, batch 128, 20 epochs"),
        ("batches of 256", "Adam 0.001, 20 epochs"),
        ("the optimiser of vanilla-15k", "batch 128, 20 epochs"),
        ("twice as many epochs", "Adam 0.001, batch 128"),
    ],
)
def test_the_table_lists_no_choice_of_the_recipe_that_was_not_taken(explanation, taken):
    tried = row(explanation, [0.99], network="breakdown-2") | {"data": "MNIST", "images": 60_000}
    assert reproduction_report.remarks([tried]) == f"{explanation}; not documented: {taken}"


def test_what_is_said_of_a_training_is_how_it_is_trained(tiny, tmp_path, capsys):
    reproduction.describe(run_of("batches of 32"), begun("batches of 32", tmp_path), data())
    assert "batches of 32\n" in capsys.readouterr().out


# ---------------------------------------------------------------- the conclusion


def row(explanation, accuracies, seed=0, network="go-crazy", epochs=None):
    history = {"val_acc": accuracies}
    return {"network": network, "seed": seed, "epochs": epochs or len(accuracies), "explanation": explanation,
            "history": history}  # fmt: skip


def rows_of(explanation, *last, **facts):
    return [row(explanation, [0.5, value], seed, **facts) for seed, value in enumerate(last)]


@pytest.mark.parametrize(
    ("rows", "said"),
    [  # documented is 0.9919
        (rows_of(RECIPE, 0.9910, 0.9930), "there is no gap"),
        (rows_of(RECIPE, 0.99186, 0.99189), "there is no gap"),  # to the document's four digits
        (rows_of(RECIPE, 0.9930, 0.9950) + rows_of("no shuffling", 0.9915, 0.9925), "closed by: no shuffling."),
        ([row(RECIPE, [0.9919, 0.99]), row(RECIPE, [0.992, 0.99], 1)], "closed by: best epoch instead of the last."),
        (
            rows_of(RECIPE, 0.9930, 0.9950) + rows_of("no shuffling", 0.9925, 0.9945),
            "nothing that was tried closes the gap of 0.0021; no shuffling leaves 0.0016 of it.",
        ),
        (rows_of(RECIPE, 0.9930, 0.9950) + rows_of("no shuffling", 0.9960), "comes nearer"),
        (
            rows_of(RECIPE, 0.9930, 0.9950) + rows_of("no shuffling", 0.99),
            "by: no shuffling (by one seed, which goes past it).",
        ),
        (
            rows_of(RECIPE, 0.9900, 0.9910) + rows_of("no shuffling", 0.993),
            "by: no shuffling (by one seed, which goes past it).",
        ),
        (rows_of(RECIPE, 0.9900, 0.9910) + rows_of("no shuffling", 0.991), "no shuffling leaves 0.0009 of it"),
        (rows_of(RECIPE, 0.9930, 0.9950) + rows_of("no shuffling", 0.098), "nothing that was tried comes nearer"),
        (rows_of("no shuffling", 0.9960), "the recipe as it is has not been trained to its end yet"),
        (rows_of(RECIPE, 0.9930, epochs=3), "nothing is trained yet"),
    ],
)
def test_the_conclusion_says_what_closes_the_gap(rows, said, without_log):
    assert said in report.report("go-crazy", rows)


@pytest.fixture
def without_log(monkeypatch):
    """go-crazy, as if its document had its accuracy and no log."""
    monkeypatch.setattr(report, "log_of", lambda architecture: [])


@pytest.mark.parametrize(
    ("best", "said"),
    [
        ((0.9944, 0.9946), "the gap is closed by: best epoch, beside the best of its log (0.9945)."),
        ((0.9955, 0.9957), "best epoch, beside the best of its log (0.9945) leaves 0.0011 of it."),
        ((0.9975, 0.9985), "nothing that was tried comes nearer"),
    ],
)
def test_where_there_is_a_log_our_best_epochs_stand_beside_its_best(best, said):
    rows = [row(RECIPE, [value, 0.9930 + 0.0002 * seed], seed) for seed, value in enumerate(best)]
    text = report.report("go-crazy", rows)  # whose document has 0.9919 at last
    assert said in text and "instead of the last" not in text
    (line,) = [line for line in text.splitlines() if line.startswith("best epoch")]
    assert f"{0.9945 - sum(best) / 2:+.4f}" in line


def diverged(explanation, seed):
    return {**row(explanation, [0.1], seed), "history": {"loss": [float("nan")], "val_acc": [0.1]}}


def test_what_has_diverged_is_marked_and_not_counted(without_log):
    recipe, shuffled = rows_of(RECIPE, 0.9930, 0.9950), row("no shuffling", [0.9960])
    text = report.report("go-crazy", [*recipe, shuffled, diverged("no shuffling", 1)])
    (line,) = [line.split() for line in text.splitlines() if line.startswith("no shuffling")]
    assert line == "no shuffling (1 diverged) 0.9960 1 - -0.0041 below all".split()  # 0.1 to 0.996 is around 0.9919
    assert "the recipe as it is  " in text and "nothing that was tried comes nearer" in text


def test_where_every_seed_has_diverged_there_is_no_accuracy(without_log):
    lost = [diverged("no shuffling", seed) for seed in range(2)]
    text = report.report("go-crazy", [*rows_of(RECIPE, 0.9930, 0.9950), *lost])
    (line,) = [line.split() for line in text.splitlines() if line.startswith("no shuffling")]
    assert line == "no shuffling (2 diverged) - 0 - - -".split() and "nothing that was tried closes" not in text
    text = report.report("go-crazy", [diverged(RECIPE, 0), *rows_of("no shuffling", 0.9919)])
    assert "the recipe as it is diverges, so that there is nothing to compare with" in text


def test_the_report_says_what_it_does_not_know():
    text = report.report("go-crazy", rows_of(RECIPE, 0.9930))
    assert "One seed shows no spread" in text and "11 more have not been tried to the end" in text
    assert "its last epoch by its log (last 0.9919, best 0.9945)" in text
    assert "there is nothing to compare with" in report.report("vanilla", rows_of(RECIPE, 0.99, network="vanilla"))


# ---------------------------------------------------------------- the command


@pytest.fixture
def command(capsys, tmp_path, tiny):
    def call(*words):
        with pytest.raises(SystemExit) as end:
            fixed = ["--data", "synthetic", "--limit", "60", "--out", str(tmp_path / "out")]
            cli.main(["reproduce", *words, *fixed])
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return call


def test_a_plan_is_shown_and_nothing_trained(command, tmp_path):
    status, out, _ = command("tiny", "--explain", "--dry-run", "--seeds", "2")
    changes = len(explanations_of("tiny"))
    assert (
        status == 0 and f"{2 * changes} trainings on 60 images of synthetic digits, {40 * changes} epochs left" in out
    )
    assert not (tmp_path / "out").exists()
    assert "1 trainings" in command("tiny", "--dry-run")[1]


def test_explaining_takes_what_is_trained_already_goes_on_and_keeps_apart(command, tmp_path, monkeypatch):
    assert command("tiny", "--epochs", "1")[0] == 0
    plain = (tmp_path / "out" / "results.json").read_text()
    with monkeypatch.context() as patch:
        patch.setattr(reproduction.Keeper, "on_epoch_begin", interrupt_at(3))
        status, _, error = command("tiny", "--epochs", "1", "--explain")
    assert status == 130 and "explanations holds what is finished" in error
    status, out, _ = command("tiny", "--epochs", "1", "--explain")
    # The recipe's training was there, two changes were trained before the interruption.
    assert status == 0 and out.count("finished already") == 3 and "tiny: the document gives 0.9000" in out
    rows = json.loads((tmp_path / "out" / "explanations" / "results.json").read_text())["rows"]
    assert sorted(row.get("explanation", RECIPE) for row in rows) == sorted(explanations_of("tiny"))
    assert (tmp_path / "out" / "results.json").read_text() == plain
    results = tmp_path / "results"
    assert "Not trained yet" in tables_of_results.explanations_table(results)
    shutil.copytree(tmp_path / "out", results / "a-machine" / "reproduction")
    shown = tables_of_results.explanations_table(results)
    assert "tiny: the document gives 0.9000" in shown and "| no shuffling" in shown and "One seed shows" in shown
    assert "explanation" not in plain
    path = results / "a-machine" / "reproduction" / "explanations" / "results.json"
    by_recipe = [row for row in json.loads(path.read_text())["rows"] if "explanation" not in row]
    path.write_text(json.dumps({"rows": by_recipe}))
    assert by_recipe and "Not trained yet" in tables_of_results.explanations_table(results)


def test_of_a_change_all_seeds_that_there_are_are_counted(command):
    assert command("tiny", "--epochs", "1", "--seeds", "2")[0] == 0
    assert command("tiny", "--epochs", "2")[0] == 0  # another training
    status, out, _ = command("tiny", "--epochs", "1", "--explain")
    lines = [line.split() for line in out.split("the document gives")[1].splitlines()]
    (recipe,) = [line for line in lines if line[:5] == "the recipe as it is".split()]
    (shuffled,) = [line for line in lines if line[:2] == "no shuffling".split()]
    assert status == 0 and (recipe[6], shuffled[3]) == ("2", "1")


def interrupt_at(number):
    """Keeper.on_epoch_begin, the one of that number interrupted."""
    original, calls = reproduction.Keeper.on_epoch_begin, []

    def on_epoch_begin(self, epoch, logs=None):
        calls.append(epoch)
        if len(calls) == number:
            raise KeyboardInterrupt
        original(self, epoch, logs)

    return on_epoch_begin


def test_networks_are_named(command):
    status, _, error = command("--explain")
    assert status == 2 and "name those that it is for" in error
