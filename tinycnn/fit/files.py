"""Files that training writes: refused before hours are spent, whole or not at all, and JSON that anybody reads."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import platform
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LONGEST_NAME = 255  # bytes, on the file systems that people use

_numbers = itertools.count()


def names_a_field(path: str) -> bool:
    """Whether a file's name has fields to fill in, as 'run-{epoch}.safetensors'. Raises ValueError for one brace."""
    return any(field is not None for _, field, _, _ in string.Formatter().parse(path))


def check_writable(path: str | os.PathLike, make_folder: bool = False) -> Path:
    """The file that `path` leads to, links followed, if a file of ours can be written there.

    Raises OSError or ValueError that says what is in the way: no name, a folder or a device of that name, no folder to
    put it in (make_folder: it is made), no permission, a name that is too long.
    """
    text = os.fspath(path)
    if not text or "\0" in text:
        raise ValueError(f"cannot write to a file called {text!r}")
    try:
        target = Path(os.path.realpath(text))
        if target.is_dir():
            raise OSError(f"cannot write {text}: it is a folder")
        if os.path.lexists(target) and not target.is_file():
            raise OSError(f"cannot write {text}: it is no regular file")
        if make_folder:
            target.parent.mkdir(parents=True, exist_ok=True)
        if not target.parent.is_dir():
            raise OSError(f"cannot write {text}: there is no folder {target.parent}")
        if len(os.fsencode(target.name)) > LONGEST_NAME:
            raise OSError(f"cannot write {text}: its name is too long")
        temporary = _temporary(target.parent)
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.unlink(temporary)
        if target.exists() and not os.access(target, os.W_OK):
            raise OSError(f"cannot write {text}: permission denied")
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(f"cannot write {text}: {(error.strerror or '').lower()}") from None
    return target


HDF5_NAMES = (".h5", ".hdf5")
KERAS_3_WEIGHTS = ".weights.h5"


def is_hdf5(path: str | os.PathLike) -> bool:
    """Whether a name stands for HDF5. Raises ValueError for Keras 3's .keras, which is no kind that is known."""
    name = os.fspath(path).lower()
    if name.endswith(".keras"):
        raise ValueError(
            f"{os.fspath(path)}: .keras files are not read or written, but HDF5 files are: model.save('m.h5') in Keras"
        )
    return name.endswith(HDF5_NAMES)


def h5py() -> Any:
    """The module h5py. Raises ValueError with the command that installs it."""
    try:
        import h5py as module
    except ImportError:
        raise ValueError("HDF5 files need h5py: pip install 'tinycnn[hdf5]', or save to a .safetensors file") from None
    return module


def check_network_file(path: str | os.PathLike, make_folder: bool = False, weights_only: bool = False) -> None:
    """Raises OSError or ValueError where a network cannot be written to `path`, as `check_writable` does."""
    if is_hdf5(path):
        h5py()
        if os.fspath(path).endswith(KERAS_3_WEIGHTS) and not weights_only:
            raise ValueError(f"{os.fspath(path)}: a {KERAS_3_WEIGHTS} file holds weights alone: save_weights writes it")
    check_writable(path, make_folder)


def write_atomically(path: str | os.PathLike, data: bytes) -> None:
    """Write bytes to `path`, links followed, or leave what was there: never half of it.

    The bytes are written beside it and then renamed onto it. What a killed process left beside it is removed. Raises
    OSError that names `path`.
    """
    target = check_writable(path)
    _remove_leftovers(target.parent)
    temporary = _temporary(target.parent)
    try:
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise


@contextlib.contextmanager
def alone_in(folder: str | os.PathLike) -> Iterator[None]:
    """Inside, no other process is inside for the same folder, where the system and the file system have such locks."""
    try:
        import fcntl

        place = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):  # Windows has no fcntl
        yield
        return
    try:
        with contextlib.suppress(OSError):  # some network file systems lock no folder
            fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)


def _temporary(folder: Path) -> Path:
    """A name that no other process, and no other thread of this one, writes to."""
    return folder / f".tinycnn-{platform.node()}-{os.getpid()}-{next(_numbers)}.tmp"


def _remove_leftovers(folder: Path) -> None:
    """Remove temporary files of processes of this machine that are no more."""
    for file in folder.glob(f".tinycnn-{platform.node()}-*.tmp"):
        found = re.fullmatch(r"\.tinycnn-.*-(\d+)-\d+\.tmp", file.name)
        if found and not _is_running(int(found[1])):
            with contextlib.suppress(OSError):
                file.unlink()


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


# ---------------------------------------------------------------- JSON


def json_text(value: Any, **options: Any) -> str:
    """`value` as JSON by RFC 8259, which has no NaN and no infinity: null, and "diverged": true in the same object."""
    return json.dumps(_without_nan(value), allow_nan=False, **options)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        plain = {name: _without_nan(item) for name, item in value.items()}
        lost = any(isinstance(item, float) and not math.isfinite(item) for item in value.values())
        return {**plain, "diverged": True} if lost else plain
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
