"""The command `tinycnn run`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from tinycnn import limited
from tinycnn.command.options import printable
from tinycnn.command.programs import PROGRAM, ProgramCommand, program_options
from tinycnn.command.targets import with_errors
from tinycnn.devices.gpu import cards
from tinycnn.emulator import program, sources
from tinycnn.emulator.compiler import BUILD_SECONDS

ENDLESS = 1e9  # seconds: a program runs as long as it wants
LIMITS = limited.Limits(memory=8 * 2**30, file=2**30)
TIMES = "times of events are those of this CPU, and say nothing about a GPU"


@click.command(cls=ProgramCommand, epilog=PROGRAM)
@program_options
@with_errors
def run(
    files: tuple[Path, ...], include: tuple[Path, ...], define: tuple[str, ...], gpu: str, arguments: tuple[str, ...]
) -> None:
    """Run a CUDA program on the CPU: its main, its kernels, its copies. What it prints is printed, and its exit status
    is the command's; 1 if a kernel went wrong.

    It runs in a process of its own, with limits on memory (8 GiB) and on the size of a file that it writes."""
    order = {"files": files, "include": include, "define": define, "gpu": gpu, "arguments": arguments}
    outcome = limited.run("tinycnn.command.run:job", plain(order), LIMITS, same_output=True)
    faults = [value["fault"] for value in outcome.values if "fault" in value]
    ended = next((value for value in outcome.values if "status" in value), {"status": 1, "times": False})
    for fault in faults:
        say(fault)
    if outcome.ended:
        say(f"{outcome.during}: {outcome.ended}")
    if ended["times"]:
        say(TIMES)
    if faults or ended["status"]:
        raise click.exceptions.Exit(ended["status"] or 1)


def say(text: str) -> None:
    """A line on stderr, beside what the program prints."""
    click.echo(f"tinycnn: {printable(text)}", err=True)


def plain(order: dict[str, Any]) -> dict[str, Any]:
    """Paths as text."""
    return {name: [str(item) for item in value] if isinstance(value, tuple) else value for name, value in order.items()}


def job(
    files: list[str], include: list[str], define: list[str], gpu: str, arguments: list[str]
) -> Iterator[limited.At | dict[str, Any]]:
    """What the child does."""
    yield limited.At("the build", BUILD_SECONDS)
    read = sources.read([Path(file) for file in files], [Path(folder) for folder in include])
    built = program.build_program(read, define)
    yield limited.At(files[0], ENDLESS)
    for told in program.Program(built, read.paths[0], cards.get(gpu)).run(arguments):
        if isinstance(told, program.Ended):
            yield {"status": told.status, "times": told.asked_for_times}
        else:
            yield {"fault": told}
