"""Watches every launch of a whole program, as `check` and `trace` watch one: the program's own arrays, where they are.

The arrays are what the program has allocated. They are named by the kernel's parameters that point to them, or else by
the line that allocated them.
"""

from __future__ import annotations

import ctypes
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from tinycnn.emulator import checking, instrument, tracing
from tinycnn.emulator.checking import Report
from tinycnn.emulator.compiler import BuildError
from tinycnn.emulator.instrument import MOST_SECONDS, Array, Observed, Place
from tinycnn.emulator.module import REFUSED, Problem, _Parameter
from tinycnn.emulator.program import Allocation, Call, Mistake, Program

REGISTERED = 3  # of `Owner` in host_parts.h
CUDA_ERROR, HOST_ACCESS, LEAK = "cuda-error", "host-access", "leak"

Tell = Callable[[Report], None]


class WatchedLaunch(Observed):
    """One launch of a program, on its arrays themselves."""

    def __init__(self, program: Program, call: Call, variables: list[Array]):
        super().__init__(program.module)
        self.kernel = call.name.decode()
        self.shared = int(call.shared)
        self.grid, self.block, self.cooperative = tuple(call.grid), tuple(call.block), bool(call.cooperative)
        self.arrays = [*_arrays(program, call), *variables]

    def report(self, problem: Problem, where: dict[int, Place]) -> Report:
        """A problem in words."""
        return checking.report_of(self, self.kernel, self.shared, problem, where)


def _arrays(program: Program, call: Call) -> list[Array]:
    """What is allocated now, by the names that this kernel has for it."""
    pointers: list[tuple[int, str, _Parameter]] = []
    base = call.name.decode().partition("<")[0].strip().rpartition("::")[2]
    names = program.parameter_names.get(base, [])
    for i in range(call.count):
        parameter = call.parameters[i]
        if parameter.pointer:
            address = ctypes.c_uint64.from_address(call.arguments[i + 1]).value
            name = names[i] if len(names) == call.count and names[i] else f"argument {i + 1}"
            pointers.append((address, name, parameter))
    found = []
    for a in program.allocations():
        if a.freed_line:
            continue
        ours = [(name, p) for address, name, p in pointers if a.begin <= address < a.begin + a.size]
        name = "/".join(dict.fromkeys(name for name, _ in ours)) or f"what was allocated at line {a.line}"
        size = min((p.size for _, p in ours if p.size), default=4)
        array = Array(name, a.begin, a.begin + a.size, np.dtype(f"V{size}"))
        array.unset = bool(a.fresh)
        found.append(array)
    return found


POLL_SECONDS = 0.25
MOST_KEPT = 64 * 2**20  # bytes of memory that are copied before a launch


class ProgramRun:
    """Watches nothing, but tells how a launch failed: what stopped it, or that nobody asked for its error.

    A launch ends that makes no progress in so many seconds of this processor's time: see deadline.cpp."""

    def __init__(self, program: Program, tell: Tell, seconds: float = MOST_SECONDS):
        self.program, self.tell, self.seconds = program, tell, seconds
        self._ended = threading.Event()
        threading.Thread(target=self._end_what_stands_still, daemon=True).start()

    def _end_what_stands_still(self) -> None:
        library = self.program.library
        library.cudasim_progress.restype = ctypes.c_uint64
        seen, since = 0, 0.0
        while not self._ended.wait(POLL_SECONDS):
            progress, now = library.cudasim_progress(), time.process_time()
            if progress != seen or not progress:
                seen, since = progress, now
            elif now - since > self.seconds:
                library.cudasim_no_progress(ctypes.c_double(self.seconds))

    def before(self, call: Call) -> None:
        """Nothing is prepared."""

    def after(self, call: Call, failures: int) -> None:
        """What stopped it, if anything did: of the others there may be many thousands."""
        if failures in (0, REFUSED):
            return
        watched = WatchedLaunch(self.program, call, [])
        problems = [Problem.from_buffer_copy(p) for p in self.program.module.problems()]
        try:
            where = watched.places([p.pc for p in problems if p.pc])
        except BuildError:  # nothing here tells lines
            where = {p.pc: (str(watched.path), 0) for p in problems}
        for problem in problems:
            self.tell(watched.report(problem, where))

    def end(self, status: int) -> None:
        """The last error, if the program has not asked for it."""
        self._ended.set()
        left = self.program.unasked_error()
        for mistake in [m for m in self.program.mistakes() if left and m.error == left][-1:]:
            message = (
                f"{self.program.error_name(left)}: {mistake.text.decode()}; the program never asked for this error"
            )
            self.tell(_of_the_host(CUDA_ERROR, self.program, mistake, message))


