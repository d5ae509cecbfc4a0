"""What a problem's result is in float64, worked out by other processes ahead of the rows that need it: so that a GPU is
not kept waiting by a processor."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import machine
import numpy as np

SPARE = 2  # cores for who measures
AHEAD = 2  # results for each process, in work or waiting to be fetched


def inputs_of(problem, direction):
    """Random arrays by name: the same at every call."""
    return problem.inputs(direction, np.random.default_rng([*problem.name.encode(), *direction.encode()]))


def result_of(problem, direction):
    """What they give in float64."""
    return problem.oracle(direction, inputs_of(problem, direction))


class Results:
    """`with Results(places) as of: of(problem, direction)`. They are fetched in the order of places, some left out."""

    def __init__(self, places):
        self.to_come, self.jobs, self.pool = list(places), {}, None
        self.processes = max(0, machine.cores() - SPARE)

    def __enter__(self):
        if self.processes:
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of the processes: this one's BLAS runs already
            spawn = multiprocessing.get_context("spawn")  # a fork of a process that uses a GPU must not touch it
            self.pool = ProcessPoolExecutor(self.processes, spawn)
        return self

    def __exit__(self, *_):
        if self.pool:
            self.pool.shutdown(cancel_futures=True)

    def __call__(self, problem, direction):
        if not self.pool:
            return result_of(problem, direction)
        place = problem, direction
        skipped = self.to_come.index(place) if place in self.to_come else 0
        for one in self.to_come[:skipped]:
            if job := self.jobs.pop(one, None):
                job.cancel()
        self.to_come = self.to_come[skipped:]
        for one in self.to_come[: AHEAD * self.processes]:
            if one not in self.jobs:
                self.jobs[one] = self.pool.submit(result_of, *one)
        self.to_come = self.to_come[1:]
        return self.jobs.pop(place).result()
