"""What `tinycnn check`, `tinycnn trace` and `tinycnn debug` are pointed at.

That is a kernel file that comes with tinycnn (conv2d), one kernel in it (conv2d_forward), or a
path of your own: copy.cu, or copy.cu::copy for the launches of one kernel. The launches of tinycnn's own kernels are
those of `tinycnn.devices.checks.cases`; your own file, and those of the ladder, describe their launches in comments
(launches.py).
"""

import functools
import inspect
import os
import re
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
    launches = launches_of(path, shape)
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


def is_own(path):
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


def launches_of(path, shape):
    if not is_own(path):
        if shape:
            raise click.UsageError("--shape is for tinycnn's own kernels; a file of your own says its shapes itself")
        return emulator.read_launches(path)
    from tinycnn.devices.checks import cases as kernel_cases

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
