"""python -m tinycnn.emulator.replay FILE: makes a saved launch again, for a debugger to stop in (debugging.py)."""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

import numpy as np

from tinycnn.emulator import build, module


def replay(file: str) -> list[Any]:
    """Load and launch; returns the arguments as the kernel left them."""
    with np.load(file) as saved:
        arrays = {name: saved[name] for name in saved.files}
    launch = json.loads(str(arrays.pop("description")))
    values = {name: array if array.ndim else array[()] for name, array in arrays.items()}
    args = [None if name is None else values[name] for name in launch["args"]]
    loaded = module.load(launch["path"], [launch["kernel"]], build.DEBUG)
    loaded.library.cudasim_select(*map(ctypes.c_int64, launch["selected"]))
    for name, saved_as in launch["variables"].items():
        loaded.set_variable(name, arrays[saved_as])
    shape = launch["grid"], launch["block"]
    loaded.launch(launch["kernel"], *shape, args, launch["shared"], launch["cooperative"])
    return args


if __name__ == "__main__":
    replay(sys.argv[1])
