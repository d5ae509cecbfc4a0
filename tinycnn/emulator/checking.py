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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn.emulator import instrument
from tinycnn.emulator.instrument import MOST_SECONDS, Observed, Place, Watched
from tinycnn.emulator.launches import Expected, Launch
from tinycnn.emulator.module import Module, Problem
from tinycnn.emulator.values import DescriptionError

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
    "read-only",
)
UNEXPECTED = "unexpected"  # what came out is not what the launch comment says
ENDED = "ended"  # what only who started the process can tell: limited.py
RACE, OUT_OF_BOUNDS, MISALIGNED, UNINITIALISED, ENDLESS, CRASH, READ_ONLY = 1, 2, 3, 4, 8, 9, 10


@dataclass
class Report:
    """One fault: where in the source, by which thread first, and how often.

    Of what ended the whole process nobody can be asked (ENDED): line is 0, and block and thread are empty. These are
    empty, too, where the compiler found the fault, or the result is not the expected one.
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
        where = f"{self.file}:{self.line}" if self.line else self.file
        who = f"block {_triple(self.block)} thread {_triple(self.thread)}: " if self.block else ""
        return f"{where}: {self.kind}: {self.kernel}: {who}{self.message}{times}"

    def as_json(self) -> dict[str, Any]:
        """The same as plain data; None for what is not known."""
        unknown = {} if self.block else {"block": None, "thread": None}
        return {**asdict(self), **unknown, "line": self.line or None}


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
        for report in of_the_compiler(self.watched.module):
            self._reports[report.kind, report.kernel, report.file, report.line, report.message] = report

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
            report = report_of(self.watched, launch.kernel, launch.shared, problem, where)
            lines = frozenset([report.line, report.other_line or report.line])
            # Two faults of one line are told apart as far as they can be: by array, and by which end it was left.
            which = (report.array, problem.write, problem.offset < 0) if problem.kind == OUT_OF_BOUNDS else report.array
            known = self._reports.setdefault((report.kind, report.kernel, report.file, lines, which), report)
            if known is not report:
                known.count += report.count
        for one in launch.expected:
            unexpected = _unexpected(self.watched.path, launch, one, results)
            if unexpected:
                self._reports[unexpected.kind, unexpected.kernel, launch.line, one.array] = unexpected
        if launch.goes_on:
            for array, left in zip(launch.args, results, strict=True):
                if isinstance(array, np.ndarray) and array.flags.writeable:
                    array[...] = left
        return results


def of_the_compiler(module: Module) -> Iterator[Report]:
    """The variables that a built file uses before they have a value."""
    for name, line, function, said in module.uninitialised:
        file = instrument.source_file(name, module.path.parent)
        yield Report("uninitialised", function, file, line, None, (), (), f"local memory: {said} (the compiler)")


def _unexpected(path: Path, launch: Launch, one: Expected, results: list[Any]) -> Report | None:
    """What is wrong with an array that a launch comment says what it is to be."""
    got = np.asarray(results[launch.names.index(one.array)])
    want = one.value(dict(zip(launch.names, launch.args, strict=True)))
    if want.size not in (1, got.size):
        raise DescriptionError(f"expect={one.array}:{one.text} has {want.size} elements, {one.array} has {got.size}")
    want = np.broadcast_to(want if want.size == 1 else want.reshape(got.shape), got.shape)
    wrong = ~np.isclose(got, want, rtol=launch.tolerance, atol=launch.tolerance, equal_nan=True)
    if not wrong.any():
        return None
    first = int(np.flatnonzero(wrong)[0])
    message = (
        f"{one.array}[{first}] is {got.reshape(-1)[first]:.7g} where {want.reshape(-1)[first]:.7g} is expected; "
        f"{int(wrong.sum())} of {got.size} elements are off by more than {launch.tolerance:g}"
    )
    file = instrument.source_file(path.name, path.parent)
    return Report(UNEXPECTED, launch.kernel, file, launch.line, None, (), (), message, array=one.array, element=first)


def _problems(
    watched: Watched, launch: Launch, seconds: float, blocks: list[int] | None = None
) -> tuple[list[Problem], bool, list[Any]]:
    """(what is wrong with a launch of these blocks, in this order; whether any handed over to another; its arguments
    as the kernel left them)."""
    with watched.watch(launch, check=True, only=blocks, seconds=seconds):
        found = [type(p).from_buffer_copy(p) for p in watched.module.problems() if not _reads_an_input(watched, p)]
        results = [arg.copy() if isinstance(arg, np.ndarray) else arg for arg in watched.args]
        return found, bool(watched.module.library.cudasim_handed_over()), results


def _reads_an_input(watched: Watched, problem: Problem) -> bool:
    """Whether it is a read of an array without a value that the launch only reads: its `const` was forgotten."""
    if problem.kind != UNINITIALISED or not watched.word_of(problem.region):
        return False
    return not watched.module.library.cudasim_written(problem.region)


def report_of(
    watched: Observed, kernel: str, shared: int, problem: Problem, where: dict[int, Place]
) -> Report:  # fmt: skip
    """A problem of a launch with so many bytes of dynamic shared memory. where: of its instructions."""
    if problem.pc:
        file, line = where[problem.pc]
    else:
        file, line = instrument.source_file(problem.file.decode(), watched.path.parent), problem.line
    raced = problem.other_pc and problem.kind == RACE
    other_line = where[problem.other_pc][1] if raced else None
    array, element = _element(watched, problem) if problem.pc and problem.region >= 0 else (None, None)
    return Report(
        KINDS[problem.kind],
        kernel,
        file,
        line,
        other_line,
        tuple(problem.block),
        tuple(problem.thread),
        _message(watched, shared, problem, where),
        problem.count,
        array,
        element,
        tuple(problem.other_block) if raced else None,
        tuple(problem.other_thread) if raced else None,
    )


def _element(watched: Observed, problem: Problem) -> tuple[str, int]:
    """(the array, the number of its element) of an access."""
    name, itemsize, _ = watched.array_of(problem.region)
    return name, problem.offset // (itemsize or problem.size)


def _message(watched: Observed, shared: int, problem: Problem, where: dict[int, Place]) -> str:
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
            size = shared if name in watched.module.shared_names[: watched.module.dynamic_count] else size
        if problem.region < 0:
            return f"{did} {problem.size} bytes through a pointer that leads to none of the launch's arrays"
        return f"{space} memory: {did} {problem.size} bytes at {_place(name, problem.offset)}; it has {size} bytes"
    if problem.kind == MISALIGNED:
        return f"{did} {problem.size} bytes at {_place(name, problem.offset)}, which is no multiple of {problem.size}"
    if problem.kind == READ_ONLY:
        what = f"{did} {problem.size} bytes at {_place(name, problem.offset)}"
        return f"{what}; kernels only read __constant__ memory, and what they write is declared __device__"
    who = "no thread of this block" if problem.space else "nobody"
    word = watched.word_of(problem.region)
    remedy = f"; if it holds something before, give it a value in the launch comment: {word}:random" if word else ""
    return f"{space} memory: reads {element}, which {who} has written yet{remedy}"


def _place(name: str, offset: int) -> str:
    return f"{name} {'-' if offset < 0 else '+'} {abs(offset)} bytes"


def _triple(index: Iterable[int]) -> str:
    return "({},{},{})".format(*index)
