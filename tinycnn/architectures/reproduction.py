"""Training documented networks by their documented recipes: what is trained, and what is kept of it.

A folder holds it all: results.json, which is written after every epoch and from which the rest is made; table.md and
a picture of each network (reproduction_report.py); and in `unfinished` the checkpoints of trainings that are not done,
beside each the row of one that a worker of a cluster trains (reproduction_jobs.py).
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import tinycnn
from tinycnn.architectures import ARCHITECTURES, build, get, reproduction_report, schedule_function
from tinycnn.architectures.explanations import EXPLANATIONS, RECIPE, explanations_of
from tinycnn.callbacks import Callback, LearningRateScheduler, ModelCheckpoint
from tinycnn.datasets import Dataset
from tinycnn.fit.checkpoint_schema import fault_of
from tinycnn.fit.files import alone_in, json_text, write_atomically
from tinycnn.losses import labels_for
from tinycnn.models import Model, load_model
from tinycnn.utils import hardware

FIGURES = ("loss", "acc", "val_loss", "val_acc")
TIMES = ("seconds", "cpu_seconds")
PACKAGES = ("tinycnn", "numpy", "numba")
FACTS = ("network", "seed", "epochs", "data", "images", "device", "explanation")  # see facts_of
UNFINISHED, PERMIT = "unfinished", ".permit"

Row = dict[str, Any]  # of results.json, see Results
COUNT, TEXT = {"type": "integer", "minimum": 0}, {"type": "string"}
EVERY_EPOCH = {"type": "array", "items": {"type": ["number", "null"]}}  # JSON has no NaN
FORM = {
    "network": TEXT, "seed": COUNT, "epochs": COUNT, "data": TEXT, "images": COUNT, "device": TEXT, "machine": TEXT,
    "history": {
        "type": "object", "required": [*FIGURES, *TIMES], "properties": dict.fromkeys((*FIGURES, *TIMES), EVERY_EPOCH),
    },
}  # fmt: skip
VERSIONS = {"type": "object", "additionalProperties": {"type": ["string", "null"]}}
MAY_HAVE = {"explanation": TEXT, "path": TEXT, "versions": VERSIONS}
ROWS = {"type": "array", "items": {"type": "object", "required": list(FORM), "properties": FORM | MAY_HAVE}}
# Of results.json. An older one has the versions once, for all of its rows.
SCHEMA = {"type": "object", "required": ["rows"], "properties": {"rows": ROWS, "versions": VERSIONS}}


@dataclass(frozen=True)
class Run:
    """One training: which network, from which seed, for how many epochs, and what of its recipe is changed."""

    network: str
    seed: int
    epochs: int
    explanation: str = RECIPE  # the name of one of explanations.py

    def __str__(self) -> str:
        return f"{self.network}, seed {self.seed}" + (f", {self.explanation}" if self.explanation else "")


def plan(names: Iterable[str] = (), epochs: int | None = None, seeds: int = 1) -> list[Run]:
    """The Runs of these networks, or of all from the smallest on; `epochs` None for the documented number.

    All networks come with one seed before any comes with the next. Raises UnknownNetwork.
    """
    names = list(dict.fromkeys(names)) or sorted(ARCHITECTURES, key=lambda name: ARCHITECTURES[name].params.total)
    return [Run(name, seed, epochs or get(name).recipe.epochs) for seed in range(seeds) for name in names]


def plan_to_explain(names: Iterable[str], epochs: int | None = None, seeds: int = 1) -> list[Run]:
    """The Runs that show what each Explanation changes, beside those of the recipe as it is. Raises UnknownNetwork."""
    return [
        replace(run, explanation=explanation, epochs=run.epochs * EXPLANATIONS[explanation].times_epochs)
        for run in plan(names, epochs, seeds)
        for explanation in explanations_of(run.network)
    ]


# ---------------------------------------------------------------- what is kept


class Results:
    """The rows of a folder's results.json, one a Run, and what is made from them.

    A row: network, seed, epochs (that it is to train), explanation (what of the recipe was changed, if anything was),
    data (its name), images (to train on), device, machine, path (of a device that has several), versions (by which its
    last epoch was trained: {package: version}), and history, which has for each finished epoch loss, acc, val_loss,
    val_acc, seconds (by the clock, validation included) and cpu_seconds (of all threads of the process). A loss that is
    no number any more is NaN, and null in the file.

    Makes the folder, and takes in what workers of a cluster have left there; those that still train for an earlier
    command stop. Another command may train into the folder at the same time: its rows are taken in before results.json
    is written. Raises ValueError for a results.json that is damaged, OSError where nothing can be written.
    """

    def __init__(self, folder: str | PathLike):
        self.folder = Path(folder)
        self.path = self.folder / "results.json"
        self.known = stamp_of(self.path)  # of the results.json that the rows have all of
        self.rows = read(self.path) if self.known else []
        self.taken: dict[Path, tuple[int, ...]] = {}  # of the rows that workers have left
        self.folder.mkdir(parents=True, exist_ok=True)
        self.permit.unlink(missing_ok=True)
        self.take_in()
        self.write()  # before hours are spent on what could not be written

    @property
    def permit(self) -> Path:
        """The file that names the command which workers train for (reproduction_jobs.py)."""
        return self.folder / PERMIT

    def row(self, run: Run, data: Dataset) -> Row:
        """The row of this Run with this data on the current device, a new one if there is none."""
        return row_of(run, data, self.rows)

    def keep(self, row: Row) -> None:
        """Take the row in, and write results.json and table.md."""
        if all(row is not other for other in self.rows):
            self.merge([row])
        self.write()

    def borrow(self, path: Path, names: Iterable[str]) -> None:
        """Take in the finished rows of another results.json, where there is one, for these networks."""
        for row in read(path) if path.exists() else []:
            finished = len(row["history"]["loss"]) == row["epochs"]
            if finished and row["network"] in names and same(row, self.rows) is None:
                self.rows.append(row)

    def take_in(self) -> list[Row]:
        """Take in the rows that workers have left since; those of them that have more epochs than what was there."""
        left: list[Row] = []
        for path in sorted((self.folder / UNFINISHED).glob("*.json")):
            if (stamp := stamp_of(path)) and stamp != self.taken.get(path):
                left += read(path)
                self.taken[path] = stamp
        return self.merge(left)

    def take_in_others(self) -> None:
        """Take in the rows that another command has written since results.json was read or written here."""
        if (stamp := stamp_of(self.path)) != self.known:
            self.merge(read(self.path) if stamp else [])
            self.known = stamp

    def merge(self, rows: Iterable[Row]) -> list[Row]:
        """Take in those of the rows that are new, or have more epochs than what was there; what was taken in."""
        news = []
        for row in rows:
            known = same(row, self.rows)
            if known is None:
                self.rows.append(row)
            elif len(row["history"]["loss"]) > len(known["history"]["loss"]):
                known.update(row)
            else:
                continue
            news.append(known or row)
        return news

    def write(self) -> None:
        with alone_in(self.folder):
            self.take_in_others()
            write_atomically(self.path, (json_text({"rows": self.rows}, indent=1) + "\n").encode())
            self.known = stamp_of(self.path)
            reproduction_report.write_table(self.rows, self.folder)

    def checkpoint(self, row: Row) -> Path:
        """Where this row's training is kept until it is finished."""
        return checkpoint(self.folder, row)


