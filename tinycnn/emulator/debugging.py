"""Stops a debugger in one thread of one block.

On a CPU a kernel is an ordinary program, so an ordinary debugger shows its local variables, its shared arrays and the
place of each thread. What gdb needs is a process that makes the launch again: the launch is saved to a file, which
`python -m tinycnn.emulator.replay FILE` runs.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tinycnn.emulator import build, cache, module
from tinycnn.emulator.arguments import LaunchError
from tinycnn.emulator.launches import Launch


def debug_command(
    path: str | Path, launch: Launch, block: tuple[int, ...] = (0, 0, 0), thread: tuple[int, ...] = (0, 0, 0)
) -> list[str]:
    """The gdb command, a list of words, that runs a launch and stops where this thread enters the kernel.

    The kernel is built without optimisation. In gdb: `next` steps over a barrier too, and comes back in the same
    thread; `print tile[2][5]` shows shared memory, `print threadIdx` who is running; `break 42 if threadIdx.x == 5`
    stops in a thread at a line.

    Raises BuildError, and LaunchError for what cannot be launched or for a thread that is not there.
    """
    loaded = module.load(path, [launch.kernel], build.DEBUG)
    loaded.signature(launch.kernel).pack(launch.args)
    grid, size = module.check_shape(launch.kernel, launch.grid, launch.block, launch.shared, launch.cooperative)
    selected = [_number(launch.kernel, "block", block, grid), _number(launch.kernel, "thread", thread, size)]
    saved = save(loaded.path, launch, selected)
    # The kernel's breakpoint is set when its turn has come: gdb would otherwise stop in every thread to look.
    words = ["gdb", "-q", "-iex", "set debuginfod enabled off", "-ex", "set breakpoint pending on"]
    name = re.split(r"[<\s]", launch.kernel)[0]
    for command in ("break cudasim_selected_thread", "run", f"tbreak {name}", "continue"):
        words += ["-ex", command]
    return [*words, "--args", sys.executable, "-m", "tinycnn.emulator.replay", str(saved)]


def _number(kernel: str, word: str, index: tuple[int, ...], extents: tuple[int, int, int]) -> int:
    """The number of a block in its grid, or of a thread in its block."""
    index = tuple(index) + (0,) * (3 - len(index))
    if len(index) != 3 or not all(0 <= i < extent for i, extent in zip(index, extents, strict=True)):
        raise LaunchError(f"{kernel}: there is no {word} {index} in {extents}")
    return (index[2] * extents[1] + index[1]) * extents[0] + index[0]


def save(path: Path, launch: Launch, selected: Sequence[int]) -> Path:
    """Write a launch to a file in the cache folder; returns its path. Arguments that are one array stay one."""
    if launch.buffers:
        raise LaunchError(f"{launch.kernel}: a launch with tables of pointers cannot be saved for the debugger")
    arrays: dict[str, np.ndarray] = {}
    places: list[str | None] = []
    for value in launch.args:
        if value is None:
            places.append(None)
            continue
        known = next((name for name, array in arrays.items() if array is value), None)
        name = known or f"a{len(arrays)}"
        places.append(name)
        arrays[name] = value
    variables = {name: f"v{i}" for i, name in enumerate(launch.variables)}
    arrays |= {variables[name]: values for name, values in launch.variables.items()}
    description = json.dumps(
        {
            "path": str(path),
            "kernel": launch.kernel,
            "grid": [int(n) for n in launch.grid],
            "block": [int(n) for n in launch.block],
            "shared": int(launch.shared),
            "cooperative": launch.cooperative,
            "selected": selected,
            "variables": variables,
            "args": places,
        }
    )
    digest = hashlib.sha256(description.encode())
    for array in arrays.values():
        digest.update(np.ascontiguousarray(array).tobytes())
    target = cache.folder() / f"launch-{digest.hexdigest()[:32]}.npz"
    np.savez(target, allow_pickle=False, description=np.array(description), **arrays)
    return target
