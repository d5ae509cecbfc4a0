"""The command `tinycnn check`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from tinycnn import emulator, limited
from tinycnn.command.options import json_option, print_json
from tinycnn.command.programs import (
    LIMITS,
    PROGRAM,
    ProgramCommand,
    build,
    order,
    program_options,
    refuse_without_program,
    tell,
    whole_program,
)
from tinycnn.command.targets import (
    HELP,
    find,
    is_own,
    own_targets,
    seconds_option,
    shown,
    with_errors,
)
from tinycnn.emulator import watched_program
from tinycnn.emulator.checking import launch_seconds
from tinycnn.emulator.compiler import BUILD_SECONDS, HOOKED


@click.command(cls=ProgramCommand, epilog=f"{HELP} {PROGRAM}")
@click.argument("targets", nargs=-1, metavar="[TARGET ...]")
@program_options
@seconds_option
@click.option(
    "--print", "printed", multiple=True, metavar="NAME", help="An array to print after each launch that has it."
)
@json_option
@with_errors
def check(
    targets: tuple[str, ...], include: tuple[Path, ...], define: tuple[str, ...], gpu: str, seconds: float,
    printed: tuple[str, ...], as_json: bool, arguments: tuple[str, ...],
) -> None:  # fmt: skip
    """Find races, accesses out of bounds, divergent barriers and more in kernels, on the CPU. All of tinycnn's if no
    TARGET is given. Of a file with a main the whole program is run, and every launch and every call of CUDA's watched.
    The exit status is 1 if there is something to report.

    A kernel of your own runs in a process of its own, with limits on time, memory and what it prints."""
    kernels: list[str] = []
    reports: list[emulator.Report] = []
    launched = 0
    files = whole_program(targets, include)
    if printed and (files or not targets):
        raise click.UsageError("--print is for kernel files of yours, whose launch comments name their arrays")
    if files:
        reports, kernels, launched = check_program(order(files, include, define, gpu, arguments), seconds)
        if not as_json:
            for report in reports:
                click.echo(report)
    wanted = [(target, *find(target)) for target in targets if Path(target) not in files]
    if not targets:
        wanted = [("", *found) for found in own_targets()]
    if not files:
        refuse_without_program(arguments)
    check_printed(printed, wanted)
    for target, path, launches in wanted:
        if not launches:
            continue
        own = is_own(path)
        found = emulator.check(path, launches, seconds) if own else check_apart(target, path, seconds, printed)
        kernels += dict.fromkeys(launch.kernel for launch in launches)
        reports += found
        launched += len(launches)
        if not as_json:
            for report in found:
                click.echo(report)
    if as_json:
        print_json({"kernels": kernels, "reports": [report.as_json() for report in reports]})
    else:
        numbers = ((launched, "launch", "es"), (len(kernels), "kernel", "s"), (len(reports), "report", "s"))
        click.echo("{} of {}: {}".format(*(f"{n} {noun}{plural * (n != 1)}" for n, noun, plural in numbers)))
    if reports:
        raise click.exceptions.Exit(1)


def check_printed(printed: Sequence[str], wanted: Sequence[tuple[str, Path, Sequence[emulator.Launch]]]) -> None:
    """Raises UsageError for an array that no launch has, or whose launch is one of tinycnn's own."""
    known = {name for _, path, launches in wanted if not is_own(path) for launch in launches for name in launch.names}
    for name in printed:
        if name not in known:
            there = f"there are: {', '.join(sorted(known))}" if known else "--print is for kernel files of yours"
            raise click.UsageError(f"--print {name}: no launch has an argument of this name; {there}")


def check_program(ordered: dict[str, Any], seconds: float) -> tuple[list[emulator.Report], list[str], int]:
    """(the reports of a whole program, its kernels, how many launches there were), from a child process."""
    arguments = {**ordered, "seconds": seconds}
    outcome = limited.run("tinycnn.command.check:program_job", arguments, LIMITS)
    shown(outcome.printed)
    reports = [emulator.Report(**value["report"]) for value in outcome.values if "report" in value]
    launches: list[str] = [value["launch"] for value in outcome.values if "launch" in value]
    if outcome.ended:
        reports.append(emulator.Report(emulator.ENDED, "main", ordered["files"][0], 0, None, (), (), outcome.ended))
    return reports, list(dict.fromkeys(launches)), len(launches)


def program_job(seconds: float, **ordered: Any) -> Iterator[limited.At | dict[str, Any]]:
    """What the child does with a whole program."""
    program = yield from build(ordered, HOOKED)
    program.run(ordered["arguments"], watched_program.ProgramCheck(program, tell, launched, seconds))


def launched(kernel: str) -> None:
    """In a job: say that a kernel is launched, for it may end the process."""
    limited.tell({"launch": kernel})


def check_apart(target: str, path: Path, seconds: float, printed: Sequence[str] = ()) -> list[emulator.Report]:
    """The reports of a kernel file of one's own, checked in a child process; one more if that was ended by it."""
    outcome = limited.run("tinycnn.command.check:job", {"target": target, "seconds": seconds, "printed": printed})
    shown(outcome.printed)
    reports = [emulator.Report(**report) for report in (outcome.values or [[]])[-1]]
    if outcome.ended:
        reports.append(emulator.Report(emulator.ENDED, outcome.during, str(path), 0, None, (), (), outcome.ended))
    return reports


def job(target: str, seconds: float, printed: Sequence[str] = ()) -> Iterator[limited.At | list[dict[str, Any]]]:
    """What the child does: the reports so far, again after every launch."""
    path, launches = find(target)
    yield limited.At("the build", BUILD_SECONDS)
    checker = emulator.Checker(path, [launch.kernel for launch in launches])
    for launch in launches:
        yield limited.At(launch.kernel, launch_seconds(seconds))
        results = checker.run(launch, seconds)
        for name, value in zip(launch.names, results, strict=False):
            if name in printed:
                print(f"{launch.kernel}: {name} = {np.array2string(value, max_line_width=120)}", flush=True)
        yield [report.as_json() for report in checker.reports]
