"""What callbacks hear of a batch: its number and its images, its own loss, and metrics over the epoch so far."""

import numpy as np
import pytest
from helpers import assert_same_bits
from small_trainings import fit, linear, toy

from tinycnn import backend as K
from tinycnn import callbacks, optimizers

X, Y = toy(20)
PARTS = [slice(0, 8), slice(8, 16), slice(16, 20)]


def still():
    """A network that training does not move, so that evaluate() gives the figures of each batch afterwards."""
    return linear(optimizers.SGD(1e-30))


class Batches(callbacks.Callback):
    """Keeps what it is told of batches, by the name of the method."""

    def __init__(self, kind):
        self.begun, self.ended = [], []
        setattr(self, f"on_{kind}_begin", lambda batch, logs: self.begun.append((batch, dict(logs))))
        setattr(self, f"on_{kind}_end", lambda batch, logs: self.ended.append((batch, dict(logs))))


@pytest.mark.parametrize("kind", ["batch", "train_batch", "test_batch"])
def test_the_loss_is_the_batch_s_and_the_accuracy_that_of_the_epoch_so_far(device, kind):
    model, watch = still(), Batches(kind)
    if kind == "test_batch":
        model.evaluate(X, Y, batch_size=8, verbose=0, callbacks=[watch])
    else:
        history = fit(model, X, Y, epochs=1, shuffle=False, callbacks=[watch]).history
        assert history["loss"][0] == pytest.approx(model.evaluate(X, Y, verbose=0)[0], rel=1e-5)
    assert watch.begun == [(i, {"batch": i, "size": size}) for i, size in enumerate((8, 8, 4))]
    for (batch, logs), part in zip(watch.ended, PARTS, strict=True):
        loss, _ = model.evaluate(X[part], Y[part], verbose=0)
        _, so_far = model.evaluate(X[: part.stop], Y[: part.stop], verbose=0)
        assert (batch, logs["batch"], logs["size"]) == (batch, batch, part.stop - part.start)
        assert logs["loss"] == pytest.approx(loss, rel=1e-5) and logs["accuracy"] == pytest.approx(so_far)


def test_each_epoch_and_each_validation_begins_anew(float64):
    model, train, test = still(), Batches("batch"), Batches("test_batch")
    fit(model, X, Y, epochs=2, shuffle=False, validation_data=(X, Y), callbacks=[train, test])
    assert len(train.ended) == len(test.ended) == 6
    for (_, one), (_, other) in zip(train.ended * 2, train.ended[3:] * 2 + test.ended, strict=True):
        assert one["loss"] == pytest.approx(other["loss"]) and one["accuracy"] == other["accuracy"]


def test_a_metric_of_one_s_own_is_told_as_the_accuracy_is(float64):
    def largest(y_true, y_pred):
        return K.max(y_pred, axis=-1)

    model, watch = still(), Batches("batch")
    model.compile(optimizers.SGD(1e-30), metrics=[largest])
    fit(model, X, Y, epochs=1, shuffle=False, callbacks=[watch])
    want = model.predict(X).max(axis=-1)
    for (_, logs), part in zip(watch.ended, PARTS, strict=True):
        assert logs["largest"] == pytest.approx(want[: part.stop].mean())


def test_what_the_beginning_of_a_batch_writes_its_end_finds(float64):
    class Mark(callbacks.Callback):
        def on_batch_begin(self, batch, logs=None):
            logs["mark"] = batch

        def on_batch_end(self, batch, logs=None):
            assert logs["mark"] == batch and logs["loss"] > 0

    fit(linear(), X, Y, callbacks=[Mark()])


def test_prediction_tells_its_outputs(float64):
    model, watch = linear(), Batches("predict_batch")
    outputs = model.predict(X, batch_size=8, callbacks=[watch])
    assert watch.begun == [(i, {"batch": i, "size": size}) for i, size in enumerate((8, 8, 4))]
    assert_same_bits(np.concatenate([logs["outputs"][0] for _, logs in watch.ended]), outputs)
