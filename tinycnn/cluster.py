"""Jobs on as many processes and machines as one has, by Dask.distributed, which the extra `cluster` installs.

A job is a function's argument, as plain data: a network and a seed, say. Whoever is free takes the next one up. One
whose worker died is given to another, so a job that takes long keeps what it has in files that all workers see, and
goes on.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import dask
import distributed

from tinycnn.devices import DeviceError
from tinycnn.utils.hardware import cores

Job = TypeVar("Job")
Result = TypeVar("Result")

LOOK_SECONDS = 0.5  # how often whoever waits looks what the jobs have left in files
PATIENCE = 10.0  # seconds for jobs to see that they are to end
ANSWER_SECONDS = 5.0  # for a scheduler to say who does what; what the jobs leave in files is looked at meanwhile
BUSY = "300s"  # until a process of this machine that does not answer is given up: its cores may have much else to do
SILENT = (
    distributed.client.CancelledError,
    distributed.TimeoutError,
    OSError,
)  # of a scheduler that does not answer
SETTINGS = {  # of what is started here
    "distributed.comm.timeouts.connect": BUSY,
    "distributed.comm.timeouts.tcp": BUSY,
    "distributed.scheduler.worker-saturation": 1.0,  # a job waits for whoever is free first, not behind another
}
THREADS = "NUMBA_NUM_THREADS"  # of the cpu device in one worker; its results do not depend on it


class ClusterError(DeviceError):
    """A scheduler that cannot be reached or has gone, or a job that no worker survives."""


class Prepared(distributed.WorkerPlugin):
    """What a worker has before its first job: modules that are no package's, and, on this machine, no ear for Ctrl-C.

    The terminal sends Ctrl-C to every process here; the one that handed the jobs out says what happens then.
    """

    def __init__(self, folders: Iterable[str], deaf: bool):
        self.folders, self.deaf = list(folders), deaf

    def setup(self, worker: Any) -> None:
        sys.path[:0] = [folder for folder in self.folders if folder not in sys.path]
        if self.deaf and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def connected(workers: int | None, scheduler: str | None, folders: Iterable[str] = ()) -> Iterator[distributed.Client]:
    """A client of so many workers that are started here, sharing the cores, or of the scheduler at an address.

    folders: where workers find modules that are not installed. Raises ClusterError.
    """
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what a user has to know we say
    if scheduler is None:
        started: Any = workers_here(workers)
    else:
        started = scheduler
    try:
        client = distributed.Client(started, timeout=BUSY if scheduler is None else "10s")
    except (OSError, ValueError) as error:
        raise ClusterError(f"no Dask scheduler answers at {scheduler}: {error}") from None
    try:
        client.register_plugin(Prepared(folders, deaf=scheduler is None))
        yield client
    finally:
        client.close()
        if scheduler is None:
            started.close()


def workers_here(workers: int | None) -> distributed.LocalCluster:
    """So many worker processes on this machine, which share its cores. Raises ClusterError."""
    share = os.environ.get(THREADS) or str(max(1, cores() // (workers or 1)))
    try:
        with dask.config.set(SETTINGS):
            return distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, env={THREADS: share},
                dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL,
            )  # fmt: skip
    except (OSError, RuntimeError, distributed.TimeoutError) as error:
        first: BaseException = error  # Dask's way of ending after an error may raise one more
        while (before := first.__cause__ or first.__context__) is not None:
            first = before
        raise ClusterError(f"the workers do not start: {type(first).__name__}: {first}") from None


def say(text: str) -> None:
    """A line beside the results."""
    print(text, file=sys.stderr, flush=True)


def finished(
    client: distributed.Client, function: Callable[[Job], Result], jobs: Iterable[Job], look: Callable[[], Any] = bool,
    stop: Callable[[], Any] = bool, tell: Callable[[str], Any] = say,
) -> Iterator[tuple[Job, Result]]:  # fmt: skip
    """(job, function(job)) of each job, as they come in.

    look: called now and then while there are some. stop: called where this ends early, to have the jobs end that are
    being done, which is then waited for a while; those that nobody has begun are dropped. tell: called with a line
    about each job whose worker died.

    Raises what a job raised, and ClusterError for one on which its workers died again and again, and where the
    scheduler has gone.
    """
    waiting = {client.submit(function, job, pure=False): job for job in jobs}
    begun: Mapping[str, Iterable[str]] = {}  # by each worker
    scheduler = client.scheduler.address
    try:
        while waiting:
            with asking(scheduler):
                done = completed(list(waiting), LOOK_SECONDS)
            for future in done:
                job = waiting.pop(future)
                try:
                    with asking(scheduler):
                        result = future.result()
                except distributed.KilledWorker as error:
                    raise ClusterError(f"{job}: its workers died, {error.allowed_failures + 1} times") from None
                yield job, result
            look()
            before = begun
            with suppress(*SILENT):  # it may have much to do
                begun = processing(client)
            lost = {key for worker, keys in before.items() if worker not in begun for key in keys}
            for future, job in waiting.items():
                if future.key in lost:
                    tell(f"{job}: its worker died; another takes it up")
    finally:
        if waiting:
            stop()
            with suppress(*SILENT):
                drop(client, list(waiting))


@contextmanager
def asking(scheduler: str) -> Iterator[None]:
    """Ask for futures of the scheduler at this address: ClusterError where they are cancelled, as it has gone."""
    try:
        yield
    except distributed.client.CancelledError as error:
        raise ClusterError(f"the scheduler at {scheduler} has gone; start it and this command again") from error


def drop(client: distributed.Client, futures: list[Any]) -> None:
    """Cancel what nobody has begun, and wait a while for the rest."""
    if client.status != "running":  # the scheduler has gone
        return
    begun = {key for keys in processing(client).values() for key in keys}
    client.cancel([future for future in futures if future.key not in begun])
    completed([future for future in futures if future.key in begun], PATIENCE, all_of_them=True)


def processing(client: distributed.Client) -> Mapping[str, Iterable[str]]:
    """The keys of the jobs that each worker has begun. TimeoutError of a scheduler that hangs."""
    return client.sync(client.scheduler.processing, callback_timeout=ANSWER_SECONDS)


def completed(futures: list[Any], seconds: float, all_of_them: bool = False) -> set[Any]:
    """Those of the futures that are done, once one is (or all are), or after so many seconds."""
    wanted = "ALL_COMPLETED" if all_of_them else "FIRST_COMPLETED"
    try:
        return distributed.wait(futures, timeout=seconds, return_when=wanted).done
    except distributed.TimeoutError:
        return set()
