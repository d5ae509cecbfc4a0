"""The page of a kernel file of one's own: its faults, and its first launch, played."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from tinycnn import emulator
from tinycnn.emulator import KernelError, Launch, Recording
from tinycnn.emulator.recording import OPS
from tinycnn.lessons import figures
from tinycnn.lessons.lesson import Made
from tinycnn.lessons.races import as_text, events_of, in_order, thread_name
from tinycnn.lessons.runs import Run, highlighted, watched
from tinycnn.lessons.subjects import Subject

MOST_REQUESTS = 2000  # that are played


def own(path: Path, launches: Sequence[Launch], subject: Subject, seconds: float = emulator.MOST_SECONDS) -> Made:
    """What is wrong with a kernel file, as the check finds it; and its first launch, played.

    seconds: after so many a launch is ended.
    """
    reports = emulator.check(path, launches, seconds)
    here = [report for report in reports if Path(report.file).name == path.name]
    faults = {line for report in here for line in (report.line, report.other_line) if line}
    ended = any(report.kind in ("endless", "crash") for report in reports)
    recording = None if ended else recorded_part(path, launches[0])
    race = next((r for r in here if r.kind == "race" and r.kernel == launches[0].kernel and r.other_line), None)
    runs, stages, frames = [], {}, []
    names: dict[str, list[str]] = {"global": [], "shared": []}
    if recording is not None:
        runs = [Run(recording, 0, launches[0].kernel)]
        for number in np.unique(recording.requests["array"]):
            names[recording.arrays[number].space].append(recording.arrays[number].name)
        touched = {(recording.arrays[r["array"]].name, OPS[r["op"]]) for r in recording.requests}
        stages = {"own": watched(runs, sorted(touched))} if touched else {}
        if race is not None:
            threads = [thread_name(race.thread), thread_name(race.other_thread)]
            draw = partial(figures.timeline, names=threads, cell=f"{race.array}[{race.element}]")
            events = events_of(recording, race)
            frames = [
                (
                    f"{threads[first]} first",
                    figures.inline(draw(in_order(events, first), "as good an order as any other")),
                )
                for first in (0, 1)
                if events
            ]
    kinds = f"{len(reports)} report{'s' * (len(reports) != 1)}" if reports else "nothing to report"
    return Made(
        f"Here: {len(launches)} launch{'es' * (len(launches) != 1)} of {path.name}. The check has {kinds}.",
        [],
        partial(figures.sectors, runs if names["global"] else [], "".join(names["global"][:1])),
        runs,
        stages,
        {
            "reports": [as_text(report) for report in reports], "frames": frames, "playable": bool(stages),
            "arrays": names["global"], "shared": names["shared"],
            "shown": {"source": highlighted(path, "shown", faults), "file": path.name, "title": "whole"},
            "path": path.name,
        },
    )  # fmt: skip


def recorded_part(path: Path, launch: Launch) -> Recording | None:
    """The first requests of a few blocks of a launch; None where a fault keeps it from being run to its end."""
    try:
        recording = emulator.record(path, launch, blocks=4)
    except KernelError:
        return None
    return replace(recording, requests=recording.requests[:MOST_REQUESTS])
