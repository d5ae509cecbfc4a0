"""Losses and metrics of the user's own, and add_loss: beside Keras, beside tinycnn's own losses, and wrongly used."""

from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import assert_close, normal
from small_trainings import again, fit

from tinycnn import backend as K
from tinycnn import layers, losses, metrics, optimizers, regularizers
from tinycnn.layers import Dense, Dropout, Flatten, Input, Lambda
from tinycnn.models import Model, Sequential, load_model
from tinycnn.shapes import ShapeError

RNG = np.random.default_rng(0)
X, Y = normal(RNG, 20, 4), RNG.uniform(0.1, 0.9, (20, 3))
WEIGHTS = RNG.uniform(0, 2, 20)


def squared(y_true, y_pred):
    return K.mean(K.square(y_true - y_pred), axis=-1)


def crossed(y_true, y_pred):
    return K.categorical_crossentropy(y_true, y_pred)


def off(y_true, y_pred):
    return K.mean(K.abs(y_pred - y_true))


def near(y_true, y_pred):
    return K.cast(K.abs(y_pred - y_true) < 0.25, y_true.dtype)


def network(last="sigmoid", **options):
    again()
    hidden = Dense(5, activation="relu", input_shape=(4,), kernel_regularizer=regularizers.l2(0.05))
    return Sequential([hidden, Dropout(0.25), Dense(3, activation=last, **options)])


def trained(loss, last="sigmoid", y=Y, **arguments):
    """(the weights, the history, what is measured at the end) of a training by that loss."""
    model = network(last)
    model.compile(optimizers.SGD(0.5, momentum=0.5), loss, ["accuracy"])
    history = fit(model, X, y, validation_split=0.25, **arguments).history
    return model.get_weights(), history, model.evaluate(X, y, verbose=0)


