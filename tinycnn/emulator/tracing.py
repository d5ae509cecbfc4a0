"""Shows what each line of a kernel asks of the memory of a GPU.

    print(emulator.trace("copy.cu", emulator.Launch("copy", (4,), (256,), [x, y, np.int32(1000)])))

A warp's load or store is one request. In global memory it costs as many 32-byte sectors as its lanes touch: four for 32
neighbouring floats, 32 for a column. In shared memory it takes as many passes as the lanes want different words of one
bank. Both are counted for every line, beside the fewest that the same lanes could do with.

These are the accesses of the source. The machine's instructions can be fewer: the GPU's compiler merges neighbouring
loads, keeps values in registers, and caches answer part of the requests. And they are counts, not times.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn.emulator import instrument
from tinycnn.emulator.checking import CRASH, ENDLESS
from tinycnn.emulator.instrument import MOST_SECONDS, Observed, Watched
from tinycnn.emulator.launches import Launch
from tinycnn.emulator.module import KernelError

SECTOR = 32  # bytes
COUNTS = ("requests", "lanes", "possible_lanes", "sectors", "fewest_sectors", "passes", "fewest_passes")
MOST_BLOCKS = 64  # evenly spread over the grid; tracing costs some 50 ns an access
NOTE = "Counted are the accesses of the source, not machine instructions, which the compiler merges; no caches."


class _Row(ctypes.Structure):
    """`Row` of trace.cpp."""

    _fields_ = [("pc", ctypes.c_uint64)]
    _fields_ += [(name, ctypes.c_int) for name in ("region", "space", "size", "write", "atomic")]
    _fields_ += [(name, ctypes.c_uint64) for name in COUNTS]


@dataclass
class Line:
    """The loads, the stores or the atomics of a source line to one array."""

    file: str
    line: int
    space: str  # global or shared
    op: str  # load, store or atomic
    array: str
    bytes_per_lane: int
    requests: int = 0
    lanes: int = 0  # over all requests, how many lanes took part
    possible_lanes: int = 0  # and how many the warps had
    sectors: int = 0
    fewest_sectors: int = 0
    passes: int = 0
    fewest_passes: int = 0

    @property
    def sectors_per_request(self) -> float | None:
        """None for shared memory."""
        return self.sectors / self.requests if self.space == "global" else None

    @property
    def ideal_sectors_per_request(self) -> float | None:
        """What the same lanes could do with, if what they want lay side by side."""
        return self.fewest_sectors / self.requests if self.space == "global" else None

    @property
    def bank_conflict_ways(self) -> float | None:
        """How many times as many passes as without conflicts; None for global memory."""
        return self.passes / self.fewest_passes if self.space == "shared" else None

    @property
    def lane_efficiency(self) -> float:
        """The share of the warps' lanes that took part."""
        return self.lanes / self.possible_lanes

    def as_json(self) -> dict[str, Any]:
        """The same as plain data, with what follows from the counts."""
        derived = ("sectors_per_request", "ideal_sectors_per_request", "bank_conflict_ways", "lane_efficiency")
        return {**asdict(self), **{name: getattr(self, name) for name in derived}}


@dataclass
class Trace:
    """What a launch asks of memory, line by line."""

    kernel: str
    lines: list[Line]
    blocks: int  # of the grid
    traced_blocks: int
    bytes_moved: int  # of global memory, in sectors, without any cache
    bytes_fewest: int  # the sectors of the arrays that were read, and those written, each once

    @property
    def lane_efficiency(self) -> float:
        """The same over all lines."""
        return sum(line.lanes for line in self.lines) / (sum(line.possible_lanes for line in self.lines) or 1)

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "kernel": self.kernel,
            "lines": [line.as_json() for line in self.lines],
            "blocks": self.blocks,
            "traced_blocks": self.traced_blocks,
            "bytes_moved": self.bytes_moved,
            "bytes_fewest": self.bytes_fewest,
            "lane_efficiency": self.lane_efficiency,
            "note": NOTE,
        }

    def __str__(self) -> str:
        from tabulate import tabulate

        def number(value: float | None) -> str:
            return "" if value is None else f"{value:.2f}"

        rows = [
            [
                f"{Path(line.file).name}:{line.line}",
                f"{line.space} {line.op}",
                line.array,
                line.requests,
                number(line.sectors_per_request),
                number(line.ideal_sectors_per_request),
                number(line.bank_conflict_ways),
                f"{line.lane_efficiency:.0%}",
                _source(line),
            ]
            for line in self.lines
        ]
        headers = ["line", "access", "array", "requests", "sectors/\nrequest", "at best", "bank\nconflict\nways"]
        table = tabulate(
            rows,
            headers=[*headers, "lanes\nat work", "source"],
            disable_numparse=True,
            colalign=("left", "left", "left", "right", "right", "right", "right", "right", "left"),
        )
        part = "" if self.traced_blocks == self.blocks else f", {self.traced_blocks} of its {self.blocks} blocks"
        ratio = f", {self.bytes_moved / self.bytes_fewest:.2f} times as many" if self.bytes_fewest else ""
        return (
            f"{self.kernel}{part}\n\n{table}\n\n"
            f"Global memory: {self.bytes_moved} bytes moved in sectors of {SECTOR}; "
            f"the arrays' own sectors, each once, are {self.bytes_fewest}{ratio}.\n{NOTE}"
        )


