"""What Keras calls the session: the seed, and the numbers that new layers are given.

A layer's number makes its name (conv2d_1) and its random streams, so a program that builds the same
network after `set_random_seed(1)` gets the same names and the same weights.
"""

from collections import Counter
from contextlib import contextmanager

_seed = 0
_draw_weights = True
_streams = 0
_names = Counter()


def set_random_seed(seed):
    """Start again from `seed`, a whole number in [0, 2**64). Layers made from here on draw from it."""
    global _seed, _streams
    if not isinstance(seed, int) or not 0 <= seed < 2**64:
        raise ValueError(f"a seed is a whole number in [0, 2**64), not {seed!r}")
    _seed, _streams = seed, 0


def clear_session():
    """Number layers from 1 again; the seed stays."""
    global _streams
    _streams = 0
    _names.clear()


def seed():
    """The current seed."""
    return _seed


def next_stream():
    """A number for a layer's random streams: 0, 1, 2, ... since the seed was set."""
    global _streams
    _streams += 1
    return _streams - 1


def next_name(kind):
    """conv2d_1, conv2d_2, ..."""
    _names[kind] += 1
    return f"{kind}_{_names[kind]}"


def draws_weights():
    """Whether new layers draw their initial weights."""
    return _draw_weights


@contextmanager
def without_initial_weights():
    """Layers made inside start with zeros: for networks whose weights are about to be loaded, or never used."""
    global _draw_weights
    before, _draw_weights = _draw_weights, False
    try:
        yield
    finally:
        _draw_weights = before
