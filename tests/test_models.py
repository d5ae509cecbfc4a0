"""Networks as graphs: sharing layers, depth, and what does not depend on how a network is written down."""

from collections import Counter

import numpy as np
import pytest
from helpers import assert_close, assert_same_bits

from tinycnn import Tensor, optimizers, session
from tinycnn.callbacks import Callback
from tinycnn.layers import (
    Activation,
    Add,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    Layer,
    Reshape,
)
from tinycnn.models import Model, Sequential, load_model
from tinycnn.tensor import operations_behind

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


def test_layers_stand_in_keras_s_order(reference):
    """The farthest from the outputs first, and equals by the outputs' order: that of the weights, and of a file's."""
    x = Input(shape=(4, 4, 1))
    a, b, c, d = (Conv2D(n, 1, name=name) for n, name in enumerate("abcd", 1))
    joined = Concatenate()([a(x), b(x)])
    model = Model(inputs=x, outputs=[c(joined), d(x)])
    assert [layer.name for layer in model.layers if layer.weights] == ["a", "b", "c", "d"]
    assert [w.shape[-1] for w in model.get_weights()] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert [y.shape[-1] for y in model.predict(IMAGES[:, :4, :4])] == [3, 4]
    other = Model(inputs=x, outputs=[d(x), c(joined)])
    assert [layer.name for layer in other.layers if layer.weights] == ["a", "b", "d", "c"]


def test_layers_of_branches_stand_in_keras_s_order(reference):
    """As Keras 3.15 has them; equal shapes, so that weights in another order would be taken without a word."""
    x = Input(shape=(4,))
    one = Dense(4, name="a2")(Dense(4, name="a1")(x))
    two = Dense(4, name="b3")(Dense(4, name="b2")(Dense(4, name="b1")(x)))
    model = Model(x, Add(name="add")([one, two]))
    assert [layer.name for layer in model.layers[1:]] == ["b1", "a1", "b2", "a2", "b3", "add"]
    assert model.get_layer(index=-1).name == "add"


def test_dropout_of_two_networks_moves_on_in_a_third(device):
    """As those of a generator and a discriminator do in the network of both, by itself and in each."""
    halves = [Sequential([Flatten(input_shape=(6, 6, 1)), Dense(36), Dropout(0.5)]) for _ in range(2)]
    joined = Sequential([halves[0], Reshape((6, 6, 1)), halves[1]])
    joined.compile("sgd", "mse")
    for network in (*halves, joined, *halves):
        first, second = dropped(network), dropped(network)
        assert (first != second).any()
    before = [int(device.numpy(half.step)[0]) for half in halves]
    joined.fit(IMAGES, np.zeros((2, 36)), batch_size=1, epochs=2, verbose=0)
    assert [int(device.numpy(half.step)[0]) for half in halves] == [n + 4 for n in before]
    assert (dropped(joined) != dropped(joined)).any()


@pytest.mark.parametrize("frozen_when_compiled", [True, False])
def test_batch_normalisation_learns_as_it_was_compiled(frozen_when_compiled, reference):
    norm = BatchNormalization(input_shape=(3,))
    model = Sequential([norm, Dense(2)])
    norm.trainable = not frozen_when_compiled
    model.compile("sgd", "mse")
    norm.trainable = frozen_when_compiled
    before = norm.get_weights()
    with pytest.warns(UserWarning, match="takes effect when compile"):
        model.fit(np.random.default_rng(1).random((8, 3)), np.ones((8, 2)), verbose=0)
    changed = [bool((a != b).any()) for a, b in zip(before, norm.get_weights(), strict=True)]
    assert changed == [not frozen_when_compiled] * 4