class Memory:
    """What the GPU's memory holds: the allocations, and the program's variables."""

    def __init__(self, program: Program):
        spans = [(a.begin, a.size) for a in program.allocations() if not a.freed_line]
        module = program.module
        spans += [(module.base + symbol.value, symbol.size) for symbol in module.own_variables if symbol.writable]
        self.held = None
        if sum(size for _, size in spans) <= MOST_KEPT:
            self.held = [(begin, ctypes.string_at(begin, size)) for begin, size in spans]

    def put_back(self) -> None:
        """Make it hold that again."""
        for begin, held in self.held or ():
            ctypes.memmove(begin, held, len(held))


@contextmanager
def _silence() -> Iterator[None]:
    """What kernels print meanwhile is not printed."""
    library = ctypes.CDLL(None)
    library.fflush(None)
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        library.fflush(None)
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


class ProgramCheck:
    """Checks every launch of a program, and what its host code does with memory.

    A launch whose blocks hand over runs a second time, its last block first, on the memory that the first found; the
    program goes on with what the first left. (If the GPU's memory holds more than MOST_KEPT bytes, once.)

    tell, launched: called with every report, and with the kernel of every launch before it runs."""

    def __init__(
        self, program: Program, tell: Tell, launched: Callable[[str], None], seconds: float = MOST_SECONDS
    ):  # fmt: skip
        self.program, self.tell, self.launched, self.seconds = program, tell, launched, seconds
        self.variables = instrument.variables(program.module, program.texts)
        self._reports: dict[tuple, Report] = {}
        self._limit = ExitStack()
        self._watched: WatchedLaunch | None = None
        self._memory: Memory | None = None
        for report in checking.of_the_compiler(program.module):
            self._add(report)

    def before(self, call: Call) -> None:
        """Begin to watch."""
        self._watched = watched = WatchedLaunch(self.program, call, self.variables)
        self.launched(watched.kernel)
        self._memory = Memory(self.program) if self.program.has_fences else None
        self._begin(watched)

    def _begin(self, watched: WatchedLaunch) -> None:
        watched.begin(watched.shared, self.seconds, check=True)
        self._limit.enter_context(instrument.time_limit(self.program.library, self.seconds))

    def _end(self) -> list[Problem]:
        self._limit.close()
        return [Problem.from_buffer_copy(p) for p in self.program.module.problems()]

    def _backwards(self, watched: WatchedLaunch, call: Call, before: Memory) -> list[Problem]:
        """What is wrong if the last block comes first."""
        after = Memory(self.program)
        before.put_back()
        self.program.library.cudasim_unwatch()
        self._begin(watched)
        with _silence():
            self.program.module.run_blocks(call, list(range(math.prod(watched.grid)))[::-1])
        problems = self._end()
        after.put_back()
        return problems

    def after(self, call: Call, failures: int) -> None:
        """Take down what was wrong."""
        library, watched = self.program.library, self._watched
        assert watched
        problems = self._end()
        if failures == REFUSED:  # which is one of the mistakes
            problems = []
        if self._memory and self._memory.held and not failures and library.cudasim_handed_over():
            problems += self._backwards(watched, call, self._memory)
        problems.sort(key=lambda problem: problem.kind)
        where = watched.places([pc for p in problems for pc in (p.pc, p.other_pc) if pc])
        for problem in problems:
            self._add(watched.report(problem, where))
        library.cudasim_unwatch()

    def end(self, status: int) -> None:
        """What only the end shows: mistakes in calls of CUDA's, accesses by the host, memory that was never freed.

        A program that gave up frees nothing, and need not."""
        mistakes = self.program.mistakes()
        module = self.program.module
        where = instrument.places(module.built, module.path, tuple(sorted({m.pc for m in mistakes if m.pc})))
        for m in mistakes:
            if m.pc:
                file, line = where[m.pc]
                self._add(Report(HOST_ACCESS, "main", file, line, None, (), (), m.text.decode(), m.count))
            else:
                name = self.program.error_name(m.error)
                self._add(_of_the_host(CUDA_ERROR, self.program, m, f"{name}: {m.text.decode()}", m.count))
        for a in self.program.allocations():
            if not status and not a.freed_line and a.owner != REGISTERED:
                self._add(
                    _of_the_host(LEAK, self.program, a, f"{a.size} bytes that are allocated here are never freed")
                )

    def _add(self, report: Report) -> None:
        lines = frozenset([report.line, report.other_line or report.line])
        what = report.array or report.message  # one line may go wrong in several ways
        known = self._reports.setdefault((report.kind, report.kernel, report.file, lines, what), report)
        if known is report:
            self.tell(report)
        else:
            known.count += report.count


