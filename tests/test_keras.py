"""Layers, optimisers, losses and initial weights are those of Keras 3 on JAX. Whole networks: test_compare.py."""

import functools

import numpy as np
import pytest
from helpers import assert_close, normal, one_hot

import tinycnn
from tinycnn import functional as F
from tinycnn import layers, optimizers
from tinycnn.keras_reference import compare
from tinycnn.keras_reference import twin as keras_reference
from tinycnn.models import Model, Sequential
from tinycnn.regularizers import l1, l1_l2, l2

pytest.importorskip("keras", reason="Keras is not installed: pip install 'tinycnn[test]'")
pytest.importorskip("jax", reason="JAX is not installed: pip install 'tinycnn[test]'")


@pytest.fixture(scope="module", autouse=True)
def keras():
    """Keras in float64, for this file."""
    try:
        keras, _ = keras_reference.keras_on_jax()
    except ValueError as error:  # another backend
        pytest.skip(str(error))
    with keras_reference.precision("float64"):
        yield keras


# ---------------------------------------------------------------- layers


def made(build):
    """(the network on the current device, one batch to look at its outputs and gradients)"""
    tinycnn.set_random_seed(0)
    model = build()
    model.compile()
    compare.prepare(model)
    trial = compare.trial_for(model, 1)
    return model, compare.Trial(trial.x, trial.y, {})


@functools.cache
def answers(build, dtype):
    """Keras's; asked once, for all devices."""
    with tinycnn.use_device("reference", dtype):
        return keras_reference.answers(*made(build))


def convolutions():
    return Sequential(
        [
            layers.Conv2D(5, (3, 3), activation="relu", input_shape=(13, 11, 2)),
            layers.Conv2D(4, (4, 2), padding="same", activation="relu"),
            layers.Conv2D(6, (3, 5), strides=(2, 3), padding="same"),
            layers.Conv2D(3, 1, activation="relu", use_bias=False),
            layers.Flatten(),
            layers.Dense(7, activation="softmax"),
        ]
    )


def strided():
    return Sequential(
        [
            layers.Conv2D(4, (5, 4), strides=(2, 1), input_shape=(15, 14, 1)),
            layers.Conv2D(3, (2, 2), strides=(3, 2), padding="same"),
            layers.Conv2D(5, (1, 1), strides=(1, 2), padding="same"),
            layers.Flatten(),
            layers.Activation("softmax"),
        ]
    )


def pools():
    return Sequential(
        [
            layers.Conv2D(3, (3, 3), input_shape=(15, 14, 1)),
            layers.MaxPooling2D((2, 2), strides=(1, 1)),
            layers.MaxPooling2D((3, 2), strides=(2, 2), padding="same"),
            layers.MaxPooling2D((2, 2), padding="same"),
            layers.MaxPooling2D((2, 2), strides=1, padding="same"),
            layers.Flatten(),
            layers.Dense(6, activation="relu"),
            layers.Dense(4),
            layers.Activation("softmax"),
        ]
    )


def normalised():
    return Sequential(
        [
            layers.Conv2D(4, (3, 3), use_bias=False, input_shape=(9, 8, 2)),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.MaxPooling2D((2, 2)),
            layers.BatchNormalization(momentum=0.8, epsilon=1e-2),
            layers.Dropout(0.0),
            layers.Flatten(),
            layers.Dense(6, activation="relu"),  # without relu what is before batch norm has gradients of pure rounding
            layers.BatchNormalization(),
            layers.Dense(5, activation="softmax"),
        ]
    )


def branches():
    x = layers.Input(shape=(8, 9, 2))
    shared = layers.Conv2D(3, (3, 3), padding="same", activation="relu")
    left = layers.BatchNormalization()(shared(x))
    right = layers.MaxPooling2D((3, 3), strides=1, padding="same")(layers.Conv2D(2, 1)(x))
    joined = layers.Concatenate()([layers.Add()([left, shared(x)]), right, x])
    y = layers.Dense(4, activation="relu")(layers.Flatten()(joined))
    return Model(x, layers.Dense(3, activation="softmax")(y))