def test_what_a_callback_freezes_is_frozen_from_the_next_compile_on(reference):
    class Freeze(Callback):
        def on_train_end(self, logs=None):
            self.model.layers[0].trainable = False

    model = Sequential([Dense(3, input_shape=(3,)), Dense(2)])
    x, y = np.random.default_rng(1).random((8, 3)), np.ones((8, 2))
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0, callbacks=[Freeze()])
    assert model.layers[0].trainable_weights == []
    before = model.get_weights()
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0)
    changed = [bool((a != b).any()) for a, b in zip(before, model.get_weights(), strict=True)]
    assert changed == [False, False, True, True]


def test_weights_of_one_layer_are_drawn_apart(reference):
    class Gated(Layer):
        def make_weights(self, shape):
            self.w, self.gate = self.add_weight("w", (4, 4)), self.add_weight("gate", (4, 4))
            self.again, self.last = self.add_weight("w", (4, 4)), self.add_weight(shape=(4, 4))

        def call(self, x, training):
            return x

    layer = Gated(input_shape=(4,))
    Sequential([layer])
    values = layer.get_weights()
    assert list(layer.parameters) == ["w", "gate", "w_1", "weight_1"] and len(layer.trainable_weights) == 4
    assert all((a != b).all() for i, a in enumerate(values) for b in values[:i])
    dense = Dense(3, kernel_initializer="random_normal", bias_initializer="random_normal")
    Sequential([Flatten(input_shape=(2, 3)), dense])
    assert (dense.get_weights()[0] != dense.get_weights()[1]).all()


def test_a_layer_that_is_connected_often_can_be_saved_and_drops_differently_each_time(reference, tmp_path):
    x = Input((8,))
    drop, y = Dropout(0.5), x
    for _ in range(20):
        y = drop(y)
    uses = [symbol.use for symbol in Model(x, y).symbols[1:]]
    assert uses == list(range(20))
    assert len({drop.mask_at(use).stream for use in range(256)}) == 256
    Model(x, y).save(tmp_path / "m.safetensors")
    assert [symbol.use for symbol in load_model(tmp_path / "m.safetensors").symbols[1:]] == uses


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
    assert len(watching.remembered) >= 2 and not any(watching.remembered)  # more where kernels are looked for first
    watching.remembered.clear()
    network.fit(IMAGES, y, verbose=0)
    assert watching.remembered and all(watching.remembered)


def test_the_summary_of_a_network_of_flat_inputs_with_several_dense_layers(float64):
    model = Sequential([Dense(5, activation="relu", input_shape=(12,)), Dense(4), Dense(3, activation="softmax")])
    lines = []
    model.summary(print_fn=lines.append)
    assert "12x5 + 5 = 65" in lines[0] and "5x4 + 4 = 24" in lines[0] and "4x3 + 3 = 15" in lines[0]
    assert len(model.predict(np.zeros((2, 12)))) == 2


# ---------------------------------------------------------------- dropout behind batch normalisation


def two_branches():
    """One batch normalisation and one dropout, each at two places behind the other, and a pair that is alone."""
    x = Input(shape=(6, 6, 1))
    normalize, drop = BatchNormalization(), Dropout(0.5)
    branches = [drop(normalize(Conv2D(n, 3, name=f"branch_{n}")(x))) for n in (4, 4)]
    y = Dropout(0.25)(BatchNormalization()(Concatenate()(branches)))
    return Model(x, Dense(3, activation="softmax")(Flatten()(y)))


def in_a_row():
    return Sequential([Conv2D(3, 3, input_shape=(6, 6, 1)), BatchNormalization(), Dropout(0.5), Flatten(), Dense(3)])


def passes(model, layer_by_layer):
    """The output of a training pass, each weight behind it, and the gradients: arrays."""
    if layer_by_layer:
        model.device.advance([(model.step, 1)])
        values = {model.input: Tensor(IMAGES)}
        for symbol in model.symbols[1:]:
            values[symbol] = symbol.compute(values, training=True)
        y = values[model.output]
    else:
        y = model(IMAGES, training=True)
    y.backward(np.cos(np.arange(y.size)).reshape(y.shape))
    return [y.numpy(), *model.get_weights(), *(w.grad.numpy() for w in model.trainable_weights)]


