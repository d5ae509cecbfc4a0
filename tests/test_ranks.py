"""Ranks: what each has of a batch, what they add up, and that together they train as one process does."""

import sys
import threading
import types

import numpy as np
import pytest
import threads_as_ranks
from helpers import assert_same_bits
from small_trainings import again, fit, network, toy

import tinycnn
from tinycnn.callbacks import Callback
from tinycnn.command import ranks as launching
from tinycnn.devices import ranks, use_device
from tinycnn.layers import BatchNormalization, Conv2D, Dense, Flatten, MaxPooling2D
from tinycnn.models import Sequential

building = threading.Lock()  # the seed is the process's


class Losses(Callback):
    """The loss of every step, and the accuracy so far."""

    def __init__(self):
        self.steps = []

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append([logs["loss"], logs["accuracy"]])


def trained(device, made, x, y, **arguments):
    """(weights, figures step by step, history) of a training on this device."""
    with use_device(device):
        with building:
            again()
            model = made()
            model.compile(tinycnn.optimizers.SGD(0.1, momentum=0.9), metrics=["accuracy"])
        losses = Losses()
        history = fit(model, x, y, callbacks=[losses], **arguments).history
    return [w.numpy().copy() for w in model.weights], np.array(losses.steps), history


def trained_by(size, statistics, device, made, x, y, **arguments):
    """The same of each rank."""
    return threads_as_ranks.run(size, lambda mine: trained(ranks.of(device, mine, statistics), made, x, y, **arguments))


def everything():
    return network(input_shape=(8, 8, 1))


# ---------------------------------------------------------------- sums


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("length", [1, 4, 7])
def test_vectors_are_added_up_in_the_order_of_the_ranks(size, length):
    rng = np.random.default_rng(size)
    vectors = (rng.standard_normal((size, length)) * 10.0 ** rng.integers(-4, 5, (size, length))).astype(np.float32)
    want = vectors[0].copy()
    for vector in vectors[1:]:
        want = want + vector  # in float32, one after the other
    for got in threads_as_ranks.run(size, lambda mine: ranks.add_up(mine, vectors[mine.rank])):
        assert_same_bits(got, want)


def test_every_image_of_a_batch_belongs_to_one_rank():
    for batch in (1, 2, 7, 128):
        for size in (1, 2, 3, 5):
            parts = [ranks.Part.of(rank, size, batch) for rank in range(size)]
            images = [i for part in parts for i in range(part.first, part.first + part.images)]
            assert images == list(range(batch)) and sum(part.share for part in parts) == pytest.approx(1)
            assert max(part.images for part in parts) - min(part.images for part in parts) <= 1


# ---------------------------------------------------------------- trainings


