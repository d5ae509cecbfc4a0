"""Callbacks: schedules, decay, early stopping, checkpoints and logs."""

import csv
import json

import numpy as np
import pytest
from helpers import assert_close, assert_same_bits
from small_trainings import again, compiled, fit, linear, network, toy

from tinycnn import callbacks, optimizers
from tinycnn.models import load_model


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
    with pytest.raises(ValueError, match="what the schedule returns must be finite and not negative"):
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


@pytest.mark.parametrize("min_delta", [0.5, -0.5])  # Keras takes no heed of the sign
def test_early_stopping_counts_only_improvements_that_are_large_enough(float64, min_delta):
    x, y = toy()
    stop = callbacks.EarlyStopping(patience=2, min_delta=min_delta)
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
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):  # as compile() was given it
        assert [float(row[name]) for row in rows] == h[name]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert "lr" not in rows[0] and all("lr" in line and "seconds" in line for line in lines)
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


@pytest.mark.parametrize("file", ["m.safetensors", "m.h5"])
def test_a_schedule_s_rates_stay_in_the_history_and_the_log_of_a_training_that_is_resumed(float64, tmp_path, file):
    x, y = toy()
    model = linear(optimizers.SGD(0.5))
    for last in (2, 4):
        schedule = callbacks.LearningRateScheduler(lambda epoch: 0.5 / (1 + epoch))
        fit(
            model,
            x,
            y,
            epochs=last,
            initial_epoch=model.epoch,
            callbacks=[schedule, callbacks.CSVLogger(tmp_path / "log.csv")],
        )
        model.save(tmp_path / file)
        model = load_model(tmp_path / file)
        assert model.history.history["lr"] == pytest.approx([0.5 / (1 + epoch) for epoch in range(last)])
        assert "seconds" not in model.history.history
    with open(tmp_path / "log.csv", newline="") as log:
        assert [float(row["lr"]) for row in csv.DictReader(log)] == model.history.history["lr"]


def test_a_log_has_as_many_figures_in_every_row_as_in_its_header(float64, tmp_path):
    x, y = toy()
    model = linear()
    log = callbacks.CSVLogger(tmp_path / "log.csv")
    fit(model, x, y, epochs=1, validation_data=(x, y), callbacks=[log])
    schedule = callbacks.LearningRateScheduler(lambda epoch: 0.5)
    fit(model, x, y, epochs=2, initial_epoch=1, callbacks=[schedule, log])
    header, first, second = ((tmp_path / "log.csv").read_text()).splitlines()
    assert header == "epoch,accuracy,loss,val_accuracy,val_loss"
    assert "NA" not in first and second.endswith(",NA,NA") and second.count(",") == 4


# ---------------------------------------------------------------- every method is called


class Everything(callbacks.Callback):
    """Writes down what it hears."""

    def __init__(self):
        self.heard = []

    def __getattribute__(self, name):
        if name.startswith("on_") and name not in ("on_batch_begin", "on_batch_end"):
            return lambda *arguments: self.heard.append((name, *arguments))
        return super().__getattribute__(name)


def names(heard):
    return [name for name, *_ in heard]


def test_every_method_is_called_in_keras_s_order(float64):
    x, y = toy(8)
    watch, model = Everything(), linear()
    fit(model, x, y, batch_size=4, epochs=1, validation_data=(x[:4], y[:4]), callbacks=[watch])
    batch = ["on_train_batch_begin", "on_train_batch_end"]
    test = ["on_test_begin", "on_test_batch_begin", "on_test_batch_end", "on_test_end"]
    want = ["on_train_begin", "on_epoch_begin", *batch, *batch, *test, "on_epoch_end", "on_train_end"]
    assert names(watch.heard) == want
    watch.heard.clear()
    model.evaluate(x[:4], y[:4], verbose=0, callbacks=[watch])
    assert names(watch.heard) == test
    watch.heard.clear()
    model.predict(x[:4], callbacks=[watch])
    batch = ["on_predict_batch_begin", "on_predict_batch_end"]
    assert names(watch.heard) == ["on_predict_begin", *batch, "on_predict_end"]


def test_the_older_names_of_a_batch_s_methods_are_called_too(float64):
    class Old(callbacks.Callback):
        seen = 0

        def on_batch_end(self, batch, logs=None):
            assert logs["loss"] > 0 and logs["acc"] == logs["accuracy"]
            type(self).seen += 1

    x, y = toy(8)
    fit(linear(), x, y, batch_size=4, epochs=2, callbacks=[Old()])
    assert Old.seen == 4


