"""Lists of one, lists from generators, weights without a gradient, and `call(self, x, mask=None, training=None)`."""

import numpy as np
import pytest
from helpers import assert_same_bits, assert_same_weights
from small_trainings import again, fit, linear, toy

from tinycnn import layers
from tinycnn.layers import Dense, Input
from tinycnn.models import Model, Sequential

X, Y = toy(20)


def test_a_list_of_one_array_is_that_array(float64):
    found = []
    for x, y in ((X, Y), ([X], [Y])):
        again()
        model = linear()
        history = fit(model, x, y, validation_split=0.25).history
        found.append((model, history, model.evaluate(x, y, verbose=0), model.predict(x), model.train_on_batch(x, y)))
    (one, *figures), (other, *others) = found
    assert_same_weights(one, other)
    assert figures[0] == others[0] and figures[1] == others[1] and figures[3] == others[3]
    assert_same_bits(figures[2], others[2])


def test_a_network_without_a_shape_takes_it_from_the_array_in_a_list(float64):
    model = Sequential([layers.Flatten(), Dense(3, activation="softmax")])
    model.compile("sgd")
    fit(model, [X], [Y], validation_data=([X], [Y]))
    assert model.input_shape == (None, 8, 8, 1)
    other = Sequential([layers.Flatten(), Dense(3)])
    assert other.predict([X]).shape == (20, 3)


def test_dicts_are_refused_by_name(float64):
    model = linear()
    for call in (lambda: fit(model, {"input_1": X}, Y), lambda: model.predict({"input_1": X})):
        with pytest.raises(ValueError, match="x is a dict: give an array, or a list of arrays"):
            call()
    with pytest.raises(ValueError, match="y is a dict: give an array of the labels"):
        fit(model, X, {"dense_1": Y})


def test_a_generator_of_lists_gives_the_inputs_of_a_prediction(float64):
    a, b = Input((4,)), Input((4,))
    model = Model([a, b], Dense(1)(layers.concatenate([a, b])))
    x = np.random.default_rng(0).normal(size=(2, 8, 4))
    want = model.predict([x[0], x[1]])
    assert_same_bits(model.predict_generator(iter([[x[0], x[1]]]), steps=1), want)
    assert_same_bits(model.predict_generator(iter([([x[0], x[1]], np.zeros(8))]), steps=1), want)
    assert linear().predict_generator(iter([[X]]), steps=1).shape == (20, 3)


class Unused(layers.Layer):
    def build(self, input_shape):
        self.used = self.add_weight(name="used", shape=input_shape[1:], initializer="ones")
        self.left = self.add_weight(name="left", shape=(2,), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        return x * self.used

    def compute_output_shape(self, input_shape):
        return input_shape


@pytest.mark.parametrize("loss", ["mse", lambda t, p: (t - p) * (t - p)])
def test_a_weight_that_the_loss_does_not_depend_on_is_named(float64, loss):
    model = Sequential([Unused(input_shape=(4,), name="mine"), Dense(1)])
    model.compile("sgd", loss)
    with pytest.raises(ValueError, match=r"the loss .* does not depend on left of mine: use it"):
        fit(model, np.ones((4, 4)), np.ones((4, 1)))


@pytest.mark.parametrize("kind", ["second", "third", "by name"])
def test_a_layer_is_told_of_training_wherever_its_call_has_it(float64, kind):
    told = []

    class Second(layers.Layer):
        def call(self, x, training=None):
            told.append(training)
            return x

    class Third(layers.Layer):
        def call(self, x, mask=None, training=None):
            assert mask is None
            told.append(training)
            return x

    class ByName(layers.Layer):
        def call(self, x, *, training=None):
            told.append(training)
            return x

    layer = {"second": Second, "third": Third, "by name": ByName}[kind](input_shape=(4,))
    model = Sequential([layer, Dense(1)])
    told.clear()
    model(np.ones((2, 4)), training=True)
    model(np.ones((2, 4)))
    assert told == [True, False]
