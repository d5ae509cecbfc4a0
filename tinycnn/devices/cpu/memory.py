"""A pool of buffers, so that large arrays are not asked from the operating system again and again.

A fresh array of 4 MB costs half a millisecond: the system hands out its pages one by one, on first
touch, and zeroes them. A training step needs the same sizes every time, so freed buffers are kept.

A buffer is free when only the pool refers to it. NumPy makes that easy to see: every array cut from
a buffer, and every view of such an array, refers to the buffer itself as its `base`, so Python's
count of references to the buffer tells.
"""

import math
import sys
import threading

import numpy as np

SMALLEST = 1 << 15  # below this many bytes NumPy's own allocation is as fast
ALIGNMENT = 64  # a cache line, and an AVX-512 register


class Pool:
    """Buffers by size; the oldest are dropped when all together pass `limit` bytes."""

    def __init__(self, limit):
        self.limit = limit
        self.total = 0
        self.buffers = {}  # size: its buffers
        self.starts = {}  # size: where in each of them the first aligned byte is
        self.order = []  # sizes, oldest buffer first
        self.lock = threading.Lock()
        self.idle = self._references([np.empty(0)], 0)

    @staticmethod
    def _references(buffers, i):
        return sys.getrefcount(buffers[i])

    def empty(self, shape, dtype):
        """An array of any content that shares its memory with no other array in use."""
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        if size < SMALLEST:
            return np.empty(shape, dtype)
        buffer, start = self._buffer(size)
        return np.ndarray(shape, dtype, buffer, start)

    def _buffer(self, size):
        """(a buffer of `size` bytes that is not in use, where to begin in it)."""
        with self.lock:
            buffers, starts = self.buffers.setdefault(size, []), self.starts.setdefault(size, [])
            for i in range(len(buffers)):
                if self._references(buffers, i) == self.idle:
                    return buffers[i], starts[i]
            buffer = np.empty(size + ALIGNMENT, np.uint8)
            start = -buffer.ctypes.data % ALIGNMENT
            if size <= self.limit:
                buffers.append(buffer)
                starts.append(start)
                self.order.append(size)
                self.total += size
                while self.total > self.limit:
                    self._drop_oldest()
            return buffer, start

    def _drop_oldest(self):
        """Forget the buffer kept longest: if it is in use, its users keep it alive."""
        size = self.order.pop(0)
        del self.buffers[size][0], self.starts[size][0]
        self.total -= size


pool = Pool(limit=1 << 29)