def test_a_method_that_an_object_was_given_is_called(float64):
    ends, own = [], callbacks.Callback()
    own.on_epoch_end = lambda epoch, logs=None: ends.append(epoch)
    fit(linear(), *toy(8), epochs=2, callbacks=[own])
    assert ends == [0, 1]


def test_params_say_how_the_training_runs(float64):
    x, y = toy(10)
    watch = Everything()
    fit(linear(), x, y, batch_size=4, epochs=3, validation_data=(x, y), callbacks=[watch])
    facts = {name: watch.params[name] for name in ("epochs", "steps", "batch_size", "samples", "do_validation")}
    assert facts == {"epochs": 3, "steps": 3, "batch_size": 4, "samples": 10, "do_validation": True}
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(watch.params["metrics"])


def test_stop_training_ends_the_epoch_at_that_batch(float64):
    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.last = batch
            self.model.stop_training = batch == 2

    x, y = toy(30)
    stop, model = Stop(), linear()
    history = fit(model, x, y, batch_size=4, epochs=5, callbacks=[stop])
    assert stop.last == 2 and history.epoch == [0] and model.optimizer.iterations == 3


@pytest.mark.parametrize("wrong, right", [("on_epoch_ends", "on_epoch_end"), ("on_batch_ed", "on_batch_end")])
def test_a_method_that_is_nearly_called_like_one_is_refused(float64, wrong, right):
    typo = type("Typo", (callbacks.Callback,), {wrong: lambda self, *arguments: None})
    with pytest.raises(ValueError, match=f"{wrong}.*{right}"):
        fit(linear(), *toy(8), callbacks=[typo()])
    free = type("Free", (callbacks.Callback,), {"on_my_own": lambda self: None})
    fit(linear(), *toy(8), epochs=1, callbacks=[free()])
    with pytest.raises(TypeError, match="callback"):
        fit(linear(), *toy(8), callbacks=[print])


# ---------------------------------------------------------------- names of figures


@pytest.mark.parametrize("metric, other", [("accuracy", "acc"), ("acc", "accuracy")])
def test_a_figure_bears_the_name_that_compile_was_given_and_is_found_under_both(float64, tmp_path, metric, other):
    x, y = toy()
    model = linear()
    model.compile("sgd", metrics=metric)  # one name is one metric
    keep = callbacks.ModelCheckpoint(tmp_path / ("m-{epoch}-{val_" + other + ":.2f}.safetensors"), "val_" + other)
    history = fit(model, x, y, epochs=1, validation_data=(x, y), callbacks=[keep]).history
    assert list(history) == ["loss", metric, "val_loss", f"val_{metric}"]
    assert history[other] == history[metric] and f"val_{other}" in history and history.get(other) == history[metric]
    assert len(list(tmp_path.glob("m-1-*.safetensors"))) == 1


@pytest.mark.parametrize(
    "callback",
    [
        lambda: callbacks.EarlyStopping("val_loss"),
        lambda: callbacks.ReduceLROnPlateau("val_loss"),
        lambda: callbacks.ModelCheckpoint("m.safetensors", "val_loss", save_best_only=True),
        lambda: callbacks.ModelCheckpoint("m-{val_loss:.2f}.safetensors"),
    ],
)
def test_a_figure_that_will_not_be_there_is_refused_before_training(float64, tmp_path, monkeypatch, callback):
    monkeypatch.chdir(tmp_path)
    model = linear()
    with pytest.raises(ValueError, match="val_loss.*loss"):
        fit(model, *toy(), callbacks=[callback()])
    assert model.epochs_trained == 0


def test_a_figure_that_another_callback_adds_is_awaited_and_missed_in_keras_s_words(float64):
    class Adds(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch > 0:
                logs["mine"] = 1.0

    stop = callbacks.EarlyStopping("mine", patience=1)
    with pytest.warns(UserWarning, match="EarlyStopping conditioned on metric `mine` which is not available"):
        history = fit(linear(), *toy(), epochs=5, callbacks=[Adds(), stop])
    assert history.epoch == [0, 1, 2]


def test_early_stopping_waits_for_a_baseline_and_says_so(float64, capsys):
    x, y = toy()
    stop = callbacks.EarlyStopping("val_loss", patience=2, baseline=1.0, verbose=1)
    history = fit(linear(), x, y, epochs=9, validation_data=(x, y), callbacks=[Script([3.0, 2.0, 1.5, 0.5]), stop])
    assert history.epoch == [0, 1] and "early stopping" in capsys.readouterr().out


def test_a_plateau_lowers_the_rate_as_keras_does(float64):
    keras = pytest.importorskip("keras")
    values = [3.0, *[2.0] * 7, *[1.0] * 6]
    options = {"factor": 0.5, "patience": 2, "cooldown": 2, "min_lr": 0.06, "min_delta": 0.1}
    x, y = toy()
    plateau = callbacks.ReduceLROnPlateau("val_loss", **options)
    ours = fit(
        linear(optimizers.SGD(0.25)), x, y, epochs=len(values), validation_data=(x, y),
        callbacks=[Script(values), plateau],
    ).history["lr"]  # fmt: skip
    twin = keras.callbacks.ReduceLROnPlateau("val_loss", **options)
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.25), "mse")
    twin.set_model(model)
    twin.on_train_begin()
    theirs = []
    for epoch, value in enumerate(values):
        theirs.append(float(model.optimizer.learning_rate))
        twin.on_epoch_end(epoch, {"val_loss": value})
    assert ours == pytest.approx(theirs)