def row_of(run: Run, data: Dataset, rows: Iterable[Row]) -> Row:
    """That of these rows which is of this Run with this data on the current device, a new one if there is none."""
    device = tinycnn.get_device().name
    facts = {**asdict(run), "data": data.name, "images": len(data.x_train), "device": device}
    if found := same(facts, rows):
        return found
    if run.explanation == RECIPE:
        del facts["explanation"]
    return {**facts, "machine": machine(device), "history": {name: [] for name in (*FIGURES, *TIMES)}}


def same(row: Row, rows: Iterable[Row]) -> Row | None:
    """That of these rows which is of the same training, if there is one."""
    return next((other for other in rows if facts_of(other) == facts_of(row)), None)


def facts_of(row: Row, names: Iterable[str] = FACTS) -> tuple[Any, ...]:
    """What makes two rows those of one training."""
    return tuple(row.get(name, RECIPE) for name in names)


def all_seeds(rows: Sequence[Row], among: Iterable[Row]) -> list[Row]:
    """Those `among` these that differ from one of the rows in their seed at most."""
    names = [name for name in FACTS if name != "seed"]
    wanted = {facts_of(row, names) for row in rows}
    return [row for row in among if facts_of(row, names) in wanted]


def checkpoint(folder: Path, row: Row) -> Path:
    """The file in the results' folder where a row's training is kept until it is finished."""
    words = [fact for fact in facts_of(row) if fact != RECIPE]
    return folder / UNFINISHED / (re.sub(r"[^a-z0-9]+", "-", str(words).lower()).strip("-") + ".safetensors")


def stamp_of(path: Path) -> tuple[int, ...] | None:
    """What tells a file that was written anew from what it was before; None where there is none."""
    if not path.exists():
        return None
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def machine(device: str) -> str:
    """What this device computes on here."""
    return hardware.gpu() if device == "cuda" else hardware.device()


