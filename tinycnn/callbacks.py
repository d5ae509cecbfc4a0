"""What happens around the epochs of `fit`, with Keras's names."""

from __future__ import annotations

import csv
import inspect
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinycnn import refusals
from tinycnn.careful import checked, whole_number
from tinycnn.fit.files import check_network_file, check_writable, json_text, names_a_field

if TYPE_CHECKING:
    from tinycnn.models import Model

# Keras 2.2 says acc where Keras 2.3 and later say accuracy: a figure is kept under one name and found under both.
ALIASES = {"accuracy": "acc", "acc": "accuracy", "val_accuracy": "val_acc", "val_acc": "val_accuracy"}


class Logs(dict):
    """The figures of an epoch, by name. `accuracy` can be read as `acc` too, `val_accuracy` as `val_acc`, and back."""

    def __missing__(self, name: str) -> Any:
        if name in ALIASES and super().__contains__(ALIASES[name]):
            return self[ALIASES[name]]
        raise KeyError(name)

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or super().__contains__(ALIASES.get(str(name)))


class Callback:
    """The base. `fit`, `evaluate` and `predict` call these methods.

    `self.model` is the model, `self.params` says how it runs.

    The logs of a batch's methods are {'batch': its number, 'size': its images}, and at its end the loss of this batch
    and the other figures as the epoch's means so far; of `predict`, 'outputs', a list. Having such a method costs a
    wait for the device at every batch.
    """

    model: Model
    params: dict[str, Any]
    validation_data: list[Any] | None = None  # of `fit`, where it is arrays: [x, y, weights], an x for each input

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "__init__" in vars(cls):
            cls.__init__ = refusals.by_name(cls.__init__)  # type: ignore[method-assign]

    def set_model(self, model: Model) -> None:
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """params: verbose, epochs, steps, batch_size, samples, do_validation, metrics (the names in the logs)."""
        self.params = params

    def on_train_begin(self, logs: Any = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Any = None) -> None:
        """After the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Before an epoch, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """After an epoch and its validation; logs has its figures."""

    def on_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Keras's older name of on_train_batch_begin."""

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        """Keras's older name of on_train_batch_end."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Before a batch of training, counted from 0 in each epoch."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """After a batch of training; logs has its loss, and the epoch's accuracy so far."""
        self.on_batch_end(batch, logs)

    def on_test_begin(self, logs: Any = None) -> None:
        """Before a validation, in `fit` or in `evaluate`."""

    def on_test_end(self, logs: Any = None) -> None:
        """After it; logs has its loss and accuracy."""

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Before a batch of validation."""

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """After it; logs has its loss, and the accuracy so far."""

    def on_predict_begin(self, logs: Any = None) -> None:
        """Before `predict`."""

    def on_predict_end(self, logs: Any = None) -> None:
        """After it."""

    def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Before a batch of `predict`."""

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        """After it; logs has its outputs."""


class History(Callback):
    """What `fit` returns: `epoch`, a list of epochs, and `history`, a list of values for each figure.

    previous: an earlier History of which the first `initial_epoch` epochs are kept.
    """

    def __init__(self, previous: History | None = None, initial_epoch: int = 0):
        self.epoch: list[int] = []
        self.history = Logs()
        self._rows: list[tuple[Logs, dict[str, float]]] = []
        if previous is not None:
            for epoch, (logs, beside) in zip(previous.epoch, previous._rows, strict=True):
                if epoch < initial_epoch:
                    self.append(epoch, logs, beside)

    def append(self, epoch: int, logs: Logs, beside: dict[str, float] | None = None) -> None:
        """Another epoch: its figures, and `lr` and `seconds`, which `history` shows only where a callback put them."""
        self.epoch.append(epoch)
        self._rows.append((logs, beside or {}))
        self.settle()

    def settle(self) -> None:
        """Take over what callbacks have added to the figures of the last epoch."""
        shown = dict.fromkeys(name for logs, _ in self._rows for name in logs)
        rows = [row for _, row in self.rows()]
        self.history = Logs({name: [row[name] for row in rows if name in row] for name in shown})

    def rows(self) -> list[tuple[int, Logs]]:
        """[(epoch, its figures and lr and seconds), ...]; of one that a callback put too, the callback's value."""
        rows = zip(self.epoch, self._rows, strict=True)
        return [(epoch, Logs({**logs, **beside, **logs})) for epoch, (logs, beside) in rows]

    def figures(self) -> list[tuple[int, Logs]]:
        """[(epoch, its figures), ...], as callbacks are given them."""
        return [(epoch, logs) for epoch, (logs, _) in zip(self.epoch, self._rows, strict=True)]


