"""Where compiled kernels are kept, so that they are compiled once on a machine.

Numba keeps what it compiled under the name and date of the function's file, and does not notice when a function
that was compiled into it has changed. So the folder bears a digest of all source of this package: whoever edits
a kernel, or anything that a kernel uses, starts with an empty folder.
"""

import hashlib
import os
import sys
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numba


@cache
def folder():
    """In NUMBA_CACHE_DIR if that is set, else in the user's cache folder; a new one where that cannot be written."""
    base = numba.config.CACHE_DIR or os.environ.get("XDG_CACHE_HOME")
    if not base:
        base = os.environ.get("LOCALAPPDATA", "~/AppData/Local") if sys.platform == "win32" else "~/.cache"
    path = Path(base).expanduser() / "tinycnn" / "cpu" / _digest()
    try:
        path.mkdir(parents=True, exist_ok=True)
        if os.access(path, os.W_OK):
            return path
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="tinycnn-"))


def _digest():
    total = hashlib.sha256(numba.__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        total.update(path.read_bytes())
    return total.hexdigest()[:16]


@contextmanager
def in_use():
    """Numba looks for compiled functions in `folder()`, and keeps new ones there."""
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder())
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before
