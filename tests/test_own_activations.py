"""Activations of the user's own: their gradients, how layers take them, and by which names files have them."""

import numpy as np
import pytest
from helpers import assert_same_bits, images, normal
from small_trainings import again, fit

from tinycnn import backend as K
from tinycnn import functional as F
from tinycnn.gradcheck import gradcheck
from tinycnn.layers import Activation, Conv2D, Conv2DTranspose, Dense, Flatten, Lambda
from tinycnn.models import Sequential, load_model, model_from_json
from tinycnn.utils import CustomObjectScope, custom_object_scope, get_custom_objects

RNG = np.random.default_rng(0)
X, Y = images(RNG, 20)


def swish(x):
    """Ramachandran et al., 2017: x * sigmoid(x)."""
    return x * K.sigmoid(x)


@pytest.fixture(autouse=True)
def without_objects():
    yield
    get_custom_objects().clear()


def network(convolution, alone):
    """Two such activations; of `alone` a layer of its own."""
    again()
    layers = [Conv2D(3, 3, activation=convolution, input_shape=(8, 8, 1)), alone, Flatten()]
    model = Sequential([*layers, Dense(3, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy", ["accuracy"])
    return model


@pytest.mark.parametrize(
    "function, shapes",
    [
        (lambda x, w, b: F.conv2d(x, w, b, activation=swish), [(2, 5, 5, 2), (3, 3, 2, 3), (3,)]),
        (lambda x, w, b: F.conv2d(x, w, b, activation=swish), [(2, 4, 4, 2), (1, 1, 2, 3), (3,)]),
        (lambda x, w, b: F.conv2d_transpose(x, w, b, stride=2, activation=swish), [(2, 3, 3, 2), (3, 3, 4, 2), (4,)]),
        (lambda x, w, b: F.dense(x, w, b, swish), [(4, 3), (3, 2), (2,)]),
        (lambda x: Activation(swish)(x), [(4, 3)]),
    ],
    ids=["conv2d", "conv1x1", "conv2d_transpose", "dense", "alone"],
)
def test_their_gradients_are_those_of_the_function(device, function, shapes):
    gradcheck(function, [normal(np.random.default_rng(1), *shape) for shape in shapes], device=device)


def test_a_layer_computes_the_function_of_what_it_would_give_without(device):
    x = normal(np.random.default_rng(2), 2, 5, 5, 1)
    for make in (lambda **o: Conv2D(3, 3, **o), lambda **o: Conv2DTranspose(3, 3, **o), lambda **o: Dense(4, **o)):
        again()
        plain = np.asarray(Sequential([make(input_shape=(5, 5, 1))]).predict(x), np.float64)
        again()
        got = Sequential([make(activation=swish, input_shape=(5, 5, 1))]).predict(x)
        np.testing.assert_allclose(got, plain / (1 + np.exp(-plain)), rtol=1e-5, atol=1e-6)


def test_they_train_as_a_lambda_at_their_place_to_the_bit(device):
    given, apart = network(swish, Activation(swish)), network(None, Lambda(lambda x: swish(swish(x))))
    few = {"x": X[:3], "y": Y[:3]}  # Numba's simulator is slow
    assert fit(given, **few).history == fit(apart, **few).history
    for one, other in zip(given.get_weights(), apart.get_weights(), strict=True):
        assert_same_bits(one, other)


@pytest.mark.parametrize("registered", [swish, Activation(swish)], ids=["function", "layer"])
def test_a_registered_name_is_understood_as_those_of_keras(registered):
    want = fit(network(swish, Activation(swish)), X, Y).history
    get_custom_objects().update({"mine": registered})
    model = network("mine", Activation("mine"))
    assert fit(model, X, Y).history == want
    assert [layer.get_config()["activation"] for layer in model.layers[:2]] == ["mine", "mine"]


def test_they_are_where_keras_2_has_them():
    from tinycnn.utils import generic_utils

    assert generic_utils.get_custom_objects() is get_custom_objects()


@pytest.mark.parametrize("scope", [CustomObjectScope, custom_object_scope])
def test_a_scope_ends(scope):
    with scope({"mine": swish}, {"other": swish}):
        Dense(3, activation="mine"), Dense(3, activation="other")
    with pytest.raises(ValueError, match="no activation is called 'mine'; there are: linear, .*get_custom_objects"):
        Dense(3, activation="mine")


@pytest.mark.parametrize("name", ["m.safetensors", "m.h5"])
def test_a_file_has_its_name_and_is_read_with_the_function(tmp_path, name):
    model = network(swish, Activation(swish))
    fit(model, X, Y)
    model.save(tmp_path / name)
    with pytest.raises(ValueError, match=r"no activation is called 'swish'.*custom_objects"):
        load_model(tmp_path / name)
    backs = [load_model(tmp_path / name, custom_objects={"swish": swish})]
    get_custom_objects()["swish"] = swish
    backs.append(load_model(tmp_path / name))
    for back in backs:
        assert_same_bits(back.predict(X), model.predict(X))
        assert back.get_config() == model.get_config()


def test_json_is_read_with_the_function():
    model = network(swish, Activation(swish))
    back = model_from_json(model.to_json(), custom_objects={"swish": swish})
    back.set_weights(model.get_weights())
    assert_same_bits(back.predict(X), model.predict(X))


def test_losses_and_metrics_are_registered_too():
    def squared(y_true, y_pred):
        return K.mean(K.square(y_true - y_pred), axis=-1)

    get_custom_objects()["mine"] = squared
    named, given = network("relu", Activation("relu")), network("relu", Activation("relu"))
    named.compile("sgd", "mine", ["mine"])
    given.compile("sgd", squared, [squared])
    assert list(fit(named, X, Y).history.values()) == list(fit(given, X, Y).history.values())


def test_keras_is_not_asked_for_one_of_the_same_name(keras):
    from tinycnn.keras_reference import twin

    with pytest.raises(ValueError, match="conv2d_1 has an activation of your own, swish"):
        twin.Twin(network(swish, Activation("relu")))


@pytest.mark.parametrize(
    "function, words",
    [(lambda x: K.sum(x), r"one of shape \(\)"), (lambda x: 3, "3"), (lambda x: x.numpy(), "array")],
)
def test_what_gives_no_tensor_of_the_shape_is_refused(function, words):
    with pytest.raises(TypeError, match=rf"the activation <lambda> must give a Tensor of shape .*, not {words}"):
        Sequential([Dense(3, activation=function, input_shape=(4,))]).predict(np.ones((2, 4), np.float32))
