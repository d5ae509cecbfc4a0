"""The commands `tinycnn judge`, `tinycnn exercise` and `tinycnn grade`."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinycnn import limited
from tinycnn.command.options import json_option, print_json, print_table, printable

if TYPE_CHECKING:
    from tinycnn.exercises.grade import Graded
    from tinycnn.exercises.stages import Verdict

WORDS = {True: "passed", False: "failed", None: "not reached"}


def exercise_option(command: Any) -> Any:
    """--exercise NAME"""
    text = "The exercise's name; `tinycnn exercise list` has them."
    return click.option("--exercise", "name", metavar="NAME", required=True, help=text)(command)


# ---------------------------------------------------------------- judge


@click.command()
@click.argument("file")
@exercise_option
@json_option
def judge(file: str, name: str, as_json: bool) -> None:
    """Judge FILE, what a student made of an exercise: it builds, is right on visible and on hidden shapes, has no races
    and no access out of bounds, and reaches the counts that are asked for.

    The exit status is 0 if everything is passed, 1 if not, 2 if it could not be judged.
    """
    from tinycnn.exercises import load
    from tinycnn.exercises.grade import read
    from tinycnn.exercises.judge import judge as judged

    exercise, path = load(name), Path(file)
    if path.suffix != exercise.suffix:
        raise click.UsageError(f"{name} is an exercise in {exercise.suffix}, and {path.name} is not")
    try:
        text = read(path)
    except ValueError as error:
        raise click.UsageError(f"{file} {error}") from None
    try:
        verdict = judged(exercise, path.name, text)
    except limited.JobError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        print_json(verdict.as_json())
    else:
        print_verdict(verdict)
    if not verdict:
        raise click.exceptions.Exit(1)


def print_verdict(verdict: Verdict) -> None:
    """A line for each stage, and what is wrong below it."""
    from tinycnn.exercises.stages import POINTS, WHAT

    click.echo(f"{verdict.exercise}: {verdict.score} of {verdict.of} points")
    for stage in verdict.stages:
        points = POINTS[stage.name]
        mark = "" if stage.passed is None else f" ({points * stage.passed} of {points})"
        click.echo(f"  {WORDS[stage.passed]:11}  {WHAT[stage.name]}{mark}")
        for line in stage.message.splitlines():
            click.echo(f"               {printable(line)}")
        if stage.passed:
            for what, count in stage.counts.items():
                click.echo(f"               {count:g} {what}")


# ---------------------------------------------------------------- exercise


@click.group()
def exercise() -> None:
    """Exercises in CUDA, in Numba and in gradients: list them, and hand them out."""


@exercise.command("list")
@json_option
def list_exercises(as_json: bool) -> None:
    """The exercises, from the first to the open one."""
    from tinycnn.exercises import NAMES, load

    rows = [
        {
            "name": name,
            "title": (found := load(name)).title,
            "kind": found.kind,
            "counts": ", ".join(f"{goal.what}: at most {goal.most:g}" for goal in found.goals),
        }
        for name in NAMES
    ]
    if as_json:
        print_json(rows)
    else:
        print_table([row.values() for row in rows], rows[0])


@exercise.command()
@click.argument("name")
@click.option("-o", "--out", "folder", metavar="DIR", required=True, help="Where to: made if it is not there.")
def new(name: str, folder: str) -> None:
    """Write the hand-out of the exercise NAME: its task, and the file to begin with. Nothing of the solution is in it.

    The exit status is 2, and nothing is written, if DIR has a file of one of these names that differs.
    """
    from tinycnn.command.kernels import has
    from tinycnn.exercises import load

    found = load(name)
    wanted = {Path(folder) / path.name: path.read_bytes() for path in (found.file("task.md"), found.file("start"))}
    if others := [path for path, content in wanted.items() if path.exists() and not has(path, content)]:
        raise click.ClickException(f"{', '.join(map(str, others))}: there already, and differs; nothing was written")
    for path, content in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        click.echo(path)


# ---------------------------------------------------------------- grade


@click.command()
@click.argument("folder", metavar="DIR")
@exercise_option
@click.option("--shapes", "shapes_file", metavar="FILE", help="A TOML file of hidden shapes, for the exercise's own.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV instead of a table.")
@json_option
def grade(folder: str, name: str, shapes_file: str | None, as_csv: bool, as_json: bool) -> None:
    """Judge every file below DIR that has the exercise's suffix.

    A file that is broken costs its own mark only. The exit status is 0, or 2 if one could not be judged.
    """
    from tinycnn.exercises import grade as grading
    from tinycnn.exercises import load

    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other")
    found = load(name)
    hidden = grading.read_shapes(found, Path(shapes_file)) if shapes_file else None
    rows = grading.grade(found, Path(folder), hidden)
    if as_json:
        print_json([row.as_json() for row in rows])
    elif as_csv:
        click.echo(grading.as_csv(rows), nl=False)
    else:
        print_table(map(cells, rows), ["file", "score", "of", "failed", "why"], disable_numparse=True)
    if any(row.unjudged for row in rows):
        raise click.exceptions.Exit(2)


def cells(row: Graded) -> list[str | int]:
    """A line of the table, with the beginning of what is wrong."""
    failed = row.verdict.failed
    why = textwrap.shorten(printable(row.message), 100, placeholder=" ...")
    return [printable(row.file), row.score, row.verdict.of, failed.name if failed else "", why]
