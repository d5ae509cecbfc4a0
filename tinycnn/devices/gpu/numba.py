"""The device `numba`: the kernels of kernels/numba, which are CUDA in Python, on a GPU or in Numba's simulator.

The launches are those of `cuda` and `emulator`: the same grids, blocks and arguments. Numba's CUDA compiler is imported
when the device is first asked for; that is also when it turns out whether it is the real one or the simulator.
"""

from __future__ import annotations

import importlib.util
import math
import sys
import threading
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numba import config
from numpy.typing import DTypeLike

from tinycnn.devices import DeviceError
from tinycnn.devices.base import Array, Device
from tinycnn.devices.gpu import Driver, KernelDevice
from tinycnn.devices.gpu.cuda import gpu_count, numba_extra, out_of_memory
from tinycnn.devices.gpu.emulator import EmulatorDriver
from tinycnn.kernels.numba import instance
from tinycnn.shapes import Shape

SIMULATOR = threading.Lock()  # Numba's simulator plays one launch at a time, and does not see to it that it is one
# Measured on a step of breakdown-2 with 8 images: 20 s, and 0.04 s on the emulator.
SIMULATED = "Numba's simulator plays the kernels in Python, some 500 times slower than the emulator"


def find_numba_cuda() -> ModuleType:
    """The module numba.cuda: for the GPU that is there, or the simulator without one and with NUMBA_ENABLE_CUDASIM=1.

    Numba decides between them when numba.cuda is imported, once for the process; who imported it before has decided.
    Raises DeviceError where a package is missing.
    """
    missing = [name for name in ("numba_cuda", "greenlet") if importlib.util.find_spec(name) is None]
    if missing:
        raise DeviceError(
            f"the numba device needs {' and '.join(missing).replace('_', '-')}: pip install '{numba_extra()}'; "
            "the emulator runs the same kernels in C: --device emulator"
        )
    if "numba.cuda" not in sys.modules and gpu_count() == 0:
        config.ENABLE_CUDASIM = 1
    from numba import cuda

    return cuda


def is_simulator(cuda: ModuleType) -> bool:
    """Whether this numba.cuda is the simulator."""
    return cuda.cudadrv.__name__.startswith("numba.cuda.simulator")


# ---------------------------------------------------------------- optimisers


class Table(list):
    """What an optimiser's launch is given in place of addresses: [p, gradient, first state, second state, size, first
    block, slices] for each parameter tensor."""


def table_of(rows: Sequence[Sequence[Any]]) -> Table:
    """The rows of launches/optimizers.py. Where they have 0, for no state, the parameter stands in, never read."""
    return Table([row[0] if isinstance(a, int) else a for a in row[:4]] + [*row[4:]] for row in rows)


def launches(grid: Shape, args: Sequence[Any]) -> list[tuple[Shape, Sequence[Any]]]:
    """[(grid, args)]: what one launch of a .cu file is here. An optimiser's is one launch for each row of its table."""
    if not isinstance(args[0], Table):
        return [(grid, args)]
    table, rest = args[0], args[2:]
    ends = [row[5] for row in table[1:]] + [grid[0]]
    sizes = [[np.int64(row[4]), np.int32(row[6])] for row in table]
    return [((end - row[5],), [*row[:4], *size, *rest]) for row, size, end in zip(table, sizes, ends, strict=True)]


# ---------------------------------------------------------------- the drivers


def refuse_cooperative(kernel: str, cooperative: bool) -> None:
    """Raises DeviceError for a cooperative launch: no kernel in Python waits for another block."""
    if cooperative:
        raise DeviceError(f"{kernel} is launched cooperatively, which the device numba cannot; cuda and emulator can")


