"""fit(class_weight=, sample_weight=), evaluate(sample_weight=) and validation_data=(x, y, weights)."""

import numpy as np
import pytest
from helpers import assert_close
from small_trainings import again, fit, linear, toy

from tinycnn import backend as K
from tinycnn import layers, optimizers
from tinycnn.models import Sequential

X, Y = toy(6)
WEIGHTS = np.array([0.0, 1.0, 3.0, 0.5, 2.0, 1.0])


def model_at(start=None):
    again(0)
    model = linear(optimizers.SGD(0.5))
    if start is not None:
        model.set_weights(start)
    return model


def step(x, y, **weights):
    """By how much one batch moves the weights, as float64."""
    model = model_at()
    before = model.get_weights()
    fit(model, x, y, batch_size=len(x), epochs=1, shuffle=False, **weights)
    return [a.astype(np.float64) - b for a, b in zip(model.get_weights(), before, strict=True)]


def test_a_batch_s_step_is_the_weighted_mean_of_its_images_steps(device):
    alone = [step(X[i : i + 1], Y[i : i + 1]) for i in range(6)]
    for got, *parts in zip(step(X, Y, sample_weight=WEIGHTS), *alone, strict=True):
        want = sum(w * part for w, part in zip(WEIGHTS, parts, strict=True)) / 6
        assert_close(got.astype(device.dtype), want, 64)


def test_weights_of_classes_are_weights_of_their_images_and_multiply_with_those(float64):
    by_class = {0: 2.0, 1: 1.0, 2: 0.25}
    of_images = np.array([by_class[k] for k in Y.argmax(axis=1)])
    for got, want in zip(step(X, Y, class_weight=by_class), step(X, Y, sample_weight=of_images), strict=True):
        assert_close(got, want)
    both = step(X, Y, class_weight=by_class, sample_weight=WEIGHTS)
    for got, want in zip(both, step(X, Y, sample_weight=of_images * WEIGHTS), strict=True):
        assert_close(got, want)


def test_the_weighted_loss_is_reported_and_accuracy_counts_every_image_once(device):
    model = model_at()
    rows = -np.log((model.predict(X).astype(np.float64) * Y).sum(axis=1))
    loss, accuracy = model.evaluate(X, Y, batch_size=4, verbose=0, sample_weight=WEIGHTS)
    assert_close(np.array(loss, device.dtype), np.array((WEIGHTS * rows).mean()), 64)
    assert accuracy == model.evaluate(X, Y, verbose=0)[1]
    history = fit(model, X, Y, epochs=1, validation_data=(X, Y, WEIGHTS)).history
    assert history["val_loss"] == pytest.approx([model.evaluate(X, Y, verbose=0, sample_weight=WEIGHTS)[0]], rel=1e-5)


def test_keras_takes_the_same_steps(float64):
    keras = pytest.importorskip("keras")
    twin = keras.Sequential([keras.layers.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")])
    model = Sequential([layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(3, activation="softmax")])
    model.compile(optimizers.SGD(0.5), "categorical_crossentropy")
    start = model.get_weights()
    for weights in ({"sample_weight": WEIGHTS}, {"class_weight": {0: 1.0, 1: 5.0, 2: 0.5}}):
        model.set_weights(start)
        twin.set_weights(start)
        twin.compile(keras.optimizers.SGD(0.5), "categorical_crossentropy")
        twin.fit(X, Y, batch_size=6, shuffle=False, verbose=0, **weights)
        fit(model, X, Y, batch_size=6, epochs=1, shuffle=False, **weights)
        for got, want in zip(model.get_weights(), twin.get_weights(), strict=True):
            assert np.abs(got - want).max() < 1e-5


def test_classes_have_weights_in_a_part_that_is_split_off_and_not_in_validation_data(float64):
    """As in Keras 2.3, which weighs all images before it takes some of them away."""
    x, y = np.concatenate([X, X]), np.concatenate([Y, Y])
    by_class, arguments = {0: 10.0, 1: 1.0, 2: 0.5}, {"epochs": 1, "shuffle": False}
    of_images = np.array([by_class[k] for k in Y.argmax(axis=1)])
    for beside in (None, np.concatenate([WEIGHTS, WEIGHTS[::-1]])):
        model = model_at()
        split = fit(model, x, y, validation_split=0.5, class_weight=by_class, sample_weight=beside, **arguments).history
        weights = of_images * (1 if beside is None else beside[6:])
        want, _ = model.evaluate(X, Y, verbose=0, sample_weight=weights)
        assert split["val_loss"] == pytest.approx([want], rel=1e-5)
    model = model_at()
    apart = fit(model, X, Y, validation_data=(X, Y), class_weight=by_class, **arguments).history
    assert apart["val_loss"] == pytest.approx([model.evaluate(X, Y, verbose=0)[0]], rel=1e-5)


def test_a_batch_of_numbers_need_not_have_every_class(float64):
    """A column of whole numbers, as a loss of the user's own may take it: the classes are the dict's."""
    model = Sequential([layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(3, activation="softmax")])
    model.compile("sgd", lambda t, p: K.sparse_categorical_crossentropy(t, p))
    numbers = Y.argmax(axis=1)
    part = numbers < 2
    of_images = np.where(numbers[part] == 0, 2.0, 3.0)
    want = model.evaluate(X[part], numbers[part], verbose=0, sample_weight=of_images)
    got = model.train_on_batch(X[part], numbers[part], class_weight={0: 2.0, 1: 3.0, 2: 4.0})
    assert got == pytest.approx(want)


def test_weights_of_classes_are_a_dict(float64):
    for wrong in ([1.0, 2.0, 3.0], np.array([0.53, 1.2, 1.0]), "auto"):
        with pytest.raises(TypeError, match=r"class_weight is a dict \{class: weight\}, not a"):
            fit(model_at(), X, Y, class_weight=wrong)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"sample_weight": WEIGHTS[:3]}, r"\(6,\).*\(3,\)"),
        ({"sample_weight": -WEIGHTS}, "not negative"),
        ({"sample_weight": WEIGHTS + np.nan}, "finite"),
        ({"class_weight": {7: 1.0}}, "class 7.*0 to 2"),
        ({"class_weight": {0: 1.0}}, "must contain all classes in the data: it has no weight for 1, 2"),
        ({"class_weight": {0: 1.0, 1: -1.0, 2: 1.0}}, r"class_weight\[1\] must be finite and not negative"),
        ({"validation_data": (X,)}, "validation_data"),
        ({"validation_data": (X, Y, WEIGHTS[:2])}, r"weights of the validation x.*\(6,\)"),
    ],
    ids=str,
)
def test_weights_that_do_not_fit_are_refused(float64, arguments, message):
    with pytest.raises(ValueError, match=message):
        fit(model_at(), X, Y, epochs=1, **arguments)
