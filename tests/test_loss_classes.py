"""Keras 2.3's classes of losses, and networks that end without their softmax."""

import warnings

import numpy as np
import pytest
from helpers import assert_same_bits, normal
from oracles import rng_of

from tinycnn import loss_classes, losses
from tinycnn.layers import Dense
from tinycnn.models import Sequential, load_model
from tinycnn.utils import to_categorical

X, Y = normal(rng_of(1), 12, 5), np.arange(12) % 3


def trained(activation, loss, y, **options):
    model = Sequential([Dense(7, activation="relu", input_shape=(5,)), Dense(3, activation=activation)])
    rng = rng_of(2)
    model.set_weights([normal(rng, *w.shape) for w in model.weights])
    model.compile("adam", loss, ["accuracy"])
    return model, model.fit(X, y, 5, 3, verbose=0, shuffle=False, **options).history


@pytest.mark.parametrize("one_hot", [False, True])
def test_a_network_without_softmax_learns_the_same_bits_as_one_with_it(device, one_hot):
    name = "CategoricalCrossentropy" if one_hot else "SparseCategoricalCrossentropy"
    make, y = getattr(losses, name), to_categorical(Y, 3) if one_hot else Y
    weights = {"sample_weight": rng_of(3).uniform(0, 2, 12), "validation_data": (X[:7], y[:7])}
    with_softmax, history = trained("softmax", make(), y, **weights)
    without, same = trained(None, make(from_logits=True), y, **weights)
    assert same == history and history["loss"][0] > history["loss"][-1]
    for got, want in zip(without.get_weights(), with_softmax.get_weights(), strict=True):
        assert_same_bits(got, want)
    logits = without.predict(X)
    assert not np.allclose(logits.sum(axis=1), 1)
    assert without.evaluate(X, y, verbose=0) == with_softmax.evaluate(X, y, verbose=0)


def test_what_ends_in_another_activation_keeps_it(float64):
    model, _ = trained("tanh", losses.SparseCategoricalCrossentropy(from_logits=True), Y)
    out = model.predict(X)
    assert np.abs(out).max() < 1
    want = np.log(np.exp(out).sum(axis=1)) - out[np.arange(12), Y]
    assert model.evaluate(X, Y, verbose=0)[0] == pytest.approx(want.mean())


def test_a_class_is_the_loss_of_its_name(float64):
    same = {"KLDivergence": "kullback_leibler_divergence", "LogCosh": "logcosh"}
    for name in loss_classes.__all__:
        words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]
        function = getattr(losses, same.get(name, words))
        assert getattr(losses, name)() is getattr(losses, name)(name="mine") is function
        assert getattr(losses, name)(reduction="sum_over_batch_size") is function


@pytest.mark.parametrize("file", ["m.h5", "m.safetensors"])
def test_it_is_in_the_file(float64, tmp_path, file):
    if file.endswith("h5"):
        pytest.importorskip("h5py", reason="h5py is not installed: pip install 'tinycnn[hdf5]'")
    model, _ = trained(None, losses.SparseCategoricalCrossentropy(from_logits=True), Y)
    model.save(tmp_path / file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the optimiser's state, which HDF5 files have in Keras's own way
        again = load_model(tmp_path / file)
    assert again.loss is losses.sparse_categorical_crossentropy_from_logits
    assert again.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)


def test_keras_takes_the_loss_from_the_file_and_writes_it_so(keras, float64, tmp_path):
    pytest.importorskip("h5py", reason="h5py is not installed: pip install 'tinycnn[hdf5]'")
    model, _ = trained(None, losses.SparseCategoricalCrossentropy(from_logits=True), Y)
    model.save(tmp_path / "ours.h5")
    theirs = keras.models.load_model(tmp_path / "ours.h5")
    assert theirs.loss.get_config()["from_logits"] and type(theirs.loss).__name__ == "SparseCategoricalCrossentropy"
    assert theirs.evaluate(X, Y, verbose=0)[0] == pytest.approx(model.evaluate(X, Y, verbose=0)[0], rel=1e-5)
    theirs.save(tmp_path / "theirs.h5")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert load_model(tmp_path / "theirs.h5").loss is losses.sparse_categorical_crossentropy_from_logits


@pytest.mark.parametrize(
    "wrong, message",
    [
        (lambda: losses.BinaryCrossentropy(from_logits=True), "BinaryCrossentropy.from_logits=True.*end in one"),
        (lambda: losses.CategoricalCrossentropy(label_smoothing=0.1), "label_smoothing=0.1.*soft labels"),
        (lambda: losses.MeanSquaredError(reduction="none"), "reduction='none'.*mean over the batch"),
        (lambda: losses.Huber(), "Huber is not there"),
        (
            lambda: trained("softmax", losses.SparseCategoricalCrossentropy(from_logits=True), Y),
            "leave one of them out",
        ),
        (lambda: trained(None, losses.SparseCategoricalCrossentropy(), Y), "ends in softmax"),
    ],
)
def test_what_cannot_be_is_refused_by_name(float64, wrong, message):
    with pytest.raises((TypeError, ValueError), match=message):
        wrong()
