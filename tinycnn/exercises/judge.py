"""Judges a submission: builds, right on the visible shapes, right on the hidden ones, clean, the counts.

    verdict = judge(load("coalesce"), "mine.cu", Path("mine.cu").read_text())

Everything that runs the submission does so in a child process (limited.py), stage by stage, and a stage that is failed
is the last. Marks rest on counts, never on time. What is said about a hidden shape is what it was chosen to reveal, as
its author put it, and the line and the kind of a fault: no sizes, no numbers, nothing that the submission itself says.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tinycnn import emulator, limited
from tinycnn.emulator.checking import launch_seconds
from tinycnn.emulator.compiler import BUILD_SECONDS
from tinycnn.exercises import load
from tinycnn.exercises.exercise import Exercise, Shape
from tinycnn.exercises.runners import CRASH, ENDLESS, SECONDS, Rejected, Wrong, runner_of
from tinycnn.exercises.stages import BUILDS, CLEAN, COUNTS, HIDDEN, VISIBLE, Stage, Verdict

SHAPE_SECONDS = {"cuda": launch_seconds(SECONDS), "numba": SECONDS, "gradient": SECONDS}
MOST_BYTES = 2**20  # of a submission
MOST_SHOWN = 3  # faults


def judge(exercise: Exercise, file: str, text: str, hidden: Sequence[Shape] | None = None) -> Verdict:
    """Judge the text of a submission; file: its name, for messages. hidden: shapes in place of the exercise's own.

    Raises CompilerMissing and DeviceError where what is needed is not installed, and JobError where the child ended
    before it began.
    """
    if reason := refused(exercise, text):
        return verdict_of(exercise, [Stage(BUILDS, False, reason)])
    secret = None if hidden is None else [[shape.sizes, shape.suspicion] for shape in hidden]
    with tempfile.TemporaryDirectory(prefix="tinycnn-judge-", ignore_cleanup_errors=True) as temporary:
        folder = os.path.realpath(temporary)  # as the compiler names it
        name = re.sub(r"[^\w.-]", "_", Path(file).name)
        (Path(folder) / name).write_text(text, encoding="utf-8")
        arguments = {"name": exercise.name, "folder": folder, "file": name, "hidden": secret}
        outcome = limited.run("tinycnn.exercises.judge:job", arguments)
    stages = [Stage(**stage) for stage in outcome.values]
    if outcome.ended:
        stage, _, place = outcome.during.partition(": ")
        if stage not in stage_names(exercise):
            raise limited.JobError(f"{file} could not be judged: {outcome.ended}\n{outcome.printed}".rstrip())
        stages.append(Stage(stage, False, f"at {place}: {outcome.ended}" if place else outcome.ended))
    return verdict_of(exercise, stages)


def stage_names(exercise: Exercise) -> list[str]:
    """The stages of an exercise: a kernel in Python has no check, and not every exercise asks for counts."""
    clean, counts = [CLEAN] * (exercise.kind == "cuda"), [COUNTS] * bool(exercise.goals)
    return [BUILDS, VISIBLE, HIDDEN, *clean, *counts]


def verdict_of(exercise: Exercise, reached: Sequence[Stage]) -> Verdict:
    """The first stages, and those that were not reached."""
    return Verdict(exercise.name, (*reached, *(Stage(name) for name in stage_names(exercise)[len(reached) :])))


def refused(exercise: Exercise, text: str) -> str:
    """Why a text is not even built, or ''. What is included would be quoted by the compiler, and then by us."""
    if len(text.encode()) > MOST_BYTES:
        return f"the file has more than {MOST_BYTES // 2**20} MiB"
    if exercise.kind != "cuda":
        return ""
    plain = re.sub(r"/\*.*?\*/", " ", text.replace("\\\n", ""), flags=re.DOTALL)
    if re.search(r"^\s*(?:#|%:|\?\?=)\s*(?:include|include_next|import|embed)\b", plain, re.MULTILINE):
        return "the file includes another; an exercise needs nothing but itself"
    code = re.sub(r"//[^\n]*", "", plain)
    if re.search(r"\b(?:asm|__asm|__asm__)\b", code):
        return "the file has inline assembly, which nothing here can run"
    if re.search(r"no_sanitize|cudasim|__tsan", code, re.IGNORECASE):
        return "the file names what belongs to the emulator, and not to CUDA"
    return ""


# ---------------------------------------------------------------- in the child


def job(
    name: str, folder: str, file: str, hidden: list[tuple[dict[str, int], str]] | None
) -> Iterator[limited.At | dict[str, Any]]:
    """Judge the file in that folder, and yield the stages that are reached as plain data."""
    os.chdir(folder)  # faults are told by the file's name alone
    for said in _stages(load(name), Path(file), hidden):
        if isinstance(said, limited.At):
            yield said
        else:
            yield {**asdict(said), "message": said.message.replace(f"{folder}/", "")}


def _stages(
    exercise: Exercise, path: Path, hidden: list[tuple[dict[str, int], str]] | None
) -> Iterator[limited.At | Stage]:
    yield limited.At(BUILDS, BUILD_SECONDS)
    try:
        runner = runner_of(exercise, path)
    except Rejected as rejected:
        yield Stage(BUILDS, False, str(rejected))
        return
    yield Stage(BUILDS, True)
    seconds = SHAPE_SECONDS[exercise.kind]
    # Where it is counted it has to be right too.
    counted = (exercise.counted._replace(suspicion="the counts are taken"),) if exercise.counted else ()
    secret = exercise.hidden if hidden is None else tuple(Shape(*shape) for shape in hidden)
    for name, shapes in ((VISIBLE, (*exercise.visible, *counted)), (HIDDEN, secret)):
        found: list[tuple[Shape, Wrong]] = []
        for shape in shapes:
            yield limited.At(f"{name}: {shape}" if name == VISIBLE else name, seconds)
            wrong = runner.run(exercise.at(shape.sizes), name)
            if wrong and wrong.kind == CRASH:  # what it has written over, nobody knows
                yield Stage(name, False, f"at {shape}: {wrong.detail}" if name == VISIBLE else wrong.detail)
                return
            if wrong:
                found.append((shape, wrong))
            if wrong and wrong.kind == ENDLESS:
                break  # as it would on the others
        if found:
            yield Stage(name, False, (_visible if name == VISIBLE else _hidden)(found, len(shapes)))
            return
        yield Stage(name, True)
    if exercise.kind == "cuda":
        reports = [*map(str, runner.reports(VISIBLE)), *(f"on a hidden shape: {r}" for r in runner.places(HIDDEN))]
        reports = reports[:MOST_SHOWN] + [f"... {len(reports) - MOST_SHOWN} more"] * (len(reports) > MOST_SHOWN)
        yield Stage(CLEAN, not reports, "\n".join(reports))
        if reports:
            return
    if exercise.goals:
        yield limited.At(COUNTS, seconds)
        try:
            yield _counted(exercise, runner.counts())
        except (emulator.KernelError, Rejected) as error:  # a fault that the other shapes have not shown
            yield Stage(COUNTS, False, str(error))


def _visible(found: list[tuple[Shape, Wrong]], of: int) -> str:
    """What is wrong on visible shapes: all about the first of them."""
    shape, wrong = found[0]
    where = f", where {shape.suspicion}" if shape.suspicion else ""
    return f"wrong on {len(found)} of {of} shapes. At {shape}{where}:\n{wrong.detail}"


def _hidden(found: list[tuple[Shape, Wrong]], of: int) -> str:
    """What may be said about hidden ones."""
    where = "; ".join(dict.fromkeys(shape.suspicion for shape, _ in found if shape.suspicion))
    how = ", ".join(dict.fromkeys(wrong.kind for _, wrong in found))
    return f"wrong on {len(found)} of {of} shapes ({how})" + (f": where {where}" if where else "")


def _counted(exercise: Exercise, counts: dict[str, float]) -> Stage:
    """Whether the goals are reached."""
    missed = [goal for goal in exercise.goals if not counts[goal.what] <= goal.most]
    words = [f"{counts[goal.what]:.4g} {goal.what}; at most {goal.most:g} are asked for" for goal in missed]
    if missed:
        words.append(f"counted at {exercise.counted}; `tinycnn trace` shows which line it is")
    return Stage(COUNTS, not missed, "\n".join(words), counts)
