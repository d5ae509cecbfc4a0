"""What the launch code asks of the place where kernels run."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinycnn.devices import DeviceError
from tinycnn.devices.base import Array
from tinycnn.devices.gpu.cards import Card
from tinycnn.shapes import Shape


def check_resident(kernel: str, grid: Shape, most: int, card: str) -> None:
    """Raises DeviceError for a cooperative launch of more blocks than the GPU holds at a time, `most`."""
    blocks = math.prod(grid)
    if blocks > most:
        raise DeviceError(
            f"{kernel}: a cooperative launch needs all of its {blocks} blocks on the GPU at once, and {card} holds "
            f"{most} of this size: take fewer or smaller blocks, or less shared memory"
        )


class Driver(ABC):
    """Arrays, kernels and launches. An array has .shape, .size, .dtype, .reshape and slicing like NumPy's.

    card: the GPU that kernels of kernels/fast are chosen for.
    """

    card: Card

    @abstractmethod
    def holds(self, array: object) -> bool:
        """Whether this is an array of this driver's."""

    @abstractmethod
    def asarray(self, host: Array, dtype: DTypeLike) -> Array:
        """A C-contiguous device array, aligned to 16 bytes, with the values of a NumPy or device array."""

    @abstractmethod
    def numpy(self, array: Array) -> np.ndarray:
        """The values as a NumPy array. Waits for the device."""

    @abstractmethod
    def empty(self, shape: int | Shape, dtype: DTypeLike) -> Array:
        """A C-contiguous array of any content, aligned to 16 bytes."""

    @abstractmethod
    def zeros(self, shape: int | Shape, dtype: DTypeLike) -> Array:
        """The same, of zeros."""

    @abstractmethod
    def copy(self, array: Array) -> Array:
        """A new C-contiguous array with the values of an array or a view."""

    @abstractmethod
    def assign(self, destination: Array, source: Array) -> None:
        """destination[...] = source."""

    @abstractmethod
    def address_table(self, rows: Sequence[Sequence[Array | int]]) -> Array:
        """An int64 device array of these rows (of ints and arrays), an array standing for its address."""

    def arrivals(self, count: int) -> Array:
        """int32 zeros (count,) for one launch to count blocks at (common.cuh), which leaves them zero again."""
        return self.zeros((count,), "int32")

    @abstractmethod
    def launch(
        self, file: str, kernel: str, ctype: str, grid: Shape, block: Shape, args: Sequence[Any], shared: int,
        cooperative: bool = False,
    ) -> None:  # fmt: skip
        """Start a kernel of kernels/`file`.cu, built for `ctype` ('float' or 'double').

        kernel: its C++ name, as 'relu_forward<float>'; args: device arrays and NumPy scalars of the exact types;
        shared: bytes of dynamic shared memory. cooperative: all blocks run at once, so that they may wait for one
        another; refused where the GPU does not hold them all.
        """

    def branch(self) -> AbstractContextManager[None]:
        """Inside, what is launched need not wait for what is launched outside until `join`, nor be waited for."""
        return nullcontext()

    def join(self) -> None:  # noqa: B027
        """What is launched from here on comes after all that was launched in branches."""

    def build(self, wanted: Iterable[tuple[str, str]]) -> None:  # noqa: B027
        """Build kernels of kernels.SPECIALISED, as (file, kernel), at once; `launch` builds what is not built yet."""

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        """A function that does what `step` does, as fast as it can."""
        return step
