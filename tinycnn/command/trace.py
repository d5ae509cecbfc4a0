"""The command `tinycnn trace`."""

from __future__ import annotations

import click

from tinycnn import emulator
from tinycnn.command.options import json_option, print_json
from tinycnn.command.targets import HELP, find, name_of, seconds_option, shape_option, with_errors


@click.command(epilog=HELP)
@click.argument("target")
@shape_option
@click.option(
    "--blocks", type=click.IntRange(min=1), default=64, show_default=True, help="Run at most this many blocks."
)
@seconds_option
@json_option
@with_errors
def trace(target: str, shape: tuple[int, ...] | None, blocks: int, seconds: float, as_json: bool) -> None:
    """Count what each line of a kernel asks of memory: requests, sectors, bank conflicts, lanes at work. Of several
    launches, the first."""
    path, launches = find(target, shape)
    found = emulator.trace(path, launches[0], blocks, seconds)
    if as_json:
        print_json(found.as_json())
    else:
        click.echo(found)
        others = [kernel for kernel in dict.fromkeys(launch.kernel for launch in launches) if kernel != found.kernel]
        if others:
            click.echo(f"Also there, as '{name_of(path)}::NAME': {', '.join(others)}")