def _source(line: Line, most: int = 60) -> str:
    """The line itself, as far as it fits."""
    try:
        text = Path(line.file).read_text(errors="replace").splitlines()[line.line - 1].strip()
    except (OSError, IndexError):
        return ""
    return text if len(text) <= most else text[: most - 3] + "..."


def trace(path: str | Path, launch: Launch, blocks: int | None = MOST_BLOCKS, seconds: float = MOST_SECONDS) -> Trace:
    """Run a launch and count, for every line that loads or stores, what it asks of memory: a Trace.

    blocks: at most this many of the grid's blocks are run, evenly spread; None for all. Of a cooperative launch all.
    seconds: after so many the launch is ended.
    Raises LaunchError and BuildError as `load` and `Module.launch`, and KernelError for a kernel that has a fault or
    does not end.
    """
    watched = instrument.Watched(path, [launch.kernel])
    total = int(np.prod(launch.grid, dtype=np.int64))
    only = some_blocks(launch.grid, launch.cooperative, blocks)
    with running(watched, launch, only, seconds):
        return counted(watched, launch.kernel, total, total if only is None else len(only))


def counted(watched: Observed, kernel: str, blocks: int, traced_blocks: int) -> Trace:
    """What was counted in the launch that has just ended, while it is still watched."""
    library = watched.module.library
    library.cudasim_rows.restype = ctypes.POINTER(_Row)
    count = ctypes.c_int()
    table = library.cudasim_rows(ctypes.byref(count))
    rows = [_Row.from_buffer_copy(table[i]) for i in range(count.value)]
    fewest = SECTOR * sum(_touched(library, region) for region in range(len(watched.arrays)))
    moved = SECTOR * sum(row.sectors for row in rows)
    return Trace(kernel, _by_line(watched, rows), blocks, traced_blocks, moved, fewest)


def some_blocks(grid: tuple[int, ...], cooperative: bool, most: int | None) -> list[int] | None:
    """At most so many of a grid's blocks, evenly spread; None for all of them, as where they wait for one another."""
    total = int(np.prod(grid, dtype=np.int64))
    if most is None or total <= most or cooperative:
        return None
    return np.unique(np.linspace(0, total - 1, most).astype(np.int64)).tolist()


@contextmanager
def running(
    watched: Watched, launch: Launch, only: list[int] | None, seconds: float, record: int = 0
) -> Iterator[None]:
    """A launch that is run and traced; inside, what was counted can be asked for. Raises KernelError as `trace`.

    record: how many requests to keep at most.
    """
    watched.module.library.cudasim_forget_rows()
    with watched.watch(launch, trace=True, only=only, seconds=seconds, record=record):
        problems = watched.module.problems()
        if problems and problems[0].kind in (ENDLESS, CRASH) and problems[0].pc:
            file, line = watched.places([problems[0].pc])[problems[0].pc]
            raise KernelError(f"{launch.kernel}: {file}:{line}: {problems[0].message.decode()}")
        if problems:
            raise KernelError(
                f"{launch.kernel} cannot be traced, for it has a fault; `tinycnn check` tells which, and where"
            )
        yield


def _touched(library: ctypes.CDLL, region: int) -> int:
    """The sectors of an array that were read, and those that were written."""
    read, written = ctypes.c_uint64(), ctypes.c_uint64()
    library.cudasim_touched(region, ctypes.byref(read), ctypes.byref(written))
    return read.value + written.value


def _by_line(watched: Observed, rows: Sequence[_Row]) -> list[Line]:
    """One Line for each source line, operation and array: a line may have been compiled into several instructions."""
    where = watched.places([row.pc for row in rows])
    lines: dict[tuple, Line] = {}
    for row in rows:
        file, number = where[row.pc]
        op = "atomic" if row.atomic else "store" if row.write else "load"
        name = watched.array_of(row.region)[0]
        key = (file, number, "shared" if row.space else "global", op, name, row.size)
        line = lines.setdefault(key, Line(*key))
        for count in COUNTS:
            setattr(line, count, getattr(line, count) + getattr(row, count))
    return [lines[key] for key in sorted(lines)]
