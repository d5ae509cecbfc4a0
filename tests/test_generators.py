"""Batches from generators and Sequences: the same training as with arrays, fetched ahead, and what is refused."""

import threading

import numpy as np
import pytest
from helpers import assert_same_bits, assert_same_weights, images
from small_trainings import again, compiled, fit, linear, network, toy

import tinycnn
from tinycnn import callbacks
from tinycnn.shapes import ShapeError
from tinycnn.utils import Sequence

X, Y = toy(30)


@pytest.fixture(autouse=True)
def start(request):
    again()
    if "device" not in request.fixturenames:
        with tinycnn.use_device("reference"):
            yield
    else:
        yield


class Batches(Sequence):
    """X and Y by batches of 8, the last of 6; notes which were asked for, and every end of a pass."""

    def __init__(self, *more):
        self.more, self.asked = more, []

    def __len__(self):
        return 4

    def __getitem__(self, index):
        self.asked.append(index)
        part = slice(8 * index, 8 * index + 8)
        return (X[part], Y[part], *(array[part] for array in self.more))

    def on_epoch_end(self):
        self.asked.append("end")


def endless(batches=None):
    while True:
        yield from batches or Batches()


# ---------------------------------------------------------------- the same training


def test_a_generator_trains_as_its_arrays_do(device):
    """Batches of two sizes, so that two steps are recorded, with weights that a batch brings."""
    weights = np.linspace(0.5, 2, 30)
    one = compiled("adam")
    one.fit(X, Y, batch_size=8, epochs=2, verbose=0, shuffle=False, sample_weight=weights, validation_data=(X, Y))
    again()
    other = compiled("adam")
    other.fit_generator(
        endless(Batches(weights)), steps_per_epoch=4, epochs=2, verbose=0, validation_data=Batches(), validation_steps=4
    )
    assert_same_weights(one, other)
    assert other.history.history["accuracy"] == one.history.history["accuracy"]
    for name in ("loss", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(other.history.history[name], one.history.history[name], rtol=1e-5)


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_fit_evaluate_and_predict_take_sequences_too(workers):
    one, other = linear(), linear()
    other.set_weights(one.get_weights())
    arguments = {"verbose": 0, "shuffle": False, "epochs": 2, "class_weight": {0: 3.0, 1: 1.0, 2: 1.0}}
    fit(one, X, Y, **arguments)
    other.fit(Batches(), workers=workers, **arguments)
    assert_same_weights(one, other)
    np.testing.assert_allclose(other.evaluate(Batches(), verbose=0), one.evaluate(X, Y, verbose=0), rtol=1e-6)
    assert other.evaluate_generator(endless(), steps=4, workers=workers) == other.evaluate(Batches(), verbose=0)
    assert_same_bits(other.predict_generator(endless(), steps=4), other.predict(Batches()))
    assert_same_bits(other.predict(iter([X[:8], X[8:16]]), steps=2), other.predict(X[:16], batch_size=8))


def test_a_network_takes_its_shape_from_the_first_batch():
    model = network()
    model.compile("sgd", metrics=["acc"])
    history = model.fit(Batches(), epochs=1, verbose=0)
    assert model.input.shape == (None, 8, 8, 1) and list(history.history) == ["loss", "acc"]


# ---------------------------------------------------------------- steps, passes, order


def test_steps_count_batches_and_a_sequence_goes_on_where_it_was():
    batches = Batches()
    linear().fit(batches, steps_per_epoch=2.5, epochs=2, verbose=0, shuffle=False, workers=0)
    assert batches.asked == [0, 1, 2, 3, "end", 0, 1]  # three batches an epoch


def test_no_more_is_fetched_than_is_computed():
    source = endless()
    linear().fit_generator(source, steps_per_epoch=3, epochs=2, verbose=0)
    assert_same_bits(next(source)[0], X[16:24])  # 6 of the batches were taken: 0 1 2 3 0 1


def test_the_batches_of_a_sequence_come_in_another_order_each_pass_by_the_seed():
    orders = []
    for seed in (1, 1, 2):
        again(seed)
        batches = Batches()
        linear().fit(batches, epochs=6, verbose=0)
        passes = [batches.asked[5 * i : 5 * i + 4] for i in range(6)]
        assert all(sorted(order) == [0, 1, 2, 3] for order in passes)
        orders.append(passes)
    assert orders[0] == orders[1] != orders[2]
    assert len({tuple(order) for order in orders[0]}) > 1


class Watch(callbacks.Callback):
    def __init__(self):
        self.heard = []

    def on_train_begin(self, logs=None):
        self.heard.append(self.params)

    def on_batch_end(self, batch, logs=None):
        self.heard.append(batch)


def test_callbacks_hear_of_every_batch():
    watch = Watch()
    linear().fit_generator(endless(), steps_per_epoch=3, epochs=1, verbose=0, callbacks=[watch])
    params, *batches = watch.heard
    assert batches == [0, 1, 2] and params["steps"] == 3 and "samples" not in params


def test_the_bar_counts_batches(monkeypatch, capsys):
    import tqdm

    made = []
    monkeypatch.setattr(tqdm, "tqdm", lambda **options: made.append(options) or tqdm.std.tqdm(**options))
    linear().fit_generator(endless(), steps_per_epoch=3, epochs=1)
    assert [(options["total"], options["unit"]) for options in made] == [(3, " batches")]
    assert "Epoch 1/1  loss" in capsys.readouterr().out


# ---------------------------------------------------------------- the thread


def test_batches_are_made_while_others_are_computed():
    """The generator waits for a batch that is computed only if it was fetched ahead, by another thread."""
    computed = threading.Event()
    threads = set()

    def source():
        for number, batch in enumerate(endless()):
            threads.add(threading.current_thread())
            yield batch
            if number == 2:  # asked for the fourth while the first is not yet through: else this waits for ever
                assert computed.wait(60)

    class Tell(callbacks.Callback):
        def on_batch_end(self, batch, logs=None):
            computed.set()

    linear().fit_generator(source(), steps_per_epoch=6, epochs=1, verbose=0, callbacks=[Tell()], max_queue_size=2)
    assert threading.current_thread() not in threads and len(threads) == 1


def test_the_thread_ends_when_training_stops_early():
    class Stop(callbacks.Callback):
        def on_batch_end(self, batch, logs=None):
            self.model.stop_training = True

    before = threading.active_count()
    linear().fit_generator(endless(), steps_per_epoch=100, epochs=3, verbose=0, callbacks=[Stop()], max_queue_size=1)
    assert threading.active_count() == before


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_what_a_generator_raises_is_raised(workers, error):
    def source():
        yield X[:8], Y[:8]
        raise error("in the generator")

    before = threading.active_count()
    with pytest.raises(error, match="in the generator"):
        linear().fit_generator(source(), steps_per_epoch=3, verbose=0, workers=workers)
    assert threading.active_count() == before


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("workers", [0, 1])
def test_a_generator_that_ends_too_early_is_refused(workers):
    with pytest.raises(ValueError, match="ended after 2 of 3 batches.*while True"):
        linear().fit_generator(iter([(X, Y), (X, Y)]), steps_per_epoch=3, verbose=0, workers=workers)
    with pytest.raises(ValueError, match="gave no batch"):
        other = network()
        other.compile()
        other.fit(iter([]), steps_per_epoch=1, verbose=0)


BAD = {
    "no length": (lambda m: m.fit_generator(endless()), ValueError, "steps_per_epoch="),
    "no length of the validation": (
        lambda m: m.fit_generator(Batches(), validation_data=endless()), ValueError, "validation_steps=",
    ),
    "no steps": (lambda m: m.fit_generator(endless(), steps_per_epoch=0), ValueError, "not 0"),
    "an array": (lambda m: m.fit_generator(X, steps_per_epoch=1), TypeError, "not from a ndarray"),
    "y beside it": (lambda m: m.fit(Batches(), Y), ValueError, "y is not given beside a generator"),
    "batch_size beside it": (lambda m: m.fit(Batches(), batch_size=8), ValueError, "batch_size is not given"),
    "a split": (lambda m: m.fit(Batches(), validation_split=0.1), ValueError, "validation_split is not given"),
    "images alone": (lambda m: m.fit_generator(iter([X]), steps_per_epoch=1), ValueError, "came as a ndarray"),
    "four parts": (lambda m: m.fit_generator(iter([(X, Y, Y, Y)]), 1), ValueError, "came as 4 parts"),
    "other images": (lambda m: m.fit_generator(iter([(X[:, :7], Y)]), 1), ShapeError, r"x of a batch has .*\(30, 7"),
    "other labels": (lambda m: m.fit_generator(iter([(X, Y[:9])]), 1), ShapeError, "9 labels for 30 images"),
    "weights now and then": (
        lambda m: m.fit_generator(iter([(X, Y, Y[:, 0]), (X, Y)]), 2), ValueError, "with some batches, and with others",
    ),
    "a queue": (lambda m: m.fit_generator(Batches(), max_queue_size=-1), ValueError, "max_queue_size"),
    "steps of arrays": (lambda m: m.evaluate(X, Y, steps=3), ValueError, "steps counts the batches of a generator"),
    "no __len__": (lambda m: m.fit(Sequence()), NotImplementedError, "no __len__"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_refused(case):
    call, error, message = BAD[case]
    with pytest.raises(error, match=message):
        call(linear())


def test_a_model_that_was_not_compiled_is_refused():
    with pytest.raises(RuntimeError, match="compile"):
        network(input_shape=(8, 8, 1)).fit(Batches())


def test_a_generator_s_arrays_stay_as_they_are():
    """A step reads from memory of its own, into which later batches are copied."""
    x, y = X[:8].copy(), Y[:8].copy()
    linear().fit_generator(iter([(x, y), (X[8:16], Y[8:16])]), steps_per_epoch=2, verbose=0)
    assert_same_bits(x, X[:8])


def test_a_batch_may_be_of_any_size():
    x, y = images(np.random.default_rng(3), 12)
    sizes = iter([(x[:5], y[:5]), (x[5:6], y[5:6]), (x[6:11], y[6:11]), (x[11:], y[11:])])
    one, other = linear(), linear()
    other.set_weights(one.get_weights())
    one.fit_generator(sizes, steps_per_epoch=4, verbose=0)
    for part in (slice(0, 5), slice(5, 6), slice(6, 11), slice(11, 12)):
        fit(other, x[part], y[part], epochs=1, shuffle=False)
    assert_same_weights(one, other)
