"""Passes through a Sequence: where they end, in which order they go, and what is seen again by the next `fit`."""

import numpy as np
import pytest
from helpers import assert_same_bits, assert_same_weights
from small_trainings import again, linear, toy

import tinycnn
from tinycnn import layers, models
from tinycnn.preprocessing.image import ImageDataGenerator
from tinycnn.utils import Sequence

X, Y = toy(32)


@pytest.fixture(autouse=True)
def start():
    again()
    with tinycnn.use_device("reference"):
        yield


class Batches(Sequence):
    """X and Y by batches of 8; notes which were asked for in each pass."""

    def __init__(self):
        self.passes = [[]]

    def __len__(self):
        return 4

    def __getitem__(self, index):
        self.passes[-1].append(index)
        return X[8 * index : 8 * index + 8], Y[8 * index : 8 * index + 8]

    def on_epoch_end(self):
        self.passes.append([])


@pytest.mark.parametrize("workers", [0, 1])
def test_four_fits_of_one_epoch_are_one_fit_of_four(workers):
    found = []
    for fits, epochs in ((1, 4), (4, 1)):
        again()
        model, batches = linear(), Batches()
        for _ in range(fits):
            model.fit(batches, epochs=epochs, verbose=0, workers=workers)
        found.append((model, batches.passes))
    (once, passes), (often, same) = found
    assert passes == same and passes.pop() == [] and len(passes) == 4
    assert all(sorted(order) == [0, 1, 2, 3] for order in passes) and len({tuple(order) for order in passes}) > 1
    assert_same_weights(once, often)


def test_a_training_that_is_resumed_goes_on_with_the_next_order(tmp_path):
    whole, batches = linear(), Batches()
    whole.fit(batches, epochs=4, verbose=0)
    again()
    part, others = linear(), Batches()
    part.fit(others, epochs=2, verbose=0)
    part.save(tmp_path / "m.safetensors")
    models.load_model(tmp_path / "m.safetensors").fit(others, epochs=4, initial_epoch=2, verbose=0)
    assert others.passes == batches.passes


def test_two_passes_of_one_epoch_have_orders_of_their_own():
    batches = Batches()
    linear().fit(batches, steps_per_epoch=16, epochs=2, verbose=0)
    assert len({tuple(order) for order in batches.passes[:-1]}) > 4


@pytest.mark.parametrize("workers", [0, 1])
def test_evaluation_and_prediction_end_a_pass_too(workers):
    model, batches = linear(), Batches()
    model.evaluate_generator(batches, workers=workers)
    model.predict_generator(batches, workers=workers)
    model.predict_generator(batches, steps=3, workers=workers)
    assert batches.passes == [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2]]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_pass_ends_when_its_batches_have_been_computed(workers):
    """A Sequence may turn its arrays round in place at the end of a pass, and give views of them."""

    class Views(Batches):
        def __init__(self):
            super().__init__()
            self.x, self.y = X.copy(), Y.copy()

        def __getitem__(self, index):
            part = slice(8 * index, 8 * index + 8)
            return self.x[part], self.y[part]

        def on_epoch_end(self):
            self.x[:], self.y[:] = self.x[::-1].copy(), self.y[::-1].copy()

    model = linear()
    want = [model.predict(X), model.predict(X[::-1])]
    got = model.predict_generator(Views(), steps=8, workers=workers)
    assert_same_bits(got, np.concatenate(want))
    one, other = linear(), linear()
    other.set_weights(one.get_weights())
    one.fit(Views(), steps_per_epoch=8, epochs=1, verbose=0, workers=workers, shuffle=False)
    for x, y in ((X, Y), (X[::-1], Y[::-1])):
        other.fit(x, y, batch_size=8, epochs=1, verbose=0, shuffle=False)
    assert_same_weights(one, other)


def test_three_fits_see_images_that_were_changed_otherwise():
    seen = []
    flow = ImageDataGenerator(horizontal_flip=True, channel_shift_range=1.0).flow(
        np.random.default_rng(0).random((4, 4, 4, 1)), np.zeros((4, 1)), batch_size=4
    )
    changed = flow.changed
    flow.changed = lambda *arguments: seen.append(changed(*arguments)) or seen[-1]
    model = models.Sequential([layers.Flatten(input_shape=(4, 4, 1)), layers.Dense(1)])
    model.compile("sgd", "mse")
    for _ in range(3):
        model.fit_generator(flow, steps_per_epoch=1, epochs=1, verbose=0)
    assert len({images.tobytes() for images in seen}) == 3 and flow.passes == 3


def test_a_sequence_without_batches_is_refused():
    class Empty(Batches):
        def __len__(self):
            return 0

    with pytest.raises(ValueError, match="Empty has no batches"):
        linear().fit(Empty(), steps_per_epoch=2, verbose=0)
