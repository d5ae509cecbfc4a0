"""Where compiled kernels are kept, so that they are compiled once on a machine.

One file holds the machine code of one function, behind a digest of that code: a file that was cut off or damaged is
noticed when it is read, removed, and compiled again. Its folder bears a digest of all that decides what the code is:
the source of this package, Numba, and the processor. So whoever edits a kernel, or anything that a kernel uses, starts
with an empty folder. Files are written under another name and then renamed: two processes may do so at once.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import threading
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

import llvmlite
import numba

from tinycnn import philox
from tinycnn.devices.cpu.processor import processor, settings
from tinycnn.folders import expanded, user_cache

DIGEST_BYTES = hashlib.sha256().digest_size


class Described(NamedTuple):
    """A cache as `tinycnn doctor` describes it. To empty it, remove the folder."""

    path: Path
    files: int
    bytes: int


def base_folder() -> Path:
    """`tinycnn/cpu` in NUMBA_CACHE_DIR if that is set, else in the user's cache folder. It need not exist."""
    base = expanded(settings.CACHE_DIR) if settings.CACHE_DIR else user_cache()
    return base / "tinycnn" / "cpu"


@cache
def folder() -> Path:
    """Where in it this version of the kernels, compiled for this processor, is kept."""
    total = hashlib.sha256(repr((numba.__version__, llvmlite.__version__, processor(), settings.OPT)).encode())
    for path in (*sorted(Path(__file__).parent.glob("*.py")), Path(philox.__file__)):
        total.update(path.read_bytes())
    return base_folder() / total.hexdigest()[:16]


def describe() -> Described:
    """The cache of all versions: its folder, how many files it holds, and their size in bytes."""
    sizes = []
    for path in base_folder().rglob("*"):
        try:
            if path.is_file():
                sizes.append(path.stat().st_size)
        except OSError:  # removed meanwhile
            pass
    return Described(base_folder(), len(sizes), sum(sizes))


def read(name: str) -> bytes | None:
    """What was written under `name`; None where there is nothing, or nothing whole."""
    path = folder() / name
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, data = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if hashlib.sha256(data).digest() == digest:
        return data
    _say_once(f"compiled kernels in {path.parent} were damaged and are compiled again")
    try:
        path.unlink()
    except OSError:  # the next write says what is wrong with the folder
        pass
    return None


def write(name: str, data: bytes) -> None:
    """Keep `data`. Where that cannot be done, say so once: the next process has to compile again."""
    path = folder() / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leavings(path.parent)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{name}.", suffix=".tmp", delete=False) as file:
            try:
                file.write(hashlib.sha256(data).digest() + data)
                file.close()
                os.replace(file.name, path)
            except BaseException:
                file.close()
                os.unlink(file.name)
                raise
    except OSError as error:
        reason = error.strerror or error
        _say_once(
            f"compiled kernels cannot be kept in {path.parent} ({reason}): every process compiles them again, "
            "unless NUMBA_CACHE_DIR names a folder that can be written"
        )


def _remove_leavings(folder: Path) -> None:
    """Half-written files of processes that were killed: those that nobody has touched for an hour."""
    for path in folder.glob("*.tmp"):
        try:
            if path.stat().st_mtime < time.time() - 3600:
                path.unlink()
        except OSError:  # another process was faster
            pass


_said: set[str] = set()
_saying = threading.Lock()


def _say_once(text: str) -> None:
    with _saying:
        if text in _said:
            return
        _said.add(text)
    print(f"tinycnn: {text}", file=sys.stderr, flush=True)