ONE_HOT = np.eye(3)[np.arange(20) % 3]
ALIKE = {
    "the mean square": (squared, "mse", {}),
    "tinycnn's, of what is not computed yet": (lambda t, p: losses.mean_squared_error(t, p), "mse", {}),
    "bits": (lambda t, p: metrics.binary_crossentropy(t, p), "binary_crossentropy", {"y": Y.round()}),
    "classes": (crossed, "categorical_crossentropy", {"last": "softmax", "y": ONE_HOT}),
    "images with weights": (squared, "mse", {"sample_weight": WEIGHTS}),
    "classes with weights": (
        crossed, "categorical_crossentropy", {"last": "softmax", "y": ONE_HOT, "class_weight": {0: 3.0, 1: 0.5, 2: 1.0}}
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", ALIKE)
def test_it_trains_as_the_same_loss_of_tinycnn_s_does(device, what):
    own, known, arguments = ALIKE[what]
    (weights, history, end), (want, wanted, wanted_end) = (trained(loss, **arguments) for loss in (own, known))
    for got, expected in zip(weights, want, strict=True):
        assert_close(got, expected, 64)
    assert history.keys() == wanted.keys()
    for name, figures in history.items():
        if not (what == "bits" and "acc" in name):  # Keras measures those number by number, and so does tinycnn
            assert_close(np.array(figures, device.dtype), wanted[name], 64)
    assert_close(np.array(end[0], device.dtype), wanted_end[0], 64)


def test_figures_have_the_names_of_their_functions(device):
    model = network()
    model.compile("sgd", squared, [near, "accuracy", off, near, "mse"])
    names = ["loss", "near", "accuracy", "off", "near_1", "mse"]
    assert model.metrics_names == names
    logs = fit(model, X, Y, epochs=1, validation_data=(X, Y)).history
    assert list(logs) == [*names, *(f"val_{name}" for name in names)]
    answers = model.predict(X).astype(np.float64)
    away = abs(answers - Y)
    want = {
        "near": (away < 0.25).mean(), "off": away.mean(), "mse": (away**2).mean(),
        "accuracy": (answers.argmax(1) == Y.argmax(1)).mean(),
    }  # fmt: skip
    found = dict(zip(names, model.evaluate(X, Y, batch_size=8, verbose=0), strict=True))
    for name, figure in want.items():
        assert_close(np.array(found[name], device.dtype), figure, 64)
        assert_close(np.array(logs[f"val_{name}"][0], device.dtype), figure, 64)
    assert found["near_1"] == found["near"]


def test_a_metric_changes_nothing_of_the_training(device):
    for loss, last, y in (("categorical_crossentropy", "softmax", ONE_HOT), ("binary_crossentropy", "sigmoid", Y)):
        found = []
        for functions in ([], [off]):
            model = network(last)
            model.compile("sgd", loss, ["accuracy", *functions])
            history = fit(model, X, y).history
            found.append((model.get_weights(), history["loss"], history["accuracy"]))
        (weights, *figures), (others, *other_figures) = found
        for got, want in zip(others, weights, strict=True):
            assert_close(got, want, 8)
        assert_close(np.array(other_figures, device.dtype), figures, 8)


# ---------------------------------------------------------------- beside Keras


def contrastive(backend):
    """Hadsell, Chopra and LeCun, 2006: near where two images are of one class, far apart where they are not."""
    return lambda y, d: backend.mean(
        y * backend.square(d) + (1 - y) * backend.square(backend.maximum(1 - d, 0)), axis=-1
    )


def siamese(layers, model, distance):
    a, b = layers.Input((4,)), layers.Input((4,))
    base = layers.Dense(3, activation="tanh", name="base")
    return model([a, b], layers.Lambda(distance, output_shape=(1,))([base(a), base(b)]))


PAIRS, SAME = [X[:10], X[10:]], np.arange(10.0)[:, None] % 2


@cache
def keras_s_siamese():
    """(the weights that it begins with, its losses, the weights that it ends with): two steps, and two by weights."""
    keras = pytest.importorskip("keras")
    ops = keras.ops
    keras.utils.set_random_seed(0)
    distance = lambda v: ops.sqrt(ops.sum(ops.square(v[0] - v[1]), axis=1, keepdims=True) + 1e-3)  # noqa: E731
    twin = siamese(keras.layers, keras.Model, distance)
    start = twin.get_weights()
    twin.compile(keras.optimizers.SGD(0.5), contrastive(ops))
    weights = [None, None, WEIGHTS[:10], WEIGHTS[:10]]
    return start, [float(twin.train_on_batch(PAIRS, SAME, sample_weight=w)) for w in weights], twin.get_weights()


def test_keras_takes_the_same_steps_by_a_contrastive_loss(device):
    start, want, end = keras_s_siamese()
    distance = lambda v: K.sqrt(K.sum(K.square(v[0] - v[1]), axis=1, keepdims=True) + 1e-3)  # noqa: E731
    model = siamese(layers, Model, distance)
    model.set_weights(start)
    model.compile(optimizers.SGD(0.5), contrastive(K))
    weights = [None, None, WEIGHTS[:10], WEIGHTS[:10]]
    assert [model.train_on_batch(PAIRS, SAME, sample_weight=w) for w in weights] == pytest.approx(want, rel=1e-4)
    for got, expected in zip(model.get_weights(), end, strict=True):
        assert np.abs(got - expected).max() < 1e-5


def autoencoder(layers, model, sampled):
    """A variational autoencoder: (the network, its places x, x_decoded, z_mean, z_log_var)."""
    x = layers.Input((4,))
    h = layers.Dense(5, activation="relu", name="h")(x)
    z_mean, z_log_var = layers.Dense(2, name="mean")(h), layers.Dense(2, name="log_var")(h)
    z = layers.Lambda(sampled, output_shape=(2,))([z_mean, z_log_var])
    x_decoded = layers.Dense(4, activation="sigmoid", name="decoded")(z)
    return model(x, x_decoded), (x, x_decoded, z_mean, z_log_var)


def divergence(backend, z_mean, z_log_var):
    return -0.5 * backend.sum(1 + z_log_var - backend.square(z_mean) - backend.exp(z_log_var), axis=-1)


NOISE, SHOWN = np.array([[0.5, -1.0]]), 1 / (1 + np.exp(-X))


@cache
def keras_s_autoencoder():
    """({layer: the weights that it begins with}, the losses of two epochs, those that it ends with).

    Keras 3's loss is given the places that it speaks of as outputs, joined.
    """
    keras = pytest.importorskip("keras")
    ops, noise = keras.ops, NOISE.astype("float32")
    keras.utils.set_random_seed(0)
    _, places = autoencoder(keras.layers, keras.Model, lambda v: v[0] + ops.exp(v[1] / 2) * noise)
    twin = keras.Model(places[0], keras.layers.Concatenate()(places[1:]))
    twin.compile(
        keras.optimizers.SGD(0.1),
        lambda t, p: 4 * keras.losses.binary_crossentropy(t, p[:, :4]) + divergence(ops, p[:, 4:6], p[:, 6:]),
    )
    start = {layer.name: layer.get_weights() for layer in twin.layers}
    history = twin.fit(SHOWN, SHOWN, batch_size=10, shuffle=False, epochs=2, verbose=0).history
    return start, history["loss"], {layer.name: layer.get_weights() for layer in twin.layers}


@pytest.mark.parametrize("how", ["a loss of the network's places", "add_loss", "both"])
def test_keras_takes_the_same_steps_in_a_variational_autoencoder(device, how):
    start, want, end = keras_s_autoencoder()
    model, (x, decoded, z_mean, z_log_var) = autoencoder(layers, Model, lambda v: v[0] + K.exp(v[1] / 2) * NOISE)
    with_weights = [layer for layer in model.layers if layer.weights]
    for layer in with_weights:
        layer.set_weights(start[layer.name])
    entropy = lambda t, p: 4 * losses.binary_crossentropy(t, p)  # noqa: E731
    labels = SHOWN
    if how == "add_loss":
        model.add_loss(K.mean(entropy(x, decoded) + divergence(K, z_mean, z_log_var)))
        model.compile(optimizers.SGD(0.1), loss=None)
        labels = None
    elif how == "both":
        model.add_loss(divergence(K, z_mean, z_log_var))
        model.compile(optimizers.SGD(0.1), loss=entropy)
    else:
        model.compile(optimizers.SGD(0.1), lambda t, p: entropy(t, p) + divergence(K, z_mean, z_log_var))
    assert fit(model, SHOWN, labels, batch_size=10, shuffle=False).history["loss"] == pytest.approx(want, rel=1e-4)
    for layer in with_weights:
        for got, expected in zip(layer.get_weights(), end[layer.name], strict=True):
            assert np.abs(got - expected).max() < 1e-5


OF_KERAS = {
    "mean_squared_error": Y, "mean_absolute_error": Y, "mean_absolute_percentage_error": Y,
    "mean_squared_logarithmic_error": Y, "hinge": 2 * Y.round() - 1, "squared_hinge": Y.round(),
    "categorical_hinge": ONE_HOT, "kullback_leibler_divergence": Y, "poisson": Y, "logcosh": Y,
    "binary_crossentropy": Y, "categorical_crossentropy": ONE_HOT, "sparse_categorical_crossentropy": ONE_HOT,
    "binary_accuracy": Y.round(), "categorical_accuracy": ONE_HOT, "sparse_categorical_accuracy": ONE_HOT,
}  # fmt: skip


@pytest.mark.parametrize("name", OF_KERAS)
def test_a_loss_gives_keras_s_number_for_each_image(device, name):
    keras = pytest.importorskip("keras")
    y, answers = OF_KERAS[name], 1 / (1 + np.exp(-X[:, :3]))
    y = y.argmax(axis=1)[:, None] if name.startswith("sparse") else y
    keras_s = {"kullback_leibler_divergence": "kl_divergence", "logcosh": "log_cosh"}.get(name, name)
    where = keras.metrics if name.endswith("accuracy") else keras.losses
    t, p = Input(y.shape[1:]), Input((3,))
    (got,) = K.function([t, p], [metrics.BY_NAME[name](t, p)])([y, answers])
    want = np.asarray(getattr(where, keras_s)(y.astype("float32"), answers.astype("float32")), np.float64)
    assert got.shape == (20,) and np.abs(got - want.reshape(20, -1).mean(axis=1)).max() < 1e-5 * max(1, abs(want).max())


def test_a_network_is_trained_and_measured_by_their_names(float64, tmp_path):
    found = []
    for loss in ("mae", losses.mean_absolute_error, off):
        model = network()
        model.compile(optimizers.SGD(0.5), loss, ["mae", "categorical_accuracy", metrics.binary_accuracy, "accuracy"])
        history = fit(model, X, Y).history
        assert list(history) == ["loss", "mae", "categorical_accuracy", "binary_accuracy", "accuracy"]
        assert history["categorical_accuracy"] == history["accuracy"]
        found.append(history)
    for name, figures in found[0].items():
        for other in found[1:]:
            assert figures == pytest.approx(other[name], rel=1e-9), name
    model.compile("sgd", "msle", ["hinge"])
    model.save(tmp_path / "m.safetensors")
    assert load_model(tmp_path / "m.safetensors").loss is losses.mean_squared_logarithmic_error
    with pytest.raises(ShapeError, match="compares the two"):
        fit(model, X, Y[:, :2])


@cache
def keras_s_penalty(l1, l2):
    """(the weights, two losses, the weights afterwards) of a network whose hidden outputs have this penalty."""
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    hidden = keras.layers.Dense(5, "tanh", activity_regularizer=keras.regularizers.L1L2(l1, l2))
    twin = keras.Sequential([keras.layers.Input((4,)), hidden, keras.layers.Dense(3, "sigmoid")])
    start = twin.get_weights()
    twin.compile(keras.optimizers.SGD(0.1), "binary_crossentropy")
    return start, [float(twin.train_on_batch(X, Y)) for _ in range(2)], twin.get_weights()


def test_a_penalty_on_outputs_is_summed_over_the_batch_as_keras_2_does(device):
    """Keras 3 divides it by the number of images, Keras 2.3.1 (engine/base_layer.py) does not."""
    start, want, end = keras_s_penalty(0.01 * 20, 0.02 * 20)
    penalty = regularizers.l1_l2(0.01, 0.02)
    model = Sequential([Dense(5, "tanh", input_shape=(4,), activity_regularizer=penalty), Dense(3, "sigmoid")])
    model.set_weights(start)
    model.compile(optimizers.SGD(0.1), "binary_crossentropy")
    assert [model.train_on_batch(X, Y) for _ in range(2)] == pytest.approx(want, rel=1e-4)
    for got, expected in zip(model.get_weights(), end, strict=True):
        assert np.abs(got - expected).max() < 1e-5
    back = Sequential.from_config(model.get_config())
    assert back.layers[0].regularizers.keys() == {"activity"}


# ---------------------------------------------------------------- without labels


def test_add_loss_alone_needs_no_labels(float64):
    model = network()
    model.add_loss(squared(0.5, model.output))
    model.compile("sgd")
    history = fit(model, X, None, validation_data=(X, None)).history
    assert list(history) == ["loss", "val_loss"]
    penalty = 0.05 * (model.get_weights()[0] ** 2).sum()
    assert_close(np.array(history["val_loss"][-1]), ((model.predict(X) - 0.5) ** 2).mean() + penalty, 64)
    assert model.evaluate(X, verbose=0) == history["val_loss"][-1]
    assert model.fit(X, validation_split=0.5, epochs=1, verbose=0).history["val_loss"][0] > 0
    batches = iter([(X, None)] * 2)
    assert model.fit_generator(batches, steps_per_epoch=2, verbose=0).history["loss"][0] > 0
    for wrong in ({"y": Y}, {"sample_weight": WEIGHTS}, {"class_weight": {0: 2.0}}):
        with pytest.raises(ValueError, match="trained by add_loss.. alone"):
            fit(model, X, **{"y": None, **wrong})


def test_a_layer_of_one_s_own_adds_to_the_loss_as_the_network_does(device, tmp_path):
    """The form of Keras 2's own example: the layer's call is given places, and speaks of others beside them."""
    found = []
    for by_layer in (True, False):
        again()
        model, (x, decoded, z_mean, z_log_var) = autoencoder(layers, Model, lambda v: v[0] + K.exp(v[1] / 2) * NOISE)

        class Adds(layers.Layer):
            def call(self, inputs):
                entropy = 4 * metrics.binary_crossentropy(inputs[0], inputs[1])
                self.add_loss(K.mean(entropy + divergence(K, z_mean, z_log_var)), inputs=inputs)  # noqa: B023
                return inputs[0]

        added = Adds()([x, decoded])
        if by_layer:
            model = Model(x, added)
        else:
            model.add_loss(added.layer.added_losses[0])
        model.compile(optimizers.SGD(0.1), loss=None)
        found.append((fit(model, SHOWN, None, validation_data=(SHOWN, None)).history, model.get_weights()))
        if by_layer:
            assert np.array_equal(model.predict(SHOWN), SHOWN.astype(device.dtype))
            assert not Model(x, z_mean).all_added
            with pytest.raises(TypeError, match="add_loss.. takes what is not computed yet"):
                added.layer.add_loss(1.0)
    (history, weights), (other, others) = found
    assert history == other
    for got, want in zip(weights, others, strict=True):
        assert np.array_equal(got, want)


def test_a_loss_reaches_the_labels_in_the_shape_that_they_have(float64):
    """Whole numbers beside ten outputs: Keras makes a column of them."""
    model = network("softmax")
    model.compile("sgd", lambda t, p: K.sparse_categorical_crossentropy(t, p))
    twin = network("softmax")
    twin.compile("sgd", "sparse_categorical_crossentropy")
    y = np.arange(20) % 3
    for weights in ({}, {"class_weight": {0: 1.0, 1: 1.0, 2: 3.0}}):
        assert_close(np.array(fit(model, X, y, **weights).history["loss"]), fit(twin, X, y, **weights).history["loss"])


def number(y_true, y_pred):
    return K.mean(y_true)


def extents(y_true, y_pred):
    assert K.int_shape(y_true) == (None, 1)
    return K.mean(y_true * K.ones_like(y_true[:, :1]), axis=-1)


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", losses.SparseCategoricalCrossentropy(True)])
@pytest.mark.parametrize("shape", [(20,), (20, 1)])
def test_metrics_beside_a_loss_of_numbers_get_a_column_of_them(device, loss, shape):
    model = network("softmax" if isinstance(loss, str) else None)
    names = ["accuracy", "sparse_categorical_accuracy", "sparse_categorical_crossentropy", number, extents]
    model.compile(optimizers.SGD(0.1), loss, names if isinstance(loss, str) else [*names[:2], *names[3:]])
    y = (np.arange(20) % 3).reshape(shape)
    weights = {"sample_weight": WEIGHTS}
    history = fit(model, X, y, validation_data=(X, y), **weights).history
    assert history["number"] == history["extents"] == history["val_number"] == pytest.approx([y.mean()] * 2)
    assert history["sparse_categorical_accuracy"] == history["accuracy"]
    figures = dict(zip(model.metrics_names, model.evaluate(X, y, verbose=0), strict=True))
    assert figures["sparse_categorical_accuracy"] == figures["accuracy"] == history["val_accuracy"][-1]
    if isinstance(loss, str):
        penalty = 0.05 * np.square(model.get_weights()[0].astype(float)).sum()
        assert figures["sparse_categorical_crossentropy"] == pytest.approx(figures["loss"] - penalty, rel=1e-4)


def test_a_network_that_is_built_late_is_trained_by_it_too(float64):
    seen = []

    def once(y_true, y_pred):
        seen.append((y_true.shape, y_pred.shape, y_true.dtype, K.int_shape(y_pred)))
        return squared(y_true, y_pred)

    model = Sequential([Flatten(), Dense(3)])
    model.compile("sgd", once)
    history = fit(model, X, Y)
    assert seen == [((None, 3), (None, 3), "float64", (None, 3))] and history.history["loss"][0] > 0


# ---------------------------------------------------------------- random numbers


def noisy(std=0.5):
    """A network that adds noise of its own to what it makes: in a Lambda, and as a place of the loss."""
    again(seed=3)
    x = Input((4,))
    mean, spread = Dense(3)(x), Dense(3)(x)

    def sample(places):
        return places[0] + K.exp(places[1]) * K.random_normal((K.shape(places[0])[0], 3), mean=0.0, std=std)

    model = Model(x, Lambda(sample)([mean, spread]))
    beside = K.random_uniform((1, 3), 0.25, 0.75)
    model.compile(optimizers.SGD(0.1), lambda t, p: K.mean(K.square(t - p * beside), axis=-1))
    return model


def test_noise_is_drawn_by_the_seed_and_the_same_on_every_device(device):
    import tinycnn

    history = fit(noisy(), X, Y, validation_data=(X, Y)).history
    again_history = fit(noisy(), X, Y, validation_data=(X, Y)).history
    assert history == again_history
    with tinycnn.use_device("reference", "float64"):
        want = fit(noisy(), X, Y, validation_data=(X, Y)).history
    for name, figures in want.items():
        assert_close(np.array(history[name], device.dtype), figures, 256)


def test_noise_is_drawn_anew_in_each_pass_and_alike_in_each_evaluation(float64):
    model = noisy()
    first, second = model.predict(X), model.predict(X)
    assert not np.any(first == second)
    rows = model.predict(np.ones((20, 4)), batch_size=5)
    assert len(np.unique(rows)) == rows.size  # nor do two images, or two batches, have the same
    assert model.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
    silent = noisy(std=0.0)
    assert np.array_equal(silent.predict(X), silent.predict(X))


def test_a_training_that_goes_on_draws_as_one_that_never_stopped(float64):
    whole, part = noisy(), noisy()
    want = fit(whole, X, Y, epochs=3, validation_data=(X, Y)).history
    fit(part, X, Y, epochs=1, validation_data=(X, Y))
    part.predict(X)
    got = fit(part, X, Y, initial_epoch=1, epochs=3, validation_data=(X, Y)).history
    assert got["loss"] == want["loss"][-len(got["loss"]) :] and got["val_loss"][-1] == want["val_loss"][-1]


def test_random_numbers_have_the_mean_and_the_spread_that_are_asked_for(float64):
    drawn = K.eval(K.random_normal((20_000,), 3.0, 0.5))
    assert drawn.mean() == pytest.approx(3, abs=0.02) and drawn.std() == pytest.approx(0.5, abs=0.02)
    flat = K.eval(K.random_uniform((20_000,), -1.0, 3.0))
    assert -1 <= flat.min() < -0.99 and 2.99 < flat.max() < 3 and flat.mean() == pytest.approx(1, abs=0.05)
    x = Input((3,))
    one, other = K.function([x], [K.random_normal((2, 3)), K.random_normal((2, 3))])([Y])
    assert one.shape == (2, 3) and not np.any(one == other)
    assert K.random_normal((2, 3)).shape == (2, 3)
    assert Lambda(lambda x: x + K.random_normal((1, 3)))(Input((3,))).shape == (None, 3)


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("name", ["own.safetensors", "own.h5"])
def test_a_file_keeps_their_names_and_is_given_the_functions(float64, tmp_path, name):
    if name.endswith("h5"):
        pytest.importorskip("h5py")
    model = network()
    model.compile(optimizers.SGD(0.5, momentum=0.9), squared, [off, "accuracy", "mse"])
    fit(model, X, Y)
    model.save(tmp_path / name)
    back = load_model(tmp_path / name, custom_objects={"squared": squared, "off": off})
    assert back.metrics_names == ["loss", "off", "accuracy", "mse"]
    assert fit(back, X, Y).history == fit(model, X, Y).history
    for objects in (None, {"squared": squared}, {"squared": Dense, "off": off}):
        with pytest.raises(ValueError, match="function of your own.*custom_objects.*load_weights"):
            load_model(tmp_path / name, custom_objects=objects)


def test_what_was_added_is_not_in_a_file_and_a_warning_says_so(float64, tmp_path):
    model = network()
    model.add_loss(K.mean(model.output))
    model.compile("sgd", None)
    fit(model, X, None)
    model.save(tmp_path / "m.safetensors")
    with pytest.warns(UserWarning, match="add_loss.*compile"):
        back = load_model(tmp_path / "m.safetensors")
    assert back.optimizer is None and np.array_equal(back.predict(X), model.predict(X))


# ---------------------------------------------------------------- wrongly used

WRONG = {
    "nothing": (lambda t, p: None, {}, TypeError, "returned None. It is to return"),
    "NumPy": (lambda t, p: np.mean(np.abs(t - p)), {}, TypeError, "the loss <lambda>.*tinycnn.backend"),
    "no weights": (lambda t, p: K.mean(t), {}, ValueError, "the loss <lambda> does not depend on the weights of seq"),
    "no gradient": (lambda t, p: K.mean(K.equal(t, p)), {}, ValueError, "comparisons"),
    "other labels": (squared, {"y": Y[:, :2]}, ValueError, r"squared, of labels \(8, 2\).*\(8, 2\) and \(8, 3\)"),
    "another network": (lambda t, p: p + Input((3,)), {}, ValueError, "none of the inputs of seq"),
    "gradients": (lambda t, p: K.gradients(K.sum(p), p)[0] + p, {}, ValueError, "gradients of gradients"),
    "a wrong axis": (lambda t, p: K.mean(p, 0), {"sample_weight": WEIGHTS}, ShapeError, r"\(3,\) for 8 images with"),
    "labels that are not numbers": (squared, {"y": Y * np.nan}, ValueError, "NaN"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_a_loss_says_what_to_do(float64, what):
    loss, arguments, kind, message = WRONG[what]
    model = network()
    with pytest.raises(kind, match=message):
        model.compile("sgd", loss)
        fit(model, X, **{"y": Y, **arguments})
    assert all(weight.grad is None for weight in model.weights)


def test_a_layer_that_the_loss_does_not_reach_is_named(float64):
    x = Input((4,))
    near, far = Dense(3, name="near")(x), Dense(3, name="far")
    model = Model(x, far(near))
    model.compile("sgd", lambda t, p: K.mean(K.square(near)))
    with pytest.raises(ValueError, match="does not depend on the weights of far: freeze"):
        fit(model, X, Y)
    far.trainable = False
    model.compile("sgd", lambda t, p: K.mean(K.square(near)))
    first, second = fit(model, X, Y).history["loss"]
    assert second < first


def test_accuracy_wants_labels_that_are_like_the_outputs(float64):
    model = network()
    model.compile("sgd", lambda t, p: K.mean(p - t), ["accuracy"])
    with pytest.raises(ShapeError, match=r"\(20, 1\).*function of your own"):
        fit(model, X, Y[:, 0])
    with pytest.raises(TypeError, match="add_loss.. takes an expression.*0.5"):
        model.add_loss(0.5)


def test_another_network_in_a_loss_is_not_trained(float64):
    other = Dense(2, name="other")
    model = network()
    model.compile("sgd", lambda t, p: K.mean(K.square(other(p) - 1.0), axis=-1))
    fit(model, X, Y)
    assert other.kernel.grad is None


def test_lambda_of_several_places_says_its_shape_or_is_tried(float64):
    a, b = Input((4,)), Input((4,))
    for shape in (None, (1,), lambda shapes: (shapes[0][0], 1)):
        assert Lambda(lambda v: K.sum(v[0] * v[1], axis=1, keepdims=True), output_shape=shape)([a, b]).shape == (
            None,
            1,
        )


def test_a_step_waits_for_nothing_and_copies_nothing_so_that_a_gpu_can_record_it(monkeypatch):
    import tinycnn
    from tinycnn.fit import data, loop

    with tinycnn.use_device("emulator") as device:
        model = noisy()
        model.compile("adam", model.loss, ["mse", "accuracy", near])
        resident = data.resident(model, X, Y, ("x", "y"), WEIGHTS)
        loop.ready(model)
        steps = loop.Steps(model, resident)
        steps.start(np.arange(20))
        steps.train(8)

        def refused(*_, **__):
            raise AssertionError("a recorded step has no host")

        for name in ("asarray", "numpy", "assign"):
            monkeypatch.setattr(type(device.driver), name, refused)
        steps.train(8)
        steps.infer(4)
        monkeypatch.undo()
        assert np.isfinite(steps.means(20)).all()


@pytest.mark.parametrize("what, clause", [("loss", "its loss is squared"), ("metric", "it measures off")])
def test_what_cannot_compute_them_says_so(what, clause):
    """The path of one kernel, and a rank, of which each knows a part of the batch."""
    import tinycnn
    from tinycnn.devices import ranks

    def training():
        model = Sequential([Flatten(input_shape=(4, 4, 1)), Dense(3, activation="softmax")])
        model.compile("sgd", **({"loss": squared} if what == "loss" else {"metrics": [off]}))
        return fit(model, np.ones((8, 4, 4, 1)), np.eye(3)[np.arange(8) % 3])

    with tinycnn.use_device("emulator") as device, device.taking("one-kernel"):
        with pytest.raises(ValueError, match=f"one-kernel: {clause}"):
            training()
    rank = ranks.of(tinycnn.get_device("reference"), SimpleNamespace(rank=0, size=2), "part")
    with tinycnn.use_device(rank), pytest.raises(ValueError, match="loss, a metric.*ranks do not share.*one process"):
        training()
