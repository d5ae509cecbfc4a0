"""A block of threads in Numba's simulator: one thread after another, each as far as its next barrier.

Numba's own BlockManager starts a thread of Python for each thread of the block and polls until all are done: 50 ms for
a block of 256, and far more with barriers. Here a thread is a greenlet, a function that can be left at a barrier and
gone on with later. That is ten times as fast, and the order is always the same.

A barrier that only some of the block's threads reach is an error here. Numba's simulator lets it pass; on a GPU the
kernel may hang.

The simulator has no hook for this: a launch makes `BlockManager(function, grid_dim, block_dim, debug)` by that global
name of its module, and calls `run(grid_point, *arguments)` for each block. `install` assigns to the name. Seen to work
with numba-cuda 0.30.0 to 0.30.4. A numba-cuda in which that class is gone or takes other arguments is refused by name;
one that makes its blocks elsewhere is noticed by the tests, for a barrier that only some threads reach passes then.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

from greenlet import getcurrent, greenlet
from numba.cuda.simulator import kernel as simulator
from numba.cuda.simulator.kernelapi import Dim3

from tinycnn.devices import DeviceError
from tinycnn.utils.hardware import version

SEEN = "0.30.4"  # the newest numba-cuda that this was seen to work with
NUMBAS_OWN = {"__init__": ["self", "f", "grid_dim", "block_dim", "debug"], "run": ["self", "grid_point", "args"]}


class DivergentBarrier(RuntimeError):
    """Some threads of a block wait at a barrier, and others have ended without reaching it."""


class Block:
    """What the simulator makes of a kernel for each block of a launch, in place of its BlockManager."""

    def __init__(self, f: Callable[..., None], grid_dim: tuple, block_dim: tuple[int, int, int], debug: bool):
        columns, rows, layers = block_dim
        self.places = [Dim3(x, y, z) for z in range(layers) for y in range(rows) for x in range(columns)]
        self.function = f

    def run(self, grid_point: tuple[int, int, int], *args: Any) -> None:
        """Play the block at `grid_point`. Raises what a thread raises, and DivergentBarrier."""
        here: Any = threading.current_thread()  # where the simulator looks for threadIdx, blockIdx and syncthreads
        here.blockIdx, here.syncthreads = Dim3(*grid_point), getcurrent().switch
        threads = [(place, self.thread(args)) for place in self.places]
        while threads:
            waiting = []
            for here.threadIdx, thread in threads:
                thread.switch()
                if not thread.dead:
                    waiting.append((here.threadIdx, thread))
            if 0 < len(waiting) < len(threads):
                raise DivergentBarrier(
                    f"block {grid_point}: {len(waiting)} threads wait at a barrier, the first of them {waiting[0][0]}, "
                    f"and {len(threads) - len(waiting)} have ended without reaching it"
                )
            threads = waiting

    def thread(self, args: tuple) -> greenlet:
        """A thread of the block that has not begun yet."""
        thread = greenlet(lambda: self.function(*args))
        thread.gr_context = getcurrent().gr_context  # so that np.errstate holds in it too
        return thread


def install(simulator: ModuleType = simulator) -> None:
    """Let the simulator play blocks this way. Raises DeviceError where it is not the one that this was written for."""
    numbas = getattr(simulator, "BlockManager", None)
    if numbas is Block:
        return
    methods = {name: getattr(numbas, name, None) for name in NUMBAS_OWN}
    if any(m is None or list(inspect.signature(m).parameters) != NUMBAS_OWN[name] for name, m in methods.items()):
        raise DeviceError(
            f"numba-cuda {version('numba-cuda')} has another simulator than the one that tinycnn plays its blocks in: "
            f"pip install 'numba-cuda=={SEEN}'"
        )
    simulator.BlockManager = Block  # type: ignore[attr-defined]
