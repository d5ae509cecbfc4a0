"""Where built files are kept, and whether they are still what was built.

A shared object that was cut or has a flipped bit ends Python when it is loaded. So each file ends in a seal, the digest
of all that stands before it (the loader and the linker leave it alone), and is loaded only if that is right. A file
that is not whole is dropped and built anew.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path

from tinycnn.folders import user_cache

PATTERNS = ("*.so", "*.o", "launch-*.npz")  # the files in the folder: the last are saved for a debugger
MARK = b"\ntinycnn-sha256:"
ROOM = 2**20  # bytes: more than any built file has
DAY = 24 * 60 * 60  # seconds

_temporary: list[tempfile.TemporaryDirectory] = []  # the one that is used where `chosen_folder` cannot be written
_said: set[Path] = set()  # of which folders it was said that they cannot be written
_lock = threading.Lock()


def chosen_folder() -> Path:
    """The folder by the user's wish, TINYCNN_EMULATOR_CACHE, or in the user's cache folder."""
    given = os.environ.get("TINYCNN_EMULATOR_CACHE")
    if given:
        return Path(given)
    return user_cache() / "tinycnn" / "emulator"


def find(name: str) -> Path | None:
    """The built file of this name, if there is one that is whole."""
    folders = [chosen_folder()]
    folders += [Path(folder.name) for folder in _temporary]
    return next((path / name for path in folders if is_whole(path / name)), None)


def folder() -> Path:
    """Where to write: `chosen_folder`, or, if that cannot be written, a folder that lives as long as this process."""
    path = chosen_folder()
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as trial:
            trial.write(bytes(ROOM))  # a full disk takes files, as long as they are empty
        _remove_left_over(path)
        return path
    except OSError as error:
        if path not in _said:
            _said.add(path)
            warnings.warn(
                f"{path} cannot be written ({error.strerror}): what the emulator builds is not kept; "
                "TINYCNN_EMULATOR_CACHE names another folder",
                stacklevel=2,
            )
    with _lock:
        if not _temporary:
            _temporary.append(tempfile.TemporaryDirectory(prefix="tinycnn-emulator-"))
    return Path(_temporary[0].name)


def _remove_left_over(path: Path) -> None:
    """Folders in which a process was building that was killed: no build takes a day."""
    for folder in path.glob("building-*"):
        with suppress(FileNotFoundError):  # another process has just finished there
            if time.time() - folder.stat().st_mtime > DAY:
                shutil.rmtree(folder, ignore_errors=True)


def is_whole(path: Path) -> bool:
    """Whether the file is there as it was kept. One that is not whole is removed, and a warning says so."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    end = len(content) - len(_seal(b""))
    if end > 0 and content[end:] == _seal(content[:end]):
        return True
    with suppress(OSError):  # in a folder that cannot be written
        path.unlink()
    warnings.warn(f"{path} was damaged, it is built anew", stacklevel=2)
    return False


def keep(made: Path, path: Path) -> None:
    """Seal a file that was just made, and put it into the cache as `path`: all of it or nothing."""
    content = made.read_bytes()
    with made.open("ab") as file:
        file.write(_seal(content))
    os.replace(made, path)


def _seal(content: bytes) -> bytes:
    return MARK + hashlib.sha256(content).hexdigest().encode()
