"""Callbacks: schedules, decay, early stopping, checkpoints and logs."""

import csv
import json

import numpy as np
import pytest
from helpers import assert_close, assert_same_bits
from small_trainings import again, compiled, fit, linear, network, toy

from tinycnn import callbacks, optimizers


@pytest.mark.parametrize(
    "schedule", [lambda epoch: 0.1 / (epoch + 1), lambda epoch, lr: 0.1 if epoch == 0 else 0.1 / (epoch + 1)]
)
def test_a_schedule_sets_the_rate_of_each_epoch_from_zero(float64, schedule, capsys):
    x, y = toy()
    history = fit(linear(), x, y, epochs=3, callbacks=[callbacks.LearningRateScheduler(schedule, verbose=1)])
    assert history.history["lr"] == pytest.approx([0.1, 0.05, 0.1 / 3])
    assert "LearningRateScheduler" in capsys.readouterr().out


def test_a_schedule_is_given_the_rate_so_far(float64):
    x, y = toy()
    model = linear(optimizers.SGD(0.5))
    fit(model, x, y, epochs=3, callbacks=[callbacks.LearningRateScheduler(lambda epoch, lr: lr / 2)])
    assert model.optimizer.learning_rate == 0.0625 == model.optimizer.lr


def test_the_rate_that_is_set_is_the_rate_that_is_used(device):
    x, y = toy(8)
    moved = []
    for rate in (0.1, 0.2):
        again(0)
        model = linear()
        before = model.get_weights()
        fit(model, x, y, epochs=1, callbacks=[callbacks.LearningRateScheduler(lambda epoch, lr, rate=rate: rate)])
        moved.append(model.get_weights()[0].astype(np.float64) - before[0])
    assert_close(moved[1].astype(device.dtype), 2 * moved[0], 10)


@pytest.mark.parametrize("returned", [None, "fast", [0.1], {}])
def test_a_schedule_that_returns_no_number_is_an_error(float64, returned):
    x, y = toy()
    with pytest.raises(ValueError, match="schedule must return a number"):
        fit(linear(), x, y, callbacks=[callbacks.LearningRateScheduler(lambda epoch: returned)])


def test_decay_lowers_the_rate_with_every_update(float64):
    x, y = toy(8)  # one batch an epoch
    again(0)
    model = linear(optimizers.SGD(0.1, decay=0.5))
    fit(model, x, y, batch_size=8, epochs=3, shuffle=False)
    assert model.optimizer.learning_rate == 0.1
    again(0)
    other = linear(optimizers.SGD(0.1))
    rates = callbacks.LearningRateScheduler(lambda epoch: 0.1 / (1 + 0.5 * epoch))
    fit(other, x, y, batch_size=8, epochs=3, shuffle=False, callbacks=[rates])
    for got, want in zip(model.get_weights(), other.get_weights(), strict=True):
        assert_same_bits(got, want)


class Script(callbacks.Callback):
    """Replaces the measured val_loss by numbers given beforehand."""

    def __init__(self, values):
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs["val_loss"] = self.values[epoch]


class Weights(callbacks.Callback):
    def __init__(self):
        self.after = []

    def on_epoch_end(self, epoch, logs=None):
        self.after.append(self.model.get_weights())


@pytest.mark.parametrize("patience, epochs", [(0, 3), (1, 3), (2, 6), (3, 7)])
def test_early_stopping_waits_patiently(float64, patience, epochs):
    x, y = toy()
    losses = [3.0, 2.0, 2.5, 1.5, 1.6, 1.7, 1.8, 1.9]
    stop = callbacks.EarlyStopping(patience=patience)
    history = fit(linear(), x, y, epochs=8, validation_data=(x, y), callbacks=[Script(losses), stop])
    assert len(history.epoch) == epochs


