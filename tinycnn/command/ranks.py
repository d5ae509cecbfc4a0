"""`mpirun -n N tinycnn train`: how the processes find one another, who prints, and what happens when one ends.

The first rank prints and writes files; the others do neither, but for the line on what ended them. When a rank ends,
MPI kills all others at once, so what is to be said of it is said by a process beside the first rank that outlives it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

import click
import numpy as np

import tinycnn
from tinycnn.callbacks import Callback
from tinycnn.command.options import DIVERGED, INTERRUPTED, Diverged, Interrupted, printable
from tinycnn.devices import current_device, ranks, use_device
from tinycnn.utils.hardware import affinity

if TYPE_CHECKING:
    from tinycnn.datasets import Dataset
    from tinycnn.models import Model

# By which variables a launcher tells a process its rank and how many there are: MPICH's and Intel's, Open MPI's.
LAUNCHERS = (("PMI_RANK", "PMI_SIZE"), ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"))

EXPECTED = (click.ClickException, OSError, ValueError, RuntimeError, MemoryError)  # their words say enough

# It reads what it would have to say, line by line, and says the last line, if it is not empty, once rank 0 is no more.
WATCH = "import sys; last = sys.stdin.read().split('\\n')[-2]; last and print(last, file=sys.stderr, flush=True)"


def launched() -> tuple[int, int] | None:
    """(rank, number of ranks) where mpirun started more than one of this process, else None.

    Raises ValueError for variables that no launcher sets so.
    """
    for rank, size in LAUNCHERS:
        if size in os.environ and (count := number_in(size)) > 1:
            return number_in(rank), count
    return None


def number_in(variable: str) -> int:
    try:
        return int(os.environ[variable])
    except (KeyError, ValueError):
        found = repr(os.environ[variable]) if variable in os.environ else "not set"
        raise ValueError(f"mpirun sets {variable} to a number, and it is {found}: unset what it has set") from None


@contextmanager
def together(statistics: str) -> Iterator[Team | None]:
    """Inside, the current device is this process's part of all those that mpirun started; None where it is alone.

    Raises UsageError without mpi4py, ValueError for a device that trains in one process.
    """
    if launched() is None:
        yield None
        return
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise click.UsageError(f"several ranks need MPI ({error}): pip install 'tinycnn[mpi]'") from None
    with Team(MPI.COMM_WORLD, statistics) as team:
        yield team


class Team:
    """This process as one rank of several, while it trains."""

    def __init__(self, communicator: Any, statistics: str):
        self.communicator, self.statistics = communicator, statistics
        self.rank, self.size = communicator.rank, communicator.size
        self.stderr = sys.stderr  # of the first rank, and the others' for their last words
        self.watch: subprocess.Popen[str] | None = None
        self.refused = False
        self.stack = contextlib.ExitStack()

    def __str__(self) -> str:
        over = {"part": "each rank's part", "whole": "the whole batch"}[self.statistics]
        parts = f"{self.size} ranks, each with a part of every batch"
        return f"{parts}; batch normalisation takes its statistics over {over}"

    # ---------------------------------------------------------------- from beginning to end

    def __enter__(self) -> Team:
        if self.rank:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # it goes on taking part until the first rank ends all
            nothing = self.stack.enter_context(open(os.devnull, "w"))
            self.stack.enter_context(contextlib.redirect_stdout(nothing))
            self.stack.enter_context(contextlib.redirect_stderr(nothing))
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stack.close()
        if error is None or self.refused:
            self.say("")
            return
        if isinstance(error, Diverged):  # so have all ranks
            self.say("")
            if self.rank:
                raise SystemExit(DIVERGED)
            return
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if isinstance(error, (Interrupted, KeyboardInterrupt)):
            self.say("")
            self.end(str(error) or "interrupted", INTERRUPTED)
        if not isinstance(error, EXPECTED):
            traceback.print_exception(error, file=self.stderr)
        self.end(f"rank {self.rank} of {self.size}: {error}", 2)

    def end(self, line: str, status: int) -> NoReturn:
        """Print one line, and end all ranks."""
        print(f"tinycnn: {printable(line)}", file=self.stderr, flush=True)
        self.communicator.Abort(status)
        os._exit(status)  # MPI may take a moment

    @contextmanager
    def agreed(self) -> Iterator[dict[str, str]]:
        """Around what every rank prepares: where one cannot, none goes on, and the first of those says why.

        What is put into the dictionary has to be the same on all ranks.
        """
        facts: dict[str, str] = {"version": tinycnn.__version__}
        error: Exception | None = None
        try:
            yield facts
        except Exception as raised:
            error = raised
        answers = self.communicator.allgather(None if error else facts)
        if None in answers:
            self.refused = True
            if error is not None and answers.index(None) == self.rank:
                raise error
            raise SystemExit(2)
        differ = [name for name in facts if len({answer[name] for answer in answers}) > 1]
        if differ:
            self.refused = True
            if self.rank:
                raise SystemExit(2)
            raise ValueError(f"the ranks differ in their {' and '.join(differ)}; start them alike, with the same files")

    def take_part(self) -> None:
        """Make the current device one rank's, until the command ends. Raises ValueError for one that cannot be."""
        device = ranks.of(current_device(), self.communicator, self.statistics)
        click.get_current_context().with_resource(use_device(device))
        self.share_the_cores()

    def share_the_cores(self) -> None:
        """Let the cpu device take as many threads as there are cores for each of the ranks on them."""
        if "NUMBA_NUM_THREADS" in os.environ or current_device().name != "cpu":
            return
        from mpi4py import MPI

        from tinycnn.devices.cpu.threads import set_team_size

        mine = affinity()
        here = self.communicator.Split_type(MPI.COMM_TYPE_SHARED).allgather(mine)
        set_team_size(max(1, len(mine) // sum(bool(mine & theirs) for theirs in here)))

    def say(self, text: str) -> None:
        """What is to be printed should the ranks be killed from here on; '' for nothing, and nothing comes after it."""
        if self.rank or (self.watch is None and not text):
            return
        if self.watch is None:
            words = [sys.executable, "-ISE", "-c", WATCH]
            self.watch = subprocess.Popen(words, stdin=subprocess.PIPE, text=True, start_new_session=True)
        assert self.watch.stdin
        self.watch.stdin.write(text + "\n")
        self.watch.stdin.flush()
        if not text:
            self.watch.communicate()


# ---------------------------------------------------------------- while it trains


def weights_of(model: Model) -> str:
    """A digest of the weights."""
    return digest(*(weight.numpy() for weight in model.weights))


def data_of(data: Dataset) -> str:
    """A digest of what is trained on and measured with."""
    return digest(data.x_train, data.y_train, data.x_test, data.y_test)


def digest(*arrays: np.ndarray) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(array.tobytes())
    return found.hexdigest()


class Alike(Callback):
    """Stops where the ranks have come to different weights, as processors that round differently would make them."""

    def __init__(self, team: Team):
        self.team = team

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if len(set(self.team.communicator.allgather(weights_of(self.model)))) > 1:
            raise RuntimeError(
                f"after epoch {epoch + 1} the ranks have different weights: train on processors of one kind"
            )


class LastWords(Callback):
    """Keeps what is to be said of the checkpoint, should the ranks be killed, up to date. held: the epoch in it."""

    def __init__(self, team: Team, save: str | None, held: int = 0):
        self.team, self.save, self.held = team, save, held

    def on_train_begin(self, logs: Any = None) -> None:
        self.tell()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.held = epoch + 1
        self.tell()

    def tell(self) -> None:
        kept = "no epoch was finished"
        if self.held:
            kept = f"{self.save} holds epoch {self.held}, and --resume goes on from it with any number of ranks"
        self.team.say(
            "tinycnn: a rank has died, and all the others with it; "
            + (kept if self.save else "with --save FILE.safetensors one could go on from its last epoch")
        )
