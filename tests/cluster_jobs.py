"""What the workers of test_cluster.py run. They import it, so that they too know the network that is trained there."""

import os
import signal

from tinycnn.architectures import ARCHITECTURES, Architecture, Params, reproduction, reproduction_jobs
from tinycnn.architectures.catalogue import SCHEDULED_ADAM

TINY = Architecture(
    "tiny", "Tiny", "CN(4,5,strides=3)->BN()->DP(0.1)->MP(2,2)->FL()->DN(10)", SCHEDULED_ADAM, Params(770, 762, 8), 0.9
)
ARCHITECTURES["tiny"] = TINY  # in a worker; the tests' own process takes it out again


def work(job):
    """reproduction_jobs.work, at a worker that imports this module for it."""
    return reproduction_jobs.work(job)


def work_and_be_killed(job):
    """reproduction_jobs.work, but the worker that comes first to seed 1's third epoch is killed in its middle.

    Every epoch that is begun leaves a line in the folder's file `begun`: seed, process, epoch.
    """
    original = reproduction.Keeper.on_epoch_begin
    original_batch = reproduction_jobs.Permit.on_train_batch_begin
    now = {}

    def on_epoch_begin(self, epoch, logs=None):
        now["epoch"] = epoch
        with open(job.folder / "begun", "a") as file:
            file.write(f"{job.run.seed} {os.getpid()} {epoch}\n")
        original(self, epoch, logs)

    def on_train_batch_begin(self, batch, logs=None):
        original_batch(self, batch, logs)
        marker = job.folder / "killed"
        if (job.run.seed, now["epoch"], batch) == (1, 2, 1) and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    reproduction.Keeper.on_epoch_begin = on_epoch_begin
    reproduction_jobs.Permit.on_train_batch_begin = on_train_batch_begin
    try:
        return reproduction_jobs.work(job)
    finally:
        reproduction.Keeper.on_epoch_begin = original
        reproduction_jobs.Permit.on_train_batch_begin = original_batch


def fail_on_two(number):
    """number squared; ValueError for 2."""
    if number == 2:
        raise ValueError("two is too much")
    return number**2


def kill_the_scheduler(number):
    """End the process that started this worker, and with it the scheduler."""
    os.kill(os.getppid(), signal.SIGKILL)


def stop_the_scheduler(folder):
    """Halt the process that started this worker, tell its number, and wait until somebody writes to `go`."""
    os.kill(os.getppid(), signal.SIGSTOP)
    (folder / "halted").write_text(str(os.getppid()))
    return (folder / "go").read_text()
