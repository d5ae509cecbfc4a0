"""The command `tinycnn check`."""

from __future__ import annotations

import click

from tinycnn import emulator
from tinycnn.command.options import json_option, print_json
from tinycnn.command.targets import HELP, find, launches_of, own_files, seconds_option, with_errors


@click.command(epilog=HELP)
@click.argument("targets", nargs=-1, metavar="[TARGET ...]")
@seconds_option
@json_option
@with_errors
def check(targets: tuple[str, ...], seconds: float, as_json: bool) -> None:
    """Find races, accesses out of bounds, divergent barriers and more in kernels, on the CPU. All of tinycnn's if no
    TARGET is given. The exit status is 1 if there is something to report."""
    kernels: list[str] = []
    reports: list[emulator.Report] = []
    launched = 0
    for path, launches in [find(target) for target in targets] or [(p, launches_of(p, None)) for p in own_files()]:
        if not launches:
            continue
        found = emulator.check(path, launches, seconds)
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
