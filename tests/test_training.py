"""fit, evaluate and predict, and the history that they keep."""

import numpy as np
import pytest
from helpers import assert_close, assert_same_bits
from small_trainings import again, compiled, fit, linear, network, toy

import tinycnn
from tinycnn import callbacks, losses, optimizers, philox
from tinycnn import functional as F
from tinycnn.layers import (
    Concatenate,
    Conv2D,
    Dense,
    Flatten,
    Input,
    MaxPooling2D,
)
from tinycnn.losses import logits_of
from tinycnn.models import Model, Sequential
from tinycnn.regularizers import l1_l2, l2, penalties


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


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adadelta", "rmsprop"])
def test_training_lowers_the_loss_and_learns_what_can_be_told_apart(device, optimizer):
    x, y = toy(60)
    made = {"sgd": optimizers.SGD(0.1), "adam": optimizers.Adam(0.02), "rmsprop": optimizers.RMSprop(0.02)}
    model = linear(made.get(optimizer, optimizer))
    history = fit(model, x, y, epochs=12).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    loss, accuracy = model.evaluate(*toy(30, seed=1), verbose=0)
    assert accuracy == 1.0 and loss < 0.7


@pytest.mark.parametrize(
    "loss, activation", [("mse", "softmax"), ("mse", None), ("binary_crossentropy", "sigmoid"),
                         ("binary_crossentropy", "softmax")]
)  # fmt: skip
def test_other_losses_are_learnt_and_measured_as_they_train(reference, loss, activation):
    x, y = toy(60)
    model = Sequential([Flatten(input_shape=x.shape[1:]), Dense(3, activation=activation)])
    model.compile(optimizers.Adam(0.02), loss, ["accuracy"])
    history = model.fit(x, y, epochs=12, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    value, accuracy = model.evaluate(x, y, verbose=0)
    p = model.predict(x).astype(np.float64)
    if loss == "mse":
        assert value == pytest.approx(np.mean((p - y) ** 2), rel=1e-5)
        assert accuracy == np.mean(p.argmax(axis=1) == y.argmax(axis=1)) == 1
    else:
        assert value == pytest.approx(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)), rel=1e-4)
        assert accuracy == pytest.approx(np.mean((p > 0.5) == y)) and accuracy > 0.9
    assert losses.get(loss)(y, model(x)).item() == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("device_name", ["reference", "cpu", "emulator"])
