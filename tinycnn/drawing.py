"""What the random functions of tinycnn.backend draw by, while something is computed.

A network's pass draws by the network's seed and a counter on its device, the n-th call of a pass from the n-th stream:
every step draws anew, a recorded one too, and all devices draw the same. Who evaluates an expression outside of a
network draws by the session's seed. Where nothing is computed, as while a network is described, nothing is drawn:
`random_normal` then gives what is not computed yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count

import numpy as np

from tinycnn import philox, session
from tinycnn.devices import current_device
from tinycnn.devices.base import Array, Device
from tinycnn.tensor import Tensor

INFERENCE = 2**20  # a pass that does not train draws from the streams behind so many, by another counter

_evaluations = count()  # that drew something, outside of networks


class Drawing:
    """Of one pass. step: its counter, of one element; first: the number of its first stream."""

    def __init__(self, device: Device, seed: int, step: Array | None, first: int = 0):
        self.device, self.seed, self.step, self.next = device, seed, step, first
        self.has_drawn = False

    def draw(self, shape: Sequence[int], normal: bool, seed: int | None = None) -> Tensor:
        """The next random numbers, standard normal or uniform in [0, 1). seed: the session's or the network's if None.

        Raises TypeError for a shape that is none.
        """
        array = self.device.empty(tuple(int(n) for n in shape))
        if self.step is None:
            self.step = self.device.asarray(np.array([next(_evaluations)]), "int64")
        stream = philox.stream_id(philox.DRAWS, self.next)
        self.device.draw(array, normal, self.seed if seed is None else session.check_seed(seed), stream, self.step)
        self.next, self.has_drawn = self.next + 1, True
        return Tensor.wrap(array, self.device)


_drawing: ContextVar[Drawing | None] = ContextVar("drawing", default=None)


def current() -> Drawing | None:
    """That of the pass that is being computed; None where nothing is."""
    return _drawing.get()


@contextmanager
def by(drawing: Drawing) -> Iterator[Drawing]:
    """Inside, that is what is drawn by."""
    before = _drawing.set(drawing)
    try:
        yield drawing
    finally:
        _drawing.reset(before)


@contextmanager
def by_any(device: Device | None = None) -> Iterator[None]:
    """Inside, there is something to draw by: what there was, or the session's seed on this or the current device."""
    if _drawing.get() is not None:
        yield
        return
    with by(Drawing(device or current_device(), session.seed(), None)):
        yield
