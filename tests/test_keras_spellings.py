"""The spellings that Keras 1 and 2 have for one thing give the same layers, the same shapes and the same weights."""

import warnings

import numpy as np
import pytest
from helpers import assert_same_bits
from small_trainings import again

from tinycnn import activations, initializers, layers
from tinycnn import backend as K
from tinycnn.layers import keras1
from tinycnn.models import Model, Sequential
from tinycnn.tensor import Tensor

ALIKE = {
    "filters": (
        lambda: layers.Convolution2D(nb_filter=4, nb_row=3, nb_col=2, border_mode="same", subsample=(2, 1), bias=False),
        lambda: layers.Conv2D(4, (3, 2), strides=(2, 1), padding="same", use_bias=False),
    ),
    "two extents": (lambda: layers.Convolution2D(4, 3, 2), lambda: layers.Conv2D(4, kernel_size=(3, 2))),
    "an extent by name": (lambda: layers.Conv2D(4, 3, nb_col=2), lambda: layers.Conv2D(4, (3, 2))),
    "capitals": (lambda: layers.Conv2D(4, 3, padding="Same"), lambda: layers.Conv2D(4, 3, padding="same")),
    "an activation": (
        lambda: layers.Conv2D(4, 3, activation=activations.relu), lambda: layers.Conv2D(4, 3, activation="relu"),
    ),
    "units": (
        lambda: layers.Dense(output_dim=5, init="he_normal"), lambda: layers.Dense(5, kernel_initializer="he_normal"),
    ),
    "an initializer": (
        lambda: layers.Dense(5, kernel_initializer=initializers.RandomNormal(stddev=0.05)),
        lambda: layers.Dense(5, kernel_initializer="normal"),
    ),
    "a rate": (lambda: layers.Dropout(p=0.5), lambda: layers.Dropout(0.5)),
    "a pool": (lambda: layers.MaxPooling2D(border_mode="same"), lambda: layers.MaxPool2D((2, 2), padding="same")),
    "an order": (lambda: layers.Flatten(dim_ordering="tf"), lambda: layers.Flatten(data_format="channels_last")),
    "seven positions": (
        lambda: layers.Conv2D(4, 3, (1, 1), "same", None, 1, "relu"),
        lambda: layers.Conv2D(4, 3, padding="same", activation="relu"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", ALIKE)
def test_two_spellings_are_one_layer(what, float64):
    old, new = ALIKE[what]
    assert old().options() == new().options() and old().type == new().type


@pytest.mark.parametrize(
    "first",
    [
        lambda: layers.Dense(2, input_shape=(3,)), lambda: layers.Dense(2, input_dim=3),
        lambda: layers.Dense(2, batch_input_shape=(None, 3)),
    ],
)  # fmt: skip
def test_the_shape_of_the_images_is_said_in_three_ways(first, float64):
    again()
    model = Sequential([first()])
    assert model.input_shape == (None, 3) and model.output_shape == (None, 2)
    assert model.layers[0].input_shape == (None, 3) and model.layers[0].output_shape == (None, 2)


@pytest.mark.parametrize(
    "first",
    [
        lambda: layers.Dense(2, batch_input_shape=(8, 3)), lambda: layers.Dense(2, input_shape=(3,), batch_size=8),
        lambda: layers.Input(batch_shape=(8, 3)), lambda: layers.InputLayer((3,), batch_size=8),
    ],
)  # fmt: skip
def test_a_network_for_batches_of_a_size_takes_those_of_any(first, float64):
    again()
    model = Sequential([first(), layers.Dense(2, name="last")])
    assert model.input_shape == (None, 3)
    assert model.predict(np.ones((8, 3))).shape == (8, 2) and model.predict(np.ones((5, 3))).shape == (5, 2)


@pytest.mark.parametrize("size", [0, -1, 2.5, "8"])
def test_what_is_no_size_of_a_batch_is_refused(size, float64):
    with pytest.raises(ValueError, match="batch_size must be a whole number"):
        layers.Dense(2, batch_input_shape=(size, 3))


def test_weights_and_whether_they_are_trained_are_given_with_the_layer(float64):
    kernel, bias = np.ones((3, 2)), np.zeros(2)
    layer = layers.Dense(2, input_dim=3, weights=[kernel, bias], trainable=False, name="mine")
    model = Sequential([layer])
    assert np.array_equal(model.get_weights()[0], kernel) and layer.trainable_weights == [] and layer.name == "mine"


def test_three_numbers_are_two_extents_and_tf_keras_s_reader_is_warned_once(float64, monkeypatch):
    monkeypatch.setattr(keras1, "_warned", set())
    with pytest.warns(UserWarning, match=r"3x2.*strides=2"):
        assert layers.Conv2D(8, 3, 2).window == (3, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layers.Conv2D(8, 3, 2)
        layers.Convolution2D(8, 5, 5)
        assert layers.Conv2D(8, 3, (2, 2)).stride == (2, 2)


def test_shapes_have_the_batch_first(float64):
    x = layers.Input((8, 8, 1))
    assert x.shape == (None, 8, 8, 1) and layers.Input(batch_shape=(None, 4)).shape == (None, 4)
    conv = layers.Conv2D(3, 3)
    assert conv.output_shape is None
    y = conv(x)
    assert conv.output.shape == conv.output_shape == y.shape == (None, 6, 6, 3) and conv.input is x
    assert conv.compute_output_shape((None, 5, 5, 1)) == (None, 3, 3, 3)
    joined = layers.add([y, y])
    assert layers.concatenate([joined, y]).shape == (None, 6, 6, 6)
    assert Model(x, [y, joined]).output_shape == [(None, 6, 6, 3), (None, 6, 6, 3)]


def test_build_takes_the_shape_of_a_batch(float64):
    model = Sequential([layers.Conv2D(2, 3), layers.Flatten()])
    with pytest.raises(ValueError, match="None, H, W, C"):
        model.build((8, 8, 1))
    model.build((None, 8, 8, 1))
    assert model.output_shape == (None, 72) and model.layers[0].built
    model.pop()
    assert model.output_shape == (None, 6, 6, 2)


def test_a_graph_has_lists_of_inputs_and_outputs(device):
    a, b = layers.Input((3,)), layers.Input((3,))
    dense = layers.Dense(2)
    model = Model(inputs=[a, b], outputs=[layers.add([dense(a), dense(b)])])
    assert model.inputs == [a, b] and model.input_shape == [(None, 3), (None, 3)] and len(model.outputs) == 1
    x, y = np.eye(3)[:2], np.ones((2, 3))
    want = dense(Tensor(x)).numpy() + dense(Tensor(y)).numpy()
    assert_same_bits(model([x, y]).numpy(), want)
    with pytest.raises(ValueError, match="given input alone"):
        Model([a], model.output)
    assert Model(input=a, output=dense.output).output_shape == (None, 2)  # Keras 1's names


class Scaled(layers.Layer):
    """Written for Keras 2."""

    def __init__(self, output_dim, **kwargs):
        self.output_dim = output_dim
        super().__init__(**kwargs)

    def build(self, input_shape):
        self.scale = self.add_weight(
            name="scale", shape=(input_shape[1], self.output_dim), initializer="uniform", trainable=True
        )
        super().build(input_shape)

    def call(self, x):
        return K.dot(x, self.scale)

    def compute_output_shape(self, input_shape):
        return input_shape[0], self.output_dim


def test_a_layer_that_was_written_for_keras_2_trains(device):
    again()
    model = Sequential([Scaled(5, input_shape=(3,), name="own"), layers.Dense(2, activation="softmax")])
    assert model.layers[0].name == "own" and model.layers[0].output_shape == (None, 5)
    assert model.get_weights()[0].shape == (3, 5) and abs(model.get_weights()[0]).max() <= 0.05
    model.compile("adam", metrics=["acc"])
    x = np.random.default_rng(0).normal(size=(20, 3))
    before = model.get_weights()[0]
    model.fit(x, np.eye(2)[(x[:, 0] > 0).astype(int)], epochs=2, verbose=0)
    assert not np.array_equal(before, model.get_weights()[0])


def test_a_method_that_is_an_attribute_of_keras_s_is_refused():
    with pytest.raises(TypeError, match="compute_output_shape"):
        type("Old", (layers.Layer,), {"output_shape": lambda self, shape: shape})


def test_a_function_is_a_layer(device):
    model = Sequential([layers.Lambda(lambda x: x * 2.0 + 1.0, input_shape=(3, 2)), layers.Reshape((-1,))])
    assert model.output_shape == (None, 6)
    x = np.arange(12.0).reshape(2, 3, 2)
    assert np.array_equal(model.predict(x), (x * 2 + 1).reshape(2, 6))
    with pytest.raises(ValueError, match="class of it"):
        model.save("m.safetensors")
    with pytest.raises(ValueError, match="6 numbers"):
        Sequential([layers.Reshape((4,), input_shape=(6,))])
