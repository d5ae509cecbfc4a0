"""Lesson 5: the missing barrier, and what two threads that race do in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from tinycnn import emulator, kernels
from tinycnn.emulator import Launch, Recording, Report
from tinycnn.emulator.recording import OPS
from tinycnn.lessons import figures
from tinycnn.lessons.lesson import Made, Question
from tinycnn.lessons.runs import highlighted
from tinycnn.lessons.subjects import Subject, changed, launch_of

STEP = "3_shared_filters"
BARRIER = "        __syncthreads();  // all is there before anybody reads\n"
GONE = "        // a barrier is missing here\n"  # one line too, so that the others keep their numbers
MOST_EVENTS = 8  # of a time line


@dataclass(frozen=True)
class Event:
    """An access to the cell that two threads race for."""

    thread: int  # 0: the one that the report names first, 1: the other
    barriers: int  # that the block had completed
    op: str
    line: int


def barrier(subject: Subject) -> Made:
    layer = subject.later
    launch = launch_of(STEP, "forward", layer.conv)
    path = kernels.path(f"ladder/{STEP}")
    number = path.read_text(encoding="utf-8").splitlines(keepends=True).index(BARRIER) + 1
    with changed(STEP, BARRIER, GONE) as broken:
        report = next(r for r in emulator.check(broken, [launch]) if r.kind == "race")
        events = events_of(emulator.record(broken, launch), report)
        source = highlighted(broken, "s0", {report.line, report.other_line or report.line})
        wrong = wrong_numbers(broken, path, launch)
    ordered = events_of(emulator.record(path, launch), report)
    names = [thread_name(report.thread), thread_name(report.other_thread)]
    does = "reads" if "reads" in report.message.split(",")[0] else "writes"
    other = "writes" if does == "reads" else "reads"
    reader, writer = names if does == "reads" else names[::-1]
    outputs = layer.conv.P * layer.conv.Q * layer.conv.K
    questions = [
        Question(
            f"One barrier is gone, line {number} of {path.name}. What can go wrong?",
            (
                f"{reader} may come before {writer}, and read what is not there yet",
                "nothing: the threads of a warp run together",
                "the kernel hangs at the other barrier",
            ),
            0,
            "threads of different warps run in any order, and only a barrier says that one waits for the other.",
        ),
        Question(
            f"The emulator runs the broken kernel once. How many of the {outputs:,} outputs are wrong?",
            ("none", "some of them", "all of them"),
            0 if not wrong else 2 if wrong == outputs else 1,
            f"{wrong:,} in this order. In another order it is another number, and it may be none: so the check looks "
            "at the order, not at the numbers.",
        ),
    ]
    draw = partial(figures.timeline, names=names, cell=f"{report.array}[{report.element}]")
    frames = [
        (f"broken, {names[first]} first", figures.inline(draw(in_order(events, first), "no barrier between the two")))
        for first in (0, 1)
    ] + [("whole, as it has to be", figures.inline(draw(in_order(ordered, 1), "a barrier between the two")))]
    return Made(
        f"Here: step 3 of the ladder without its first barrier, checked on {layer.what}, {layer}.",
        questions,
        partial(draw, in_order(events, 0), "no barrier between the two"),
        values={
            "report": report, "message": as_text(report), "lines": [report.line, report.other_line], "names": names,
            "does": does, "other": other, "frames": frames, "barrier": number, "file": path.name,
            "shown": {"source": source, "file": path.name, "title": ""},
        },
    )  # fmt: skip


def wrong_numbers(broken: Path, whole: Path, launch: Launch) -> int:
    """How many outputs of a launch differ, run once by each file; a number that was never written is one too."""
    found = []
    for path in (broken, whole):
        args = [a.copy() if isinstance(a, np.ndarray) else a for a in launch.args]
        module = emulator.load(path, [launch.kernel])
        module.launch(launch.kernel, launch.grid, launch.block, args, launch.shared, launch.cooperative)
        found.append(args[2])  # y
    return int((~np.isclose(found[0], found[1], rtol=1e-4, atol=1e-4)).sum())


def thread_name(thread: Sequence[int] | None) -> str:
    return f"thread ({','.join(map(str, thread or ()))})"


def as_text(report: Report) -> str:
    """A report as `tinycnn check` prints it, without the folders."""
    name = Path(report.file).name
    return str(report).replace(report.file, name)


def events_of(recording: Recording, report: Report) -> list[Event]:
    """What the two threads of a race do with its cell, in the order in which the emulator ran them."""
    requests = recording.requests
    cell = next((i for i, a in enumerate(recording.arrays) if a.name == report.array), None)
    if cell is None or report.element is None:
        return []
    found = []
    who = [(report.block, report.thread), (report.other_block or report.block, report.other_thread or report.thread)]
    extents = (*recording.launch.block, 1, 1)[:3]
    for number, (block, thread) in enumerate(who):
        flat = (thread[2] * extents[1] + thread[1]) * extents[0] + thread[0]
        warp, lane = divmod(flat, 32)
        mine = (requests["array"] == cell) & (requests["block"] == block).all(axis=1) & (requests["warp"] == warp)
        mine &= recording.active[:, lane]
        mine &= requests["offsets"][:, lane] // recording.arrays[cell].itemsize == report.element
        for i in np.flatnonzero(mine):
            line = recording.places[requests[i]["place"]][1]
            found.append((int(i), Event(number, int(requests[i]["barriers"]), OPS[requests[i]["op"]], line)))
    return [event for _, event in sorted(found, key=lambda pair: pair[0])][: 2 * MOST_EVENTS]


def in_order(events: list[Event], first: int) -> list[Event]:
    """The same accesses with that thread first wherever no barrier decides: as good an order as any other."""
    return sorted(events, key=lambda e: (e.barriers, e.thread != first))[:MOST_EVENTS]
