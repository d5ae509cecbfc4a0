"""The `tinycnn` command: its subcommands, one file each, and what its errors look like."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import click

import tinycnn
from tinycnn.command.check import check
from tinycnn.command.compare import compare
from tinycnn.command.debug import debug
from tinycnn.command.doctor import doctor
from tinycnn.command.evaluate import evaluate
from tinycnn.command.filters import filters
from tinycnn.command.gradcheck import gradcheck
from tinycnn.command.judge import exercise, grade, judge
from tinycnn.command.kernels import kernels
from tinycnn.command.lab import lab
from tinycnn.command.lesson import lesson
from tinycnn.command.list import list_networks
from tinycnn.command.options import DIVERGED, INTERRUPTED, Diverged, Interrupted, printable
from tinycnn.command.plan import plan
from tinycnn.command.predict import predict
from tinycnn.command.reproduce import reproduce
from tinycnn.command.run import run
from tinycnn.command.summary import summary
from tinycnn.command.trace import trace
from tinycnn.command.train import train
from tinycnn.devices import DeviceError
from tinycnn.emulator import BuildError, KernelError


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command; bad input is one line on stderr and exit status 2, never a traceback. So is a warning a line."""
    warnings.showwarning = show_warning  # type: ignore[assignment]
    try:
        status = cli.main(args=arguments, prog_name="tinycnn", standalone_mode=False)
        with reader_may_go():
            sys.stdout.flush()
        sys.exit(status)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:  # what click makes of Ctrl-C
        fail("interrupted", INTERRUPTED)
    except Interrupted as interrupt:
        fail(str(interrupt), INTERRUPTED)
    except Diverged as diverged:
        fail(str(diverged), DIVERGED)
    except click.ClickException as error:
        fail(error.format_message())
    except ReaderGone:  # nothing is wrong, and nothing more can be written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
    except BuildError as error:  # of the emulator device; `tinycnn check` shows all of the compiler's words
        fail(error.in_one_line())
    except (ValueError, DeviceError, KernelError) as error:  # ShapeError, DataError, CheckpointError and their like
        fail(str(error))
    except MemoryError as error:
        smaller = " or ".join(name for name in ("--batch-size", "--limit") if name in options_of(arguments))
        fail(f"out of memory ({error})" + (f"; try a smaller {smaller}" if smaller else ""))


def show_warning(message: Warning | str, *_: Any) -> None:
    """A warning as one line, without the place in the code."""
    print(f"tinycnn: {printable(str(message))}", file=sys.stderr)


def fail(message: str, status: int = 2) -> NoReturn:
    """One line on stderr, and the end."""
    print(f"tinycnn: {printable(message)}", file=sys.stderr)
    sys.exit(status)


def options_of(arguments: Sequence[str] | None) -> set[str]:
    """The options that the subcommand of these words has."""
    words = sys.argv[1:] if arguments is None else arguments
    command = next((cli.commands[word] for word in words if word in cli.commands), None)
    return {name for parameter in (command.params if command else []) for name in parameter.opts}


class ReaderGone(Exception):
    """Who reads what is printed has gone away, as in `tinycnn list | head -1`."""


@contextmanager
def reader_may_go() -> Iterator[None]:
    """Raises ReaderGone for a BrokenPipeError, of which click itself would make exit status 1."""
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGone from error


class Commands(click.Group):
    """The subcommands, and help on them, for a reader who may go away."""

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        with reader_may_go():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        with reader_may_go():
            return super().invoke(ctx)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(tinycnn.__version__)
def cli() -> None:
    """Train, look into and measure small convolutional networks."""


for command in (
    train, evaluate, predict, filters, summary, list_networks, reproduce, gradcheck, compare, kernels, plan, run, check,
    trace, debug, lesson,
    doctor,
    exercise, judge, grade, lab,
):  # fmt: skip
    cli.add_command(command)
