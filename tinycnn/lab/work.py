"""What the buttons do: each is a command of tinycnn, run in a process of its own on a file of the folder.

So the page says what a terminal would say, and the server itself neither runs nor reads what a student has written: the
commands do, in a child process within limits (limited.py). A file has one command at a time; the next one waits. A
command that nobody waits for any more is ended as Ctrl-C ends it, which ends its own child too.
"""

from __future__ import annotations

import asyncio
import os
import shlex
from collections import defaultdict
from pathlib import Path
from typing import Any

from tinycnn import exercises, lessons, processes
from tinycnn.lab.folder import Folder, version_of


class NoSuchWork(ValueError):
    """A button that this file or this lesson does not have."""


class Workshop:
    """Runs the commands. pages: the folder that Play writes to."""

    def __init__(self, folder: Folder, pages: Path):
        self.folder, self.pages = folder, pages
        self.turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.tasks: set[asyncio.Task] = set()

    def begin(self, what: str, name: str) -> asyncio.Task[dict[str, Any]]:
        """`do`, as a task that can be cancelled."""
        task = asyncio.create_task(self.do(what, name))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def end(self) -> None:
        """End every command that runs."""
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)

    async def do(self, what: str, name: str) -> dict[str, Any]:
        """What a command has said of a file, or of a lesson, as plain data. Raises NoSuchWork and what `read` raises.

        version: the file's before the command began; page: where Play has put what it made, below `pages`.
        """
        words, page = self.command(what, name)
        async with self.turns[name]:
            version = "" if what == "lesson" else version_of(self.folder.read(name))
            goes_to = ["-o", str(self.pages / page.parent)] if page else []
            if what == "lesson" and page and (self.pages / page).exists():  # the same every time
                status, text = 0, ""
            else:
                status, text = await said([*words, *goes_to], self.folder.path)
        return {
            "command": shlex.join(["tinycnn", *words]),
            "status": status,
            "text": "" if page and status == 0 else text,
            "page": page.as_posix() if page and status == 0 else None,
            "version": version,
        }

    def command(self, what: str, name: str) -> tuple[list[str], Path | None]:
        """(words of the command, the page that it makes)"""
        if what == "lesson":
            if name not in {lesson.name for lesson in lessons.LESSONS}:
                raise NoSuchWork(f"there is no lesson {name!r}")
            return ["lesson", name], Path("lessons", f"{name}.html")
        path = self.folder.file(name)
        if what == "judge":
            if exercise_of(name) is None:
                raise NoSuchWork(f"{name} is the file of no exercise")
            return ["judge", name, "--exercise", path.stem], None
        if what not in ("check", "trace", "play") or path.suffix != ".cu":
            raise NoSuchWork(f"there is no {what} of {name}")
        if what == "play":
            return ["lesson", name], Path("files", f"{path.stem}.html")
        return [what, name], None


def exercise_of(name: str) -> exercises.Exercise | None:
    """The exercise that a file is for: the one that it is named after."""
    stem = name.rpartition(".")[0]
    found = exercises.load(stem) if stem in exercises.NAMES else None
    return found if found and name == stem + found.suffix else None


async def said(words: list[str], folder: Path) -> tuple[int, str]:
    """(exit status, what it printed) of a tinycnn command in a folder; ended where the caller is cancelled."""
    process = await asyncio.create_subprocess_exec(
        *processes.command(*words, foreign=folder),  # a student's click.py is not click
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        start_new_session=True,  # Ctrl-C at the lab is the lab's
    )
    try:
        output, _ = await process.communicate()
    finally:
        await asyncio.shield(processes.end_soon(process))
    return process.returncode or 0, output.decode("utf-8", errors="replace")
