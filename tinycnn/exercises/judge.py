"""Judges a submission: builds, right on the visible shapes, right on the hidden ones, clean, the counts.

    verdict = judge(load("coalesce"), "mine.cu", Path("mine.cu").read_text())

Everything that runs the submission does so in a child process (limited.py), stage by stage, and a stage that is failed
is the last. What a submission in Python gives is compared outside of its process (answers.py). Marks rest on counts,
never on time. What is said about a hidden shape is what it was chosen to reveal, as its author put it, and the line and
the kind of a fault: no sizes, no numbers, nothing that the submission itself says.
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
from tinycnn.exercises import in_python, load
from tinycnn.exercises.answers import Answer, wrong_with
from tinycnn.exercises.compare import Wrong
from tinycnn.exercises.exercise import Case, Exercise, Shape
from tinycnn.exercises.refused import refused
from tinycnn.exercises.runners import CRASH, ENDLESS, SECONDS, CudaRunner, Rejected
from tinycnn.exercises.stages import BUILDS, CLEAN, COUNTS, HIDDEN, VISIBLE, Stage, Verdict

SHAPE_SECONDS = {"cuda": launch_seconds(SECONDS), "numba": SECONDS, "gradient": SECONDS}
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
    if exercise.kind == "cuda":
        stages = [Stage(**stage) for stage in outcome.values]
    else:
        stages = _stages_of_answers(exercise, name, text, outcome.values, hidden)
    if outcome.ended and all(stage.passed for stage in stages):
        stage, _, place = outcome.during.partition(": ")
        if stage not in stage_names(exercise):
            raise limited.JobError(f"{file} could not be judged: {outcome.ended}\n{outcome.printed}".rstrip())
        ended = outcome.ended.partition(limited.STATUS)[0] if stage == HIDDEN else outcome.ended  # it can be any number
        stages.append(Stage(stage, False, f"at {place}: {ended}" if place else ended))
    return verdict_of(exercise, stages)


def stage_names(exercise: Exercise) -> list[str]:
    """The stages of an exercise: a kernel in Python has no check, and not every exercise asks for counts."""
    clean, counts = [CLEAN] * (exercise.kind == "cuda"), [COUNTS] * bool(exercise.goals)
    return [BUILDS, VISIBLE, HIDDEN, *clean, *counts]


def verdict_of(exercise: Exercise, reached: Sequence[Stage]) -> Verdict:
    """The first stages, and those that were not reached."""
    return Verdict(exercise.name, (*reached, *(Stage(name) for name in stage_names(exercise)[len(reached) :])))


def shapes_of(exercise: Exercise, hidden: Sequence[Shape] | None) -> dict[str, tuple[Shape, ...]]:
    """{stage: the shapes that it is run on}. hidden: shapes in place of the exercise's own."""
    # Where it is counted it has to be right too.
    counted = (exercise.counted._replace(suspicion="the counts are taken"),) if exercise.counted else ()
    return {VISIBLE: (*exercise.visible, *counted), HIDDEN: exercise.hidden if hidden is None else tuple(hidden)}


def _stages_of_answers(
    exercise: Exercise, file: str, text: str, said: Sequence[Any], hidden: Sequence[Shape] | None
) -> list[Stage]:
    """The stages that a submission in Python has reached. said: why it does not build or '', then an answer a shape."""
    if not said or said[0]:
        return [Stage(BUILDS, False, str(reason)) for reason in said[:1]]
    stages, answers = [Stage(BUILDS, True)], list(said[1:])
    for name, shapes in shapes_of(exercise, hidden).items():
        here, answers = answers[: len(shapes)], answers[len(shapes) :]
        if len(here) < len(shapes):  # it was ended there
            break
        wrong = [
            (shape, wrong_with(exercise, exercise.at(shape.sizes), answer, file, text))
            for shape, answer in zip(shapes, here, strict=True)
        ]
        stages.append(_compared(name, wrong))
        if not stages[-1].passed:
            break
    return stages


def _compared(name: str, wrong: Sequence[tuple[Shape, Wrong | None]]) -> Stage:
    """What became of a stage: what was wrong at its shapes."""
    found = [(shape, what) for shape, what in wrong if what]
    words = (_visible if name == VISIBLE else _hidden)(found, len(wrong)) if found else ""
    return Stage(name, not found, words)


# ---------------------------------------------------------------- in the child


def job(
    name: str, folder: str, file: str, hidden: list[tuple[dict[str, int], str]] | None
) -> Iterator[limited.At | dict[str, Any] | str]:
    """Judge the file in that folder, and yield the stages that are reached as plain data.

    Of a file in Python only what it gives is yielded: what that is worth is not for its own process to say.
    """
    os.chdir(folder)  # faults are told by the file's name alone
    exercise = load(name)
    shapes = shapes_of(exercise, None if hidden is None else [Shape(*shape) for shape in hidden])
    for said in (_stages if exercise.kind == "cuda" else _answers)(exercise, Path(file), shapes):
        if isinstance(said, Stage):
            yield {**asdict(said), "message": said.message.replace(f"{folder}/", "")}
        else:
            yield said


def _answers(
    exercise: Exercise, path: Path, shapes: dict[str, tuple[Shape, ...]]
) -> Iterator[limited.At | Answer | str]:
    yield limited.At(BUILDS, BUILD_SECONDS)
    try:
        runner = in_python.runner_of(exercise, path)
    except Rejected as rejected:
        yield str(rejected)
        return
    yield ""
    for name in shapes:
        for shape in shapes[name]:
            yield limited.At(f"{name}: {shape}" if name == VISIBLE else name, SHAPE_SECONDS[exercise.kind])
            yield runner.run(exercise.at(shape.sizes))


def _stages(exercise: Exercise, path: Path, shapes: dict[str, tuple[Shape, ...]]) -> Iterator[limited.At | Stage]:
    yield limited.At(BUILDS, BUILD_SECONDS)
    try:
        runner = CudaRunner(exercise, path)
    except Rejected as rejected:
        yield Stage(BUILDS, False, str(rejected))
        return
    yield Stage(BUILDS, True)
    seconds = SHAPE_SECONDS[exercise.kind]
    for name in shapes:
        wrongs: list[tuple[Shape, Wrong | None]] = [(shape, None) for shape in shapes[name]]
        for i, shape in enumerate(shapes[name]):
            yield limited.At(f"{name}: {shape}" if name == VISIBLE else name, seconds)
            case = exercise.at(shape.sizes)
            assert isinstance(case, Case)
            wrong = runner.run(case, name)
            if wrong and wrong.kind == CRASH:  # what it has written over, nobody knows
                yield Stage(name, False, f"at {shape}: {wrong.detail}" if name == VISIBLE else wrong.detail)
                return
            wrongs[i] = shape, wrong
            if wrong and wrong.kind == ENDLESS:
                break  # as it would on the others
        stage = _compared(name, wrongs)
        yield stage
        if not stage.passed:
            return
    reports = [*map(str, runner.reports(VISIBLE)), *(f"on a hidden shape: {r}" for r in runner.places(HIDDEN))]
    reports = reports[:MOST_SHOWN] + [f"... {len(reports) - MOST_SHOWN} more"] * (len(reports) > MOST_SHOWN)
    if not reports and not exercise.goals:  # where there are goals, this is seen when they are counted
        yield limited.At(CLEAN, seconds)
        try:
            runner.trace(exercise.visible[0].sizes)
        except (emulator.KernelError, Rejected) as error:
            reports = [str(error)]
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
