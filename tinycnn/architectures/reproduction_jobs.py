"""`tinycnn reproduce` on a cluster: a job is a network and a seed, trained by whichever worker is free.

The workers see the folder of the results, and nothing else is shared. A worker writes after every epoch its row,
`unfinished/….json`, and then the checkpoint of the same name; so whoever takes the job up after it died goes on from
there, and the command that handed the jobs out sees in the rows how far all of them are, and puts them into
results.json, which it alone writes. A job trains as long as the folder's permit names that command.
"""

from __future__ import annotations

import math
import sys
import threading
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinycnn import datasets
from tinycnn.architectures import reproduction
from tinycnn.architectures.reproduction import PERMIT, UNFINISHED, Results, Row, Run, show
from tinycnn.callbacks import Callback
from tinycnn.datasets import Dataset
from tinycnn.devices import current_device, use_device
from tinycnn.fit.files import json_text, write_atomically

if TYPE_CHECKING:
    from distributed import Client

_building = threading.Lock()  # a worker may have several threads, and the session's seed is the process's


@dataclass(frozen=True)
class Job:
    """One training as a worker is handed it. row: what is kept of it; source, limit: what to load the data by."""

    run: Run
    row: Row
    folder: Path
    permit: str
    device: str
    dtype: str
    source: str | None
    limit: int | None

    def __str__(self) -> str:
        return str(self.run)


# ---------------------------------------------------------------- on a worker


class Withdrawn(Exception):
    """The command that this job was for has ended."""


class OneRow:
    """What a worker keeps: a row beside its checkpoint."""

    def __init__(self, folder: Path):
        self.folder = folder

    def checkpoint(self, row: Row) -> Path:
        return reproduction.checkpoint(self.folder, row)

    def row_file(self, row: Row) -> Path:
        return self.checkpoint(row).with_suffix(".json")

    def keep(self, row: Row) -> None:
        write_atomically(self.row_file(row), (json_text({"rows": [row]}) + "\n").encode())


class Permit(Callback):
    """Ends the training once its command has gone, before another command trains the same."""

    def __init__(self, path: Path, text: str):
        self.path, self.text, self.withdrawn = path, text, False

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if not self.holds():
            raise Withdrawn

    def holds(self) -> bool:
        try:
            return self.path.read_text(encoding="utf-8") == self.text
        except FileNotFoundError:
            return False

    def withdraw(self) -> bool:
        """Take it back. False where another command has taken it away, to whom the folder belongs then."""
        if self.holds():
            self.path.unlink(missing_ok=True)
            self.withdrawn = True
        return self.withdrawn and not self.path.exists()


def work(job: Job) -> bool:
    """Train the rest of a job. Whether it is finished: not where its command has gone."""
    kept, row, permit = OneRow(job.folder), job.row, Permit(job.folder / PERMIT, job.permit)
    if not permit.holds():
        return False
    if kept.row_file(row).exists():  # by a worker that died
        (row,) = reproduction.read(kept.row_file(row))
    if len(row["history"]["loss"]) == job.run.epochs:
        return True
    with use_device(job.device, job.dtype) as device:
        data = load(job.source, job.limit)
        if (data.name, len(data.x_train)) != (row["data"], row["images"]):
            here = f"{len(data.x_train):,} images of {data.name}"
            raise ValueError(f"a worker has other data: {here}, not {row['images']:,} of {row['data']}")
        here = reproduction.machine(device.name)
        if here not in row["machine"]:
            row = {**row, "machine": f"{row['machine']} and {here}" if row["history"]["loss"] else here}
        with _building:
            model = reproduction.begin(job.run, row, kept.checkpoint(row))
        try:
            reproduction.fit(job.run, row, data, kept, model, verbose=0, others=[permit])
        except Withdrawn:
            return False
    kept.checkpoint(row).unlink(missing_ok=True)
    return True


@lru_cache(maxsize=1)
def load(source: str | None, limit: int | None) -> Dataset:
    """The data, read once in every worker."""
    return datasets.load(source, limit=limit)


