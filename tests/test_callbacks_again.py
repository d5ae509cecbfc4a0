"""What callbacks keep from one `fit` to the next, and what begins anew, as in Keras 2.3."""

import pytest
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