def test_a_penalty_is_part_of_the_loss_and_makes_weights_small(device_name):
    """One step of SGD goes by the gradients of loss and penalty, also where those come in slices."""
    x, y = toy(60)
    with tinycnn.use_device(device_name):
        model = Sequential(
            [
                Conv2D(3, 1, activation="relu", kernel_regularizer=l1_l2(0.05, 0.1), input_shape=x.shape[1:]),
                Flatten(),
                Dense(3, activation="softmax", kernel_regularizer=l2(0.02), bias_regularizer="l1"),
            ]
        )
        model.compile(optimizers.SGD(0.5), metrics=["accuracy"])
        before = [w.astype(np.float64) for w in model.get_weights()]
        loss = losses.categorical_crossentropy(y, model(x))
        for weight, regularizer in penalties(model):
            loss = loss + regularizer(weight)
        loss.backward()
        wanted = [b - 0.5 * w.grad.numpy() for b, w in zip(before, model.weights, strict=True)]
        kernel, _, last, bias = before
        penalty = 0.05 * abs(kernel).sum() + 0.1 * (kernel**2).sum() + 0.02 * (last**2).sum() + 0.01 * abs(bias).sum()
        plain = losses.categorical_crossentropy(y, model(x)).item()
        assert model.evaluate(x, y, batch_size=25, verbose=0)[0] == pytest.approx(plain + penalty, rel=1e-5)
        for weight in model.weights:
            weight.zero_grad()
        history = model.fit(x, y, batch_size=60, verbose=0)
        assert history.history["loss"][0] == pytest.approx(plain + penalty, rel=1e-5)
        for got, want in zip(model.get_weights(), wanted, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def test_a_single_sigmoid_tells_two_classes_apart_and_takes_class_weights(reference):
    x, y = toy(60)
    labels = y[:, 0]
    model = Sequential([Flatten(input_shape=x.shape[1:]), Dense(1, activation="sigmoid")])
    model.compile(optimizers.RMSprop(0.02), "binary_crossentropy", ["accuracy"])
    model.fit(x, labels, epochs=15, verbose=0, class_weight={0: 1.0, 1: 3.0})
    assert model.evaluate(x, labels, verbose=0)[1] == 1
    assert np.array_equal(model.predict(x)[:, 0] > 0.5, labels == 1)


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


def test_the_figures_of_an_epoch_are_the_means_over_its_images(device):
    x, y = toy(20)
    model, watcher = linear(), Watcher()
    history = fit(model, x, y, epochs=1, callbacks=[watcher]).history
    losses = [loss for _, loss, _ in watcher.batches]
    assert np.average(losses, weights=[8, 8, 4]) == pytest.approx(history["loss"][0])
    assert watcher.batches[-1][2] == history["acc"][0]
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
    assert np.mean(seen[0]) == pytest.approx(np.mean(seen[1]), rel=1e-4)
    seen.clear()
    fit(model, x, y, batch_size=4, epochs=2, shuffle=False, callbacks=[Order()])
    assert seen[0] == pytest.approx(seen[1], rel=1e-4)
    batches = [model.evaluate(x[n : n + 4], y[n : n + 4], verbose=0)[0] for n in (0, 4, 8, 12)]
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
    assert joined.shape == (None, 6, 6, 5)
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
    for name in ("loss", "acc", "accuracy", "val_loss", "val_acc", "val_accuracy"):
        assert len(h[name]) == 3 and name in h
    assert h["acc"] is h["accuracy"] and h.get("val_accuracy") is h["val_acc"]
    assert "lr" not in h and [row["lr"] for _, row in history.rows()] == [0.01] * 3
    with pytest.raises(KeyError):
        h["f1"]


def test_without_metrics_the_loss_alone_is_measured(float64):
    x, y = toy()
    model = compiled(metrics=())
    history = fit(model, x, y, validation_data=(x, y)).history
    assert "acc" not in history and "val_acc" not in history and "val_loss" in history
    assert isinstance(model.evaluate(x, y, verbose=0), float)


def test_a_history_is_of_one_fit_and_the_model_s_goes_on_with_the_earlier_epochs(float64):
    x, y = toy()
    model = linear()
    first = fit(model, x, y, epochs=2).history["loss"]
    history = fit(model, x, y, epochs=4, initial_epoch=2)
    assert history.epoch == [2, 3] and model.history.epoch == [0, 1, 2, 3]
    assert model.history.history["loss"] == [*first, *history.history["loss"]]
    assert fit(model, x, y, epochs=1).epoch == [0] == model.history.epoch


def test_an_earlier_part_without_validation_does_not_shift_the_figures_of_the_later(float64, tmp_path):
    x, y = toy()
    model = linear()
    fit(model, x, y, epochs=1)
    history = fit(model, x, y, epochs=3, initial_epoch=1, validation_data=(x, y))
    rows = dict(model.history.rows())
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


# ---------------------------------------------------------------- one batch


def test_one_batch_at_a_time_trains_as_fit_does(device):
    x, y = toy(24)
    again()
    whole = compiled("adam")
    again()
    single = compiled("adam")
    fit(whole, x, y, epochs=1, shuffle=False)
    figures = [single.train_on_batch(x[i : i + 8], y[i : i + 8]) for i in range(0, 24, 8)]
    for got, want in zip(single.get_weights(), whole.get_weights(), strict=True):
        assert_same_bits(got, want)
    assert np.mean([loss for loss, _ in figures]) == pytest.approx(whole.history.history["loss"][0], rel=1e-5)
    assert single.test_on_batch(x, y) == single.evaluate(x, y, verbose=0) and single.history is None
    assert_same_bits(single.predict_on_batch(x), single.predict(x))
    assert single.metrics_names == ["loss", "accuracy"]


def test_classes_are_those_of_the_largest_output(float64):
    x, _ = toy(9)
    model = compiled()
    assert np.array_equal(model.predict_classes(x), model.predict(x).argmax(axis=1))
    assert np.array_equal(model.predict_proba(x), model.predict(x))
