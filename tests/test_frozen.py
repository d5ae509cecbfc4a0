"""`trainable = False`: what is frozen stays as it is, from the next `compile` on."""

import numpy as np
import pytest
from helpers import assert_same_bits
from small_trainings import fit, network, toy

from tinycnn import layers, optimizers
from tinycnn.models import Sequential, load_model


def moved(before, after):
    return [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]


def trained(model):
    """Whether each weight moved in a training."""
    x, y = toy()
    before = model.get_weights()
    fit(model, x, y, epochs=1)
    return moved(before, model.get_weights())


def small(optimizer="adam"):
    model = Sequential(
        [
            layers.Conv2D(3, 3, input_shape=(8, 8, 1)),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(optimizer, "categorical_crossentropy", ["accuracy"])
    return model


def test_a_frozen_layer_s_weights_stay_and_the_others_move(device):
    model = small()
    model.layers[0].trainable = False
    model.compile("adam", "categorical_crossentropy")
    assert trained(model) == [False] * 2 + [True] * 6
    assert model.layers[0].trainable_weights == [] and len(model.layers[0].non_trainable_weights) == 2


def test_a_frozen_model_does_not_move_at_all_and_can_be_thawed(float64):
    model = small()
    model.trainable = False
    model.compile("adam", "categorical_crossentropy")
    assert not any(trained(model)) and not model.trainable
    model.trainable = True
    model.compile("adam", "categorical_crossentropy")
    assert all(trained(model))


def test_what_was_frozen_after_compile_is_frozen_from_the_next_one_on(float64):
    model = small()
    model.layers[0].trainable = False
    with pytest.warns(UserWarning, match="compile"):
        assert all(trained(model))
    model.compile("adam", "categorical_crossentropy")
    assert trained(model)[:2] == [False, False]


def test_a_layer_that_is_added_after_compile_is_trained_too(float64):
    model = Sequential([layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(5)])
    model.compile("adam", "categorical_crossentropy")
    model.add(layers.Dense(3, activation="softmax"))
    assert trained(model) == [True] * 4


def test_a_frozen_batch_normalisation_uses_and_keeps_its_moving_statistics(device):
    model = small()
    model.layers[1].trainable = False
    model.compile(optimizers.SGD(0.1), "categorical_crossentropy")
    assert trained(model) == [True] * 2 + [False] * 4 + [True] * 2
    x, _ = toy()
    assert_same_bits(model(x, training=True).numpy(), model(x, training=False).numpy())


def test_a_frozen_layer_stays_frozen_in_a_checkpoint(float64, tmp_path):
    model = small()
    model.layers[0].trainable = False
    model.compile("adam", "categorical_crossentropy")
    trained(model)
    model.save(tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors")
    assert not again.layers[0].trainable
    assert trained(again) == [False] * 2 + [True] * 6


def test_the_gradients_of_a_frozen_layer_are_not_kept_after_fit(float64):
    model = small()
    trained(model)
    assert all(w.requires_grad for w in model.layers[0].weights)
    assert all(w.grad is None for w in model.weights)


@pytest.mark.parametrize(
    "make, wrong, right",
    [
        (lambda: layers.Dense(3), "trainble", "trainable"),
        (lambda: network(), "trainabel", "trainable"),
        (lambda: network(), "stop_trainig", "stop_training"),
        (lambda: optimizers.SGD(0.1), "learning_rte", "learning_rate"),
        (lambda: optimizers.SGD(0.1), "learningrate", "learning_rate"),
    ],
)
def test_an_attribute_that_is_nearly_right_is_an_error_that_names_the_right_one(float64, make, wrong, right):
    with pytest.raises(AttributeError, match=f"'{wrong}'.*'{right}'"):
        setattr(make(), wrong, False)


def test_other_attributes_are_free(float64):
    class Own(layers.Layer):
        def __init__(self):
            super().__init__()
            self.training_steps, self.names, self.weight = 0, ["a"], 3

        def call(self, x, training):
            return x

    own = Own()
    own.note = "mine"
    assert own.kind == "own" and own.name == "own_1"
