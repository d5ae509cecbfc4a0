"""What programs for Keras 2.3 do with callbacks: figures of their own, attributes, validation_data, one alone."""

import csv

import numpy as np
import pytest
from helpers import assert_same_bits
from small_trainings import fit, linear, toy

from tinycnn import callbacks, optimizers

X, Y = toy(12)


class Adds(callbacks.Callback):
    """Adds a figure of its own."""

    def on_epoch_end(self, epoch, logs=None):
        logs["val_f1"] = 0.5


# ---------------------------------------------------------------- figures that callbacks add


@pytest.mark.parametrize("add", [Adds, lambda: callbacks.LambdaCallback(on_epoch_end=Adds().on_epoch_end)])
def test_a_file_may_be_called_by_a_figure_that_a_callback_adds(float64, tmp_path, add):
    keep = callbacks.ModelCheckpoint(tmp_path / "m-{val_f1:.2f}.safetensors", "val_f1", save_best_only=True, mode="max")
    fit(linear(), X, Y, callbacks=[add(), keep])
    assert [path.name for path in tmp_path.iterdir()] == ["m-0.50.safetensors"]


@pytest.mark.parametrize(
    "schedule", [lambda: callbacks.LearningRateScheduler(lambda _: 0.1), lambda: callbacks.ReduceLROnPlateau("loss")]
)
def test_a_file_may_be_called_by_a_rate_that_is_scheduled(float64, tmp_path, schedule):
    keep = callbacks.ModelCheckpoint(tmp_path / "m-{lr:.2f}.safetensors")
    fit(linear(optimizers.SGD(0.1)), X, Y, callbacks=[schedule(), keep])
    assert [path.name for path in tmp_path.iterdir()] == ["m-0.10.safetensors"]
    model = linear()
    with pytest.raises(ValueError, match="no figure is called 'lr'; there is: epoch, loss, accuracy"):
        fit(model, X, Y, callbacks=[keep, schedule()])  # which adds it when the file has been written
    with pytest.raises(ValueError, match="nothing called 'val_loss' is measured; there is: loss, accuracy, lr"):
        fit(model, X, Y, callbacks=[schedule(), callbacks.EarlyStopping()])
    assert model.epochs_trained == 0


def test_a_figure_that_no_callback_has_added_is_named_with_those_that_there_are(float64, tmp_path):
    keep = callbacks.ModelCheckpoint(tmp_path / "m-{val_f2:.2f}.safetensors")
    with pytest.raises(ValueError, match="no figure is called 'val_f2'; there is: epoch, loss, accuracy, val_f1"):
        fit(linear(), X, Y, callbacks=[Adds(), keep])


# ---------------------------------------------------------------- attributes


class Looks(callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.found = self.validation_data


@pytest.mark.parametrize("weights", [(), (np.arange(4.0),)])
def test_callbacks_have_the_validation_data(float64, weights):
    looks = Looks()
    fit(linear(), X, Y, validation_data=(X[:4], Y[:4], *weights), callbacks=[looks])
    for got, want in zip(looks.found, [X[:4], Y[:4], *(weights or [np.ones(4)])], strict=True):
        assert np.array_equal(got, want)
    fit(linear(), X, Y, validation_split=0.25, callbacks=[looks])
    assert np.array_equal(looks.found[0], X[9:]) and len(looks.found) == 3
    model = linear()
    model.compile("sgd", "sparse_categorical_crossentropy")
    numbers = Y.argmax(axis=1)
    fit(model, X, numbers, validation_data=(X, numbers), callbacks=[looks])
    assert np.array_equal(looks.found[1], numbers[:, None])
    fit(model, X, numbers, callbacks=[looks])
    assert looks.found is None


def test_early_stopping_tells_when_it_stopped(float64):
    stop = callbacks.EarlyStopping("loss", patience=2, baseline=0.0, restore_best_weights=True)
    assert (stop.wait, stop.stopped_epoch, stop.best_weights) == (0, 0, None)
    fit(linear(), X, Y, epochs=9, callbacks=[stop])
    assert (stop.wait, stop.stopped_epoch, stop.best) == (2, 1, 0.0)


def test_a_history_has_the_params_and_the_model_of_its_fit(float64):
    model = linear()
    history = fit(model, X, Y, epochs=3)
    assert history.model is model and history.params["epochs"] == 3 and history.params["samples"] == 12
    assert history.params["metrics"] == ["loss", "accuracy"]


def test_an_optimizer_has_a_config():
    config = optimizers.SGD(0.5, momentum=0.9, nesterov=True).get_config()
    assert config == {"learning_rate": 0.5, "decay": 0.0, "momentum": 0.9, "nesterov": True}
    assert optimizers.SGD(**config).get_config() == config


# ---------------------------------------------------------------- how they are given, and what is left


def test_a_single_callback_need_not_be_in_a_list(float64):
    class Counts(callbacks.Callback):
        tests = predictions = 0

        def on_test_begin(self, logs=None):
            self.tests += 1

        def on_predict_begin(self, logs=None):
            self.predictions += 1

    model, counts = linear(), Counts()
    model.evaluate(X, Y, verbose=0, callbacks=counts)
    model.evaluate_generator(iter([(X, Y)]), steps=1, callbacks=counts)
    assert_same_bits(model.predict(X, callbacks=counts), model.predict_generator(iter([X]), 1, callbacks=counts))
    assert (counts.tests, counts.predictions) == (2, 2)


@pytest.mark.filterwarnings("error")  # of a file that is not closed
@pytest.mark.parametrize("kind", [callbacks.CSVLogger, callbacks.JSONLogger])
def test_a_log_is_closed_where_training_ends_by_an_error(float64, tmp_path, kind):
    class Stops(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    log = kind(tmp_path / "log")
    with pytest.raises(KeyboardInterrupt):
        fit(linear(), X, Y, epochs=3, callbacks=[log, Stops()])
    assert log.file.closed and len((tmp_path / "log").read_text().splitlines()) == 2 + (kind is callbacks.CSVLogger)


def test_the_columns_of_a_log_are_sorted(float64, tmp_path):
    fit(linear(), X, Y, validation_data=(X, Y), callbacks=[callbacks.CSVLogger(tmp_path / "log.csv")])
    with open(tmp_path / "log.csv", newline="") as file:
        assert next(csv.reader(file)) == ["epoch", "accuracy", "loss", "val_accuracy", "val_loss"]
