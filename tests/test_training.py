"""fit, evaluate, predict and the callbacks; and what is refused before a kernel runs."""

import csv
import json

import numpy as np
import pytest
from helpers import assert_close, assert_same_bits, images, one_hot

import tinycnn
from tinycnn import callbacks, optimizers, philox, session
from tinycnn import functional as F
from tinycnn.layers import (
    Activation,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    MaxPooling2D,
)
from tinycnn.losses import logits_of
from tinycnn.models import Model, Sequential
from tinycnn.shapes import ShapeError


def toy(count=30, seed=0):
    return images(np.random.default_rng(seed), count)


def network(**first):
    """Every kind of layer that trains: convolution, batch norm, pooling, dropout, dense."""
    return Sequential(
        [
            Conv2D(4, (3, 3), activation="relu", **first),
            BatchNormalization(),
            MaxPooling2D((2, 2)),
            Dropout(0.25),
            Flatten(),
            Dense(3, activation="softmax"),
        ]
    )


def compiled(optimizer="sgd", loss="categorical_crossentropy", metrics=("accuracy",)):
    model = network(input_shape=(8, 8, 1))
    model.compile(optimizer, loss, list(metrics))
    return model


def linear(optimizer="sgd"):
    """The smallest network that trains."""
    model = Sequential([Flatten(input_shape=(8, 8, 1)), Dense(3, activation="softmax")])
    model.compile(optimizer, metrics=["accuracy"])
    return model


def again(seed=0):
    """As in a new program: the same seed, layers numbered from 1."""
    session.clear_session()
    session.set_random_seed(seed)


def fit(model, x, y, **arguments):
    return model.fit(x, y, **{"batch_size": 8, "epochs": 2, "verbose": 0, **arguments})


class Watcher(callbacks.Callback):
    """Notes what it is told."""

    def __init__(self):
        self.calls, self.batches = [], []

    def on_train_begin(self, logs=None):
        self.calls.append("train")

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(f"epoch {epoch}")

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append((batch, logs["loss"], logs["accuracy"]))

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(f"end {epoch}")

    def on_train_end(self, logs=None):
        self.calls.append("done")


# ---------------------------------------------------------------- learning


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adadelta"])
def test_training_lowers_the_loss_and_learns_what_can_be_told_apart(device, optimizer):
    x, y = toy(60)
    model = linear({"sgd": optimizers.SGD(0.1), "adam": optimizers.Adam(0.02), "adadelta": "adadelta"}[optimizer])
    history = fit(model, x, y, epochs=12).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    loss, accuracy = model.evaluate(*toy(30, seed=1), verbose=0)
    assert accuracy == 1.0 and loss < 0.7


def test_a_network_with_every_layer_learns(device):
    x, y = toy(60)
    model = compiled(optimizers.Adam(0.02))
    history = fit(model, x, y, epochs=8).history
    assert history["acc"][-1] > 0.9 and history["loss"][-1] < history["loss"][0]


def test_the_same_seed_gives_the_same_weights_to_the_bit(device):
    x, y = toy()
    results = []
    for seed in (3, 3, 4):
        again(seed)
        model = compiled("adam")
        fit(model, x, y)
        results.append(model.get_weights())
    for first, second in zip(results[0], results[1], strict=True):
        assert_same_bits(first, second)
    assert any(not np.array_equal(first, other) for first, other in zip(results[0], results[2], strict=True))


def test_an_epoch_in_training_is_what_a_loop_by_hand_does(device):
    """The weights after it, and its loss and accuracy: running means over the batches, in training mode."""
    x, y = toy(21)
    again(5)
    model = compiled(optimizers.SGD(0.1, momentum=0.9))
    history = fit(model, x, y, batch_size=8, epochs=2).history
    again(5)
    hand = compiled(optimizers.SGD(0.1, momentum=0.9))
    for epoch in range(2):
        order = philox.permutation(21, 5, philox.stream_id(philox.SHUFFLE), epoch)
        loss_sum = hits = 0.0
        for rows in (order[:8], order[8:16], order[16:]):
            output = hand(x[rows], training=True)
            loss, _ = F.softmax_crossentropy(logits_of(output), y[rows])
            loss_sum += loss.item() * len(rows)
            hits += (output.numpy().argmax(axis=1) == y[rows].argmax(axis=1)).sum()
            loss.backward()
            hand.optimizer.apply(hand.trainable_weights)
            for weight in hand.trainable_weights:
                weight.zero_grad()
        assert history["loss"][epoch] == pytest.approx(loss_sum / 21, rel=1e-6)
        assert history["acc"][epoch] == pytest.approx(hits / 21, rel=1e-6)
    for got, want in zip(model.get_weights(), hand.get_weights(), strict=True):
        assert_same_bits(got, want)


