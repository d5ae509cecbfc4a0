"""A recorded launch as a page holds it: its source with colours, its arrays, and its requests, compressed."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from tinycnn.emulator import Launch, Recording, record
from tinycnn.emulator.recording import RecordedArray
from tinycnn.lessons.grids import Extents, grid_of

OP_WORDS = {"load": "loads of", "store": "stores to", "atomic": "atomics on"}


class Run:
    """A recording on a page. title: what it is beside the others. shared: {name: (rows, columns)} of shared arrays."""

    def __init__(self, recording: Recording, number: int, title: str, shared: Mapping[str, Extents] | None = None):
        self.recording, self.number, self.title = recording, number, title
        self.file = recording.path.name
        self.shared = shared or {}
        self.source = highlighted(recording.path, f"s{number}")

    def of(self, array: str, op: str | None = None) -> list[int]:
        """The numbers of an array's requests."""
        return self.recording.of(array, op).tolist()

    def as_json(self) -> dict[str, Any]:
        """Plain data for player.js."""
        return {
            "number": self.number,
            "count": len(self.recording),
            "threads": int(np.prod(self.recording.launch.block)),
            "lines": [self._line(*place) for place in self.recording.places],
            "arrays": [self._array(array) for array in self.recording.arrays],
            "data": base64.b64encode(self.recording.packed()).decode("ascii"),
        }

    def _line(self, file: str, line: int) -> int | str:
        """A line's number, with the file's name before it where that is a header."""
        name = Path(file).name
        return line if name == self.file else f"{name}:{line}"

    def _array(self, array: RecordedArray) -> dict[str, Any]:
        grid = grid_of(array, self.shared.get(array.name))
        return {
            "name": array.name,
            "space": array.space,
            "shape": list(array.shape),
            "itemsize": array.itemsize,
            "at": array.at,
            "grid": grid._asdict(),
            "whole": grid.whole,
        }


def recorded(
    path: Path, launch: Launch, number: int, title: str, keep: Sequence[tuple[str, str]] | None = None,
    shared: Mapping[str, Extents] | None = None,
) -> Run:  # fmt: skip
    """Record a launch. keep: of its requests only those of these (array, operation)."""
    recording = record(path, launch)
    if keep is not None:
        chosen = np.sort(np.concatenate([recording.of(array, op) for array, op in keep]))
        recording = replace(recording, requests=recording.requests[chosen])
    return Run(recording, number, title, shared)


def watched(runs: Sequence[Run], what: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """What a stage offers to watch: of all runs side by side, the requests of each (array, operation)."""
    return [
        {
            "label": f"{OP_WORDS[op]} {array}",
            "lists": [{"run": run.number, "requests": run.of(array, op)} for run in runs],
        }
        for array, op in what
    ]


def highlighted(path: Path, name: str, faults: Collection[int] = ()) -> Markup:
    """A kernel file with its words marked for their colours; each line is a span with the id `name`-number.

    faults: lines that are marked.
    """
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import CudaLexer

    formatter = HtmlFormatter(linespans=name, cssclass="code")
    text = highlight(path.read_text(encoding="utf-8", errors="replace"), CudaLexer(stripnl=False), formatter)
    for line in faults:
        text = text.replace(f'<span id="{name}-{line}">', f'<span id="{name}-{line}" class="fault">')
    return Markup(text)