def _of_the_host(kind: str, program: Program, at: Mistake | Allocation, message: str, count: int = 1) -> Report:
    file = instrument.source_file(at.file.decode(), program.module.path.parent)
    return Report(kind, "main", file, at.line, None, (), (), message, count)


class ProgramTrace:
    """Traces the first launch of every kernel of a program; `traces`: {kernel: (Trace, how often it was launched)}."""

    def __init__(self, program: Program, blocks: int = tracing.MOST_BLOCKS, seconds: float = MOST_SECONDS):
        self.program, self.blocks, self.seconds = program, blocks, seconds
        self.variables = instrument.variables(program.module, program.texts)
        self.traces: dict[str, tracing.Trace] = {}
        self.launches: dict[str, int] = {}
        self.faults: list[str] = []
        self._only: Any = None
        self._limit = ExitStack()
        self._watched: WatchedLaunch | None = None

    def before(self, call: Call) -> None:
        """Begin to watch, if it is this kernel's first launch."""
        kernel = call.name.decode()
        self.launches[kernel] = self.launches.get(kernel, 0) + 1
        self._watched = None
        if self.launches[kernel] > 1:
            return
        library = self.program.library
        self._watched = watched = WatchedLaunch(self.program, call, self.variables)
        watched.begin(watched.shared, self.seconds, trace=True)
        only = tracing.some_blocks(watched.grid, watched.cooperative, self.blocks)
        self._only = None if only is None else (ctypes.c_int64 * len(only))(*only)
        if only is not None:
            library.cudasim_trace_only(self._only, ctypes.c_int64(len(only)))
        library.cudasim_forget_rows()
        self._limit.enter_context(instrument.time_limit(library, self.seconds))

    def after(self, call: Call, failures: int) -> None:
        """Count what it asked of memory."""
        library, watched = self.program.library, self._watched
        if not watched:
            return
        self._limit.close()
        if failures == REFUSED:  # the next one may be traced
            del self.launches[watched.kernel]
        elif problems := self.program.module.problems():
            where = watched.places([problems[0].pc] if problems[0].pc else [])
            self.faults.append(str(watched.report(problems[0], where)))
        else:
            total = int(np.prod(watched.grid, dtype=np.int64))
            traced = total if self._only is None else len(self._only)
            self.traces[watched.kernel] = tracing.counted(watched, watched.kernel, total, traced)
        library.cudasim_unwatch()

    def end(self, status: int) -> None:
        """Nothing is left to do."""
