"""What happens around the epochs of `fit`, with Keras's names."""

import csv
import inspect
import json
import math
import numbers
import os
from pathlib import Path

# Keras 2.2 says acc where Keras 2.3 and later say accuracy.
ALIASES = {"accuracy": "acc", "val_accuracy": "val_acc"}


class Logs(dict):
    """The figures of an epoch. `accuracy` can be read as `acc` too, and `val_accuracy` as `val_acc`."""

    def __missing__(self, name):
        if name in ALIASES and ALIASES[name] in self:
            return self[ALIASES[name]]
        raise KeyError(name)

    def get(self, name, default=None):
        return super().get(ALIASES.get(name, name), default)

    def __contains__(self, name):
        return super().__contains__(ALIASES.get(name, name))


class Callback:
    """The base: `fit` calls these methods; `self.model` is the model."""

    def set_model(self, model):
        self.model = model

    def on_train_begin(self, logs=None):
        """Before the first epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        """Before an epoch, counted from 0."""

    def on_train_batch_end(self, batch, logs=None):
        """After a batch; logs has the epoch's mean loss and acc so far. Having this method costs a wait for
        the device at every step."""

    def on_epoch_end(self, epoch, logs=None):
        """After an epoch and its validation."""

    def on_train_end(self, logs=None):
        """After the last epoch."""


class History(Callback):
    """What `fit` returns: `epoch`, a list of epochs, and `history`, a list of values for each figure.

    previous: an earlier History of which the first `initial_epoch` epochs are kept.
    """

    def __init__(self, previous=None, initial_epoch=0):
        self.epoch, self.history = [], Logs()
        self._rows = []
        if previous is not None:
            for epoch, logs in previous.rows():
                if epoch < initial_epoch:
                    self.append(epoch, logs)

    def append(self, epoch, logs):
        self.epoch.append(epoch)
        self._rows.append((epoch, Logs(logs)))
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)

    def rows(self):
        """[(epoch, Logs), ...]"""
        return list(self._rows)


class LearningRateScheduler(Callback):
    """Before every epoch the learning rate becomes schedule(epoch, lr), or schedule(epoch); epochs from 0."""

    def __init__(self, schedule, verbose=0):
        self.schedule, self.verbose = schedule, verbose
        try:
            inspect.signature(schedule).bind(0, 0.1)
            self.takes_rate = True
        except TypeError:
            self.takes_rate = False

    def on_epoch_begin(self, epoch, logs=None):
        rate = self.model.optimizer.learning_rate
        rate = self.schedule(epoch, rate) if self.takes_rate else self.schedule(epoch)
        if not isinstance(rate, numbers.Real) or not 0 <= rate < math.inf:
            raise ValueError(f"the schedule must return a number that is finite and not negative, not {rate!r}")
        self.model.optimizer.learning_rate = float(rate)
        if self.verbose:
            print(f"Epoch {epoch + 1:05d}: LearningRateScheduler setting learning rate to {float(rate)}.")


class Best:
    """The best value of a figure so far. mode 'auto': accuracies should grow, everything else should fall."""

    def __init__(self, monitor, mode, min_delta=0.0):
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode must be 'auto', 'min' or 'max', not {mode!r}")
        self.monitor, self.min_delta = monitor, abs(min_delta)
        self.sign = 1 if mode == "max" or (mode == "auto" and "acc" in monitor) else -1
        self.value = -self.sign * math.inf

    def improved(self, logs):
        """Whether this epoch is better than all before it; remembers it if so. Raises ValueError."""
        if self.monitor not in logs:
            raise ValueError(f"nothing called {self.monitor!r} is measured; there is: {', '.join(logs)}")
        value = logs[self.monitor]
        better = self.sign * (value - self.value) > self.min_delta  # NaN never is
        if better:
            self.value = value
        return better


class EarlyStopping(Callback):
    """Stop when `monitor` has not improved by more than min_delta for `patience` epochs.

    restore_best_weights: end with the weights of the best epoch (of those since a resumed training went on).
    """

    def __init__(self, monitor="val_loss", min_delta=0.0, patience=0, mode="auto", restore_best_weights=False):
        self.arguments = monitor, mode, min_delta
        self.patience, self.restore = patience, restore_best_weights

    def on_train_begin(self, logs=None):
        self.best, self.waited, self.weights = Best(*self.arguments), 0, None
        for _, row in self.model.history.rows():  # a resumed training waits as long as an uninterrupted one
            self.waited = 0 if self.best.improved(row) else self.waited + 1

    def on_epoch_end(self, epoch, logs=None):
        if self.best.improved(logs):
            self.waited = 0
            self.weights = self.model.get_weights() if self.restore else None
            return
        self.waited += 1
        if self.waited >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self.weights is not None:
            self.model.set_weights(self.weights)


class ModelCheckpoint(Callback):
    """Save the model after every epoch, or after those in which `monitor` improved.

    filepath may hold fields: 'run-{epoch:02d}-{val_acc:.4f}.safetensors' (epochs from 1).
    """

    def __init__(self, filepath, monitor="val_loss", verbose=0, save_best_only=False, mode="auto"):
        self.filepath, self.arguments = os.fspath(filepath), (monitor, mode)
        self.verbose, self.best_only = verbose, save_best_only

    def on_train_begin(self, logs=None):
        self.best = Best(*self.arguments)
        if self.best_only:
            for _, row in self.model.history.rows():
                self.best.improved(row)

    def on_epoch_end(self, epoch, logs=None):
        if self.best_only and not self.best.improved(logs):
            return
        path = self.filepath.format(epoch=epoch + 1, **logs)
        self.model.save(path)
        if self.verbose:
            print(f"Epoch {epoch + 1:05d}: saved to {path}")


class _EpochLog(Callback):
    """A file with a row an epoch. A resumed training keeps the rows of the epochs before it."""

    def __init__(self, filename):
        self.filename = Path(filename)

    def on_train_begin(self, logs=None):
        self.file = open(self.filename, "w", newline="")
        for epoch, row in self.model.history.rows():
            self.write(epoch, row)
        self.file.flush()

    def on_epoch_end(self, epoch, logs=None):
        try:
            self.write(epoch, logs)
            self.file.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.filename)) from error

    def on_train_end(self, logs=None):
        self.file.close()


class CSVLogger(_EpochLog):
    """epoch,loss,acc,... with a header, a line an epoch (epochs from 0, as in Keras)."""

    def write(self, epoch, logs):
        row = {"epoch": epoch, **logs}
        writer = csv.DictWriter(self.file, row)
        if self.file.tell() == 0:
            writer.writeheader()
        writer.writerow(row)


class JSONLogger(_EpochLog):
    """A JSON object a line: epoch (from 1), loss, acc, val_loss, val_acc, lr, seconds, and what `extra` adds."""

    def __init__(self, filename, **extra):
        super().__init__(filename)
        self.extra = extra

    def write(self, epoch, logs):
        self.file.write(json.dumps({"epoch": epoch + 1, **logs, **self.extra}) + "\n")