class LearningRateScheduler(Callback):
    """Before every epoch the learning rate becomes schedule(epoch, lr), or schedule(epoch); epochs from 0."""

    def __init__(self, schedule: Callable, verbose: int = 0):
        self.schedule, self.verbose = schedule, verbose
        try:
            inspect.signature(schedule).bind(0, 0.1)
            self.takes_rate = True
        except TypeError:
            self.takes_rate = False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        optimizer = self.model.optimizer
        assert optimizer is not None  # `fit` has refused a model without one
        rate = self.schedule(epoch, optimizer.learning_rate) if self.takes_rate else self.schedule(epoch)
        optimizer.learning_rate = checked(rate, "what the schedule returns", "[0, inf)")
        if self.verbose:
            print(f"Epoch {epoch + 1:05d}: LearningRateScheduler setting learning rate to {float(rate)}.")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        assert self.model.optimizer is not None
        logs["lr"] = float(self.model.optimizer.learning_rate)


# ---------------------------------------------------------------- watching a figure


class Watching(Callback):
    """A callback that waits for `monitor` to improve.

    mode 'auto': accuracies should grow, everything else should fall. min_delta: what counts as an improvement. The name
    is checked before training; a callback of the user's may add figures of its own, and where one is not there after an
    epoch it is said in Keras's words.
    """

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0, start: float | None = None):
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode must be 'auto', 'min' or 'max', not {mode!r}")
        self.monitor, self.min_delta, self.start = monitor, abs(min_delta), start
        self.sign = 1 if mode == "max" or (mode == "auto" and "acc" in monitor) else -1
        self.forget()

    def forget(self) -> None:
        """Begin anew: the next value is the best."""
        self.best = -self.sign * math.inf if self.start is None else self.start

    def check_monitor(self) -> None:
        """Raises ValueError where nothing of that name will be measured."""
        if self.params["figures"] is None:  # one of the user's callbacks may add it
            return
        known = Logs.fromkeys(self.params["figures"])
        if self.monitor not in known:
            raise ValueError(f"nothing called {self.monitor!r} is measured; there is: {', '.join(known)}")

    def improved(self, logs: Logs) -> bool | None:
        """Whether this epoch is better than all before it; remembers it if so. None where the figure is missing."""
        if self.monitor not in logs:
            warnings.warn(
                f"{type(self).__name__} conditioned on metric `{self.monitor}` which is not available. "
                f"Available metrics are: {','.join(logs)}",
                stacklevel=2,
            )
            return None
        value = logs[self.monitor]
        better = self.sign * (value - self.best) > self.min_delta  # NaN never is
        if better:
            self.best = value
        return better


class EarlyStopping(Watching):
    """Stop when `monitor` has not improved by more than min_delta for `patience` epochs.

    baseline: a value that has to be reached. restore_best_weights: where it stops, go back to the weights of the best
    epoch, as in Keras 2. verbose: say so. Every `fit` begins anew, a resumed one too.
    """

    def __init__(
        self, monitor: str = "val_loss", min_delta: float = 0.0, patience: int = 0, verbose: int = 0,
        mode: str = "auto", baseline: float | None = None, restore_best_weights: bool = False,
    ):  # fmt: skip
        super().__init__(monitor, mode, min_delta, baseline)
        self.patience, self.verbose, self.restore_best_weights = patience, verbose, restore_best_weights
        self.wait, self.stopped_epoch = 0, 0  # epochs since the best; the epoch after which it stopped, from 0
        self.best_weights: list | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        self.check_monitor()
        self.forget()
        self.wait, self.stopped_epoch, self.best_weights = 0, 0, None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        improved = self.improved(logs)
        if improved is None:
            return
        if improved:
            self.wait = 0
            self.best_weights = self.model.get_weights() if self.restore_best_weights else None
            return
        self.wait += 1
        if self.wait >= self.patience:
            self.model.stop_training, self.stopped_epoch = True, epoch
            if self.best_weights is not None:
                self.model.set_weights(self.best_weights)
            if self.verbose:
                print(f"Epoch {epoch + 1:05d}: early stopping")


