"""The device `emulator`: the CUDA kernels, compiled by the host's C++ compiler and run on the CPU.

The same kernels and the same launches as `cuda`, on NumPy arrays: for tests, debugging and tracing, and for students
without a GPU. Its time says nothing about a GPU's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from tinycnn import kernels
from tinycnn.devices import DeviceError
from tinycnn.devices.base import PATHS
from tinycnn.devices.gpu import Driver, KernelDevice, cards
from tinycnn.devices.gpu.driver import check_resident
from tinycnn.devices.gpu.fast.occupancy import resident
from tinycnn.emulator import CompilerMissing, Module, load
from tinycnn.emulator.compiler import find_compiler
from tinycnn.shapes import Shape

ALIGNMENT = 16  # bytes: what the kernels' vector loads need
PLAYED = "h200"  # the card that tiles are chosen for
LEAST_REGISTERS = 1  # of a thread: how many a kernel takes is not known here


def aligned(array: np.ndarray) -> np.ndarray:
    """The array itself, or a copy of it, where it does not begin at a multiple of 16 bytes."""
    return array if array.ctypes.data % ALIGNMENT == 0 else np.array(array, order="C")


class EmulatorDriver(Driver):
    """NumPy arrays, and tinycnn.emulator. A kernel file is built when one of its kernels is first launched."""

    def __init__(self) -> None:
        self.modules: dict[tuple[str, str], Module] = {}  # by file and kernel
        self.card = cards.get(PLAYED)

    def holds(self, array: object) -> bool:
        return isinstance(array, np.ndarray)

    def asarray(self, host: ArrayLike, dtype: DTypeLike) -> np.ndarray:
        return aligned(np.asarray(host, dtype=dtype, order="C"))

    def numpy(self, array: np.ndarray) -> np.ndarray:
        return array

    def empty(self, shape: int | Shape, dtype: DTypeLike) -> np.ndarray:
        return aligned(np.empty(shape, dtype))

    def zeros(self, shape: int | Shape, dtype: DTypeLike) -> np.ndarray:
        return aligned(np.zeros(shape, dtype))

    def copy(self, array: np.ndarray) -> np.ndarray:
        return aligned(np.array(array, order="C"))

    def assign(self, destination: np.ndarray, source: np.ndarray) -> None:
        destination[...] = source

    def address_table(self, rows: Sequence[Sequence[np.ndarray | int]]) -> Any:
        return np.array([[n.ctypes.data if isinstance(n, np.ndarray) else n for n in row] for row in rows], np.int64)

    def launch(
        self, file: str, kernel: str, ctype: str, grid: Shape, block: Shape, args: Sequence[Any], shared: int,
        cooperative: bool = False,
    ) -> None:  # fmt: skip
        if (file, kernel) not in self.modules:
            self._load(file, (kernel,) if kernels.is_specialised(file) else kernels.instances(file, ctype))
        if cooperative:
            held = resident(self.card, math.prod(block), LEAST_REGISTERS, shared) * self.card.multiprocessors
            check_resident(kernel, grid, held, self.card.name)
        self.modules[file, kernel].launch(kernel, grid, block, args, shared=shared, cooperative=cooperative)

    def build(self, wanted: Iterable[tuple[str, str]]) -> None:
        """All kernels of a file as one module, which takes the compiler less time than one by one."""
        missing = sorted(set(wanted) - set(self.modules))
        for file in dict.fromkeys(file for file, _ in missing):
            self._load(file, [kernel for of, kernel in missing if of == file])

    def _load(self, file: str, names: Sequence[str]) -> None:
        module = load(kernels.path(file), names)
        self.modules.update({(file, name): module for name in names})


class EmulatorDevice(KernelDevice):
    """The kernels in float32 or float64 on any CPU."""

    name = "emulator"
    paths = PATHS
    remark = "the kernels are emulated on the CPU: the times say nothing about their speed on a GPU"

    def __init__(self, dtype: str = "float32"):
        try:
            find_compiler()
        except CompilerMissing as error:
            raise DeviceError(str(error)) from None
        super().__init__(dtype, EmulatorDriver())