def test_the_last_batch_is_kept_though_it_is_smaller(device):
    x, y = toy(11)
    model, watcher = linear(), Watcher()
    fit(model, x, y, batch_size=4, epochs=1, callbacks=[watcher])
    assert [batch for batch, _, _ in watcher.batches] == [0, 1, 2]
    assert model.optimizer.iterations == 3
    model = linear(optimizers.SGD(1e-9))
    history = fit(model, x, y, batch_size=4, epochs=1).history
    assert history["loss"][0] == pytest.approx(model.evaluate(x, y, verbose=0)[0], rel=1e-4)  # all 11 images count


def test_a_batch_may_be_larger_than_the_data(device):
    x, y = toy(5)
    model = linear()
    fit(model, x, y, batch_size=64, epochs=1)
    assert model.optimizer.iterations == 1


def test_the_figures_of_a_batch_are_the_means_so_far(device):
    x, y = toy(20)
    model, watcher = linear(), Watcher()
    history = fit(model, x, y, epochs=1, callbacks=[watcher]).history
    assert watcher.batches[-1][1:] == (history["loss"][0], history["acc"][0])
    assert watcher.calls == ["train", "epoch 0", "end 0", "done"]


def test_every_epoch_has_an_order_of_its_own_and_without_shuffling_the_given_one(device):
    x, y = toy(16)
    seen = []

    class Order(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen[-1].append(logs["loss"])

        def on_epoch_begin(self, epoch, logs=None):
            seen.append([])

    model = linear(optimizers.SGD(1e-12))  # the weights stay, so the losses tell the batches apart
    fit(model, x, y, batch_size=4, epochs=3, callbacks=[Order()])
    assert seen[0] != seen[1] != seen[2] != seen[0]
    assert seen[0][-1] == pytest.approx(seen[1][-1], rel=1e-4)
    seen.clear()
    fit(model, x, y, batch_size=4, epochs=2, shuffle=False, callbacks=[Order()])
    assert seen[0] == pytest.approx(seen[1], rel=1e-4)
    batches = [model.evaluate(x[:n], y[:n], verbose=0)[0] for n in (4, 8, 12, 16)]
    assert seen[0] == pytest.approx(batches, rel=1e-4)


def test_validation_runs_in_inference_mode_and_changes_nothing(device):
    x, y = toy(24)
    again(1)
    model = compiled("adam")
    history = fit(model, x[:16], y[:16], validation_data=(x[16:], y[16:])).history
    loss, accuracy = model.evaluate(x[16:], y[16:], verbose=0)
    assert history["val_loss"][-1] == pytest.approx(loss, rel=1e-5) and history["val_acc"][-1] == accuracy
    assert_same_bits(model.predict(x[:5]), model.predict(x[:5]))
    again(1)
    alone = compiled("adam")
    fit(alone, x[:16], y[:16])
    for got, want in zip(model.get_weights(), alone.get_weights(), strict=True):
        assert_same_bits(got, want)


def test_evaluate_and_predict_agree_with_the_network_whatever_the_batch_size(device):
    x, y = toy(17)
    model = compiled("adam")
    fit(model, x, y)
    p = model.predict(x, batch_size=5)
    assert p.shape == (17, 3)
    assert_close(p, model(x).numpy(), 50)
    assert_close(p.sum(axis=1), np.ones(17), 3)
    loss, accuracy = model.evaluate(x, y, batch_size=4, verbose=0)
    assert loss == pytest.approx(-np.log((p * y).sum(axis=1)).mean(), rel=1e-4)
    assert accuracy == pytest.approx((p.argmax(axis=1) == y.argmax(axis=1)).mean())


def test_validation_split_takes_the_end_of_the_data(device):
    x, y = toy(20)
    again(2)
    model = linear()
    history = fit(model, x, y, validation_split=0.25).history
    again(2)
    other = linear()
    want = fit(other, x[:15], y[:15], validation_data=(x[15:], y[15:])).history
    assert history["val_loss"] == want["val_loss"] and history["loss"] == want["loss"]
    with pytest.raises(ValueError, match="validation_split"):
        fit(model, x, y, validation_split=1.5)


def test_the_sparse_loss_is_the_categorical_one_for_whole_numbers(device):
    x, y = toy(20)
    results = []
    for loss, labels in (("categorical_crossentropy", y), ("sparse_categorical_crossentropy", y.argmax(axis=1))):
        again(1)
        model = compiled("adam", loss)
        history = fit(model, x, labels).history
        results.append((model.get_weights(), history["loss"], model.evaluate(x, labels, verbose=0)))
    assert results[0][1:] == results[1][1:]
    for got, want in zip(results[0][0], results[1][0], strict=True):
        assert_same_bits(got, want)


def test_sparse_labels_may_be_a_column_and_soft_labels_need_not_be_one_hot(device):
    x, y = toy(12)
    model = compiled(loss="sparse_categorical_crossentropy")
    fit(model, x, y.argmax(axis=1)[:, None], epochs=1)
    model = compiled()
    fit(model, x, 0.7 * y + 0.1, epochs=1)


def test_a_sequential_network_without_input_shape_is_built_by_the_first_data(device):
    x, y = toy(12)
    again(1)
    model = network()
    model.compile("adam", metrics=["accuracy"])
    assert model.weights == []
    fit(model, x, y)
    again(1)
    told = network(input_shape=(8, 8, 1))
    told.compile("adam", metrics=["accuracy"])
    fit(told, x, y)
    assert [w.shape for w in model.weights] == [w.shape for w in told.weights]
    again(1)
    assert network().predict(x).shape == (12, 3)


def test_a_network_lives_on_the_device_it_was_made_on():
    x, y = toy(6)
    with tinycnn.use_device("reference", "float64") as made:
        model = network()
        model.compile("adam")
    with tinycnn.use_device("reference", "float32"):
        fit(model, x, y)
        assert all(w.device is made for w in model.weights)
        assert model.predict(x).dtype == np.float64


def test_data_may_be_lists_integers_or_tensors(device):
    x, y = toy(6)
    model = linear()
    fit(model, (x * 255).astype(np.uint8), y.astype(np.int64), epochs=1)
    fit(model, x.tolist(), y.tolist(), epochs=1)
    fit(model, tinycnn.Tensor(x), tinycnn.Tensor(y), epochs=1)
    assert model.predict(tinycnn.Tensor(x)).shape == (6, 3)


def test_the_data_are_left_alone(device):
    x, y = (a.astype(device.dtype) for a in toy(12))
    kept = x.copy(), y.copy()
    model = compiled("adam")
    fit(model, x, y, validation_data=(x, y))
    model.predict(x)
    assert_same_bits(x, kept[0])
    assert_same_bits(y, kept[1])


def test_a_graph_of_layers_trains_and_shared_layers_share_their_weights(device):
    x, y = toy(18)
    shared = Conv2D(2, (3, 3), activation="relu")
    inputs = Input(shape=(8, 8, 1))
    joined = Concatenate(axis=-1)([shared(inputs), shared(inputs), MaxPooling2D((3, 3), strides=1)(inputs)])
    model = Model(inputs=inputs, outputs=Dense(3, activation="softmax")(Flatten()(joined)))
    model.compile(optimizers.Adam(0.02), metrics=["accuracy"])
    assert joined.shape == (6, 6, 5)
    assert len(model.weights) == 4
    history = fit(model, x, y, epochs=6).history
    assert history["loss"][-1] < history["loss"][0]


def test_a_network_may_have_several_outputs_to_look_inside(device):
    x, _ = toy(5)
    inputs = Input(shape=(8, 8, 1))
    middle = Conv2D(2, (3, 3))(inputs)
    outputs = [middle, Flatten()(middle)]
    seen = Model(inputs, outputs).predict(x, batch_size=2)
    assert [o.shape for o in seen] == [(5, 6, 6, 2), (5, 72)]
    assert_same_bits(seen[0].reshape(5, 72), seen[1])


# ---------------------------------------------------------------- the history


def test_history_has_every_figure_under_both_names(float64):
    x, y = toy()
    history = fit(compiled(), x, y, validation_data=(x, y), epochs=3)
    assert history.epoch == [0, 1, 2]
    h = history.history
    for name in ("loss", "acc", "accuracy", "val_loss", "val_acc", "val_accuracy", "lr"):
        assert len(h[name]) == 3 and name in h
    assert h["acc"] is h["accuracy"] and h.get("val_accuracy") is h["val_acc"]
    assert h["lr"] == [0.01] * 3
    with pytest.raises(KeyError):
        h["f1"]


def test_without_metrics_the_loss_alone_is_measured(float64):
    x, y = toy()
    model = compiled(metrics=())
    history = fit(model, x, y, validation_data=(x, y)).history
    assert "acc" not in history and "val_acc" not in history and "val_loss" in history
    assert isinstance(model.evaluate(x, y, verbose=0), float)


def test_going_on_keeps_the_earlier_epochs_and_starting_again_forgets_them(float64):
    x, y = toy()
    model = linear()
    first = fit(model, x, y, epochs=2).history["loss"]
    history = fit(model, x, y, epochs=4, initial_epoch=2)
    assert history.epoch == [0, 1, 2, 3] and history.history["loss"][:2] == first
    assert fit(model, x, y, epochs=1).epoch == [0]


def test_an_earlier_part_without_validation_does_not_shift_the_figures_of_the_later(float64, tmp_path):
    x, y = toy()
    model = linear()
    fit(model, x, y, epochs=1)
    history = fit(model, x, y, epochs=3, initial_epoch=1, validation_data=(x, y))
    rows = dict(history.rows())
    assert "val_loss" not in rows[0]
    assert [rows[1]["val_loss"], rows[2]["val_loss"]] == history.history["val_loss"]
    model.save(tmp_path / "model.safetensors")


def test_verbose_prints_a_line_an_epoch_and_zero_prints_nothing(float64, capsys):
    x, y = toy()
    model = linear()
    fit(model, x, y, verbose=0)
    assert capsys.readouterr().out == ""
    fit(model, x, y, verbose=2, validation_data=(x, y))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "Epoch 1/2" in lines[0] and "val_acc" in lines[1]
    fit(model, x, y, verbose=1)
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    model.evaluate(x, y)
    assert "acc" in capsys.readouterr().out


# ---------------------------------------------------------------- callbacks


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
    best = callbacks.Best("val_acc", "auto")
    assert [best.improved({"val_acc": v}) for v in (0.1, 0.3, 0.2, 0.3)] == [True, True, False, False]
    best = callbacks.Best("loss", "auto")
    assert [best.improved({"loss": v}) for v in (3.0, 2.0, float("nan"), 2.5, 1.0)] == [True, True, False, False, True]
    best = callbacks.Best("loss", "auto")
    assert [best.improved({"loss": v}) for v in (float("nan"), 2.0, 3.0)] == [False, True, False]


def test_watching_what_is_not_measured_is_an_error_that_lists_what_is(float64):
    x, y = toy()
    with pytest.raises(ValueError, match="val_loss.*loss"):
        fit(linear(), x, y, callbacks=[callbacks.EarlyStopping()])
    with pytest.raises(ValueError, match="'auto', 'min' or 'max'"):
        callbacks.Best("loss", "most")


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
    for name in ("loss", "acc", "val_loss", "val_acc", "lr"):
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


# ---------------------------------------------------------------- what is refused, before a kernel runs


@pytest.fixture
def idle(float64, monkeypatch):
    """The reference device with every kernel an error: what is refused in time never gets here."""
    kernels = [
        name
        for name in dir(type(float64))
        if name.endswith(("_forward", "_backward", "_data", "_filter", "_inference", "_crossentropy", "_step"))
        or name in ("gather_batch", "increment", "accumulate", "elementwise", "concatenate")
    ]
    assert len(kernels) > 20

    def never(*arguments, **options):
        raise AssertionError("a kernel ran")

    model = linear("adam")
    for name in kernels:
        monkeypatch.setattr(float64, name, never)
    return model


def changed(array, place, value):
    array = array.copy()
    array[place] = value
    return array


X, Y = toy(6)
BAD_DATA = {
    "another size": (X[:, :7], Y, ShapeError, r"\(6, 7, 8, 1\).*\('?N'?, 8, 8, 1\)"),
    "no channel axis": (X[..., 0], Y, ShapeError, r"reshape\(-1, 8, 8, 1\)"),
    "flat images": (X.reshape(6, 64), Y, ShapeError, r"\(6, 64\)"),
    "one image": (X[0], Y[0], ShapeError, r"\(8, 8, 1\)"),
    "a NaN": (changed(X, (2, 3, 4, 0), np.nan), Y, ValueError, r"NaN or infinity.*\(2, 3, 4, 0\)"),
    "an infinity": (changed(X, (5, 0, 0, 0), -np.inf), Y, ValueError, r"NaN or infinity.*\(5, 0, 0, 0\)"),
    "no images": (X[:0], Y[:0], ValueError, "empty"),
    "an empty list": ([], [], ValueError, "empty"),
    "a number": (3.0, Y, ValueError, "empty"),
    "text": (np.full((6, 8, 8, 1), "a"), Y, ValueError, "numbers"),
    "objects": (np.full((6, 8, 8, 1), None), Y, ValueError, "numbers"),
    "complex numbers": (X.astype(complex), Y, ValueError, "numbers"),
    "fewer labels": (X, Y[:5], ShapeError, "5 labels for 6 images"),
    "more labels": (X[:5], Y, ShapeError, "6 labels for 5 images"),
    "whole numbers for one-hot": (X, Y.argmax(axis=1), ShapeError, r"to_categorical\(.*, 3\).*sparse_categorical"),
    "other classes": (X, one_hot([0] * 6, 4), ShapeError, r"\(6, 4\).*3 classes"),
    "rows that sum to 2": (X, 2 * Y, ValueError, "sum to 1"),
    "negative labels": (X, Y - 2 * Y[:, ::-1] + 2 / 3, ValueError, "at least 0|sum to 1"),
    "a NaN label": (X, changed(Y, (1, 1), np.nan), ValueError, "sum to 1"),
    "labels of text": (X, np.full((6, 3), "a"), ValueError, "numbers"),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_data_that_do_not_fit_are_refused(idle, case):
    x, y, error, message = BAD_DATA[case]
    for call in (
        lambda: fit(idle, x, y),
        lambda: idle.evaluate(x, y, verbose=0),
        lambda: fit(idle, X, Y, validation_data=(x, y)),
    ):
        with pytest.raises(error, match=message):
            call()
    assert idle.optimizer.iterations == 0


@pytest.mark.parametrize(
    "labels, message",
    [
        ([0, 1, 2, 3, 0, 1], "label 3 is out of range: with 3 classes labels are 0 to 2"),
        ([0, 1, 2, -1, 0, 1], "label -1 is out of range"),
        ([0, 1, 2, 0.5, 0, 1], "whole numbers"),
        (Y, r"whole numbers of shape \(N,\)"),
    ],
    ids=["too large", "negative", "broken", "one-hot"],
)
def test_sparse_labels_that_do_not_fit_are_refused(idle, labels, message):
    idle.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=message):
        fit(idle, X, labels)


@pytest.mark.parametrize("size", [0, -1, 2.5, "8", None])
def test_a_batch_size_is_a_whole_number_of_at_least_one(idle, size):
    for call in (
        lambda: fit(idle, X, Y, batch_size=size),
        lambda: idle.evaluate(X, Y, batch_size=size),
        lambda: idle.predict(X, batch_size=size),
    ):
        with pytest.raises(ValueError, match="batch_size"):
            call()


def test_predict_refuses_the_same_images(idle):
    for case in ("another size", "no channel axis", "a NaN", "no images", "text"):
        x, _, error, message = BAD_DATA[case]
        with pytest.raises(error, match=message):
            idle.predict(x)


def test_training_before_compile_is_an_error_that_says_what_to_do(idle):
    model = Sequential([Flatten(input_shape=(8, 8, 1)), Dense(3, activation="softmax")])
    for call in (lambda: fit(model, X, Y), lambda: model.evaluate(X, Y)):
        with pytest.raises(RuntimeError, match="compile"):
            call()


@pytest.mark.parametrize(
    "last",
    [
        [Dense(3)],
        [Dense(3, activation="relu")],
        [Dense(3, activation="softmax"), Activation("relu")],
        [Dense(3, activation="softmax"), Dropout(0.5)],
    ],
    ids=["dense", "relu", "relu after softmax", "dropout after softmax"],
)
def test_a_network_that_does_not_end_in_softmax_is_refused(idle, last):
    model = Sequential([Flatten(input_shape=(8, 8, 1)), *last])
    model.compile("adam")
    with pytest.raises(ValueError, match="softmax"):
        fit(model, X, Y)


def test_a_network_that_ends_in_images_is_refused(idle):
    model = Sequential([Conv2D(3, (3, 3), input_shape=(8, 8, 1))])
    model.compile("adam")
    with pytest.raises(ShapeError, match=r"\(6, 6, 3\).*Flatten"):
        fit(model, X, Y)


def test_a_network_of_several_outputs_cannot_be_trained(idle):
    inputs = Input(shape=(8, 8, 1))
    flat = Flatten()(inputs)
    model = Model(inputs, [Dense(3, activation="softmax")(flat), flat])
    model.compile("adam")
    with pytest.raises(ValueError, match="2 outputs"):
        fit(model, X, Y)


def test_an_optimizer_that_holds_another_network_s_state_is_refused(float64):
    optimizer = optimizers.Adam()
    first = linear(optimizer)
    fit(first, X, Y)
    second = Sequential([Flatten(input_shape=(8, 8, 1)), Dense(5, activation="relu"), Dense(3, activation="softmax")])
    second.compile(optimizer)
    with pytest.raises(ValueError, match="optimizer"):
        fit(second, X, Y)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"optimizer": "rmsprop"}, "rmsprop.*sgd, adam, adadelta"),
        ({"loss": "mse"}, "mse.*categorical_crossentropy"),
        ({"metrics": ["f1"]}, "f1.*accuracy"),
    ],
)
def test_compile_lists_what_there_is(float64, arguments, message):
    with pytest.raises(ValueError, match=message):
        network(input_shape=(8, 8, 1)).compile(**arguments)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: optimizers.SGD(0), "learning rate must be positive"),
        (lambda: optimizers.Adam(lr=-1), "learning rate must be positive"),
        (lambda: optimizers.Adam(float("nan")), "learning rate must be positive"),
        (lambda: optimizers.SGD(momentum=2), "momentum"),
        (lambda: optimizers.SGD(decay=-1), "decay"),
    ],
)
def test_optimizers_refuse_numbers_that_make_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_update_without_gradients_is_an_error(float64):
    model = linear()
    with pytest.raises(ValueError, match="no gradient"):
        model.optimizer.apply(model.trainable_weights)


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: [Conv2D(2, 3, input_shape=(2, 8, 1))], "subtracting 3 from 2 for conv2d_1.*rows"),
        (lambda: [Conv2D(2, 3, input_shape=(8, 8, 1)), MaxPooling2D(7)], "subtracting 7 from 6 for max_pooling2d_1"),
        (lambda: [Dense(3, input_shape=(8, 8, 1))], "dense_1.*Flatten"),
        (lambda: [Flatten(input_shape=(8, 8, 1)), Conv2D(2, 3)], r"conv2d_1.*\(H, W, C\)"),
        (lambda: [Conv2D(3, 3, input_shape=(8, 8, 1)), Activation("softmax")], "activation_1.*Flatten"),
        (lambda: [Conv2D(2, 3, activation="softmax")], "Flatten"),
        (lambda: [Conv2D(0, 3)], "filters must be"),
        (lambda: [Conv2D(2, (3, 0))], "kernel_size"),
        (lambda: [Conv2D(2, 3, padding="full")], "'valid' or 'same'"),
        (lambda: [Conv2D(2, 3, activation="gelu")], "gelu.*relu"),
        (lambda: [Conv2D(2, 3, kernel_initializer="orthogonal")], "orthogonal"),
        (lambda: [Dropout(1.0)], "dropout_1.*rate"),
        (lambda: [Dropout(-0.1)], "dropout_1.*rate"),
        (lambda: [BatchNormalization(axis=1)], "NHWC"),
        (lambda: [MaxPooling2D("2")], "pool_size"),
        (lambda: [Dense(3.5)], "units"),
    ],
)
def test_layers_that_do_not_fit_are_refused_by_name(float64, build, message):
    with pytest.raises(ValueError, match=message):
        Sequential(build())


def test_the_old_form_of_a_convolution_means_its_two_extents():
    assert Conv2D(16, 3, 5).window == (3, 5) and Conv2D(16, 3, 5).stride == (1, 1)
    assert Conv2D(16, 3).window == (3, 3) and Conv2D(16, (3, 2), 2).stride == (2, 2)
    assert Conv2D(16, 3, strides=(2, 1)).stride == (2, 1)
    assert Conv2D(16, (3, 3), (2, 1), "same").stride == (2, 1)
    assert Conv2D(16, 3, 5, strides=2).window == (3, 5) and Conv2D(16, 3, 5, strides=2).stride == (2, 2)


def test_strides_by_name_are_strides_even_where_all_are_numbers():
    layer = Conv2D(16, 3, strides=2)
    assert layer.window == (3, 3) and layer.stride == (2, 2)