def operations(y):
    """How often each operation stands behind a tensor."""
    return Counter(operation.name for operation in operations_behind(y))


@pytest.mark.parametrize("write", [in_a_row, two_branches])
def test_a_dropout_behind_a_batch_normalisation_has_the_bits_that_it_has_alone(device, write):
    found = []
    for layer_by_layer in (False, True):
        session.clear_session()
        session.set_random_seed(7)
        model = write()
        for _ in range(2):
            found.append(passes(model, layer_by_layer))
            for weight in model.weights:
                weight.zero_grad()
    for fused, plain in zip(found[:2], found[2:], strict=True):
        for got, want in zip(fused, plain, strict=True):
            assert_same_bits(got, want)
    assert not np.array_equal(found[0][0], found[1][0])  # the second pass draws other masks


def test_a_dropout_behind_a_batch_normalisation_is_one_operation_with_it(float64):
    for model, normalized in ((in_a_row(), 1), (two_branches(), 3)):
        counts = operations(model(IMAGES, training=True))
        assert counts["batchnorm"] == normalized and counts["dropout"] == 0


def test_trainings_of_a_dropout_behind_a_batch_normalisation_give_the_same_weights_as_of_the_two(device):
    y, weights = np.eye(3)[[0, 1, 2, 0, 1, 2]], []
    for fused in (True, False):
        session.clear_session()
        session.set_random_seed(7)
        model = two_branches()
        if not fused:
            model.dropped.clear()
        model.compile(optimizers.SGD(0.1))
        model.fit(np.repeat(IMAGES, 3, axis=0), y, batch_size=2, epochs=2, verbose=0)
        weights.append(model.get_weights())
    for got, want in zip(*weights, strict=True):
        assert_same_bits(got, want)


def seen_by_two():
    x = Input(shape=(6, 6, 1))
    y = BatchNormalization()(x)
    return Model(x, Concatenate()([Dropout(0.5)(y), y]))


def seen_outside():
    x = Input(shape=(6, 6, 1))
    y = BatchNormalization()(x)
    return Model(x, [Dropout(0.5)(y), y])


def of_their_own():
    class Normalization(BatchNormalization):
        pass

    return Sequential([Normalization(input_shape=(6, 6, 1)), Dropout(0.5)])


def not_behind():
    return Sequential([BatchNormalization(input_shape=(6, 6, 1)), Activation("relu"), Dropout(0.5)])


@pytest.mark.parametrize("write", [seen_by_two, seen_outside, of_their_own, not_behind])
def test_what_others_see_too_or_is_of_another_class_is_computed_by_itself(float64, write):
    model = write()
    assert not model.dropped
    y = model(IMAGES, training=True)
    assert operations(y[0] if isinstance(y, list) else y)["dropout"] == 1
    if write is seen_outside:
        assert (y[1].numpy() != 0).all()


def test_a_frozen_batch_normalisation_takes_the_moving_statistics_and_dropout_drops_behind_it(device):
    model = Sequential([BatchNormalization(input_shape=(6, 6, 1)), Dropout(0.5)])
    model.layers[0].trainable = False
    x = 5 + np.abs(IMAGES)
    y, whole = model(x, training=True).numpy(), model(x).numpy()
    assert 0 < (y == 0).mean() < 1
    assert_close(y[y != 0], 2 * whole[y != 0].astype(np.float64))
    assert [w.numpy()[0] for w in model.weights] == [1, 0, 0, 1]


def test_a_dropout_of_rate_zero_behind_a_batch_normalisation_drops_nothing(float64):
    model = Sequential([BatchNormalization(input_shape=(6, 6, 1)), Dropout(0.0)])
    assert_same_bits(model(IMAGES, training=True).numpy(), model.layers[0](Tensor(IMAGES), training=True).numpy())
