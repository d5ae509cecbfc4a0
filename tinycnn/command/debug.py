"""The command `tinycnn debug`."""

from __future__ import annotations

import os
import shlex
import shutil

import click

from tinycnn import emulator
from tinycnn.command.options import json_option, print_json, refuse_given
from tinycnn.command.targets import HELP, Numbers, find, shape_option, with_errors


@click.command(epilog=HELP)
@click.argument("target")
@click.option("--block", type=Numbers(), default="0", show_default=True, help="The block, as X or X,Y or X,Y,Z.")
@click.option("--thread", type=Numbers(), default="0", show_default=True, help="The thread in it, likewise.")
@click.option("--start", is_flag=True, help="Start gdb instead of printing its command.")
@shape_option
@json_option
@with_errors
def debug(
    target: str,
    block: tuple[int, ...],
    thread: tuple[int, ...],
    start: bool,
    shape: tuple[int, ...] | None,
    as_json: bool,
) -> None:
    """Build a kernel for debugging and print the gdb command that stops in one of its threads."""
    if start:
        refuse_given("prints the command that --start starts: give one of the two", "as_json")
    path, launches = find(target, shape)
    words = emulator.debug_command(path, launches[0], block, thread)
    if start:
        if shutil.which("gdb") is None:
            raise click.ClickException("gdb is not installed: apt install gdb")
        os.execvp(words[0], words)
    if as_json:
        print_json({"kernel": launches[0].kernel, "command": words})
    else:
        click.echo(shlex.join(words))
