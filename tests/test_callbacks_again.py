"""What callbacks keep from one `fit` to the next, and what begins anew, as in Keras 2.3."""

import pytest
from helpers import assert_same_bits
from small_trainings import fit, linear, toy

from tinycnn import callbacks


class Given(callbacks.Callback):
    """Writes figures that were given beforehand into the logs, one an epoch, from fit to fit."""

    def __init__(self, name, values):
        self.name, self.values = name, iter(values)

    def on_epoch_end(self, epoch, logs=None):
        logs[self.name] = next(self.values)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------- checkpoints


def test_a_second_fit_does_not_write_over_a_better_checkpoint(float64, tmp_path):
    model, given = linear(), Given("val_loss", [2.0, 5.0, 1.0])
    keep = callbacks.ModelCheckpoint(tmp_path / "{val_loss:.0f}.safetensors", save_best_only=True)
    for _ in range(3):
        fit(model, *toy(), epochs=1, validation_data=toy(), callbacks=[given, keep])
    assert names(tmp_path) == ["1.safetensors", "2.safetensors"] and keep.best == 1.0


def test_a_new_checkpoint_knows_of_no_epoch_before_it(float64, tmp_path):
    model, given = linear(), Given("val_loss", [2.0, 5.0])
    for last in (1, 2):
        keep = callbacks.ModelCheckpoint(tmp_path / "{val_loss:.0f}.safetensors", save_best_only=True)
        fit(model, *toy(), epochs=last, initial_epoch=last - 1, validation_data=toy(), callbacks=[given, keep])
    assert names(tmp_path) == ["2.safetensors", "5.safetensors"]


def test_a_period_counts_epochs_since_the_last_save(float64, tmp_path):
    keep = callbacks.ModelCheckpoint(tmp_path / "{epoch}.safetensors", period=2)
    fit(linear(), *toy(), epochs=5, initial_epoch=1, callbacks=[keep])
    assert names(tmp_path) == ["3.safetensors", "5.safetensors"] and keep.epochs_since_last_save == 0
    model = linear()
    for _ in range(2):
        fit(model, *toy(), epochs=1, callbacks=[keep])
    assert names(tmp_path) == ["1.safetensors", "3.safetensors", "5.safetensors"]


@pytest.mark.parametrize("period", [0, -1, 1.5])
def test_a_period_is_a_number_of_epochs(period):
    with pytest.raises(ValueError, match="period must be a whole number of at least 1"):
        callbacks.ModelCheckpoint("m.safetensors", period=period)


# ---------------------------------------------------------------- early stopping


def test_early_stopping_begins_anew_with_every_fit(float64):
    """Also where a training goes on, perhaps by another loss, whose values say nothing beside the earlier ones."""
    model, stop = linear(), callbacks.EarlyStopping("score", patience=2)
    given = Given("score", [1.0, 2.0, 3.0, 9.0, 8.0, 7.0, 7.0, 7.0])
    assert fit(model, *toy(), epochs=5, callbacks=[given, stop]).epoch == [0, 1, 2]
    assert fit(model, *toy(), epochs=9, initial_epoch=3, callbacks=[given, stop]).epoch == [3, 4, 5, 6, 7]
    assert stop.best == 7.0 and model.history.epoch == list(range(8))


@pytest.mark.filterwarnings("error")
def test_early_stopping_does_not_ask_for_figures_of_epochs_before_it(float64):
    model = linear()
    fit(model, *toy(), epochs=2)
    stop = callbacks.EarlyStopping("val_loss", patience=1, min_delta=-1.0)
    fit(model, *toy(), epochs=3, initial_epoch=2, validation_data=toy(), callbacks=[stop])
    assert stop.wait == 0


@pytest.mark.parametrize("patience", [2, 3])
def test_the_best_weights_are_taken_back_where_it_stops_and_only_there(float64, patience):
    after = []
    keep = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: after.append(keep.model.get_weights()))
    stop = callbacks.EarlyStopping("score", patience=patience, restore_best_weights=True)
    model = linear()
    fit(model, *toy(), epochs=3, callbacks=[keep, Given("score", [1.0, 2.0, 3.0]), stop])
    for got, want in zip(model.get_weights(), after[0 if patience == 2 else -1], strict=True):
        assert_same_bits(got, want)