# ---------------------------------------------------------------- who hands the jobs out


class Display:
    """A line for each epoch that any job finishes; on a terminal a bar below, with all epochs and who is how far."""

    def __init__(self, rows: Sequence[Row]):
        from tqdm import tqdm

        self.shown = {name_of(row): len(row["history"]["loss"]) for row in rows}
        self.running: dict[str, str] = {}
        total, done = sum(row["epochs"] for row in rows), sum(self.shown.values())
        self.bar = tqdm(total=total, initial=done, unit=" epochs", leave=False, disable=None)

    def write(self, text: str) -> None:
        """A line above the bar."""
        self.bar.write(text, file=sys.stdout)
        sys.stdout.flush()

    def tell(self, rows: Sequence[Row]) -> None:
        """Show what is new in these rows."""
        for row in rows:
            name, history = name_of(row), row["history"]
            done = len(history["loss"])
            for epoch in range(self.shown.get(name, 0), done):
                figures = "  ".join(f"{figure} {history[figure][epoch]:.4f}" for figure in reproduction.FIGURES)
                place = f"{name}: epoch {epoch + 1}/{row['epochs']}"
                lost = "" if math.isfinite(history["loss"][epoch]) else "  diverged"
                self.write(f"{place}  {figures}  {history['seconds'][epoch]:.1f} s{lost}")
                self.bar.update(1)
            self.shown[name] = done
            self.running[name] = f"{name} {done}/{row['epochs']}"
            if done == row["epochs"]:
                del self.running[name]
        self.bar.set_postfix_str(", ".join(self.running.values()))


def name_of(row: Row) -> str:
    """'go-crazy, seed 0'"""
    return str(Run(row["network"], row["seed"], row["epochs"], row.get("explanation", "")))


def reproduce(
    client: Client, runs: Iterable[Run], data: Dataset, results: Results, source: str | None, limit: int | None
) -> None:
    """Have workers train what is not finished yet. Whatever ends this, every epoch that was finished is kept.

    source, limit: what the workers load the data by. Raises what a job raised, and ClusterError for one on which its
    workers died again and again, and where the scheduler has gone.
    """
    from tinycnn import cluster

    device, permit = current_device(), Permit(results.permit, uuid.uuid4().hex)
    jobs = []
    for run in runs:
        row = results.row(run, data)
        if len(row["history"]["loss"]) == run.epochs:
            print(f"{run}: finished already")
            put_away(row, results)
        else:
            folder = results.folder.resolve()
            jobs.append(Job(run, row, folder, permit.text, device.name, device.dtype, source, limit))
    display = Display([job.row for job in jobs])

    def look() -> None:
        if news := results.take_in():
            results.write()
            display.tell(news)

    def look_while_permitted() -> None:
        if not permit.holds():
            raise cluster.ClusterError(f"another command has begun to train into {results.folder}")
        look()

    results.permit.write_text(permit.text, encoding="utf-8")
    try:
        watch, stop = look_while_permitted, permit.withdraw
        for job, done in cluster.finished(client, work, jobs, watch, stop, display.write):
            watch()
            if not done:
                raise cluster.ClusterError(
                    f"{job}: its worker does not see {results.permit}; workers need the folder at the same path"
                )
            show(results.row(job.run, data), results)
    finally:
        display.bar.close()
        if permit.withdraw():  # else the folder is another command's
            look()
            for job in jobs:
                put_away(results.row(job.run, data), results)


def put_away(row: Row, results: Results) -> None:
    """Remove what workers have left of a row that results.json has, but for the checkpoint of an unfinished one."""
    OneRow(results.folder).row_file(row).unlink(missing_ok=True)
    if len(row["history"]["loss"]) == row["epochs"]:  # one that was taken for dead may have written on
        results.checkpoint(row).unlink(missing_ok=True)
    with suppress(OSError):  # checkpoints may lie there
        (results.folder / UNFINISHED).rmdir()
