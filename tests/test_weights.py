"""The weights of layers and networks: for which inputs they are made, and how they are read and replaced."""

import numpy as np
import pytest
from helpers import assert_same_bits

from tinycnn import Tensor
from tinycnn.layers import Activation, BatchNormalization, Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D
from tinycnn.models import Sequential
from tinycnn.shapes import ShapeError


def zeros(*shape):
    return Tensor(np.zeros(shape))


# ---------------------------------------------------------------- inputs of another shape


@pytest.mark.parametrize(
    "layer, first, other",
    [
        (lambda: Dense(3), (5,), (6,)),
        (lambda: Conv2D(4, 3), (8, 8, 2), (8, 8, 1)),
        (lambda: Conv2D(4, 1), (8, 8, 1), (8, 8, 2)),  # one channel would stretch over two
        (lambda: BatchNormalization(), (6, 6, 1), (6, 6, 3)),
    ],
    ids=["dense", "conv2d", "conv1x1", "batchnorm"],
)
@pytest.mark.parametrize("inputs", [lambda shape: zeros(2, *shape), Input], ids=["tensor", "symbol"])
def test_a_layer_refuses_other_channels_than_it_was_built_for(reference, layer, first, other, inputs):
    layer = layer()
    layer(inputs(first))
    before = layer.get_weights()
    built, got = (r"\(None, " + ", ".join(map(str, shape)) + r"\)" for shape in (first, other))
    with pytest.raises(ShapeError, match=rf"{layer.name} was built for inputs {built}, not {got}"):
        layer(inputs(other))
    for weight, same in zip(layer.get_weights(), before, strict=True):
        assert_same_bits(weight, same)


def test_a_layer_takes_images_of_another_size_with_the_weights_it_has(reference):
    for layer in (Conv2D(4, 3), BatchNormalization()):
        layer(zeros(2, 8, 8, 2))
        weights = layer.weights
        assert layer(zeros(1, 5, 9, 2)).shape[0] == 1
        assert all(weight is same for weight, same in zip(layer.weights, weights, strict=True))


def test_a_layer_without_weights_takes_anything_it_can_compute(reference):
    for layer in (MaxPooling2D(), Flatten(), Activation("relu"), Dropout(0.5)):
        layer(zeros(2, 8, 8, 2))
        layer(zeros(2, 6, 4, 3))


def test_a_shape_that_a_layer_cannot_take_leaves_it_without_weights(reference):
    for layer, shape in ((Conv2D(4, 3), (2, 16)), (Conv2D(4, 5), (2, 4, 4, 1))):
        with pytest.raises(ShapeError, match=layer.name):
            layer(zeros(*shape))
        assert layer.weights == [] and layer.built_shape is None


# ---------------------------------------------------------------- read and replaced


def network():
    return Sequential([Conv2D(3, 3, input_shape=(6, 6, 1)), BatchNormalization(), Flatten(), Dense(2)])


def test_weights_that_are_read_are_copies(device):
    model = network()
    before = [weight.copy() for weight in model.get_weights()]
    for weight in model.get_weights():
        weight += 1
    for weight, same in zip(model.get_weights(), before, strict=True):
        assert_same_bits(weight, same)


def test_all_weights_are_trained_but_the_moving_statistics(reference):
    model = network()
    norm, dense = model.layers[1], model.layers[3]
    moving = [norm.moving_mean, norm.moving_variance]
    trained = [*model.layers[0].weights, norm.gamma, norm.beta, dense.kernel, dense.bias]
    for weights, want in ((model.non_trainable_weights, moving), (model.trainable_weights, trained)):
        assert len(weights) == len(want) and all(w is same for w, same in zip(weights, want, strict=True))
    assert model.count_params() == sum(w.size for w in [*moving, *trained])
    assert [w.shape for w in model.get_weights()] == [w.shape for w in model.weights]


def test_set_weights_replaces_every_weight(device):
    model = network()
    values = [w + 1 + i for i, w in enumerate(model.get_weights())]
    model.set_weights(values)
    for weight, value in zip(model.get_weights(), values, strict=True):
        assert_same_bits(weight, value)


REFUSED = {
    "text": lambda w: [*w[:-1], np.full(w[-1].shape, "a")],
    "text of numbers": lambda w: [*w[:-1], np.full(w[-1].shape, "1")],
    "objects": lambda w: [*w[:-1], np.full(w[-1].shape, None)],
    "complex numbers": lambda w: [*w[:-1], w[-1] * 1j],
    "the last of another shape": lambda w: [*w[:-1], w[-1][:-1]],
    "one that would be stretched": lambda w: [*w[:-1], w[-1][:1]],
    "the last missing": lambda w: w[:-1],
    "one too many": lambda w: [*w, w[-1]],
    "transposed": lambda w: [*w[:-2], w[-2].T, w[-1]],
    "a number": lambda w: [*w[:-1], 0.0],
}


@pytest.mark.parametrize("what", REFUSED)
def test_set_weights_changes_nothing_when_it_refuses(device, what):
    model = network()
    before = model.get_weights()
    with pytest.raises(ValueError, match=model.name):
        model.set_weights(REFUSED[what]([w + 1 for w in before]))
    for weight, same in zip(model.get_weights(), before, strict=True):
        assert_same_bits(weight, same)