def test_early_stopping_counts_only_improvements_that_are_large_enough(float64):
    x, y = toy()
    stop = callbacks.EarlyStopping(patience=2, min_delta=0.5)
    history = fit(
        linear(), x, y, epochs=8, validation_data=(x, y), callbacks=[Script([3, 2.9, 2.8, 2, 1, 0, 0, 0]), stop]
    )
    assert len(history.epoch) == 3


def test_early_stopping_can_restore_the_best_weights(float64):
    x, y = toy()
    model, weights = compiled("adam"), Weights()
    stop = callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    fit(model, x, y, epochs=8, validation_data=(x, y), callbacks=[Script([3, 2, 4, 5, 6, 7, 8, 9]), weights, stop])
    assert len(weights.after) == 4
    for got, best, last in zip(model.get_weights(), weights.after[1], weights.after[3], strict=True):
        assert_same_bits(got, best)
        assert not np.array_equal(best, last)


def test_accuracies_should_grow_and_losses_fall_and_nan_is_no_improvement():
    best = callbacks.Watching("val_acc", "auto")
    assert [best.improved({"val_acc": v}) for v in (0.1, 0.3, 0.2, 0.3)] == [True, True, False, False]
    best = callbacks.Watching("loss", "auto")
    assert [best.improved({"loss": v}) for v in (3.0, 2.0, float("nan"), 2.5, 1.0)] == [True, True, False, False, True]
    best = callbacks.Watching("loss", "auto")
    assert [best.improved({"loss": v}) for v in (float("nan"), 2.0, 3.0)] == [False, True, False]


def test_watching_what_is_not_measured_is_an_error_that_lists_what_is(float64):
    x, y = toy()
    with pytest.raises(ValueError, match="val_loss.*loss"):
        fit(linear(), x, y, callbacks=[callbacks.EarlyStopping()])
    with pytest.raises(ValueError, match="'auto', 'min' or 'max'"):
        callbacks.Watching("loss", "most")


def test_checkpoints_can_be_of_the_best_epochs_only(float64, tmp_path):
    x, y = toy()
    path = tmp_path / "e{epoch}-{val_loss:.1f}.safetensors"
    keep = callbacks.ModelCheckpoint(path, save_best_only=True)
    fit(linear(), x, y, epochs=4, validation_data=(x, y), callbacks=[Script([3.0, 4.0, 2.0, 2.5]), keep])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e1-3.0.safetensors", "e3-2.0.safetensors"]


def test_checkpoints_after_every_epoch_hold_the_weights_of_that_epoch(float64, tmp_path):
    x, y = toy()
    model, weights = compiled("adam"), Weights()
    keep = callbacks.ModelCheckpoint(tmp_path / "e{epoch}.safetensors")
    fit(model, x, y, epochs=3, callbacks=[weights, keep])
    for epoch in (1, 2, 3):
        other = network(input_shape=(8, 8, 1))
        other.load_weights(tmp_path / f"e{epoch}.safetensors")
        for got, want in zip(other.get_weights(), weights.after[epoch - 1], strict=True):
            assert_same_bits(got, want)


def test_csv_and_json_logs_have_a_row_an_epoch(float64, tmp_path):
    x, y = toy()
    logs = [callbacks.CSVLogger(tmp_path / "log.csv"), callbacks.JSONLogger(tmp_path / "log.jsonl", device="reference")]
    h = fit(linear(), x, y, epochs=3, validation_data=(x, y), callbacks=logs).history
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy", "lr"):  # as compile() was given it
        assert [float(row[name]) for row in rows] == h[name]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert [line["loss"] for line in lines] == h["loss"] and lines[0]["device"] == "reference"


def test_logs_of_a_resumed_training_keep_the_rows_before_it(float64, tmp_path):
    x, y = toy()
    model = linear()
    for first, last in ((0, 3), (2, 4)):
        logs = [callbacks.CSVLogger(tmp_path / "log.csv"), callbacks.JSONLogger(tmp_path / "log.jsonl")]
        fit(model, x, y, epochs=last, initial_epoch=first, callbacks=logs)
    with open(tmp_path / "log.csv", newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2", "3"]
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 4
