"""A pool of memory, so that large arrays are not asked from the operating system again and again.

A fresh array of 4 MB costs half a millisecond: the system hands out its pages one by one, on first
touch, and zeroes them. A training step needs the same sizes every time, so freed memory is kept.

How the pool learns that nobody uses an array any more: it keeps a weak reference, which tells when the array is gone.
Every view of the array, however it was made, keeps the array alive, so once it is gone nobody can reach its memory.
(NumPy makes a view of a view refer to the first of them, unless that is of another type: so the pool's memory is of a
type of its own, `Memory`, and the array that is given out remains the first.)
Nothing here looks at Python's counts of references, which Python 3.14 and free-threaded builds keep differently.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from tinycnn.shapes import Shape

SMALLEST = 1 << 15  # below this many bytes NumPy's own allocation is as fast
ALIGNMENT = 64  # a cache line, and an AVX-512 register


class Memory(np.ndarray):
    """Bytes that arrays are cut from, one after the other."""


class Block(NamedTuple):
    """`size` bytes of `memory` from `start` on, the first that is aligned."""

    memory: Memory
    start: int
    size: int

    @classmethod
    def of(cls, size: int) -> Block:
        memory = Memory((size + ALIGNMENT,), np.uint8)
        return cls(memory, -memory.ctypes.data % ALIGNMENT, size)


class Lease(weakref.ref):
    """The weak reference to an array that lies on `block`."""

    __slots__ = ("block",)
    block: Block
    __hash__ = object.__hash__  # that of a weak reference is the hash of what it refers to, and arrays have none


class Pool:
    """Keeps memory that is free, by size. Past `limit` bytes it lets go of the size that was freed least recently."""

    def __init__(self, limit: int):
        self.limit = limit
        self.free: dict[int, list[Block]] = {}  # by size, the size freed last at the end
        self.free_bytes = 0
        self.leases: set[Lease] = set()  # a weak reference tells nothing unless it is kept itself
        # An array may die anywhere and in any thread, within this class too, when the garbage collector runs. So its
        # death only leaves a note (SimpleQueue.put may interrupt itself), read when memory is asked for the next time.
        self.ended: SimpleQueue[Lease] = SimpleQueue()
        self.lock = threading.Lock()

    def empty(self, shape: Shape, dtype: DTypeLike) -> np.ndarray:
        """An array of any content that shares its memory with no other array in use."""
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        if size < SMALLEST:
            return np.empty(shape, dtype)
        with self.lock:
            self._take_back()
            blocks = self.free.get(size)
            if blocks:
                self.free_bytes -= size
                block = blocks.pop()
            else:
                block = Block.of(size)
            array = np.ndarray(shape, dtype, block.memory, block.start)
            lease = Lease(array, self.ended.put)
            lease.block = block
            self.leases.add(lease)
        return array

    def _take_back(self) -> None:
        """Keep the memory of all arrays that have died, within the limit."""
        while not self.ended.empty():
            lease = self.ended.get()
            self.leases.remove(lease)
            size = lease.block.size
            blocks = self.free.pop(size, [])
            blocks.append(lease.block)
            self.free[size] = blocks
            self.free_bytes += size
        while self.free_bytes > self.limit:
            size, blocks = next(iter(self.free.items()))
            self.free_bytes -= size * len(blocks)
            del self.free[size]


pool = Pool(limit=1 << 29)


def _after_fork() -> None:
    """The lock may have been held by a thread that the new process does not have."""
    pool.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
