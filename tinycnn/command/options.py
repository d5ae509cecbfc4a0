"""What the commands of `tinycnn` share: options, the networks that their arguments stand for, and Ctrl-C."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from tinycnn.devices import DEVICES, current_device, use_device
from tinycnn.devices.base import PATHS
from tinycnn.fit.files import HDF5_NAMES, check_writable, json_text

if TYPE_CHECKING:
    from distributed import Client

    from tinycnn.layers import Layer
    from tinycnn.models import Model


Job = TypeVar("Job")
Result = TypeVar("Result")

INTERRUPTED = 130  # what a shell reports for a command that Ctrl-C ended
DIVERGED = 3


class Interrupted(Exception):
    """Ctrl-C; says how far a command came and how to go on."""


class Diverged(Exception):
    """A network whose numbers are none any more; says what shows it."""


class Positive(click.ParamType):
    """A number above 0, and finite."""

    name = "FLOAT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 < number < math.inf:
            self.fail(f"{value!r} is not a positive, finite number", param, ctx)
        return number


# ---------------------------------------------------------------- options


def device_option(command: Callable[..., None]) -> Callable[..., None]:
    """--device NAME"""
    text = "Who computes; if not given TINYCNN_DEVICE, else cuda where a GPU passes its test, else cpu."
    return click.option("--device", type=click.Choice(list(DEVICES)), help=text)(command)


def path_option(command: Callable[..., None]) -> Callable[..., None]:
    """--path NAME"""
    text = (
        "How the device computes, where it has several ways: by the general kernels, by ones compiled for each layer, "
        "or a training step as one kernel (an error where that cannot be). If not given TINYCNN_PATH, else fast on "
        "cuda, general elsewhere."
    )
    return click.option("--path", type=click.Choice(PATHS), help=text)(command)


def data_option(command: Callable[..., None]) -> Callable[..., None]:
    """--data DIR"""
    text = (
        "A folder of IDX files, an .npz or .csv file, 'fashion-mnist' or 'synthetic'; TINYCNN_DATA, the cache or a "
        "download of MNIST if not given."
    )
    return click.option("--data", metavar="DIR", help=text)(command)


def json_option(command: Callable[..., None]) -> Callable[..., None]:
    """--json, as `as_json`"""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(command)


def limit_option(command: Callable[..., None]) -> Callable[..., None]:
    """--limit N"""
    text = "Use only the first N training and the first N validation images."
    return click.option("--limit", type=click.IntRange(min=1), metavar="N", help=text)(command)


def cluster_options(command: Callable[..., None]) -> Callable[..., None]:
    """--workers N and --scheduler ADDRESS"""
    workers = "Share the work among N processes on this machine."
    scheduler = "Share it among the workers of the Dask scheduler there."
    for option in (
        click.option("--scheduler", metavar="ADDRESS", help=scheduler),
        click.option("--workers", type=click.IntRange(min=1), metavar="N", help=workers),
    ):
        command = option(command)
    return command


def cluster_client(
    workers: int | None, scheduler: str | None, folders: Iterable[str] = ()
) -> AbstractContextManager[Client | None]:
    """A client of what those options name, or of nothing where neither was given. Raises UsageError for both.

    folders: where its workers find modules that are not installed.
    """
    if workers is None and scheduler is None:
        return nullcontext()
    if workers is not None and scheduler is not None:
        raise click.UsageError("--workers starts workers here, --scheduler has some: give one of the two")
    try:
        from tinycnn.cluster import connected
    except ImportError as error:
        raise click.UsageError(f"a cluster needs Dask ({error}): pip install 'tinycnn[cluster]'") from None
    return connected(workers, scheduler, folders)


def shared(
    client: Client | None, function: Callable[[Job], Result], jobs: Iterable[Job]
) -> Iterator[tuple[Job, Result]]:
    """(job, function(job)) of each job: of a client's workers as they come in, else one after the other here."""
    if client is None:
        return ((job, function(job)) for job in jobs)
    from tinycnn.cluster import finished

    return finished(client, function, jobs)


