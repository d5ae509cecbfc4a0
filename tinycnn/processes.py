"""Starts Python in a process of its own, with the tinycnn of this one, and ends a command of tinycnn's.

A command that nobody waits for any more hears Ctrl-C first, so that it can end what it has started itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import tinycnn

if TYPE_CHECKING:
    from asyncio.subprocess import Process

END_SECONDS = 5.0  # for a command to end what it has started, after Ctrl-C

# The current folder is where foreign code lies: what is called json.py there is not to be imported. And Ctrl-C is heard
# also where this process was started in the background, by a shell that has it ignored.
BEGIN = (
    "import sys; del sys.path[0]; import json, signal; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "signal.signal(signal.SIGINT, signal.default_int_handler); "
)


def python(code: str, *words: str, foreign: Path | None = None) -> list[str]:
    """The command line that runs code in a process which imports from where this one does. words: its sys.argv[1:].

    foreign: a folder with files of somebody else's, which it does not import from, unless tinycnn itself lies there.
    """
    places = [os.path.abspath(place) for place in sys.path]  # the first may be "", the current folder
    if foreign is not None and foreign != Path(tinycnn.__file__).parent.parent:
        places = [place for place in places if place != str(foreign)]
    return [sys.executable, "-c", BEGIN + code, json.dumps(places), *words]


def command(*words: str, foreign: Path | None = None) -> list[str]:
    """The command line of `tinycnn WORDS`. foreign: as `python` has it."""
    return python("from tinycnn.command import main; main()", *words, foreign=foreign)


def end(child: subprocess.Popen, heard_seconds: float) -> None:
    """End a command that has not ended by Ctrl-C, and at last by force.

    heard_seconds: how long it may take without, where it may have heard the same Ctrl-C as this process.
    """
    for seconds, number in ((heard_seconds, signal.SIGINT), (END_SECONDS, signal.SIGKILL)):
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.send_signal(number)
    child.wait()


async def end_soon(child: Process) -> None:
    """The same for a process of asyncio's, which has heard nothing yet."""
    import asyncio

    if child.returncode is None:
        child.send_signal(signal.SIGINT)
    try:
        await asyncio.wait_for(child.wait(), END_SECONDS)
    except asyncio.TimeoutError:  # TimeoutError itself from Python 3.11 on
        child.kill()
        await child.wait()
