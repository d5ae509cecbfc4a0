"""The commands `tinycnn check`, `tinycnn trace` and `tinycnn debug`.

What they are pointed at is a kernel file that comes with tinycnn (conv2d), one kernel in it (conv2d_forward), or a
path of your own: copy.cu, or copy.cu::copy for the launches of one kernel. The launches of tinycnn's own kernels are
those of `tinycnn.devices.kernel_cases`; your own file, and those of the ladder, describe their launches in comments
(launches.py).
"""

import functools
import inspect
import json
import os
import re
import shlex
import shutil
from pathlib import Path

import click

from tinycnn import emulator
from tinycnn.emulator import arguments

HELP = (
    "TARGET is a kernel file of tinycnn (conv2d), a kernel in one (conv2d_forward), or a path (copy.cu, copy.cu::copy)."
)


# ---------------------------------------------------------------- what to run


def kernels_folder():
    """Where tinycnn's own .cu files are."""
    import tinycnn.kernels

    return Path(tinycnn.kernels.__path__[0])


def find(target, shape=None):
    """(path, launches) of what a TARGET stands for."""
    text, _, kernel = target.partition("::")
    if text.endswith(".cu") or os.sep in text:
        path = Path(text)
        if not path.is_file():
            raise click.UsageError(f"there is no kernel file {text}")
    else:
        path, named = _own(text)
        kernel = kernel or named
    launches = _launches(path, shape)
    if kernel:
        chosen = [launch for launch in launches if kernel in (launch.kernel, _plain(launch.kernel))]
        if not chosen:
            there = ", ".join(sorted({launch.kernel for launch in launches}))
            raise click.UsageError(f"{path.name} has no launch of {kernel!r}; of: {there}")
        launches = chosen
    return path, launches


def own_files():
    """The kernels that the devices launch, then those of the ladder."""
    return [*sorted(kernels_folder().glob("*.cu")), *sorted(kernels_folder().glob("ladder/*.cu"))]


def _is_own(path):
    return path.resolve().parent == kernels_folder().resolve()


def _plain(kernel):
    return re.split(r"[<\s]", kernel)[0]


def _own(name):
    """(path, kernel or '') for the name of one of our files or kernels."""
    files = own_files()
    for path in files:
        if path.stem == name:
            return path, ""
    for path in files:
        if _plain(name) in arguments.parameter_names([path]):
            return path, name
    raise click.UsageError(f"there is no kernel {name!r}; the files are: {', '.join(path.stem for path in files)}")


def _launches(path, shape):
    if not _is_own(path):
        if shape:
            raise click.UsageError("--shape is for tinycnn's own kernels; a file of your own says its shapes itself")
        return emulator.read_launches(path)
    from tinycnn.devices import kernel_cases

    options = inspect.signature(kernel_cases.cases).parameters
    if shape and "shape" not in options:
        raise click.UsageError("the launches of tinycnn's own kernels have fixed shapes")
    shape = {"shape": shape} if shape else {}
    both = ({"dtype": "float32"}, {"dtype": "float64"}) if "dtype" in options else ({},)
    return [launch for dtype in both for launch in kernel_cases.cases(path.name, **dtype, **shape)]


# ---------------------------------------------------------------- options


class Numbers(click.ParamType):
    """1 to `most` whole numbers, as 4 or 16,16."""

    name = "N[,N...]"

    def __init__(self, most=3):
        self.most = most

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        parts = value.split(",")
        if len(parts) > self.most or not all(part.strip().isdecimal() for part in parts):
            self.fail(f"{value!r} is not a list of up to {self.most} whole numbers, like 4 or 16,16", param, ctx)
        return tuple(map(int, parts))


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
shape_option = click.option("--shape", type=Numbers(8), help="The shape to run one of tinycnn's own kernels on.")


def with_errors(command):
    """What the emulator raises, as an error of the command line: exit status 2 and the compiler's words as they are."""

    @functools.wraps(command)
    def wrapped(*args, **kwargs):
        try:
            return command(*args, **kwargs)
        except (emulator.CompilerMissing, emulator.KernelError) as error:
            raise click.ClickException(str(error)) from None
        except emulator.BuildError as error:
            click.echo(f"tinycnn: {error}", err=True)
            raise click.exceptions.Exit(2) from None

    return wrapped


# ---------------------------------------------------------------- commands


@click.command(epilog=HELP)
@click.argument("targets", nargs=-1, metavar="[TARGET ...]")
@json_option
@with_errors
def check(targets, as_json):
    """Find races, accesses out of bounds, divergent barriers and more in kernels, on the CPU. All of tinycnn's if no
    TARGET is given. The exit status is 1 if there is something to report."""
    kernels, reports, launched = [], [], 0
    for path, launches in [find(target) for target in targets] or [(p, _launches(p, None)) for p in own_files()]:
        if not launches:
            continue
        found = emulator.check(path, launches)
        kernels += dict.fromkeys(launch.kernel for launch in launches)
        reports += found
        launched += len(launches)
        if not as_json:
            for report in found:
                click.echo(report)
    if as_json:
        click.echo(json.dumps({"kernels": kernels, "reports": [report.as_json() for report in reports]}, indent=2))
    else:
        many = "1 report" if len(reports) == 1 else f"{len(reports)} reports"
        click.echo(f"{launched} launches of {len(kernels)} kernels: {many}")
    if reports:
        raise click.exceptions.Exit(1)


@click.command(epilog=HELP)
@click.argument("target")
@shape_option
@click.option(
    "--blocks", type=click.IntRange(min=1), default=64, show_default=True, help="Run at most this many blocks."
)
@json_option
@with_errors
def trace(target, shape, blocks, as_json):
    """Count what each line of a kernel asks of memory: requests, sectors, bank conflicts, lanes at work. Of several
    launches, the first."""
    path, launches = find(target, shape)
    found = emulator.trace(path, launches[0], blocks)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
    else:
        click.echo(found)
        others = [kernel for kernel in dict.fromkeys(launch.kernel for launch in launches) if kernel != found.kernel]
        if others:
            file = path.stem if _is_own(path) else path
            click.echo(f"Also there, as '{file}::NAME': {', '.join(others)}")


@click.command(epilog=HELP)
@click.argument("target")
@click.option("--block", type=Numbers(), default="0", show_default=True, help="The block, as X or X,Y or X,Y,Z.")
@click.option("--thread", type=Numbers(), default="0", show_default=True, help="The thread in it, likewise.")
@click.option("--start", is_flag=True, help="Start gdb instead of printing its command.")
@shape_option
@json_option
@with_errors
def debug(target, block, thread, start, shape, as_json):
    """Build a kernel for debugging and print the gdb command that stops in one of its threads."""
    path, launches = find(target, shape)
    words = emulator.debug_command(path, launches[0], block, thread)
    if start:
        if shutil.which("gdb") is None:
            raise click.ClickException("gdb is not installed: apt install gdb")
        os.execvp(words[0], words)
    click.echo(json.dumps({"kernel": launches[0].kernel, "command": words}, indent=2) if as_json else shlex.join(words))
