"""Times on a device: events around replays of a recorded graph, with buffers that the cache holds and that it does not.

Launching costs the host more than many kernels cost the GPU, so calls are recorded once and replayed, and what is
timed is the replay. The contenders are replayed in turn, so that a change of the clocks meets all of them.
"""

import time
from math import ceil

CACHE_FACTOR = 3  # rotating buffers hold so many times what the L2 cache does
MOST_SETS = 64  # of rotating buffers, for the smallest shapes
CALLS = 20  # in one replay, at least
WARM_UP, ROUNDS = 3, 15


def sets_needed(size, cache):
    """How many sets of `size` bytes (inputs and outputs) it takes to find nothing in a cache of so many bytes."""
    return max(2, min(MOST_SETS, ceil(CACHE_FACTOR * cache / size)))


# ---------------------------------------------------------------- marks in time


class HostMarks:
    """The host's clock, for devices that compute while one waits."""

    def now(self):
        return time.perf_counter()

    def between(self, begin, end):
        return end - begin


class CupyMarks:
    """CUDA events on CuPy's current stream."""

    def now(self):
        import cupy

        event = cupy.cuda.Event()
        event.record()
        return event

    def between(self, begin, end):
        import cupy

        end.synchronize()
        return cupy.cuda.get_elapsed_time(begin, end) / 1e3


class NumbaMarks:
    """CUDA events on Numba's default stream."""

    def now(self):
        from numba import cuda

        event = cuda.event(timing=True)
        event.record()
        return event

    def between(self, begin, end):
        from numba import cuda

        end.synchronize()
        return cuda.event_elapsed_time(begin, end) / 1e3


class TorchMarks:
    """CUDA events on PyTorch's current stream."""

    def now(self):
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def between(self, begin, end):
        end.synchronize()
        return begin.elapsed_time(end) / 1e3


# ---------------------------------------------------------------- timing


def in_turn(replays, rounds=ROUNDS):
    """{key: [seconds of a call, ...]}, one for each round. replays: {key: (function, calls in it, marks)}."""
    for replay, _, _ in replays.values():
        for _ in range(WARM_UP):
            replay()
    seconds, keys = {key: [] for key in replays}, list(replays)
    for number in range(rounds):
        first = number % len(keys)  # nobody always follows the same one
        for key in keys[first:] + keys[:first]:
            replay, calls, marks = replays[key]
            replay()  # keeps the GPU busy while the host launches the replay that is timed
            begin = marks.now()
            replay()
            end = marks.now()
            seconds[key].append(marks.between(begin, end) / calls)
    return seconds
