"""What the commands share that take a whole program: its files, -I and -D, the GPU, and its own arguments after --."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import click

from tinycnn import emulator, limited
from tinycnn.command.options import refuse_given
from tinycnn.devices.gpu import cards
from tinycnn.emulator import program, sources
from tinycnn.emulator.compiler import BUILD_SECONDS

PROGRAM = "FILE is a .cu or .cpp file; several are one program. What stands after -- are the program's own arguments."
SEPARATOR = "--"
ENDLESS = 1e9  # seconds: a program runs as long as it wants
# Of the address space most is never touched: stacks of threads, and what the check remembers of memory.
LIMITS = limited.Limits(memory=64 * 2**30, file=2**30, printed=2**24)


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


INCLUDE = "Look here, too, for what the files include."
GPU = "What the program is told that its GPU is."


def program_options(command: Callable[..., None]) -> Callable[..., None]:
    """-I, -D and --gpu"""
    folder = click.Path(path_type=Path, exists=True, file_okay=False)
    for option in (
        click.option("--gpu", type=GpuName(), default="h100", show_default=True, help=GPU),
        click.option("-D", "--define", multiple=True, metavar="NAME[=VALUE]", help="Define a macro."),
        click.option("-I", "--include", multiple=True, metavar="DIR", type=folder, help=INCLUDE),
    ):
        command = option(command)
    return command


def whole_program(targets: Sequence[str], include: Sequence[Path]) -> list[Path]:
    """The files of the program among these targets of `check` or `trace`; none where none has a main.

    A file without a main and without a launch comment is one of its parts. Raises UsageError for two programs.
    """
    files = [Path(target) for target in targets if target.endswith((".cu", ".cpp", ".cc")) and Path(target).is_file()]
    mains = [file for file in files if sources.read([file], include).has_main]
    if len(mains) > 1:
        raise click.UsageError(f"{mains[0]} and {mains[1]} have a main each: check one program at a time")
    parts = [file for file in files if file not in mains and not emulator.describes_launches(file)]
    return [*mains, *parts] if mains else []


def refuse_without_program(arguments: Sequence[str]) -> None:
    """Raises UsageError for what only a whole program takes, where the TARGETs of `check` or `trace` are none."""
    why = "is for a whole program, whose file has a main"
    refuse_given(why, "include", "define", "gpu")
    if arguments:
        raise click.UsageError(f"what stands after {SEPARATOR} {why}")


# ---------------------------------------------------------------- in a child process


def order(
    files: Sequence[Path], include: Sequence[Path], define: Sequence[str], gpu: str, arguments: Sequence[str]
) -> dict[str, Any]:
    """What a job is given, as plain data."""
    return {
        "files": [str(file) for file in files],
        "include": [str(folder) for folder in include],
        "define": list(define),
        "gpu": gpu,
        "arguments": list(arguments),
    }


def build(ordered: dict[str, Any], mode: str) -> Generator[limited.At, None, program.Program]:
    """In a job, by `yield from`: the ordered program, built and loaded. Then it has as long as it wants."""
    yield limited.At("the build", BUILD_SECONDS)
    read = sources.read([Path(file) for file in ordered["files"]], [Path(folder) for folder in ordered["include"]])
    path = program.build_program(read, ordered["define"], mode)
    built = program.Program(path, read, cards.get(ordered["gpu"]))
    yield limited.At(ordered["files"][0], ENDLESS)
    return built


def tell(report: emulator.Report) -> None:
    """In a job: say what was found when it is found, for the program may end the process."""
    limited.tell({"report": report.as_json()})
