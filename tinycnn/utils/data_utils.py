"""Batches by number, with Keras's name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class Sequence:
    """The base of a data set that gives batches by their number, for fit, evaluate and predict.

    A subclass has `__len__`, the number of batches, and `__getitem__(index)`, which gives (x, y) or (x, y, weights);
    x alone is enough to predict. `on_epoch_end()` is called whenever all of them have been computed.

    >>> class Halves(Sequence):
    ...     def __len__(self) -> int:
    ...         return 2
    ...     def __getitem__(self, index: int) -> str:
    ...         return "ab"[index]
    >>> list(Halves())
    ['a', 'b']
    """

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} has no __len__, the number of its batches")

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no __getitem__(index), which gives a batch")

    def __iter__(self) -> Iterator:
        """All batches once, in their order."""
        return (self[index] for index in range(len(self)))

    def on_epoch_end(self) -> None:
        """Nothing to change before the next pass."""