def means():
    x = layers.Input(shape=(13, 11, 2))
    y = layers.AveragePooling2D((3, 2), strides=(1, 2), padding="same")(layers.Conv2D(4, (3, 3))(x))
    y = layers.AveragePooling2D((2, 2), padding="same")(y)
    y = layers.Conv2D(6, (2, 2))(layers.AveragePooling2D((2, 1), strides=1)(y))
    y = layers.Concatenate()([layers.GlobalAveragePooling2D()(y), layers.GlobalMaxPooling2D()(y)])
    return Model(x, layers.Dense(3, activation="softmax")(y))


def activated():
    """Every activation, as a layer and in one; padding; and Dense on images."""
    return Sequential(
        [
            layers.ZeroPadding2D(((1, 2), (0, 3)), input_shape=(6, 5, 2)),
            layers.Conv2D(4, (3, 3), activation="tanh"),
            layers.LeakyReLU(0.2),
            layers.Dense(3, activation="sigmoid"),
            layers.Conv2D(4, 1),
            layers.ELU(0.7),
            layers.ZeroPadding2D((0, 1)),
            layers.Conv2D(3, (2, 2), activation="softmax"),
            layers.Dense(4, activation="elu"),
            layers.ReLU(negative_slope=0.1),
            layers.Activation("softplus"),
            layers.Flatten(),
            layers.Dense(3),
            layers.Softmax(),
        ]
    )


