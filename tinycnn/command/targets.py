"""What `tinycnn check`, `tinycnn trace` and `tinycnn debug` are pointed at.

That is a kernel file that comes with tinycnn (conv2d, ladder/1_naive), one kernel in it (conv2d_forward, or
ladder/1_naive::conv2d_forward), or a path of your own: copy.cu, or copy.cu::copy for the launches of one kernel.

The launches of tinycnn's own kernels are those of `tinycnn.devices.checks.cases`, also in a copy of their file that was
made to be changed (`tinycnn kernels -o DIR`). `step` is the kernel that is generated for a small network, its
training step in one launch (devices/checks/step_cases.py). Every other file, and those of the ladder, describe their
launches in comments (emulator/launches.py).
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from tinycnn import emulator, kernels
from tinycnn.careful import nearest
from tinycnn.devices.checks import cases, step_cases
from tinycnn.devices.gpu.step.run import is_generated
from tinycnn.emulator import arguments

HELP = (
    "TARGET is a kernel file of tinycnn (conv2d, ladder/1_naive), a kernel in one (conv2d_forward, "
    "ladder/1_naive::conv2d_forward), `step`, a network's training step in one kernel, or a path (copy.cu, "
    "copy.cu::copy). `tinycnn kernels` lists tinycnn's own."
)

STEP = "step"
LAUNCHED = (*kernels.INSTANCES, *kernels.FAST)  # the files whose launches the devices know


# ---------------------------------------------------------------- what to run


def find(target: str, shape: tuple[int, ...] | None = None) -> tuple[Path, list[emulator.Launch]]:
    """(path, launches) of what a TARGET stands for; shape: what to run tinycnn's own kernels on instead of their cases.

    Raises UsageError for what is not there, DescriptionError for a file of one's own without launches.
    """
    text, _, kernel = target.partition("::")
    if text == STEP:
        if shape:
            raise click.UsageError("--shape is for an operation; the step's network has fixed shapes")
        return step_cases.recorded()
    if text.endswith(".cu") or (os.sep in text and Path(text).is_file()):
        path = Path(text)
        if not path.is_file():
            own = text.removesuffix(".cu")
            hint = f"; tinycnn's own is called {own}" if own in kernels.NAMES else ""
            raise click.UsageError(f"there is no kernel file {text}{hint}")
    else:
        path, named = own_by_name(text)
        kernel = kernel or named
    launches = launches_of(path, shape)
    if kernel:
        chosen = [launch for launch in launches if kernel in (launch.kernel, plain(launch.kernel))]
        if not chosen:
            there = ", ".join(sorted({launch.kernel for launch in launches}))
            raise click.UsageError(f"{path.name} has no launch of {kernel!r}; of: {there}")
        launches = chosen
    return path, launches


def own_targets() -> Iterator[tuple[Path, list[emulator.Launch]]]:
    """What `find` gives for the kernels that the devices launch, those of the ladder, and the generated one."""
    for name in kernels.NAMES:
        yield kernels.path(name), launches_of(kernels.path(name), None)
    yield find(STEP)


def own_by_name(text: str) -> tuple[Path, str]:
    """(path, kernel or '') for the name of one of tinycnn's files or kernels."""
    for name in kernels.NAMES:
        if text in (name, name.rpartition("/")[2]):
            return kernels.path(name), ""
    for name in kernels.NAMES:
        if plain(text) in arguments.parameter_names([kernels.path(name)]):
            return kernels.path(name), text
    hint = nearest(text, kernels.NAMES, f"the files are: {', '.join(kernels.NAMES)}")
    if os.sep in text:
        raise click.UsageError(f"there is no kernel file {text}; {hint}")
    raise click.UsageError(f"there is no kernel {text!r}; {hint}")


def name_of(path: Path) -> str:
    """What a TARGET has to say for this file: the name of one of tinycnn's own, or the path."""
    return next((name for name in kernels.NAMES if kernels.path(name).samefile(path)), str(path))


def is_own(path: Path) -> bool:
    """Whether it is one of the files that come with tinycnn, and not foreign code."""
    return name_of(path) in kernels.NAMES or is_generated(path)


def plain(kernel: str) -> str:
    """The name of a kernel without its template's arguments."""
    return re.split(r"[<\s]", kernel)[0]


def launches_of(path: Path, shape: tuple[int, ...] | None) -> list[emulator.Launch]:
    """What to run of a file: see the head of this one."""
    there = kernels_of_the_same_name(path)
    if not there:
        if shape:
            raise click.UsageError("--shape is for tinycnn's own kernels; this file says its shapes itself")
        return emulator.read_launches(path)
    return [
        launch
        for dtype in ("float32", "float64")
        for launch in cases.cases(launched_as(path), dtype, shape)
        if plain(launch.kernel) in there
    ]


def launched_as(path: Path) -> str:
    """What this file, or one that it is a copy of, is called among those that devices launch; '' for any other."""
    return next((name for name in LAUNCHED if name.rpartition("/")[2] == path.stem), "")


def kernels_of_the_same_name(path: Path) -> set[str]:
    """Which kernels in this file are one of tinycnn's own, or a copy of it; none where it describes its launches."""
    name = launched_as(path)
    if not name or emulator.describes_launches(path):
        return set()
    return set(arguments.parameter_names([kernels.path(name)])) & set(arguments.parameter_names([path]))


# ---------------------------------------------------------------- kernels of one's own, in a child process


def shown(printed: str) -> None:
    """What a kernel of one's own has printed, on stderr: what the command says stands alone on stdout."""
    if printed:
        click.echo(printed, nl=not printed.endswith("\n"), err=True)


# ---------------------------------------------------------------- options


class Numbers(click.ParamType):
    """1 to `most` whole numbers, as 4 or 16,16."""

    name = "N[,N...]"

    def __init__(self, most: int = 3):
        self.most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """A tuple of ints; a usage error for anything else."""
        if isinstance(value, tuple):
            return value
        parts = value.split(",")
        if len(parts) > self.most or not all(part.strip().isdecimal() for part in parts):
            self.fail(f"{value!r} is not a list of up to {self.most} whole numbers, like 4 or 16,16", param, ctx)
        return tuple(map(int, parts))


shape_option = click.option("--shape", type=Numbers(8), help="The shape to run one of tinycnn's own kernels on.")


seconds_option = click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=emulator.MOST_SECONDS,
    show_default=True,
    help="End a launch that computes longer, and say where it is.",
)


def with_errors(command: Callable[..., None]) -> Callable[..., None]:
    """A kernel of one's own that does not build: exit status 2, and the compiler's words line by line."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except emulator.CompilerMissing:
            raise
        except emulator.BuildError as error:
            click.echo(f"tinycnn: {error}", err=True)
            raise click.exceptions.Exit(2) from None

    return wrapped
