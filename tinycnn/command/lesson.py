"""The command `tinycnn lesson`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinycnn import limited
from tinycnn.careful import nearest
from tinycnn.command.options import print_table, refuse_given
from tinycnn.command.targets import find, is_own, shown, with_errors
from tinycnn.emulator import MOST_SECONDS, KernelError, Launch
from tinycnn.emulator.checking import launch_seconds
from tinycnn.emulator.compiler import BUILD_SECONDS

if TYPE_CHECKING:
    from tinycnn.lessons.lesson import Lesson


@click.command()
@click.argument("name", metavar="NAME|all|list|FILE.cu")
@click.option(
    "-o", "--out", "folder", metavar="DIR", default="lessons", show_default=True, help="The folder to write to."
)
@click.option("--network", metavar="NETWORK", help="Show this network: a documented name, or one in the notation.")
@click.option(
    "--times",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Show the times that were measured on a GPU too: a folder of results, as benchmarks/results/nvidia-h200.",
)
@click.option("--teacher", is_flag=True, help="With all: also teacher.html, for a class of 90 minutes, with answers.")
@click.option("--picture", is_flag=True, help="Also the lesson's picture, as SVG and as PNG.")
@with_errors
def lesson(name: str, folder: str, network: str | None, times: Path | None, teacher: bool, picture: bool) -> None:
    """Make a page that shows what a kernel does, from a run of it.

    NAME is a lesson (`list` lists them) or a lesson's number; `all` makes every one, and an index. FILE.cu is a kernel
    of your own, or the name of one of tinycnn's, as conv2d: its page shows its faults, or what it asks of memory. A
    page is one file, to be opened in any browser.
    """
    from tinycnn import lessons

    if name == "list":
        refuse_given(
            "is for pages; `tinycnn lesson list` makes none", "folder", "network", "times", "teacher", "picture"
        )
        print_table([(one.number, one.name, one.title) for one in lessons.LESSONS], ["", "name", "lesson"])
        return
    if teacher and name != "all":
        raise click.UsageError("--teacher is for `tinycnn lesson all`")
    if name != "all" and name not in {word for one in lessons.LESSONS for word in (one.name, str(one.number))}:
        if network or times:
            raise click.UsageError("--network and --times are for the lessons, not for a kernel file")
        path, launches = find_file(name)
        pages = iter(
            lessons.write_file(path, launches, folder, name, picture)
            if is_own(path)
            else written_apart(name, path, folder, picture)
        )
    else:
        if name != "all":
            refuse_unused(lessons.find(name))
        subject = lessons.Subject(network, times)
        pages = (
            lessons.write_all(folder, subject, teacher, picture)
            if name == "all"
            else iter(lessons.write(name, folder, subject, picture))
        )
    for page in pages:
        click.echo(page)


def refuse_unused(one: Lesson) -> None:
    """Raises UsageError for --network and --times where this lesson shows nothing of it."""
    if not one.network:
        refuse_given(f"changes nothing in the lesson {one.name}, which shows no network", "network")
    if not one.times:
        refuse_given(f"changes nothing in the lesson {one.name}, which shows no times", "times")


def written_apart(name: str, path: Path, folder: str, picture: bool) -> list[Path]:
    """The page of a kernel file of one's own, made in a child process. Raises KernelError if that was ended by it."""
    outcome = limited.run("tinycnn.command.lesson:job", {"name": name, "folder": folder, "picture": picture})
    shown(outcome.printed)
    if outcome.ended:
        raise KernelError(f"{outcome.during}: {path}: {outcome.ended}")
    return [Path(page) for page in outcome.values[-1]]


def job(name: str, folder: str, picture: bool) -> Iterator[limited.At | list[str]]:
    """What the child does."""
    from tinycnn import lessons

    path, launches = find(name)
    yield limited.At(path.name, BUILD_SECONDS + (len(launches) + 1) * launch_seconds(MOST_SECONDS))
    yield [str(page) for page in lessons.write_file(path, launches, folder, name, picture)]


def find_file(name: str) -> tuple[Path, list[Launch]]:
    """(path, launches) of a kernel file; a usage error that names the nearest lesson for what is neither."""
    from tinycnn.lessons.catalogue import NAMES

    try:
        return find(name)
    except click.UsageError as error:
        if name.endswith(".cu"):
            raise
        raise click.UsageError(f"there is no lesson {name!r}; {nearest(name, NAMES, f'and {error.message}')}") from None
