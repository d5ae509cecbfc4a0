"""What Keras calls the session: the seed, and the numbers that new layers are given.

A layer's number makes its name (conv2d_1) and its random streams, so a program that builds the same
network after `set_random_seed(1)` gets the same names and the same weights. The numbers are the process's: threads that
make layers at the same time never get one number twice.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import SupportsIndex

_lock = Lock()  # for the three that follow
_seed = 0
_streams = 0
_names: Counter[str] = Counter()
_learning_phase = 0  # of the backend's functions

_draw_weights = ContextVar("draw_weights", default=True)


def set_random_seed(seed: SupportsIndex) -> None:
    """Start again from `seed`, a whole number in [0, 2**64). Layers made from here on draw from it.

    Raises ValueError for anything else.
    """
    global _seed, _streams
    number = check_seed(seed)
    with _lock:
        _seed, _streams = number, 0


def check_seed(seed: SupportsIndex) -> int:
    """A seed as an int. Raises ValueError for what is none."""
    try:
        number = operator.index(seed)  # NumPy's integers are integers
    except TypeError:
        number = -1
    if not 0 <= number < 2**64:
        raise ValueError(f"a seed is a whole number in [0, 2**64), not {seed!r}")
    return number


def clear_session() -> None:
    """Number layers from 1 again, and have the backend's functions not train; the seed stays."""
    global _streams
    with _lock:
        _streams = 0
        _names.clear()
    set_learning_phase(0)


def learning_phase() -> int:
    """1 where the backend's functions train that are not told, else 0."""
    return _learning_phase


def set_learning_phase(phase: int) -> None:
    global _learning_phase
    _learning_phase = phase


@contextmanager
def another(seed: SupportsIndex = 0) -> Iterator[None]:
    """Inside, a session of its own: layers are numbered from 1, and draw from this seed. Then it is as it was."""
    global _seed, _streams
    with _lock:
        before = _seed, _streams, _names.copy(), _learning_phase
    clear_session()
    set_random_seed(seed)
    try:
        yield
    finally:
        with _lock:
            _seed, _streams = before[:2]
            _names.clear()
            _names.update(before[2])
        set_learning_phase(before[3])


def seed() -> int:
    """The current seed."""
    return _seed


def next_stream() -> int:
    """A number for a layer's random streams: 0, 1, 2, ... since the seed was set."""
    global _streams
    with _lock:
        _streams += 1
        return _streams - 1


def next_name(kind: str) -> str:
    """conv2d_1, conv2d_2, ..."""
    with _lock:
        _names[kind] += 1
        return f"{kind}_{_names[kind]}"


def draws_weights() -> bool:
    """Whether new layers draw their initial weights."""
    return _draw_weights.get()


@contextmanager
def without_initial_weights() -> Iterator[None]:
    """Layers made inside start with zeros: for networks whose weights are about to be loaded, or never used.

    It holds for the thread that entered the block, and for no other.
    """
    before = _draw_weights.set(False)
    try:
        yield
    finally:
        _draw_weights.reset(before)