# Batches of 8, 8, 8 and 1: of the last one some ranks have no image.
@pytest.mark.parametrize("size", [2, 3])
def test_ranks_with_statistics_of_the_whole_batch_train_as_one_process(size):
    device = tinycnn.get_device("reference", "float64")
    x, y = toy(25)
    validation = {"validation_data": (x[:7], y[:7])}
    weights, steps, history = trained(device, everything, x, y, **validation)
    for got in trained_by(size, "whole", device, everything, x, y, **validation):
        assert len(steps) == 8
        np.testing.assert_allclose(got[1], steps, rtol=1e-11)
        for a, b in zip(got[0], weights, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(got[2]["val_loss"], history["val_loss"], rtol=1e-10)
        assert got[2]["val_accuracy"] == history["val_accuracy"]


def test_so_they_do_on_the_cpu_to_the_rounding_of_float32():
    device = tinycnn.get_device("cpu")
    x, y = toy(25)
    weights, steps, _ = trained(device, everything, x, y, epochs=1)
    for got in trained_by(2, "whole", device, everything, x, y, epochs=1):
        np.testing.assert_allclose(got[1], steps, rtol=2e-6)
        for a, b in zip(got[0], weights, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["reference", "cpu", "emulator"])
@pytest.mark.parametrize(
    "loss, last, penalty",
    [
        ("categorical_crossentropy", "softmax", "l1_l2"),
        ("binary_crossentropy", "sigmoid", None),
        ("binary_crossentropy", "tanh", "l2"),
        ("mean_squared_error", "tanh", None),
    ],
)
def test_losses_and_penalties_are_those_of_one_process(name, loss, last, penalty):
    """Of 5 images one rank has 3, and of the last batch's one image one rank has none."""

    def penalised():
        head = Dense(3, activation=last, bias_regularizer=penalty)
        return Sequential([Conv2D(2, 3, input_shape=(8, 8, 1), kernel_regularizer=penalty), Flatten(), head])

    def weights_and_losses(device):
        with use_device(device):
            with building:
                again()
                model = penalised()
                model.compile(tinycnn.optimizers.SGD(0.1), loss)
            x, y = toy(6)
            history = model.fit(x, y, batch_size=5, epochs=2, validation_data=(x, y), verbose=0).history
        return [*model.get_weights(), history["loss"], history["val_loss"]]

    device = tinycnn.get_device(name, None if name == "cpu" else "float64")
    rtol = 1e-5 if name == "cpu" else 1e-11
    want = weights_and_losses(device)
    for got in threads_as_ranks.run(2, lambda mine: weights_and_losses(ranks.of(device, mine, "part"))):
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


def test_weights_of_images_count_as_in_one_process():
    device = tinycnn.get_device("reference", "float64")
    x, y = toy(10)
    factors = np.linspace(0, 2, 10)
    want = trained(device, everything, x, y, sample_weight=factors)[1]
    for got in trained_by(2, "whole", device, everything, x, y, sample_weight=factors):
        np.testing.assert_allclose(got[1], want, rtol=1e-11)


def normalised():
    """Without dropout, so that a part of a batch can be trained on by itself."""
    return Sequential(
        [
            Conv2D(4, (3, 3), activation="relu", input_shape=(8, 8, 1)),
            BatchNormalization(momentum=0.5),
            MaxPooling2D((2, 2)),
            Flatten(),
            Dense(3, activation="softmax"),
        ]
    )


def test_with_statistics_of_the_part_a_step_is_the_mean_of_the_steps_on_the_parts():
    device = tinycnn.get_device("reference", "float64")
    x, y = toy(9)
    step = {"batch_size": 9, "epochs": 1, "shuffle": False}
    of_parts = [trained(device, normalised, x[part], y[part], **step)[0] for part in (slice(0, 4), slice(4, 9))]
    for weights, _, _ in trained_by(2, "part", device, normalised, x, y, **step):
        for got, first, second in zip(weights, *of_parts, strict=True):
            np.testing.assert_allclose(got, (4 * first + 5 * second) / 9, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("statistics", ranks.STATISTICS)
@pytest.mark.parametrize("name", ["reference", "cpu"])
def test_as_many_ranks_have_the_same_bits_in_all_of_them_and_run_after_run(name, statistics):
    device = tinycnn.get_device(name)
    x, y = toy(25)
    first, second = (trained_by(3, statistics, device, everything, x, y) for _ in range(2))
    for got in (*first[1:], *second):
        for a, b in zip(got[0], first[0][0], strict=True):
            assert_same_bits(a, b)
        assert np.array_equal(got[1], first[0][1])


# ---------------------------------------------------------------- dropout


@pytest.mark.parametrize("name", ranks.ABLE)
def test_the_masks_of_the_parts_are_the_parts_of_the_mask(name):
    device = tinycnn.get_device(name)
    rng = np.random.default_rng(0)
    x, dy = rng.uniform(1, 2, (2, 7, 3, 5)).astype(np.float32)  # 15 numbers an image: parts begin inside a Philox block
    words = 0.4, 7, 3, device.asarray(np.array([5]), "int64")
    y, saved = device.dropout_forward(device.asarray(x), *words)
    dx = device.dropout_backward(device.asarray(dy), *words[:3], saved)
    for rank in range(3):
        mine = ranks.of(device, types.SimpleNamespace(rank=rank, size=3), "part")
        order = device.asarray(np.arange(7), "int64")
        part, part_dy = mine.gather_batch(device.asarray(x), device.asarray(dy.reshape(7, -1)), order, order[:1], 7)
        got, kept = mine.dropout_forward(part, *words)
        got_dx = mine.dropout_backward(part_dy.reshape(part.shape), *words[:3], kept)
        here = slice(mine.mine.first, mine.mine.first + mine.mine.images)
        assert_same_bits(device.numpy(got), device.numpy(y)[here])
        assert_same_bits(device.numpy(got_dx), device.numpy(dx)[here])


# ---------------------------------------------------------------- who is a rank


@pytest.mark.parametrize("name", ["cuda", "numba"])
def test_a_device_that_records_its_steps_is_refused_by_name(name):
    device = types.SimpleNamespace(name=name)
    with pytest.raises(ValueError, match=f"the {name} device .* reference, cpu, emulator"):
        ranks.of(device, types.SimpleNamespace(rank=0, size=2), "part")


def test_other_statistics_are_refused():
    with pytest.raises(ValueError, match="part or whole, not 'all'"):
        ranks.of(tinycnn.get_device("cpu"), types.SimpleNamespace(rank=0, size=2), "all")


@pytest.mark.parametrize(
    ("variables", "want"),
    [
        ({}, None),
        ({"PMI_RANK": "0", "PMI_SIZE": "1"}, None),
        ({"PMI_RANK": "1", "PMI_SIZE": "2"}, (1, 2)),
        ({"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4"}, (2, 4)),
    ],
)
def test_a_process_knows_by_its_launcher_that_it_is_a_rank(monkeypatch, variables, want):
    started_with(variables, monkeypatch)
    assert launching.launched() == want


def started_with(variables, monkeypatch):
    """Of what launchers set, these variables are set."""
    for names in launching.LAUNCHERS:
        for name in names:
            monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("variables", "fault"),
    [
        ({"PMI_SIZE": "abc"}, "sets PMI_SIZE to a number, and it is 'abc'"),
        ({"PMI_SIZE": "2"}, "sets PMI_RANK to a number, and it is not set"),
        ({"PMI_SIZE": "2", "PMI_RANK": "first"}, "sets PMI_RANK to a number, and it is 'first'"),
    ],
)
def test_a_launcher_s_variables_that_are_no_numbers_are_named(monkeypatch, variables, fault):
    started_with(variables, monkeypatch)
    with pytest.raises(ValueError, match=fault):
        launching.launched()


def test_a_rank_says_why_it_takes_no_step_as_one_kernel():
    device = tinycnn.get_device("emulator")
    mine = ranks.of(device, types.SimpleNamespace(rank=0, size=2), "part")
    assert "one of several ranks" in mine.whole_step(None, None, 8)
    assert (mine.path, mine.path_is_forced) == (device.path, device.path_is_forced)
    with device.taking("one-kernel"):
        forced = ranks.of(device, types.SimpleNamespace(rank=0, size=2), "part")
    assert forced.path == "one-kernel" and forced.path_is_forced


# ---------------------------------------------------------------- what ranks have to agree on


def two_ranks(rank, other):
    """The communicator of one of two ranks; other: of what this one tells, what the other one does."""

    def allgather(mine):
        return [mine, other(mine)] if rank == 0 else [other(mine), mine]

    return types.SimpleNamespace(rank=rank, size=2, allgather=allgather)


def test_ranks_whose_weights_come_apart_stop():
    with use_device("reference"):
        model = normalised()
    for other, stops in ((lambda mine: mine, False), (lambda mine: mine[::-1], True)):
        alike = launching.Alike(launching.Team(two_ranks(0, other), "part"))
        alike.set_model(model)
        if stops:
            with pytest.raises(RuntimeError, match="after epoch 3 the ranks have different weights"):
                alike.on_epoch_end(2)
        else:
            alike.on_epoch_end(2)


def test_a_digest_tells_weights_and_data_that_differ_in_one_number():
    array = np.arange(4, dtype=np.float32)
    digests = {launching.digest(array, array), launching.digest(array, array + 1), launching.digest(array + 1, array)}
    assert len(digests) == 3 and launching.digest(array.copy(), array) in digests


@pytest.mark.parametrize(
    ("rank", "error", "match"),
    [(0, ValueError, "the ranks differ in their version and data; start them alike"), (1, SystemExit, "^2$")],
)
def test_ranks_that_have_prepared_different_things_do_not_begin(rank, error, match):
    """The first of them says it, and the other ends without a word."""
    team = launching.Team(two_ranks(rank, lambda mine: {**mine, "version": "0", "data": "others"}), "part")
    with pytest.raises(error, match=match), team.agreed() as facts:
        facts |= {"data": "these", "settings": "the same"}
    assert team.refused


@pytest.mark.parametrize(("held", "said"), [(0, "no epoch was finished"), (3, "a holds epoch 3, and --resume goes on")])
def test_what_is_said_of_a_killed_rank_knows_what_was_saved_before(monkeypatch, held, said):
    told, team = [], launching.Team(two_ranks(0, lambda mine: mine), "part")
    monkeypatch.setattr(team, "say", told.append)
    words = launching.LastWords(team, "a", held)
    words.on_train_begin()
    words.on_epoch_end(3)
    assert said in told[0] and "a holds epoch 4, and --resume goes on" in told[1]


@pytest.mark.parametrize("other", ["can", "cannot"])
def test_where_a_rank_cannot_begin_none_does(other):
    team = launching.Team(two_ranks(1, lambda mine: mine if other == "can" else None), "part")
    if other == "can":
        with team.agreed() as facts:
            facts["data"] = "these"
    else:
        with pytest.raises(SystemExit, match="^2$"), team.agreed():
            pass
    assert team.refused == (other == "cannot")


@pytest.mark.parametrize(("here", "threads"), [([{0, 1, 2, 3}] * 2, 2), ([{0, 1}, {2, 3}], 2), ([{0}] * 3, 1)])
def test_ranks_share_the_cores_that_they_may_run_on(monkeypatch, here, threads):
    """here: the cores of the ranks on this machine, the first of which is this one."""
    taken = []
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    monkeypatch.setitem(sys.modules, "mpi4py", types.SimpleNamespace(MPI=types.SimpleNamespace(COMM_TYPE_SHARED=1)))
    monkeypatch.setattr(launching, "affinity", lambda: here[0])
    monkeypatch.setattr("tinycnn.devices.cpu.threads.set_team_size", taken.append)
    beside = types.SimpleNamespace(allgather=lambda mine: here)
    communicator = types.SimpleNamespace(rank=0, size=9, Split_type=lambda kind: beside)
    with use_device("cpu"):
        launching.Team(communicator, "part").share_the_cores()
    assert taken == [threads]
