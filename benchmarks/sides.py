"""tinycnn on one of its devices, as a side of a comparison.

A side has a `label`, `marks` to time it by, and `variants(problem, direction)`, its ways of computing that problem as
{name: How}. `bind` puts inputs on the device for one of them; `record` makes several calls one replay.
"""

from typing import Any, NamedTuple

import numpy as np
from gpu_timing import CupyMarks, HostMarks, NumbaMarks

FAST, GENERAL = "fast", "general"
PRODUCTS = ("conv2d", "dense")  # operations that these two compute by kernels of their own


class How(NamedTuple):
    """One way to compute: what is allowed and asked for in it."""

    tf32: bool = False
    layout: str | None = None  # of images: 'channels-first' or 'channels-last'
    cudnn: bool = False  # ask for cuDNN where PyTorch has a kernel of its own too


class Bound(NamedTuple):
    """A computation with its inputs in place."""

    call: Any  # () -> a tuple of arrays of the side's own
    to_host: Any  # those arrays -> NumPy arrays, shaped as tinycnn shapes them
    poison: Any  # fills those arrays with NaN


class TinycnnSide:
    """A device, on one of its paths or on the one that it takes. Where the paths do not differ, only FAST computes."""

    def __init__(self, device, path=None):
        self.device, self.path = device, path or device.path
        self.label = path or device.name
        self.marks = {"cuda": CupyMarks, "numba": NumbaMarks}.get(device.name, HostMarks)()

    def variants(self, problem, direction):
        if self.label == GENERAL and problem.operation not in PRODUCTS:
            return {}
        return {self.label: How()}

    def bind(self, problem, direction, how, inputs):
        call = problem.bind(self.device, direction, inputs)

        def on_the_path():
            with self.device.taking(self.path):
                return call()

        return Bound(on_the_path, self.to_host, self.poison)

    def to_host(self, outputs):
        return [np.array(self.device.numpy(array)) for array in outputs]

    def poison(self, outputs):
        for array in outputs:
            self.device.assign(array, np.full(array.shape, np.nan, np.float32))

    def record(self, work):
        """(a function that does `work`, 'graph' or 'launches'): what the device makes of a training step too."""
        run = self.device.record(work)
        run()  # the first run compiles, the second records
        run()
        return run, "graph" if getattr(run, "graph", None) is not None else "launches"