def read(path: Path) -> list[Row]:
    """The rows of a results.json; a figure that is null there is NaN. Raises ValueError, which names a damaged file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if fault := fault_of(content, SCHEMA):
            raise ValueError(fault)
        for row in content["rows"]:
            get(row["network"])
            if "versions" in content:
                row.setdefault("versions", content["versions"])
            if len({len(row["history"][name]) for name in (*FIGURES, *TIMES)}) != 1:
                raise ValueError(f"the figures of {row['network']} have different numbers of epochs")
            for values in row["history"].values():
                values[:] = [math.nan if value is None else value for value in values]
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); move it away to begin anew") from error
    return content["rows"]


class Kept(Protocol):
    """Where a training is kept: Results, or, on a worker of a cluster, a file for it alone."""

    def keep(self, row: Row) -> None: ...

    def checkpoint(self, row: Row) -> Path: ...


class Keeper(Callback):
    """Puts every finished epoch into the row, before its checkpoint is written."""

    def __init__(self, results: Kept, row: Row):
        self.results, self.row = results, row

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.began = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs = logs or {}
        times = time.perf_counter() - self.began[0], time.process_time() - self.began[1]
        if len(self.model.device.paths) > 1:
            self.row["path"] = self.model.path_taken
        self.row["versions"] = hardware.versions(PACKAGES)
        figures = {name: round(logs[name], 6) for name in FIGURES}
        figures |= {name: round(value, 2) for name, value in zip(TIMES, times, strict=True)}
        for name, values in self.row["history"].items():
            # A crash may have come between this and the checkpoint, and the epoch been trained again.
            values[epoch:] = [figures[name]]
        self.results.keep(self.row)


# ---------------------------------------------------------------- training


def reproduce(runs: Iterable[Run], data: Dataset, results: Results) -> None:
    """Train what is not finished yet. On KeyboardInterrupt the last whole epoch is kept."""
    for run in runs:
        results.take_in_others()
        row = results.row(run, data)
        done = len(row["history"]["loss"])
        if done == run.epochs:
            print(f"{run}: finished already")
            continue
        try:
            train(run, row, data, results)
        finally:
            show(row, results)


def show(row: Row, results: Results) -> None:
    """Draw the curves of this row's network, and let the table link to them, where all trained by the recipe."""
    if row["history"]["loss"] and not row.get("explanation"):
        rows = [other for other in results.rows if not other.get("explanation")]
        reproduction_report.draw(rows, row["network"], results.folder)
        results.write()


def train(run: Run, row: Row, data: Dataset, results: Kept) -> None:
    """Train the rest of one Run."""
    path = results.checkpoint(row)
    model = begin(run, row, path)
    describe(run, model, data)
    fit(run, row, data, results, model)
    path.unlink(missing_ok=True)
    with suppress(OSError):  # another training's checkpoint may lie there
        path.parent.rmdir()


def describe(run: Run, model: Model, data: Dataset) -> None:
    """Print what is trained how."""
    recipe, optimizer = model.recipe, model.optimizer
    assert recipe and optimizer  # `build` gives them, and the checkpoint keeps them
    rate = f"{optimizer.name} at {recipe['learning_rate']:g}{' on a schedule' if recipe['schedule'] else ''}"
    print(
        f"{run}: {model.count_params():,} parameters on {model.device.name}, "
        f"{len(data.x_train):,} images of {data.name}, {rate}, batches of {batch_size_of(run, model)}",
        flush=True,
    )
    if model.device.remark:
        print(f"note: {model.device.remark}", flush=True)


def batch_size_of(run: Run, model: Model) -> int:
    """That of the recipe, or what is tried instead."""
    assert model.recipe
    return EXPLANATIONS[run.explanation].batch_size or model.recipe["batch_size"]


def fit(
    run: Run, row: Row, data: Dataset, results: Kept, model: Model, verbose: int = 1, others: Sequence[Callback] = ()
) -> None:
    """Train the model for the epochs that it lacks, each of them kept; others: callbacks beside the recipe's."""
    recipe, path = model.recipe, results.checkpoint(row)
    assert recipe
    change = EXPLANATIONS[run.explanation]
    data, schedule = change.data(data), schedule_function(recipe["schedule"])
    if schedule:
        documented = schedule
        others = [*others, LearningRateScheduler(lambda epoch: documented(max(0, epoch + change.epochs_ahead)))]
    path.parent.mkdir(exist_ok=True)
    model.fit(
        data.x_train,
        labels_for(model.loss, data.y_train, data.classes),
        batch_size=batch_size_of(run, model),
        epochs=run.epochs,
        validation_data=(data.x_test, labels_for(model.loss, data.y_test, data.classes)),
        verbose=verbose,
        shuffle=change.shuffle,
        callbacks=[
            *others,
            *(make() for make in change.callbacks),
            Keeper(results, row),
            ModelCheckpoint(path),
        ],
        initial_epoch=model.epoch,
    )


def begin(run: Run, row: Row, path: Path) -> Model:
    """The model as its checkpoint has it, or a new one."""
    if path.exists() and row["history"]["loss"]:
        model = load_model(path)
        if model.epoch <= len(row["history"]["loss"]):  # else a worker wrote on that nobody was waiting for any more
            return model
    tinycnn.set_random_seed(run.seed)
    model = build(run.network)
    EXPLANATIONS[run.explanation].change(model)
    return model
