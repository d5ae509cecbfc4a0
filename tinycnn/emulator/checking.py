"""Finds the faults of a kernel: runs it with every access to memory watched.

    for report in emulator.check("conv2d.cu", [emulator.Launch("conv2d<float>", (4,), (256,), [x, w, y])]):
        print(report)

A kernel with a race may well give the right numbers, on this CPU or on that GPU, today. So the check does not look at
the numbers: for each access it asks whether a barrier stands between it and what other threads did to the same place
(shadow.cpp), or, of another block, a __threadfence and an atomic (handover.cpp). The same goes for reads of shared
memory that nobody wrote, and for accesses outside the arrays.

It cannot see what a launch does not do: give it small odd shapes, that leave threads and tiles partly empty. It
cannot tell an index that runs over the end of one shared array into the next. And it holds against correct kernels
that threads write the same value, or hand over by anything but barriers and, between blocks, a fence and an atomic.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn.emulator import instrument
from tinycnn.emulator.instrument import MOST_SECONDS, Place, Watched
from tinycnn.emulator.launches import Launch
from tinycnn.emulator.module import Problem

KINDS = (
    "",
    "race",
    "out-of-bounds",
    "misaligned",
    "uninitialised",
    "divergent-barrier",
    "warp-intrinsic",
    "trap",
    "endless",
    "crash",
)
ENDED = "ended"  # what only who started the process can tell: limited.py
RACE, OUT_OF_BOUNDS, MISALIGNED, ENDLESS = 1, 2, 3, 8


@dataclass
class Report:
    """One fault: where in the source, by which thread first, and how often.

    Of what ended the whole process nobody can be asked (ENDED): line is 0, and block and thread are empty.
    """

    kind: str
    kernel: str
    file: str
    line: int
    other_line: int | None  # of a race: where the other access stands
    block: tuple[int, ...]
    thread: tuple[int, ...]
    message: str
    count: int = 1
    array: str | None = None  # of an access to an array: which, and which of its elements
    element: int | None = None
    other_block: tuple[int, ...] | None = None  # of a race: whose the other access is
    other_thread: tuple[int, ...] | None = None

    def __str__(self) -> str:
        times = f" ({self.count} times)" if self.count > 1 else ""
        if self.kind == ENDED:
            return f"{self.file}: {self.kind}: {self.kernel}: {self.message}{times}"
        if not self.block:  # the host
            return f"{self.file}:{self.line}: {self.kind}: {self.kernel}: {self.message}{times}"
        who = f"block {_triple(self.block)} thread {_triple(self.thread)}"
        return f"{self.file}:{self.line}: {self.kind}: {self.kernel}: {who}: {self.message}{times}"

    def as_json(self) -> dict[str, Any]:
        """The same as plain data; None for what is not known."""
        unknown = {"line": None, "block": None, "thread": None} if self.kind == ENDED else {}
        return {**asdict(self), **unknown}


def launch_seconds(seconds: float) -> float:
    """How long a child process may be at a launch that ends itself after so many: a check may run it twice."""
    return 2 * seconds + 5


def check(path: str | Path, launches: Iterable[Launch], seconds: float = MOST_SECONDS) -> list[Report]:
    """Run launches of a kernel file's kernels, watched, and return what was wrong: a list of Report, empty if nothing.

    The arrays of the launches stay as they are. A launch is ended after so many seconds, and reported. A thread ends at
    its first access out of bounds, so what it would do behind that shows when that is mended. A launch whose blocks
    hand over runs a second time, its last block first, so that of any two blocks either comes before the other.
    Raises LaunchError and BuildError like `load` and `Module.launch`.
    """
    launches = list(launches)
    checker = Checker(path, [launch.kernel for launch in launches])
    for launch in launches:
        checker.run(launch, seconds)
    return checker.reports


class Checker:
    """Checks launches of one kernel file, one after the other: see `check`."""

    def __init__(self, path: str | Path, kernels: Sequence[str]):
        self.watched = instrument.Watched(path, kernels)
        self._reports: dict[tuple, Report] = {}

    @property
    def reports(self) -> list[Report]:
        """What was wrong so far."""
        return list(self._reports.values())

    def run(self, launch: Launch, seconds: float = MOST_SECONDS) -> list[Any]:
        """Run a launch, and add to `reports`. Returns its arguments as the kernel left them, arrays as copies."""
        problems, handed_over, results = _problems(self.watched, launch, seconds)
        if handed_over:
            backwards = list(range(math.prod(launch.grid)))[::-1]
            problems += _problems(self.watched, launch, seconds, backwards)[0]
        # Races first: where a barrier is missing, there may also be reads of what is yet to be written.
        problems.sort(key=lambda problem: problem.kind)
        where = self.watched.places([pc for p in problems for pc in (p.pc, p.other_pc) if pc])
        for problem in problems:
            report = _report(self.watched, launch, problem, where)
            lines = frozenset([report.line, report.other_line or report.line])
            known = self._reports.setdefault((report.kind, report.kernel, report.file, lines), report)
            if known is not report:
                known.count += report.count
        return results


def _problems(
    watched: Watched, launch: Launch, seconds: float, blocks: list[int] | None = None
) -> tuple[list[Problem], bool, list[Any]]:
    """(what is wrong with a launch of these blocks, in this order; whether any handed over to another; its arguments
    as the kernel left them)."""
    with watched.watch(launch, check=True, only=blocks, seconds=seconds):
        found = [type(p).from_buffer_copy(p) for p in watched.module.problems()]
        results = [arg.copy() if isinstance(arg, np.ndarray) else arg for arg in watched.args]
        return found, bool(watched.module.library.cudasim_handed_over()), results


def _report(watched: Watched, launch: Launch, problem: Problem, where: dict[int, Place]) -> Report:
    if problem.pc:
        file, line = where[problem.pc]
    else:
        file, line = instrument.source_file(problem.file.decode(), watched.path.parent), problem.line
    other_line = where[problem.other_pc][1] if problem.other_pc else None
    array, element = _element(watched, problem) if problem.pc and problem.region >= 0 else (None, None)
    return Report(
        KINDS[problem.kind],
        launch.kernel,
        file,
        line,
        other_line,
        tuple(problem.block),
        tuple(problem.thread),
        _message(watched, launch, problem, where),
        problem.count,
        array,
        element,
        tuple(problem.other_block) if problem.other_pc else None,
        tuple(problem.other_thread) if problem.other_pc else None,
    )


def _element(watched: Watched, problem: Problem) -> tuple[str, int]:
    """(the array, the number of its element) of an access."""
    name, itemsize, _ = watched.array_of(problem.region)
    return name, problem.offset // (itemsize or problem.size)


def _message(watched: Watched, launch: Launch, problem: Problem, where: dict[int, Place]) -> str:
    if problem.message:
        return problem.message.decode()
    name, itemsize, size = watched.array_of(problem.region)
    space = "shared" if problem.space else "global"
    element = f"{name}[{_element(watched, problem)[1]}]"
    did = "writes" if problem.write else "reads"
    if problem.kind == RACE:
        other_file, other_line = where[problem.other_pc]
        other = f"thread {_triple(problem.other_thread)}"
        if tuple(problem.other_block) != tuple(problem.block):
            other += f" of block {_triple(problem.other_block)}"
            cause = "only a __threadfence and an atomic order the blocks of a launch"
        else:
            cause = "no barrier in between"
        also = "writes" if problem.other_write else "reads"
        return f"{space} memory: {did} {element}, which {other} {also} at {other_file}:{other_line}; {cause}"
    if problem.kind == OUT_OF_BOUNDS:
        if problem.space and itemsize is None:
            size = launch.shared if name in watched.module.shared_names[: watched.module.dynamic_count] else size
        if problem.region < 0:
            return f"{did} {problem.size} bytes through a pointer that leads to none of the launch's arrays"
        return f"{space} memory: {did} {problem.size} bytes at {_place(name, problem.offset)}; it has {size} bytes"
    if problem.kind == MISALIGNED:
        return f"{did} {problem.size} bytes at {_place(name, problem.offset)}, which is no multiple of {problem.size}"
    return f"shared memory: reads {element}, which no thread of this block has written yet"


def _place(name: str, offset: int) -> str:
    return f"{name} {'-' if offset < 0 else '+'} {abs(offset)} bytes"


def _triple(index: Iterable[int]) -> str:
    return "({},{},{})".format(*index)
