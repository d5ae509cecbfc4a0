"""The command `tinycnn lab`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click


@click.command()
@click.argument(
    "folder", metavar="[FOLDER]", default="lab", type=click.Path(file_okay=False, writable=True, path_type=Path)
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port; any that is free if not given.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def lab(folder: Path, port: int, no_browser: bool) -> None:
    """Edit, check, judge and play kernels on a page in the browser, until Ctrl-C.

    The files are those in FOLDER, `lab` if it is not given, and are saved while you type. Only this machine, and only
    who knows the address, has access.
    """
    if missing := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
        raise click.ClickException(f"the lab needs {' and '.join(missing)}: pip install 'tinycnn[lab]'")
    from tinycnn.lab.serve import serve

    folder.mkdir(parents=True, exist_ok=True)
    serve(folder, port, not no_browser, click.echo)
    click.echo(f"ended; your files are in {folder}")
