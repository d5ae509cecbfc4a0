"""The command `tinycnn trace`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from tinycnn import emulator, limited
from tinycnn.command.options import json_option, print_json, printable, refuse_given
from tinycnn.command.programs import (
    LIMITS,
    PROGRAM,
    ProgramCommand,
    build,
    order,
    program_options,
    refuse_without_program,
    whole_program,
)
from tinycnn.command.targets import (
    HELP,
    find,
    is_own,
    name_of,
    seconds_option,
    shape_option,
    shown,
    with_errors,
)
from tinycnn.emulator import watched_program
from tinycnn.emulator.checking import launch_seconds
from tinycnn.emulator.compiler import BUILD_SECONDS, HOOKED


@click.command(cls=ProgramCommand, epilog=f"{HELP} {PROGRAM}")
@click.argument("targets", nargs=-1, required=True, metavar="TARGET ...")
@program_options
@shape_option
@click.option(
    "--blocks", type=click.IntRange(min=1), default=64, show_default=True, help="Run at most this many blocks."
)
@seconds_option
@json_option
@with_errors
def trace(
    targets: tuple[str, ...], include: tuple[Path, ...], define: tuple[str, ...], gpu: str,
    shape: tuple[int, ...] | None, blocks: int, seconds: float, as_json: bool, arguments: tuple[str, ...],
) -> None:  # fmt: skip
    """Count what each line of a kernel asks of memory: requests, sectors, bank conflicts, lanes at work. Of several
    launches, the first; of a whole program, the first of each of its kernels. The exit status is 1 if a kernel has a
    fault.

    A kernel of your own runs in a process of its own, with limits on time, memory and what it prints."""
    if files := whole_program(targets, include):
        refuse_given("is for tinycnn's own kernels; a program says its shapes itself", "shape")
        trace_program(order(files, include, define, gpu, arguments), blocks, seconds, as_json)
        return
    if len(targets) > 1:
        raise click.UsageError("of kernels one is traced at a time; several files are one program, which has a main")
    target = targets[0]
    path, launches = find(target, shape)
    refuse_without_program(arguments)
    kernel = launches[0].kernel
    try:
        if is_own(path):
            text, as_data = both(emulator.trace(path, launches[0], blocks, seconds))
        else:
            text, as_data = trace_apart(target, path, shape, blocks, seconds)
    except emulator.KernelError as error:
        if as_json:
            print_json({"kernel": kernel, "error": str(error)})
        else:
            click.echo(f"tinycnn: {printable(str(error))}", err=True)
        raise click.exceptions.Exit(1) from None
    if as_json:
        print_json(as_data)
    else:
        click.echo(text)
        others = [name for name in dict.fromkeys(launch.kernel for launch in launches) if name != kernel]
        if others:
            click.echo(f"Also there, as '{name_of(path)}::NAME': {', '.join(others)}")


def trace_program(ordered: dict[str, Any], blocks: int, seconds: float, as_json: bool) -> None:
    """Trace a whole program in a child process, and show its kernels."""
    arguments = {**ordered, "blocks": blocks, "seconds": seconds}
    outcome = limited.run("tinycnn.command.trace:program_job", arguments, LIMITS)
    shown(outcome.printed)
    traces = [value["trace"] for value in outcome.values if "trace" in value]
    faults = [value["fault"] for value in outcome.values if "fault" in value]
    if outcome.ended:
        faults.append(f"{outcome.during}: {outcome.ended}")
    if as_json:
        print_json({"kernels": [{**as_data, "launches": count} for _, as_data, count in traces], "errors": faults})
    else:
        for text, _, count in traces:
            click.echo(f"{text}\n{'' if count == 1 else f'The first of {count} launches.'}\n")
        for fault in faults:
            click.echo(f"tinycnn: {printable(fault)}", err=True)
    if faults:
        raise click.exceptions.Exit(1)


def program_job(blocks: int, seconds: float, **ordered: Any) -> Iterator[limited.At | dict[str, Any]]:
    """What the child does with a whole program."""
    program = yield from build(ordered, HOOKED)
    tracer = watched_program.ProgramTrace(program, blocks, seconds)
    program.run(ordered["arguments"], tracer)
    for kernel, found in tracer.traces.items():
        yield {"trace": [*both(found), tracer.launches[kernel]]}
    for fault in tracer.faults:
        yield {"fault": fault}


def both(found: emulator.Trace) -> tuple[str, dict[str, Any]]:
    """A trace as text and as plain data."""
    return str(found), found.as_json()


def trace_apart(
    target: str, path: Path, shape: tuple[int, ...] | None, blocks: int, seconds: float
) -> tuple[str, dict[str, Any]]:
    """The same of a kernel file of one's own, in a child process. Raises KernelError if that was ended by it."""
    arguments = {"target": target, "shape": shape, "blocks": blocks, "seconds": seconds}
    outcome = limited.run("tinycnn.command.trace:job", arguments)
    shown(outcome.printed)
    if outcome.ended:
        raise emulator.KernelError(f"{outcome.during}: {path}: {outcome.ended}")
    text, as_data = outcome.values[0]
    return text, as_data


def job(
    target: str, shape: list[int] | None, blocks: int, seconds: float
) -> Iterator[limited.At | tuple[str, dict[str, Any]]]:
    """What the child does."""
    path, launches = find(target, tuple(shape) if shape else None)
    yield limited.At("the build", BUILD_SECONDS)
    emulator.Watched(path, [launches[0].kernel])
    yield limited.At(launches[0].kernel, launch_seconds(seconds))
    yield both(emulator.trace(path, launches[0], blocks, seconds))
