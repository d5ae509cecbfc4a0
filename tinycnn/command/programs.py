"""What the commands share that take a whole program: its files, -I and -D, the GPU, and its own arguments after --."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tinycnn.devices.gpu import cards

PROGRAM = "FILE is a .cu or .cpp file; several are one program. What stands after -- are the program's own arguments."
SEPARATOR = "--"


class ProgramCommand(click.Command):
    """A command whose words after -- are not its own, but the program's: its parameter `arguments`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Split at the first --."""
        end = args.index(SEPARATOR) if SEPARATOR in args else len(args)
        ctx.params["arguments"] = tuple(args[end + 1 :])
        return super().parse_args(ctx, args[:end])


class GpuName(click.ParamType):
    """A card that tinycnn knows, by its id or its driver's name."""

    name = "NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Its id."""
        try:
            return cards.get(value).id
        except cards.UnknownCard as error:
            self.fail(str(error), param, ctx)


def program_options(command: Callable[..., None]) -> Callable[..., None]:
    """FILE ..., -I, -D and --gpu"""
    for decorate in reversed(
        (
            click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False)),
            include_option,
            define_option,
            gpu_option,
        )
    ):
        command = decorate(command)
    return command


include_option = click.option(
    "-I", "--include", multiple=True, metavar="DIR", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Look here, too, for what the files include.",
)  # fmt: skip
define_option = click.option("-D", "--define", multiple=True, metavar="NAME[=VALUE]", help="Define a macro.")
gpu_option = click.option(
    "--gpu", type=GpuName(), default="h100", show_default=True, help="What the program is told that its GPU is."
)