class GpuDriver(Driver):
    """Numba's device arrays and its compiler. A kernel is compiled when it is first launched."""

    def __init__(self, cuda: ModuleType):
        self.cuda = cuda

    def holds(self, array: object) -> bool:
        return self.cuda.cudadrv.devicearray.is_cuda_ndarray(array)

    def asarray(self, host: Array, dtype: DTypeLike) -> Array:
        if self.holds(host):
            if host.dtype == dtype and host.is_c_contiguous():
                return host
            host = self.numpy(host)
        host = np.asarray(host, dtype=dtype, order="C")
        return self._allocate(host.shape, host.dtype, lambda: self.cuda.to_device(host))

    def numpy(self, array: Array) -> np.ndarray:
        return np.asarray(array.copy_to_host(), order="C")

    def empty(self, shape: int | Shape, dtype: DTypeLike) -> Array:
        return self._allocate(shape, dtype, lambda: self.cuda.device_array(shape, dtype))

    def zeros(self, shape: int | Shape, dtype: DTypeLike) -> Array:
        return self.asarray(np.zeros(shape, dtype), dtype)

    def _allocate(self, shape: int | Shape, dtype: DTypeLike, make: Callable[[], Array]) -> Array:
        try:
            return make()
        except Exception as error:  # Numba's own class, which knows the CUDA driver's errors by their number
            if "OUT_OF_MEMORY" not in str(error):
                raise
            shape = (shape,) if isinstance(shape, int) else tuple(shape)
            free, total = self.cuda.current_context().get_memory_info()
            asked = math.prod(shape) * np.dtype(dtype).itemsize
            raise out_of_memory(shape, asked, total - free, total) from None

    def copy(self, array: Array) -> Array:
        new = self.empty(array.shape, array.dtype)
        self.assign(new, array if array.is_c_contiguous() else self.numpy(array))
        return new

    def assign(self, destination: Array, source: Array) -> None:
        if not self.holds(source):
            source = np.array(np.broadcast_to(source, destination.shape), destination.dtype, order="C")
        destination.copy_to_device(source)

    def address_table(self, rows: Sequence[Sequence[Array | int]]) -> Any:
        return table_of(rows)

    def launch(
        self, file: str, kernel: str, ctype: str, grid: Shape, block: Shape, args: Sequence[Any], shared: int,
        cooperative: bool = False,
    ) -> None:  # fmt: skip
        refuse_cooperative(kernel, cooperative)
        compiled = instance(file, kernel)
        for blocks, values in launches(grid, args):
            flat = [a.reshape(a.size) if self.holds(a) else a for a in values]
            compiled[blocks, block, 0, shared](*flat)


class SimulatorDriver(EmulatorDriver):
    """NumPy arrays, as the emulator's, and kernels in Numba's simulator."""

    def address_table(self, rows: Sequence[Sequence[Array | int]]) -> Any:
        return table_of(rows)

    def launch(
        self, file: str, kernel: str, ctype: str, grid: Shape, block: Shape, args: Sequence[Any], shared: int,
        cooperative: bool = False,
    ) -> None:  # fmt: skip
        from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

        refuse_cooperative(kernel, cooperative)

        # Numba reads its settings again after a change of a NUMBA_ variable; a kernel made then would be a real one.
        config.ENABLE_CUDASIM = 1
        played = instance(file, kernel)
        for blocks, values in launches(grid, args):
            flat = [
                FakeCUDAArray(a.reshape(-1)) if self.holds(a) else int(a) if isinstance(a, np.signedinteger) else a
                for a in values
            ]
            with SIMULATOR, np.errstate(all="ignore"):  # infinity and NaN are nothing special on a GPU
                played[blocks, block, 0, shared](*flat)


class NumbaDevice(KernelDevice):
    """The kernels in Python, in float32 or float64."""

    name = "numba"
    whole_step = Device.whole_step  # its kernels are not these

    def __init__(self, dtype: str = "float32"):
        cuda = find_numba_cuda()
        if is_simulator(cuda):
            from tinycnn.devices.gpu import numba_blocks

            numba_blocks.install()
            self.remark = SIMULATED if gpu_count() else f"no GPU: {SIMULATED}"
            super().__init__(dtype, SimulatorDriver())
            return
        super().__init__(dtype, GpuDriver(cuda))
        try:
            self.asarray(np.zeros(1))  # sets the one number by a kernel
        except Exception as error:  # Numba's many classes: no compiler, none for this driver, no working GPU
            raise DeviceError(
                f"Numba cannot run a kernel on this GPU ({type(error).__name__}: {error}): "
                f"pip install '{numba_extra()}'; NUMBA_ENABLE_CUDASIM=1 takes the simulator"
            ) from None

    # Numba's device arrays take neither `...` nor steps backwards: these two go by way of the host.

    def part(self, array: Array, index: Any) -> Array:
        return self.asarray(np.array(self.numpy(array)[index], order="C"))

    def embed(self, part: Array, shape: Shape, index: Any) -> Array:
        whole = np.zeros(shape, self.dtype)
        whole[index] = self.numpy(part)
        return self.asarray(whole)
