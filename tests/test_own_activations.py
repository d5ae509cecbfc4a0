"""Activations of the user's own: their gradients, how layers take them, and by which names files have them."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from helpers import assert_same_bits, images, normal
from small_trainings import again, fit

from tinycnn import backend as K
from tinycnn import command as cli
from tinycnn import functional as F
from tinycnn.architectures.notation import notation
from tinycnn.gradcheck import gradcheck
from tinycnn.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Dropout,
    Flatten,
    Lambda,
    LeakyReLU,
)
from tinycnn.models import Sequential, load_model, model_from_json
from tinycnn.shapes import ShapeError
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


def unknown(name):
    with pytest.raises(ValueError, match=f"no activation is called '{name}'; there are: linear, .*get_custom_objects"):
        Dense(3, activation=name)
    return True


@pytest.mark.parametrize("scope", [CustomObjectScope, custom_object_scope])
def test_a_scope_ends_and_leaves_what_was_there(scope):
    get_custom_objects()["there"] = swish
    with scope({"mine": swish}, {"other": swish}):
        Dense(3, activation="mine"), Dense(3, activation="other"), Dense(3, activation="there")
        with pytest.raises(KeyError), scope({"inner": swish}):
            Dense(3, activation="inner"), Dense(3, activation="mine")
            raise KeyError
        assert Dense(3, activation="mine") and unknown("inner")
    assert unknown("mine") and unknown("other") and Dense(3, activation="there")
    assert list(get_custom_objects()) == ["there"]


def test_a_scope_is_that_of_its_thread(tmp_path):
    model = network(swish, Activation(swish))
    model.save(tmp_path / "m.safetensors")
    with ThreadPoolExecutor(4) as threads:
        load = partial(load_model, tmp_path / "m.safetensors", custom_objects={"swish": swish})
        loaded = [threads.submit(load) for _ in range(12)]
        with custom_object_scope({"mine": swish}):
            assert threads.submit(unknown, "mine").result()
    assert len([future.result() for future in loaded]) == 12 and not get_custom_objects()


def test_a_name_of_one_s_own_goes_before_keras_s():
    def three(y_true, y_pred):
        return K.mean(y_pred) * 0.0 + 3.0

    with custom_object_scope({"relu": swish, "mse": three}):
        model = network("relu", Activation("relu"))
        model.compile("sgd", "mse", ["mse"])
    assert model.layers[0].activation.function is swish
    assert list(fit(model, X, Y, epochs=1).history.values()) == [[3.0], [3.0]]


def relu(x):
    return K.minimum(K.maximum(x, 0.0), 1.0)


def test_a_function_that_is_called_as_one_of_keras_s_is_refused():
    with pytest.raises(ValueError, match="'relu', as one of Keras's is"):
        Dense(3, activation=relu)
    for keras_s in (K.relu, K.sigmoid, K.softmax, K.tanh, K.elu, K.softplus):
        assert Dense(3, activation=keras_s).activation == keras_s.__name__


def test_two_of_one_name_are_not_written(tmp_path):
    model = network(lambda x: x * 2.0, Activation(lambda x: x * 3.0))
    for write in (model.to_json, lambda: model.save(tmp_path / "m.h5"), lambda: model.save(tmp_path / "m.safetensors")):
        with pytest.raises(ValueError, match="two activations are called '<lambda>'.* is activation_1's"):
            write()
    assert not list(tmp_path.iterdir())
    model.save_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "activation, words",
    [
        (Dense(3), "is a layer, and no activation"),
        (BatchNormalization(), "is a layer, and no activation"),
        (Dropout(0.5), "is a layer, and no activation"),
        (LeakyReLU, "must be a function of a Tensor"),
    ],
)
def test_what_is_more_than_a_function_is_refused(activation, words):
    with pytest.raises(ValueError, match=words):
        Dense(3, activation=activation)
    with pytest.raises(ValueError, match=words), custom_object_scope({"mine": activation}):
        Dense(3, activation="mine")
    assert repr(Dense(3, activation=LeakyReLU(0.1)).activation) == "leaky_re_lu_1"


def test_a_value_that_cannot_be_called_is_refused():
    with pytest.raises(ValueError, match="mine must be a function"), custom_object_scope({"mine": 3}):
        Dense(3, activation="mine")


def test_the_notation_has_none():
    for convolution, alone in ((swish, Activation("relu")), ("relu", Activation(swish))):
        with pytest.raises(ValueError, match="no activations of one's own"):
            notation(network(convolution, alone))


FILE = """
from tinycnn import backend as K
from tinycnn.layers import Dense, Flatten
from tinycnn.models import Sequential

model = Sequential([
    Flatten(input_shape=(28, 28, 1)), Dense(4, activation=lambda x: x * K.sigmoid(x)), Dense(10, activation="softmax"),
])
"""


def test_a_training_of_a_file_goes_on(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(FILE)
    arguments = f"train {tmp_path / 'mine.py'} --save {tmp_path / 'm.safetensors'} --data synthetic --limit 60".split()
    for more in (["--epochs", "1"], ["--epochs", "2", "--resume"]):
        with pytest.raises(SystemExit) as end:
            cli.main([*arguments, *more])
        assert end.value.code in (None, 0), capsys.readouterr().err
    assert "Epoch 2/2" in capsys.readouterr().out


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

    named, given = network("relu", Activation("relu")), network("relu", Activation("relu"))
    given.compile("sgd", squared, [squared])
    with custom_object_scope({"mine": squared}):
        named.compile("sgd", "mine", ["mine"])
    got, want = fit(named, X, Y).history, fit(given, X, Y).history
    assert got["loss"] == want["loss"] and got["mine"] == want["squared"]


def test_keras_is_not_asked_for_one_of_the_same_name(keras):
    from tinycnn.keras_reference import twin

    with pytest.raises(ValueError, match="conv2d_1 has an activation of your own, swish"):
        twin.Twin(network(swish, Activation("relu")))


@pytest.mark.parametrize(
    "function, words",
    [(lambda x: K.sum(x), r"one of shape \(\)"), (lambda x: 3, "3"), (lambda x: x.numpy(), "array")],
)
def test_what_gives_no_tensor_of_the_shape_is_refused(function, words):
    with pytest.raises(ShapeError, match=rf"the activation <lambda> must give a Tensor of shape .*, not {words}"):
        Sequential([Dense(3, activation=function, input_shape=(4,))]).predict(np.ones((2, 4), np.float32))
