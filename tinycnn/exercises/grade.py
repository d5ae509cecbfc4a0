"""Judges a folder of submissions: every file on its own, several at a time, with the same marks every time."""

from __future__ import annotations

import csv
import importlib.util
import io
import os
import stat
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from tinycnn import limited
from tinycnn.exercises.exercise import Exercise, Shape
from tinycnn.exercises.judge import judge, verdict_of
from tinycnn.exercises.refused import MOST_BYTES
from tinycnn.exercises.stages import BUILDS, Stage, Verdict
from tinycnn.utils.hardware import cores


class Graded(NamedTuple):
    """A file, named from the folder, and its verdict. unjudged: why there is none, and no mark either."""

    file: str
    verdict: Verdict
    unjudged: str = ""

    @property
    def score(self) -> int | str:
        """The mark; '' where there is none."""
        return "" if self.unjudged else self.verdict.score

    @property
    def message(self) -> str:
        """What is wrong; '' where nothing is."""
        failed = self.verdict.failed
        return self.unjudged or (failed.message if failed else "")

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {"file": self.file, **self.verdict.as_json(), **({"unjudged": self.unjudged} if self.unjudged else {})}


def grade(exercise: Exercise, folder: Path, hidden: Sequence[Shape] | None = None) -> list[Graded]:
    """Judge every file below a folder that has the exercise's suffix, in the order of their names.

    hidden: shapes in place of the exercise's own. Raises ValueError where there is no such file, and CompilerMissing
    and DeviceError where what is needed is not installed.
    """
    files = submissions(exercise, folder)
    if not files:
        raise ValueError(f"{folder} has no file that ends in {exercise.suffix}")
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(lambda file: graded(exercise, folder, file, hidden), files))


def submissions(exercise: Exercise, folder: Path) -> list[str]:
    """The files below a folder, by their names from there. What is hidden, and folders behind links, are left out."""
    found = []
    for place, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if name[0] != "."]
        found += [Path(place, name) for name in files if name.endswith(exercise.suffix) and name[0] != "."]
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _raise(error: OSError) -> None:
    raise error


def graded(exercise: Exercise, folder: Path, file: str, hidden: Sequence[Shape] | None) -> Graded:
    """One file. What is no text at all fails the first stage."""
    try:
        text = read(folder / file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Graded(file, verdict_of(exercise, [Stage(BUILDS, False, reason)]))
    try:
        return Graded(file, judge(exercise, file, text, hidden))
    except limited.JobError as error:
        return Graded(file, verdict_of(exercise, []), str(error))


def read(path: Path) -> str:
    """The text of a submission. Raises OSError, and ValueError for what is no regular file, too large, or no text."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("is not a regular file")
    if status.st_size > MOST_BYTES:
        raise ValueError(f"has more than {MOST_BYTES // 2**20} MiB")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError("is not a text in UTF-8") from None


# ---------------------------------------------------------------- the shapes of a teacher


def read_shapes(exercise: Exercise, path: Path) -> tuple[Shape, ...]:
    """The shapes of a TOML file:

        [[shape]]
        n = 4099
        hint = "there are more blocks than ..."    # may be left out; it is shown to who fails here

    Raises OSError, and ValueError that names the shape and what is wrong with it.
    """
    parsers = [name for name in ("tomllib", "tomli") if importlib.util.find_spec(name)]  # the first from Python 3.11 on
    if not parsers:
        raise ValueError("a file of shapes needs Python 3.11, or pip install tomli")
    try:
        content = importlib.import_module(parsers[0]).loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # TOML's own, and text that is not UTF-8
        raise ValueError(f"{path}: {error}") from None
    rows = content.get("shape")
    if list(content) != ["shape"] or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path}: it consists of tables [[shape]], each with: {', '.join(exercise.sizes)}")
    shapes = []
    for number, row in enumerate(rows, 1):
        hint = row.pop("hint", "")
        if not isinstance(hint, str):
            raise ValueError(f"{path}: shape {number}: the hint is a text, not {hint!r}")
        shapes.append(Shape(exercise.checked(row, f"{path}: shape {number}"), hint))
    return tuple(shapes)


# ---------------------------------------------------------------- as a table for spreadsheets


def as_csv(rows: Iterable[Graded]) -> str:
    """A line for each file: its mark, 1 or 0 for each stage that was reached, the counts, and what is wrong."""
    rows = list(rows)
    stages = [stage.name for stage in rows[0].verdict.stages]
    counts = list(dict.fromkeys(name for row in rows for stage in row.verdict.stages for name in stage.counts))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["file", "score", "of", *stages, *counts, "message"])
    for row in rows:
        passed = ["" if stage.passed is None else int(stage.passed) for stage in row.verdict.stages]
        found = {name: count for stage in row.verdict.stages for name, count in stage.counts.items()}
        cells = [row.score, row.verdict.of, *passed, *(found.get(name, "") for name in counts)]
        writer.writerow([_plain(row.file), *cells, _plain(row.message)])
    return out.getvalue()


def _plain(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