def use(device: str | None, path: str | None = None) -> None:
    """Compute on the device and by the path that the options name, if they were given, until the command ends."""
    context = click.get_current_context()
    if device:
        context.with_resource(use_device(device))
    if path:
        context.with_resource(current_device().taking(path))  # refuses what it has not


# ---------------------------------------------------------------- networks


def find_network(text: str) -> Model:
    """The model that a documented name, a notation, a Python file or a file of a saved network stands for."""
    from tinycnn import architectures
    from tinycnn.architectures import notation
    from tinycnn.command import program

    if program.is_named(text):
        return program.run(text).network()
    if text.endswith((".safetensors", *HDF5_NAMES)) or os.path.exists(text):
        return checkpoint(text)
    if "(" in text:
        model = notation.parse(text)
        model.compile("adam", "categorical_crossentropy", ["acc"])
        model.recipe = {"architecture": text, "batch_size": 128, "epochs": 12, "schedule": None}
        return model
    return architectures.build(text)


def checkpoint(path: str, custom_objects: Mapping[str, type[Layer]] | None = None) -> Model:
    """The model of a file; one that was saved without a way of training gets the usual one."""
    from tinycnn.models import load_model

    model = load_model(path, custom_objects)
    if model.loss is None:
        model.compile("adam", "categorical_crossentropy")
    model.metrics = ["acc"]
    return model


def check_form(model: Model, text: str, images: bool = False, classes: bool = False) -> None:
    """Raises UsageError for a network of several inputs or outputs; images: for one that takes none; classes: for one
    whose outputs are no probabilities. text: what the user calls it."""
    from tinycnn.losses import takes_logits
    from tinycnn.pictures.paper import ends_in_softmax

    fault = None
    if (len(model.inputs), len(model.outputs)) != (1, 1):
        fault = f"{len(model.inputs)} inputs and {len(model.outputs)} outputs, and not one of each"
    elif images and len(model.input.extents) != 3:
        fault = f"inputs of shape {model.input_shape}, and not images (None, H, W, C)"
    elif classes and not (takes_logits(model.loss) or ends_in_softmax(model)):
        fault = "no softmax at its end, so that its outputs are no probabilities"
    if fault:
        raise click.UsageError(f"{text} is a network that has {fault}")


# ---------------------------------------------------------------- files


def check_file(path: str | None, check: Callable[[str], Any] = check_writable) -> None:
    """Refuse a file that could not be written, before hours are spent on what should go into it."""
    if path is not None:
        try:
            check(path)
        except (OSError, ValueError) as error:
            raise click.UsageError(str(error)) from None


def check_picture(path: str | None) -> None:
    """The same for a picture, whose kind its name tells."""
    from tinycnn.pictures.paper import check_path

    check_file(path)
    check_path(path)


def check_overwrites(read: Mapping[str, str | None], written: Mapping[str, str | None]) -> None:
    """Raises UsageError where a file is to be written that is read too, or that another option is to write.

    Both are {what the user calls it: its path}, or None where it was not given.
    """
    known = {os.path.realpath(path): name for name, path in read.items() if path and os.path.exists(path)}
    for name, path in written.items():
        if path and (other := known.setdefault(os.path.realpath(path), name)) != name:
            raise click.UsageError(f"{other} and {name} both name {path}; give {name} another file")


def refuse_given(why: str, *names: str) -> None:
    """Raises UsageError, the option's name and `why`, where one of these parameters of the command was given."""
    context = click.get_current_context()
    for parameter in context.command.params:
        if parameter.name in names and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{max(parameter.opts, key=len)} {why}")


# ---------------------------------------------------------------- output


def print_json(value: Any) -> None:
    """Plain data as JSON."""
    click.echo(json_text(value, indent=2))


def print_table(rows: Iterable[Iterable], headers: Iterable[str], **options: Any) -> None:
    """Rows under their headers; options: tabulate's."""
    from tabulate import tabulate

    click.echo(tabulate(rows, headers=list(headers), **options))


def printable(text: str) -> str:
    """A text in one line, whose control characters (of a file's name, say) cannot move the cursor of a terminal."""
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
