"""The command `tinycnn kernels`."""

from __future__ import annotations

from pathlib import Path

import click

from tinycnn import kernels as shipped
from tinycnn.command.options import json_option, print_json, print_table


@click.command()
@click.option("-o", "--out", "folder", metavar="DIR", help="Copy the files to DIR, to be read and broken.")
@json_option
def kernels(folder: str | None, as_json: bool) -> None:
    """The CUDA kernels, file by file: those that the devices launch, and those of the ladder.

    A copy can be run by its path, `tinycnn check DIR/conv2d.cu`, with the launches of tinycnn's own. The exit status
    is 2, and nothing is copied, if DIR has a file of one of these names that differs.
    """
    if folder is not None:
        copy_to(Path(folder))
        rows = [{"file": str(Path(folder) / f"{name}.cu"), "what": first_line(name)} for name in shipped.NAMES]
    else:
        rows = [{"name": name, "what": first_line(name)} for name in shipped.NAMES]
    if as_json:
        print_json(rows)
    else:
        print_table([row.values() for row in rows], rows[0])


def first_line(name: str) -> str:
    """What a kernel file says of itself, as far as whole sentences go."""
    line = shipped.path(name).read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("//").strip()
    return line if line.endswith(".") else line[: line.rfind(". ") + 1] or line  # a sentence that goes on is left out


def copy_to(folder: Path) -> None:
    """Copy the kernels in C, their headers and the ladder's text. Ends with status 2 where that would lose a file."""
    wanted = {folder / name: (shipped.FOLDER / name).read_bytes() for name in shipped.files()}
    others = [path for path, content in wanted.items() if path.exists() and not has(path, content)]
    for path in others:
        click.echo(f"tinycnn: {path} is there already and differs: nothing was copied", err=True)
    if others:
        raise click.exceptions.Exit(2)
    for path, content in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(content)


def has(path: Path, content: bytes) -> bool:
    """Whether the file has that content."""
    return path.is_file() and path.read_bytes() == content
