"""Networks as graphs: sharing layers, depth, and what does not depend on how a network is written down."""

import numpy as np
from helpers import assert_same_bits

from tinycnn import Tensor, session
from tinycnn.layers import Activation, Concatenate, Conv2D, Dense, Dropout, Flatten, Input, Layer
from tinycnn.models import Model, Sequential

IMAGES = np.random.default_rng(0).normal(size=(2, 6, 6, 1))


def dropped(model):
    """Which outputs of a network that ends in dropout are zero in training."""
    return model(Tensor(IMAGES), training=True).numpy() == 0


def test_a_view_into_a_network_leaves_its_dropout_moving_on(device):
    network = Sequential([Conv2D(8, (3, 3), input_shape=(6, 6, 1)), Dropout(0.5)])
    Model(inputs=network.input, outputs=[layer.output for layer in network.layers])
    first, second = dropped(network), dropped(network)
    assert (first != second).any()


def test_two_networks_of_the_same_layers_share_the_count_of_training_passes(device):
    network = Sequential([Conv2D(8, (3, 3), input_shape=(6, 6, 1)), Dropout(0.5)])
    view = Model(inputs=network.input, outputs=network.output)
    first, second = dropped(view), dropped(view)
    assert (first != second).any()
    assert int(device.numpy(network.step)[0]) == 2


def test_layers_stand_in_the_order_in_which_inputs_and_outputs_are_named(reference):
    """From the first output back to its first input and on from there: the order of the weights, and of a file's."""
    x = Input(shape=(4, 4, 1))
    a, b, c, d = (Conv2D(n, 1, name=name) for n, name in enumerate("abcd", 1))
    joined = Concatenate()([a(x), b(x)])
    model = Model(inputs=x, outputs=[c(joined), d(x)])
    assert [layer.name for layer in model.layers if layer.weights] == ["a", "b", "c", "d"]
    assert [w.shape[-1] for w in model.get_weights()] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert [y.shape[-1] for y in model.predict(IMAGES[:, :4, :4])] == [3, 4]
    other = Model(inputs=x, outputs=[d(x), c(joined)])
    assert [layer.name for layer in other.layers if layer.weights] == ["d", "a", "b", "c"]


def test_the_output_of_a_layer_is_that_of_its_first_use(reference):
    x = Input(shape=(4, 4, 1))
    shared = Conv2D(1, 1)
    once = shared(x)
    twice = shared(once)
    assert shared.output is once and twice is not once


def test_a_network_may_be_deeper_than_pythons_stack(float64):
    symbol = start = Input(shape=(2, 2, 1))
    relu = Activation("relu")
    for _ in range(3000):
        symbol = relu(symbol)
    y = Model(inputs=start, outputs=symbol)(Tensor(np.ones((1, 2, 2, 1))))
    assert (y.numpy() == 1).all()


def test_weights_do_not_depend_on_how_a_network_is_written(device):
    def layers(**shape):
        return [Conv2D(3, (3, 3), activation="relu", **shape), Flatten(), Dense(4)]

    def in_a_list():
        return Sequential(layers(input_shape=(6, 6, 1)))

    def one_by_one():
        network = Sequential()
        network.add(Input(shape=(6, 6, 1)))
        for layer in layers():
            network.add(layer)
        return network

    def as_a_graph():
        symbol = start = Input(shape=(6, 6, 1))
        for layer in layers():
            symbol = layer(symbol)
        return Model(inputs=start, outputs=symbol)

    written = []
    for write in (in_a_list, one_by_one, as_a_graph):
        session.set_random_seed(7)
        written.append(write().get_weights())
    for other in written[1:]:
        for weight, same in zip(written[0], other, strict=True):
            assert_same_bits(weight, same)


class Watching(Layer):
    """Passes its input on, and notes whether that remembers how it came about."""

    kind = "watching"

    def __init__(self):
        super().__init__()
        self.remembered = []

    def call(self, x, training):
        self.remembered.append(x.creator is not None)
        return x


def test_what_is_predicted_or_evaluated_remembers_nothing_and_what_is_trained_does(device):
    """The memory of all layers' outputs is for the way back alone."""
    watching = Watching()
    network = Sequential([Conv2D(2, 3, input_shape=(6, 6, 1)), watching, Flatten(), Dense(3, activation="softmax")])
    network.compile("sgd")
    y = np.eye(3)[[0, 1]]
    network.predict(IMAGES)
    network.evaluate(IMAGES, y, verbose=0)
    assert watching.remembered == [False, False]
    network.fit(IMAGES, y, verbose=0)
    assert watching.remembered == [False, False, True]


def test_the_summary_of_a_network_of_flat_inputs_with_several_dense_layers(float64):
    model = Sequential([Dense(5, activation="relu", input_shape=(12,)), Dense(4), Dense(3, activation="softmax")])
    lines = []
    model.summary(lines.append)
    assert "12x5 + 5 = 65" in lines[0] and "5x4 + 4 = 24" in lines[0] and "4x3 + 3 = 15" in lines[0]
    assert len(model.predict(np.zeros((2, 12)))) == 2
