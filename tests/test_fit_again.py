"""What is drawn anew: the order of every epoch, however `fit` is called, and a mask at every place of a Dropout."""

import numpy as np
from helpers import assert_same_bits
from small_trainings import again, fit, network, toy

from tinycnn import callbacks, layers, optimizers
from tinycnn.layers import Input
from tinycnn.models import Model, Sequential, load_model


def built(optimizer="adam"):
    again(3)
    model = network(input_shape=(8, 8, 1))
    model.compile(optimizer, "categorical_crossentropy", ["accuracy"])
    return model


def test_three_fits_of_one_epoch_are_one_fit_of_three_to_the_bit(device):
    x, y = toy()
    once, thrice = built(), built()
    fit(once, x, y, epochs=3)
    for _ in range(3):
        fit(thrice, x, y, epochs=1)
    for got, want in zip(thrice.get_weights(), once.get_weights(), strict=True):
        assert_same_bits(got, want)
    assert once.epochs_trained == thrice.epochs_trained == 3


def test_a_checkpoint_knows_how_many_epochs_were_trained_in_all(float64, tmp_path):
    x, y = toy()
    once, parts = built(), built()
    for model in (once, parts):
        fit(model, x, y, epochs=1)
        fit(model, x, y, epochs=2)
    parts.save(tmp_path / "m.safetensors")
    parts = load_model(tmp_path / "m.safetensors")
    fit(once, x, y, epochs=1)
    fit(parts, x, y, epochs=1)
    for got, want in zip(parts.get_weights(), once.get_weights(), strict=True):
        assert_same_bits(got, want)


class Losses(callbacks.Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(logs["loss"])


def test_every_fit_sees_another_order(float64):
    x, y = toy()
    orders = []
    plain = Sequential([layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(3, activation="softmax")])
    plain.compile(optimizers.SGD(1e-30), "categorical_crossentropy")  # moves nothing: the losses tell the order
    for _ in range(3):
        watch = Losses()
        fit(plain, x, y, batch_size=4, epochs=1, callbacks=[watch])
        orders.append(tuple(watch.seen))
    assert len(set(orders)) == 3


def two_places(rate=0.5):
    x, drop = Input((4, 4, 2)), layers.Dropout(rate)
    return Model(x, [drop(x), drop(x)])


def test_a_dropout_at_two_places_draws_two_masks(device):
    again(1)
    model = two_places()
    first, second = (y.numpy() for y in model(np.ones((8, 4, 4, 2)), training=True))
    assert not np.array_equal(first, second)
    assert 0.3 < (first == 0).mean() < 0.7 and 0.3 < (second == 0).mean() < 0.7
    assert 0.3 < (first == second).mean() < 0.7  # neither the same nor the opposite


def test_the_masks_of_two_places_are_those_of_before_after_loading(float64, tmp_path):
    again(1)
    model = two_places()
    model.save(tmp_path / "m.safetensors")
    x = np.ones((2, 4, 4, 2))
    want = [y.numpy().copy() for y in model(x, training=True)]
    got = [y.numpy() for y in load_model(tmp_path / "m.safetensors")(x, training=True)]
    for a, b in zip(got, want, strict=True):
        assert_same_bits(a, b)
