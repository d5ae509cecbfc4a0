"""A block of threads in Numba's simulator: one thread after another, each as far as its next barrier.

Numba's own BlockManager starts a thread of Python for each thread of the block and polls until all are done: 50 ms for
a block of 256, and far more with barriers. Here a thread is a greenlet, a function that can be left at a barrier and
gone on with later. That is ten times as fast, and the order is always the same.

A barrier that only some of the block's threads reach is an error here. Numba's simulator lets it pass; on a GPU the
kernel may hang.
"""

import threading

from greenlet import getcurrent, greenlet
from numba.cuda.simulator import kernel
from numba.cuda.simulator.kernelapi import Dim3


class DivergentBarrier(RuntimeError):
    """Some threads of a block wait at a barrier, and others have ended without reaching it."""


class Block:
    """What the simulator makes of a kernel for each block of a launch, in place of its BlockManager."""

    def __init__(self, function, grid_dim, block_dim, debug):
        columns, rows, layers = block_dim
        self.places = [Dim3(x, y, z) for z in range(layers) for y in range(rows) for x in range(columns)]
        self.function = function

    def run(self, grid_point, *args):
        """Play the block at `grid_point`. Raises what a thread raises, and DivergentBarrier."""
        here = threading.current_thread()  # where the simulator looks for threadIdx, blockIdx and syncthreads
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

    def thread(self, args):
        thread = greenlet(lambda: self.function(*args))
        thread.gr_context = getcurrent().gr_context  # so that np.errstate holds in it too
        return thread


def install():
    """Let the simulator play blocks this way."""
    kernel.BlockManager = Block
