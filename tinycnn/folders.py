"""Folders of the user who runs this."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def user_cache() -> Path:
    """The user's cache folder, which need not exist."""
    local = os.environ.get("LOCALAPPDATA", "~/AppData/Local") if sys.platform == "win32" else "~/.cache"
    return expanded(os.environ.get("XDG_CACHE_HOME") or local)


def expanded(folder: str) -> Path:
    """The folder, with ~ for the home. Where there is none, as in containers, a path where nothing can be written."""
    try:
        return Path(folder).expanduser().absolute()
    except RuntimeError:
        return Path(os.devnull)