class ReduceLROnPlateau(Watching):
    """Multiply the learning rate by `factor` when `monitor` has not improved for `patience` epochs (keras/callbacks).

    cooldown: epochs to wait after that; min_lr: the rate never falls below.
    """

    def __init__(
        self, monitor: str = "val_loss", factor: float = 0.1, patience: int = 10, verbose: int = 0, mode: str = "auto",
        min_delta: float = 1e-4, cooldown: int = 0, min_lr: float = 0.0, *, epsilon: float | None = None,
    ):  # fmt: skip
        """epsilon: the older name of min_delta."""
        super().__init__(monitor, mode, min_delta if epsilon is None else epsilon)
        self.factor, self.patience, self.verbose = checked(factor, "factor", "[0, 1)"), patience, verbose
        self.cooldown, self.min_lr = cooldown, min_lr

    def on_train_begin(self, logs: Any = None) -> None:
        self.check_monitor()
        self.forget()
        self.wait = self.cooldown_counter = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        assert self.model.optimizer is not None
        logs["lr"] = float(self.model.optimizer.learning_rate)
        improved = self.improved(logs)
        if improved is None:
            return
        if self.cooldown_counter:
            self.cooldown_counter, self.wait = self.cooldown_counter - 1, 0
        if improved:
            self.wait = 0
        elif not self.cooldown_counter:
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def _reduce(self, epoch: int) -> None:
        optimizer = self.model.optimizer
        assert optimizer is not None
        if optimizer.learning_rate <= self.min_lr:
            return
        optimizer.learning_rate = max(optimizer.learning_rate * self.factor, self.min_lr)
        self.cooldown_counter, self.wait = self.cooldown, 0
        if self.verbose:
            print(f"Epoch {epoch + 1:05d}: ReduceLROnPlateau reducing learning rate to {optimizer.learning_rate}.")


