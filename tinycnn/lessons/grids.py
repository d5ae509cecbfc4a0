"""Where the numbers of an array stand, on a page and on paper.

An array of a million numbers has 31,250 rows. A drawing of that height is none: browsers leave it blank. So of a large
array those rows are drawn that requests touch, and those around them; player.js goes on to other rows as it plays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinycnn.emulator.recording import BANKS, RecordedArray

MOST_ROWS = 128  # of an array that is drawn whole
MOST_COLUMNS = 128  # that can still be told apart

Extents = tuple[int, int]


class Grid(NamedTuple):
    """The rows in which an array is drawn. Several images, one after the other, are drawn as one."""

    rows: int
    columns: int
    gap: int  # columns between gaps
    rowgap: int  # rows between gaps
    numbers: int  # that are drawn

    @property
    def whole(self) -> bool:
        """Whether all of its rows are drawn."""
        return self.rows <= MOST_ROWS


def grid_of(array: RecordedArray, shared: Extents | None = None) -> Grid:
    """How an array is drawn. shared: (rows, columns) of a shared array.

    An image is drawn as its pixels lie, the channels of a pixel side by side; filters as a row of K for each (r, s, c);
    what is neither, or too wide to be seen so, in rows of as many numbers as there are banks.
    """
    if shared:
        rows, columns = shared
        return Grid(rows, columns, columns, rows, rows * columns)
    if len(array.shape) == 4:
        if array.name.lstrip("d") in ("x", "y"):
            _, H, W, C = array.shape
            found = Grid(H, W * C, C, H, H * W * C)
        else:
            R, S, C, K = array.shape
            found = Grid(R * S * C, K, K, C, R * S * C * K)
        if found.columns <= MOST_COLUMNS:
            return found
    count = int(np.prod(array.shape, dtype=np.int64))
    columns = min(BANKS, count)
    rows = -(-count // columns)
    return Grid(rows, columns, columns, rows, count)
