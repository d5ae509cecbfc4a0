"""tinycnn in notebooks: after `%load_ext tinycnn` a kernel is a cell.

    %%tinycnn check
    // launch: kernel=copy grid=4 block=256 x=float[1000] y=float[1000] n=int:1000
    __global__ void copy(const float* x, float* y, int n) { ... }

    %%tinycnn run                           a whole program, with its main; -- and its arguments may follow
    %%tinycnn trace ::copy                  of several kernels in the cell, this one
    %%tinycnn judge --exercise guard        also a cell in Python, where the exercise is in Python
    %%tinycnn lesson                        its page, below the cell
    %%tinycnn check -o mine.cu              the cell is written to this file, and stays there

Without a cell `%tinycnn WORDS` is the command `tinycnn WORDS`, and shows the page that `lesson` makes.

Either way it is the command itself, in a process of its own: whatever a kernel does, and whatever is refused, the
notebook's own process goes on, and reads what the command prints.
"""

from __future__ import annotations

import html
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from tinycnn import processes
from tinycnn.fit.files import write_atomically

COMMANDS = ("run", "check", "trace", "judge", "lesson")  # those that take a file which a cell can be
HEARD_SECONDS = 2.0  # for a command to end by the Ctrl-C that a notebook sends to both of us
PAGE_HEIGHT = 720  # pixels


def load(shell: Any) -> None:
    """Give IPython the magic. Raises ImportError that says what to install where there is no IPython."""
    try:
        import IPython  # noqa: F401
    except ImportError:
        raise ImportError("the magic %%tinycnn needs IPython: pip install 'tinycnn[notebook]'") from None
    shell.register_magic_function(tinycnn, "line_cell", "tinycnn")


def tinycnn(line: str, cell: str | None = None) -> None:
    """Run a command of tinycnn: `%tinycnn WORDS`, as in a shell, or `%%tinycnn check|trace|judge|lesson` on this cell.

    Of a cell: -o FILE writes it to a file that stays, ::NAME takes one of its kernels, and every other word is the
    command's; `%tinycnn check --help` says which it has.
    """
    try:
        words = shlex.split(line)
        if cell is None:
            show(words)
        else:
            take(words, cell)
    except click.exceptions.Exit:  # after --help
        pass
    except click.ClickException as error:
        refuse(error.format_message())
    except (OSError, ValueError) as error:
        refuse(str(error))


def refuse(message: str) -> None:
    """One line, as the command has it."""
    print(f"tinycnn: {message}", file=sys.stderr)


# ---------------------------------------------------------------- a cell is a file


def take(words: Sequence[str], cell: str) -> None:
    """Run a command on a cell. Raises what `parsed` raises, and OSError or ValueError for a FILE not to be written."""
    name, kept, rest = parsed(words)
    suffix = suffix_of(name, rest)
    if kept and Path(kept).suffix != suffix:
        raise click.UsageError(f"-o {kept}: the file of this cell ends in {suffix}")
    end = rest.index("--") if "--" in rest else len(rest)  # what follows is the program's in the cell
    kernels = [word for word in rest[:end] if word.startswith("::")]
    rest = [*(word for word in rest[:end] if word not in kernels), *rest[end:]]
    with TemporaryDirectory(prefix="tinycnn-") as folder:
        path = Path(kept or f"{folder}/cell{suffix}")
        write_atomically(path, cell.encode())
        # What is not kept is named by its name alone, wherever it is.
        target = "".join([kept or path.name, *kernels])
        pages = ["-o", folder] if name == "lesson" else []
        show([name, target, *pages, *rest], None if kept else folder)


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.option("-o", "--out", "kept")
def options(words: tuple[str, ...], kept: str | None) -> tuple[tuple[str, ...], str | None]:
    """What is the magic's among the words, and what is the command's."""
    return words, kept


def parsed(words: Sequence[str]) -> tuple[str, str | None, list[str]]:
    """(command, FILE of -o, other words) of a cell's first line. Raises UsageError for a command that takes no cell."""
    end = words.index("--") if "--" in words else len(words)
    others, kept = options.main(list(words[:end]), standalone_mode=False)
    name, *rest = others or ("",)
    if name not in COMMANDS:
        there = f"{', '.join(COMMANDS[:-1])} or {COMMANDS[-1]}"
        raise click.UsageError(f"%%tinycnn is followed by {there}" + (f", not by {name!r}" if name else ""))
    return name, kept, [*rest, *words[end:]]


def suffix_of(name: str, words: Sequence[str]) -> str:
    """.cu, or .py for an exercise in Python. Raises UsageError or ValueError where an exercise's name is missing."""
    if name != "judge":
        return ".cu"
    from tinycnn.command.judge import judge
    from tinycnn.exercises import load as exercise

    return exercise(judge.make_context(name, ["cell", *words]).params["name"]).suffix


# ---------------------------------------------------------------- a command runs, and is shown


def show(words: Sequence[str], folder: str | None = None) -> None:
    """Run a command in a folder, and print what it prints; of one page that `lesson` has made, show the page."""
    if "lesson" not in words[:1]:
        for line in lines_of(words, folder):
            print(line, end="", flush=True)
        return
    lines = list(lines_of(words, folder))
    made = [line for line in lines if line.endswith(".html\n") and Path(folder or "", line.rstrip("\n")).is_file()]
    for line in lines:
        if len(made) != 1 or line not in made:
            print(line, end="")
    if len(made) == 1:
        show_page(Path(folder or "", made[0].rstrip("\n")))


def lines_of(words: Sequence[str], folder: str | None) -> Iterator[str]:
    """What the command prints, line by line. Ctrl-C ends it too."""
    child = subprocess.Popen(
        processes.command(*words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert child.stdout
    try:
        yield from child.stdout
        child.wait()
    finally:
        child.stdout.close()  # before it is waited for: it must not wait in turn for somebody who reads
        processes.end(child, HEARD_SECONDS)


def show_page(page: Path) -> None:
    """A page in a frame of its own, which has all of it and may do nothing in the notebook."""
    from IPython.display import display

    text = html.escape(page.read_text(encoding="utf-8"))
    style = f"width: 100%; height: {PAGE_HEIGHT}px; border: 1px solid #999; background: #fff"
    about = 'title="A page by tinycnn lesson" sandbox="allow-scripts"'
    frame = f'<iframe {about} style="{style}" srcdoc="{text}"></iframe>'
    display({"text/html": frame, "text/plain": "A page, which a notebook in a browser shows here."}, raw=True)