class TerminateOnNaN(Callback):
    """Stop when the loss of a batch is no number any more."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if not math.isfinite(logs["loss"]):
            print(f"Batch {batch}: Invalid loss, terminating training")
            self.model.stop_training = True


class LambdaCallback(Callback):
    """Functions as a callback: on_epoch_...(epoch, logs), on_batch_...(batch, logs), on_train_...(logs)."""

    def __init__(
        self, on_epoch_begin: Callable | None = None, on_epoch_end: Callable | None = None,
        on_batch_begin: Callable | None = None, on_batch_end: Callable | None = None,
        on_train_begin: Callable | None = None, on_train_end: Callable | None = None,
    ):  # fmt: skip
        functions = {
            "on_epoch_begin": on_epoch_begin, "on_epoch_end": on_epoch_end, "on_batch_begin": on_batch_begin,
            "on_batch_end": on_batch_end, "on_train_begin": on_train_begin, "on_train_end": on_train_end,
        }  # fmt: skip
        for name, function in functions.items():
            if function is not None:
                setattr(self, name, function)


# ---------------------------------------------------------------- files


class ModelCheckpoint(Watching):
    """Save the model after every epoch, or after those in which `monitor` improved.

    filepath may hold fields: 'run-{epoch:02d}-{val_acc:.4f}.safetensors' (epochs from 1). Its folder is made where it
    is missing. save_weights_only: without the optimiser and the history. period: save every so many epochs. As in Keras
    the best value and the epochs since the last save are kept from one `fit` to the next: a new one knows of none.
    """

    def __init__(
        self, filepath: str | os.PathLike, monitor: str = "val_loss", verbose: int = 0, save_best_only: bool = False,
        save_weights_only: bool = False, mode: str = "auto", period: int = 1,
    ):  # fmt: skip
        super().__init__(monitor, mode)
        self.filepath = os.fspath(filepath)
        self.verbose, self.period, self.epochs_since_last_save = verbose, whole_number(period, "period", 1), 0
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only

    def on_train_begin(self, logs: Any = None) -> None:
        if not names_a_field(self.filepath):
            check_network_file(self.filepath, make_folder=True, weights_only=self.save_weights_only)
        elif self.params["figures"] is not None:
            self.path_of(0, Logs(dict.fromkeys(self.params["figures"], 0.0)))  # refuses a field that is not measured
        if self.save_best_only:
            self.check_monitor()

    def path_of(self, epoch: int, logs: Logs) -> str:
        try:
            return self.filepath.format_map(Logs({**logs, "epoch": epoch + 1}))
        except KeyError as error:
            known = ", ".join(["epoch", *logs])
            raise ValueError(f"{self.filepath}: no figure is called {error}; there is: {known}") from None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs_since_last_save += 1
        if self.epochs_since_last_save < self.period:
            return
        self.epochs_since_last_save = 0
        if self.save_best_only and not self.improved(logs):
            return
        path = self.path_of(epoch, logs)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)
        if self.verbose:
            print(f"Epoch {epoch + 1:05d}: saved to {path}")


class _EpochLog(Callback):
    """A file with a row an epoch. A resumed training keeps the rows of the epochs before it."""

    append = False

    def __init__(self, filename: str | os.PathLike):
        self.filename = Path(filename)

    def write(self, epoch: int, logs: dict[str, Any]) -> None:
        raise NotImplementedError

    def rows(self, history: History) -> list[tuple[int, Logs]]:
        """What is written of the epochs of a history."""
        return history.figures()

    def on_train_begin(self, logs: Any = None) -> None:
        check_writable(self.filename)
        with self.opened("a" if self.append else "w"):
            if not self.append:
                for epoch, row in self.rows(self.model.history) if self.model.history else []:
                    self.write(epoch, row)

    @contextmanager
    def opened(self, mode: str) -> Iterator[None]:
        """Inside, `file` is the open file: for a few rows only, for a training may end by an error."""
        with open(self.filename, mode, newline="", encoding="utf-8") as self.file:
            yield

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        assert self.model.history is not None
        try:
            with self.opened("a"):
                self.write(*self.rows(self.model.history)[-1])
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.filename)) from error


class CSVLogger(_EpochLog):
    """epoch,acc,loss,... with a header, a line an epoch (epochs from 0, as in Keras). append: keep what is there.

    The columns are the figures of the first line, sorted; a figure that a later epoch lacks is NA there.
    """

    def __init__(self, filename: str | os.PathLike, separator: str = ",", append: bool = False):
        super().__init__(filename)
        self.separator, self.append = separator, append

    def on_train_begin(self, logs: Any = None) -> None:
        self.columns: list[str] = []
        super().on_train_begin(logs)

    def write(self, epoch: int, logs: dict[str, Any]) -> None:
        row = Logs({"epoch": epoch, **logs})
        self.columns = self.columns or ["epoch", *sorted(logs)]
        writer = csv.DictWriter(self.file, self.columns, "NA", "ignore", delimiter=self.separator)
        if self.file.tell() == 0:
            writer.writeheader()
        writer.writerow(row)


class JSONLogger(_EpochLog):
    """A JSON object a line (RFC 8259): epoch (from 1), loss, acc, val_loss, val_acc, lr, seconds, and `extra`.

    A figure that is no number any more is null, and "diverged": true stands beside it.
    """

    def __init__(self, filename: str | os.PathLike, **extra: Any):
        super().__init__(filename)
        self.extra = extra

    def rows(self, history: History) -> list[tuple[int, Logs]]:
        return history.rows()

    def write(self, epoch: int, logs: dict[str, Any]) -> None:
        self.file.write(json_text({"epoch": epoch + 1, **logs, **self.extra}) + "\n")


def __getattr__(name: str) -> Any:
    return refusals.attribute(sys.modules[__name__], name)