def test_a_log_can_be_appended_to_and_separated_otherwise(float64, tmp_path):
    x, y = toy()
    for _ in range(2):
        log = callbacks.CSVLogger(tmp_path / "log.csv", separator=";", append=True)
        fit(linear(), x, y, epochs=2, callbacks=[log])
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert lines[0].startswith("epoch;accuracy;loss")
    assert [line.split(";")[0] for line in lines[1:]] == [
        "0",
        "1",
        "0",
        "1",
    ]


def test_a_checkpoint_of_weights_alone_and_of_every_second_epoch(float64, tmp_path):
    x, y = toy()
    model = compiled("adam")
    keep = callbacks.ModelCheckpoint(tmp_path / "e{epoch}.safetensors", save_weights_only=True, period=2)
    fit(model, x, y, epochs=5, callbacks=[keep])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e2.safetensors", "e4.safetensors"]
    other = network(input_shape=(8, 8, 1))
    other.load_weights(tmp_path / "e4.safetensors")
    assert other.optimizer is None


# ---------------------------------------------------------------- small ones of Keras's


def test_functions_are_a_callback(float64):
    seen = []
    watch = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append((epoch, logs["loss"])),
        on_train_end=lambda logs: seen.append("end"),
    )
    history = fit(linear(), *toy(), epochs=2, callbacks=[watch]).history
    assert seen == [(0, history["loss"][0]), (1, history["loss"][1]), "end"]
    with pytest.raises(TypeError, match="on_epoch_and.*did you mean on_epoch_end"):
        callbacks.LambdaCallback(on_epoch_and=print)


def test_training_ends_where_the_loss_is_no_number(float64, capsys):
    model = linear(optimizers.SGD(0.1))
    weights = model.get_weights()
    model.set_weights([np.full_like(weights[0], np.inf), weights[1]])
    x, y = toy()
    history = fit(model, x, y, batch_size=5, epochs=4, callbacks=[callbacks.TerminateOnNaN()])
    assert history.epoch == [0] and model.optimizer.iterations == 1
    assert "Invalid loss, terminating training" in capsys.readouterr().out


def test_a_schedule_s_rates_are_in_the_history_of_all_epochs(float64):
    x, y = toy()
    model = linear(optimizers.SGD(0.5))
    assert "lr" not in fit(model, x, y, epochs=1).history
    schedule = callbacks.LearningRateScheduler(lambda epoch: 0.5 / (1 + epoch))
    fit(model, x, y, epochs=3, initial_epoch=1, callbacks=[schedule])
    history = model.history
    assert history.history["lr"] == pytest.approx([0.5, 0.25, 0.5 / 3])
    assert [len(values) for values in history.history.values()] == [3, 3, 3]


def test_what_a_callback_adds_is_in_the_history(float64, tmp_path):
    add = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(mine=epoch * 2.0, note="words"))
    model = linear()
    assert fit(model, *toy(), epochs=2, callbacks=[add]).history["mine"] == [0.0, 2.0]
    model.save(tmp_path / "m.safetensors")
    assert load_model(tmp_path / "m.safetensors").history.history["mine"] == [0.0, 2.0]


def test_what_a_callback_puts_under_the_name_of_a_time_is_its_own(float64, tmp_path):
    own = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(seconds=42.0 + epoch))
    model = linear()
    log = callbacks.JSONLogger(tmp_path / "log.jsonl")
    assert fit(model, *toy(), epochs=2, callbacks=[own, log]).history["seconds"] == [42.0, 43.0]
    assert [json.loads(line)["seconds"] for line in open(tmp_path / "log.jsonl")] == [42.0, 43.0]
