"""The command `tinycnn run`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from tinycnn import emulator, limited
from tinycnn.command.options import printable
from tinycnn.command.programs import LIMITS, PROGRAM, ProgramCommand, build, order, program_options, tell
from tinycnn.command.targets import with_errors
from tinycnn.emulator import watched_program
from tinycnn.emulator.compiler import FAST

TIMES = "times of events are those of this CPU, and say nothing about a GPU"


@click.command(cls=ProgramCommand, epilog=PROGRAM)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@program_options
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=emulator.MOST_SECONDS,
    show_default=True,
    help="End a launch that computes so long and no block of it comes to an end or a barrier, and say where it is.",
)
@with_errors
def run(
    files: tuple[Path, ...], include: tuple[Path, ...], define: tuple[str, ...], gpu: str, seconds: float,
    arguments: tuple[str, ...],
) -> None:  # fmt: skip
    """Run a CUDA program on the CPU: its main, its kernels, its copies. What it prints is printed, and its exit status
    is the command's; 1 if a kernel went wrong.

    It runs in a process of its own, with limits on the GPU's memory (4 GiB) and on the size of a file that
    it writes."""
    ordered = {**order(files, include, define, gpu, arguments), "seconds": seconds}
    outcome = limited.run("tinycnn.command.run:job", ordered, LIMITS, same_output=True)
    faults = [emulator.Report(**value["report"]) for value in outcome.values if "report" in value]
    status = next((value["status"] for value in outcome.values if "status" in value), 1)
    for fault in faults:
        say(str(fault))
    if outcome.ended:
        say(f"{outcome.during}: {outcome.ended}; `tinycnn check` looks for the line that is at fault")
    if any(value.get("times") for value in outcome.values):
        say(TIMES)
    if faults or status:
        raise click.exceptions.Exit(status or 1)


def say(text: str) -> None:
    """A line on stderr, beside what the program prints."""
    click.echo(f"tinycnn: {printable(text)}", err=True)


def job(seconds: float, **ordered: Any) -> Iterator[limited.At | dict[str, Any]]:
    """What the child does."""
    program = yield from build(ordered, FAST)
    ended = program.run(ordered["arguments"], watched_program.ProgramRun(program, tell, seconds))
    yield {"status": ended.status, "times": ended.asked_for_times}
