"""The student's files: text in one folder, saved whole or not at all.

A version is the hash of a file's bytes. Who saves says which version the text began from: where the file has another
one by now, written in a second tab or by another editor, nothing is saved and nothing is lost.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from tinycnn.exercises.refused import MOST_BYTES
from tinycnn.fit.files import write_atomically

NAME = re.compile(r"\w[\w.-]*\.(?:cu|cuh|py)")
NEW = ""  # the version of a file that is not there yet


class NameRefused(ValueError):
    """A name that no file of the lab has."""


class Changed(Exception):
    """The file has another version than the one that was begun from."""


def version_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Folder:
    """The files of one folder; `path`: absolute, links followed."""

    def __init__(self, path: Path):
        self.path = path.resolve()

    def names(self) -> list[str]:
        """The files that the lab can open, sorted."""
        files = (path.name for path in self.path.iterdir() if path.is_file() and not path.is_symlink())
        return sorted(name for name in files if NAME.fullmatch(name))

    def file(self, name: str) -> Path:
        """The path of a file that may be there or not. Raises NameRefused for a name that could lead elsewhere."""
        path = self.path / name
        if not NAME.fullmatch(name) or len(name.encode()) > 200:
            raise NameRefused(f"a file is called like mine.cu, mine.cuh or mine.py, without a folder, not {name!r}")
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise NameRefused(f"{name} is a link or a folder")
        return path

    def read(self, name: str) -> bytes:
        """A file's UTF-8. Raises FileNotFoundError, NameRefused, and ValueError for what is too large or no text."""
        path = self.file(name)
        with open(path, "rb") as file:
            return checked(name, file.read(MOST_BYTES + 1))

    def save(self, name: str, data: bytes, version: str) -> str:
        """Save a file that had this version, NEW for none: its version now. Raises Changed, NameRefused, ValueError."""
        path = self.file(name)
        checked(name, data)
        there = version_of(path.read_bytes()) if path.exists() else NEW
        if there != version:
            raise Changed(name)
        write_atomically(path, data)
        return version_of(data)


def checked(name: str, data: bytes) -> bytes:
    """The same bytes. Raises ValueError unless they are a text of a size that the judge takes."""
    if len(data) > MOST_BYTES:
        raise ValueError(f"{name} has more than {MOST_BYTES // 2**20} MiB")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{name} is no text in UTF-8") from None
    return data