def larger():
    """Images made larger, by strides that windows overlap at, and that they leave gaps at."""
    return Sequential(
        [
            layers.Conv2D(6, (3, 3), activation="relu", input_shape=(7, 6, 2)),
            layers.Conv2DTranspose(5, (3, 2), strides=(2, 1), padding="same", activation="relu"),
            layers.UpSampling2D((1, 2)),
            layers.Conv2DTranspose(4, (4, 3), strides=2),
            layers.Conv2D(3, (3, 3), strides=2),
            layers.Conv2DTranspose(3, (2, 2), strides=3, use_bias=False, activation="tanh"),
            layers.Conv2DTranspose(2, (1, 2), strides=(2, 3), padding="same"),
            layers.AveragePooling2D((5, 5)),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def regularised():
    return Sequential(
        [
            layers.Conv2D(4, (3, 3), activation="relu", kernel_regularizer=l2(0.03), input_shape=(9, 8, 2)),
            layers.Conv2D(3, 1, kernel_regularizer="l1", bias_regularizer=l1_l2(0.02, 0.05)),
            layers.Flatten(),
            layers.Dense(4, activation="softmax", bias_regularizer=l1(0.1)),
        ]
    )


NETWORKS = [convolutions, strided, pools, normalised, branches, means, activated, larger, regularised]


@pytest.mark.slow_on("numba")
@pytest.mark.parametrize("network", NETWORKS)
def test_outputs_loss_gradients_and_statistics_are_keras_s(device, network):
    compared = compare.rows(compare.ours(*made(network)), answers(network, device.dtype))
    assert [row for row in compared if not row.passed] == []


def test_the_gradient_of_equal_maxima_goes_where_keras_sends_it(keras, device):
    import jax

    rng = np.random.default_rng(3)
    x = rng.integers(0, 3, (2, 7, 6, 3)).astype(np.float64)
    for pool, strides, padding in (((2, 2), (2, 2), "valid"), ((3, 3), (1, 1), "same"), ((2, 3), (2, 1), "same")):
        layer = keras.layers.MaxPooling2D(pool, strides, padding)
        want, back = jax.vjp(layer, x)
        upstream = normal(rng, *want.shape)
        inputs = tinycnn.Tensor(x, requires_grad=True)
        y = F.maxpool2d(inputs, pool, strides, padding)
        y.backward(upstream)
        assert np.array_equal(y.numpy(), np.asarray(want))
        assert_close(inputs.grad.numpy(), np.asarray(back(upstream)[0]), 9)


def test_the_gradient_of_equal_maxima_of_an_image_is_shared_as_keras_shares_it(keras, device):
    import jax

    rng = np.random.default_rng(3)
    x = rng.integers(0, 3, (2, 7, 6, 3)).astype(np.float64)
    want, back = jax.vjp(keras.layers.GlobalMaxPooling2D(), x)
    upstream = normal(rng, *want.shape)
    inputs = tinycnn.Tensor(x, requires_grad=True)
    y = F.globalmaxpool2d(inputs)
    y.backward(upstream)
    assert np.array_equal(y.numpy(), np.asarray(want))
    assert_close(inputs.grad.numpy(), np.asarray(back(upstream)[0]), 42)


# ---------------------------------------------------------------- optimisers

PAIRS = {
    "sgd": (lambda k: k.SGD(0.1), lambda: optimizers.SGD(0.1)),
    "momentum": (lambda k: k.SGD(0.1, momentum=0.9), lambda: optimizers.SGD(0.1, momentum=0.9)),
    "nesterov": (
        lambda k: k.SGD(0.1, momentum=0.8, nesterov=True),
        lambda: optimizers.SGD(0.1, momentum=0.8, nesterov=True),
    ),
    "adam": (lambda k: k.Adam(0.01), lambda: optimizers.Adam(0.01)),
    "adam with other betas": (
        lambda k: k.Adam(0.01, 0.8, 0.9, 1e-3),
        lambda: optimizers.Adam(0.01, 0.8, 0.9, epsilon=1e-3),
    ),
    "adadelta": (lambda k: k.Adadelta(1.0), lambda: optimizers.Adadelta()),
    "adadelta with another rho": (
        lambda k: k.Adadelta(0.5, 0.8, 1e-3),
        lambda: optimizers.Adadelta(0.5, 0.8, epsilon=1e-3),
    ),
    # Keras 3 adds epsilon inside the root, Keras 2 and tinycnn outside: one too small to matter shows the rest alike.
    "rmsprop": (lambda k: k.RMSprop(0.01, 0.9, epsilon=1e-30), lambda: optimizers.RMSprop(0.01, epsilon=1e-30)),
    "rmsprop with another rho": (
        lambda k: k.RMSprop(0.01, 0.7, epsilon=1e-30),
        lambda: optimizers.RMSprop(0.01, 0.7, epsilon=1e-30),
    ),
    "decay": (
        lambda k: k.SGD(k.schedules.InverseTimeDecay(0.1, 1, 0.5)),
        lambda: optimizers.SGD(0.1, decay=0.5),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_updates_are_keras_s_after_one_step_and_after_four(keras, device, name):
    theirs, ours = PAIRS[name][0](keras.optimizers), PAIRS[name][1]()
    rng = np.random.default_rng(4)
    shapes = [(3, 3, 2, 4), (4,), (7, 5)]
    start = [normal(rng, *shape) for shape in shapes]
    variables = [keras.Variable(value, dtype="float64") for value in start]
    tensors = [tinycnn.Tensor(value.copy(), requires_grad=True) for value in start]
    for _ in range(4):
        gradients = [normal(rng, *shape) for shape in shapes]
        theirs.apply([keras.ops.convert_to_tensor(g) for g in gradients], variables)
        for tensor, gradient in zip(tensors, gradients, strict=True):
            tensor.zero_grad()
            tensor.backward(gradient)
        ours.apply(tensors)
        for tensor, variable in zip(tensors, variables, strict=True):
            assert_close(tensor.numpy(), np.asarray(variable.value), 8)


def test_the_optimizers_defaults_are_keras_s(keras):
    k = keras.optimizers
    assert optimizers.SGD().learning_rate == pytest.approx(float(k.SGD().learning_rate))
    adam = k.Adam()
    assert optimizers.Adam().options() == {
        "learning_rate": pytest.approx(float(adam.learning_rate)),
        "decay": 0,
        "beta_1": adam.beta_1,
        "beta_2": adam.beta_2,
        "epsilon": adam.epsilon,
    }
    adadelta = k.Adadelta()
    ours = optimizers.Adadelta().options()
    assert (ours["rho"], ours["epsilon"]) == (adadelta.rho, adadelta.epsilon)
    assert ours["learning_rate"] == 1.0  # Keras 2's, on which the documents rely; Keras 3 has 0.001
    rmsprop = k.RMSprop()
    assert optimizers.RMSprop().options() == {
        "learning_rate": pytest.approx(float(rmsprop.learning_rate)),
        "decay": 0,
        "rho": rmsprop.rho,
        "epsilon": rmsprop.epsilon,
    }


def test_the_layers_defaults_are_keras_s(keras):
    assert layers.ELU().alpha == keras.layers.ELU().alpha
    assert layers.LeakyReLU().alpha == pytest.approx(keras.layers.LeakyReLU().negative_slope)
    assert layers.ReLU().negative_slope == keras.layers.ReLU().negative_slope
    assert layers.UpSampling2D().size == tuple(keras.layers.UpSampling2D().size)
    ours, theirs = layers.Conv2DTranspose(2, 3), keras.layers.Conv2DTranspose(2, 3)
    assert (ours.strides, ours.padding, ours.activation) == (tuple(theirs.strides), theirs.padding, None)
    assert layers.ZeroPadding2D().padding == tuple(map(tuple, keras.layers.ZeroPadding2D().padding))
    ours, theirs = layers.BatchNormalization(), keras.layers.BatchNormalization()
    assert (ours.momentum, ours.epsilon) == (theirs.momentum, theirs.epsilon)
    ours, theirs = layers.MaxPooling2D(), keras.layers.MaxPooling2D()
    assert (ours.window, ours.stride, ours.padding) == (tuple(theirs.pool_size), tuple(theirs.strides), theirs.padding)
    ours, theirs = layers.Conv2D(2, 3), keras.layers.Conv2D(2, 3)
    assert (ours.stride, ours.padding) == (tuple(theirs.strides), theirs.padding)


@pytest.mark.parametrize("from_logits", [False, True])
def test_binary_crossentropy_is_keras_s(keras, device, from_logits):
    import jax

    rng = np.random.default_rng(5)
    outputs, y = rng.standard_normal((7, 3)) if from_logits else rng.uniform(0.01, 0.99, (7, 3)), rng.random((7, 3))
    y[::2] = y[::2] > 0.5
    theirs = lambda x: keras.losses.binary_crossentropy(y, x, from_logits=from_logits).mean()  # noqa: E731
    want, gradient = jax.value_and_grad(theirs)(outputs)
    x = tinycnn.Tensor(outputs, requires_grad=True)
    loss, correct = F.binary_crossentropy(x, y, from_logits)
    loss.backward()
    assert_close(loss.numpy(), [float(want)], 21)
    assert_close(x.grad.numpy(), np.asarray(gradient), scale=10)
    rounded = keras.metrics.binary_accuracy(y, outputs, threshold=0.0 if from_logits else 0.5)
    assert_close(device.numpy(correct), [np.mean(rounded, axis=1).sum()], 7)


def test_mean_squared_error_is_keras_s(keras, device):
    import jax

    rng = np.random.default_rng(6)
    outputs, y = rng.standard_normal((7, 3)), rng.standard_normal((7, 3))
    want, gradient = jax.value_and_grad(lambda x: keras.losses.mean_squared_error(y, x).mean())(outputs)
    x = tinycnn.Tensor(outputs, requires_grad=True)
    loss, correct = F.mean_squared_error(x, y)
    loss.backward()
    assert_close(loss.numpy(), [float(want)], 21)
    assert_close(x.grad.numpy(), np.asarray(gradient))
    assert_close(device.numpy(correct), [np.sum(keras.metrics.categorical_accuracy(y, outputs))])


# ---------------------------------------------------------------- the loss


def test_the_loss_of_probabilities_is_keras_s_up_to_its_clipping(keras, float64):
    rng = np.random.default_rng(5)
    logits, y = normal(rng, 9, 4), one_hot(rng.integers(0, 4, 9), 4)
    ours, _ = F.softmax_crossentropy(tinycnn.Tensor(logits), y)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert ours.item() == pytest.approx(float(keras.losses.categorical_crossentropy(y, p).mean()), rel=1e-12)
    assert ours.item() == pytest.approx(
        float(keras.losses.sparse_categorical_crossentropy(y.argmax(axis=1), p).mean()), rel=1e-12
    )


@pytest.mark.parametrize("n, k, step", [(n, k, s) for n in (1, 4, 7, 8) for k in (1, 2, 3, 4) for s in (1, 2, 3)])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_output_sizes_are_keras_s(keras, n, k, step, padding):
    if padding == "valid" and n < k:
        with pytest.raises(ValueError, match=f"subtracting {k} from {n}"):
            layers.Conv2D(2, k, strides=step).shape_after((n, n, 1))
        return
    want = keras.layers.Conv2D(2, k, strides=step, padding=padding).compute_output_shape((None, n, n, 1))
    assert layers.Conv2D(2, k, strides=step, padding=padding).shape_after((n, n, 1)) == want[1:]
    want = keras.layers.MaxPooling2D(k, strides=step, padding=padding).compute_output_shape((None, n, n, 1))
    assert layers.MaxPooling2D(k, strides=step, padding=padding).shape_after((n, n, 1)) == want[1:]
