"""The device `cuda`: the CUDA kernels on an NVIDIA GPU, compiled by NVRTC and launched through CuPy.

CuPy is imported when the device is first asked for. Kernels start on CuPy's current stream, arrays come from its memory
pool, and only `numpy` waits for the GPU.
"""

from __future__ import annotations

import ctypes
import math
import platform
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

import tinycnn.kernels as kernels
from tinycnn.devices import DeviceError
from tinycnn.devices.base import PATHS, Array
from tinycnn.devices.gpu import Driver, KernelDevice, cards
from tinycnn.devices.gpu.cards import Card
from tinycnn.devices.gpu.driver import check_resident
from tinycnn.devices.gpu.fast import cubins
from tinycnn.devices.gpu.grid import FLAG_BYTES, SHARED_BYTES
from tinycnn.shapes import Shape

OTHERWISE = "without a GPU, the emulator runs the same kernels: --device emulator"
MOST_TABLES = 64

# The Recording whose step this thread is recording: others launch theirs meanwhile.
_recording: ContextVar[Recording | None] = ContextVar("recording", default=None)


# ---------------------------------------------------------------- what has to be there


def driver_library() -> ctypes.CDLL | None:
    """The NVIDIA driver as a ctypes library, or None without one."""
    try:
        return ctypes.CDLL("nvcuda.dll" if platform.system() == "Windows" else "libcuda.so.1")
    except OSError:
        return None


def driver_version() -> tuple[int, int] | None:
    """The CUDA version that the NVIDIA driver supports, as (13, 0), or None without a driver."""
    driver, number = driver_library(), ctypes.c_int()
    if driver is None or driver.cuDriverGetVersion(ctypes.byref(number)) != 0:
        return None
    return number.value // 1000, number.value % 1000 // 10


def gpu_count() -> int:
    """How many GPUs the NVIDIA driver finds: 0 without one."""
    driver, number = driver_library(), ctypes.c_int()
    if driver is None or driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(number)) != 0:
        return 0
    return number.value


def numba_extra() -> str:
    """What pip installs for the device `numba` here: numba-cuda, and beside a GPU the compiler that fits its driver."""
    version = driver_version()
    return f"tinycnn[numba{'' if version is None else 13 if version[0] >= 13 else 12}]"


def cuda_extra() -> str:
    """What pip installs for the device `cuda` here: the CuPy that fits the driver."""
    version = driver_version()
    return f"tinycnn[cuda{12 if version is not None and version[0] < 13 else 13}]"


def this_card(cupy: Any) -> Card:
    """The GPU that CuPy uses."""
    device = cupy.cuda.Device()
    name = cupy.cuda.runtime.getDeviceProperties(device.id)["name"].decode()
    capability = divmod(int(device.compute_capability), 10)
    return cards.called(name) or cards.of_attributes(name, device.attributes, capability)


def find_cupy() -> Any:
    """The module cupy, fit for the driver that is there. Raises DeviceError with the remedy otherwise."""
    if platform.system() == "Darwin":
        raise DeviceError(f"there is no CUDA on macOS; {OTHERWISE}")
    version = driver_version()
    if version is None:
        raise DeviceError(
            "the cuda device needs an NVIDIA GPU and its driver, and there is no driver: install it from "
            f"https://www.nvidia.com/drivers; {OTHERWISE}"
        )
    extra = cuda_extra()
    try:
        import cupy
    except ImportError as error:
        raise DeviceError(f"the cuda device needs CuPy ({error}): pip install '{extra}'") from None
    built_for = cupy.cuda.runtime.runtimeGetVersion() // 1000
    if built_for > version[0]:
        raise DeviceError(
            f"this CuPy is made for CUDA {built_for}, and the driver supports CUDA {version[0]}.{version[1]} at most: "
            f"pip uninstall cupy-cuda{built_for}x, then pip install '{extra}'; or install a newer driver"
        )
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(
            f"the NVIDIA driver finds no usable GPU ({error}); does nvidia-smi list one? {OTHERWISE}"
        ) from None
    if count == 0:
        raise DeviceError(f"the NVIDIA driver finds no GPU; does nvidia-smi list one? {OTHERWISE}")
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:  # CuPy's own class, which moved between its versions
        remedy = f"pip install 'nvidia-cuda-nvrtc=={built_for}.*'"
        raise DeviceError(f"CuPy finds no NVRTC, which compiles the kernels ({error}): {remedy}") from None
    return cupy


# ---------------------------------------------------------------- memory


def in_words(size: float) -> str:
    """'1.5 GB'"""
    for unit in ("bytes", "KB", "MB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} GB"


def batch_that_fits(batch: int, needed: int, available: int) -> int:
    """A power of two that should fit, given that `batch` images had asked for `needed` bytes when memory ran out.

    What a step needs grows with the batch. It had not asked for all of it yet, so half of the room is left free.
    """
    fits = max(1, int(batch * available / (2 * needed)))
    return min(2 ** int(math.log2(fits)), max(1, batch - 1))


def out_of_memory(shape: Shape, asked: int, used: int, available: int, others: int = 0) -> MemoryError:
    """The MemoryError for an array of `shape`, whose first axis is taken for the batch.

    Bytes: `asked` for; `used` by this program of what is `available` to it; what `others` have of the GPU's.
    """
    advice = ""
    if len(shape) > 1 and shape[0] > 1:
        fits = batch_that_fits(shape[0], used + asked, available)
        advice = f"; a batch of {fits} should fit, where this one has {shape[0]} images"
    taken = f"; another program or library has {in_words(others)}" if others > available / 10 else ""
    return MemoryError(
        f"the GPU has no {in_words(asked)} left for an array of shape {tuple(shape)}: "
        f"{in_words(used)} of {in_words(available)} are in use{taken}{advice}"
    )


# ---------------------------------------------------------------- the driver


class CudaDriver(Driver):
    """CuPy's arrays and RawModule. A kernel file is compiled when one of its kernels is first launched."""

    def __init__(self) -> None:
        self.cupy = find_cupy()
        self.functions: dict[tuple[str, str], Any] = {}  # (file, kernel): CuPy's function
        self.shared_of: dict[tuple[str, str], int] = {}  # bytes of shared memory, where a kernel asked for more
        # bytes: (device array, the pinned memory it was copied from)
        self.tables: OrderedDict[bytes, tuple[Array, Any]] = OrderedDict()
        self.changing_tables = Lock()

    @property
    def recording(self) -> Recording | None:
        """That whose step this thread is recording."""
        return _recording.get()

    @cached_property
    def card(self) -> Card:  # type: ignore[override]
        return this_card(self.cupy)

    # ---- arrays

    def holds(self, array: object) -> bool:
        return isinstance(array, self.cupy.ndarray)

    def asarray(self, host: ArrayLike | Array, dtype: DTypeLike) -> Array:
        cupy = self.cupy
        values: Array = host if self.holds(host) else np.asarray(host, dtype=dtype, order="C")
        array = self._allocate(values.shape, values.nbytes, lambda: cupy.asarray(values, dtype=dtype, order="C"))
        return array if array.data.ptr % 16 == 0 else array.copy()

    def numpy(self, array: Array) -> np.ndarray:
        return self.cupy.asnumpy(array)

    def empty(self, shape: int | Shape, dtype: DTypeLike) -> Array:
        return self._make(self.cupy.empty, shape, dtype)

    def zeros(self, shape: int | Shape, dtype: DTypeLike) -> Array:
        return self._make(self.cupy.zeros, shape, dtype)

    def _make(self, make: Callable, shape: int | Shape, dtype: DTypeLike) -> Array:
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        return self._allocate(shape, math.prod(shape) * np.dtype(dtype).itemsize, lambda: make(shape, dtype))

    def _allocate(self, shape: Shape, size: int, make: Callable[[], Array]) -> Array:
        try:
            return make()
        except self.cupy.cuda.memory.OutOfMemoryError:
            used = self.cupy.get_default_memory_pool().used_bytes()
            free, total = self.cupy.cuda.runtime.memGetInfo()
            available = min(used + free, total)
            raise out_of_memory(shape, size, min(used, total), available, total - available) from None

    def copy(self, array: Array) -> Array:
        return self._allocate(array.shape, array.nbytes, lambda: array.copy(order="C"))

    def assign(self, destination: Array, source: Array) -> None:
        destination[...] = self.cupy.asarray(source, dtype=destination.dtype)

    def address_table(self, rows: Sequence[Sequence[Array | int]]) -> Array:
        addresses = np.array([[n if isinstance(n, int) else n.data.ptr for n in row] for row in rows], np.int64)
        if self.recording is not None:
            return self.recording.table(addresses)
        key = addresses.tobytes()
        with self.changing_tables:
            if key not in self.tables:
                self.tables[key] = self._upload(addresses)
                if len(self.tables) > MOST_TABLES:
                    self.cupy.cuda.get_current_stream().synchronize()  # its copy may not have been made yet
                    self.tables.popitem(last=False)
            self.tables.move_to_end(key)
            return self.tables[key][0]

    def arrivals(self, count: int) -> Array:
        # Those of a recorded step are zeroed once: every replay finds what the last one left.
        return super().arrivals(count) if self.recording is None else self.recording.table(np.zeros(count, np.int32))

    def _upload(self, rows: np.ndarray) -> tuple[Array, Any]:
        """(device array, pinned memory): from pinned memory the copy does not wait."""
        table = self.cupy.empty(rows.shape, rows.dtype)
        pinned = self.cupy.cuda.alloc_pinned_memory(rows.nbytes)
        np.frombuffer(pinned, np.int64, rows.size)[...] = rows.reshape(-1)
        table.data.copy_from_host_async(ctypes.c_void_p(pinned.ptr), rows.nbytes, self.cupy.cuda.get_current_stream())
        return table, pinned

    # ---- kernels

    def launch(
        self, file: str, kernel: str, ctype: str, grid: Shape, block: Shape, args: Sequence[Any], shared: int,
        cooperative: bool = False,
    ) -> None:  # fmt: skip
        if (file, kernel) not in self.functions:
            self._compile(file, kernel, ctype)
        function = self.functions[file, kernel]
        if shared > self.shared_of.get((file, kernel), SHARED_BYTES - FLAG_BYTES):
            function.max_dynamic_shared_size_bytes = self.shared_of[file, kernel] = shared
        null = np.uint64(0)
        values = tuple(null if a is None else a for a in args)
        if cooperative:
            check_resident(kernel, grid, self._resident(function, math.prod(block), shared), self.card.name)
            # The function that a RawKernel calls; the RawKernel itself was made for launches of the other kind.
            function.kernel(tuple(grid), tuple(block), values, shared_mem=shared, enable_cooperative_groups=True)
        else:
            function(tuple(grid), tuple(block), values, shared_mem=shared)
        if self.recording is not None:
            self.recording.launched(args)

    def _resident(self, function: Any, threads: int, shared: int) -> int:
        """How many blocks of a kernel the GPU holds at a time."""
        cuda = self.cupy.cuda
        held = cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(function.kernel.ptr, threads, shared)
        return held * cuda.Device().attributes["MultiProcessorCount"]

    def branch(self) -> AbstractContextManager[None]:
        return super().branch() if self.recording is None else self.recording.branch()

    def join(self) -> None:
        if self.recording is not None:
            self.recording.join()

    def _compile(self, file: str, kernel: str, ctype: str) -> None:
        """A file with all of its kernels, or of kernels.SPECIALISED one kernel."""
        if kernels.is_specialised(file):
            self.build([(file, kernel)])
            return
        names = kernels.instances(file, ctype)
        module = self.cupy.RawModule(code=kernels.source(file), options=("-std=c++17",), name_expressions=names)
        for name in names:
            self.functions[file, name] = module.get_function(name)

    def build(self, wanted: Iterable[tuple[str, str]]) -> None:
        """Kernels of kernels.SPECIALISED, compiled side by side."""
        missing = list(dict.fromkeys(one for one in wanted if one not in self.functions))
        arch = f"sm_{self.cupy.cuda.Device().compute_capability}"
        for one, code in cubins.build(self.cupy.cuda.nvrtc, arch, missing).items():
            self.functions[one] = self.cupy.RawModule(path=str(code.path)).get_function(code.symbol)

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        return Recording(self, step)


class Recording:
    """A step, as a CUDA graph from its third run on.

    The first run is an ordinary one, which compiles the kernels. The second records the step and replays it, as all
    later ones do. The graph has fixed addresses in it, so what the step allocates comes from a memory pool of its own,
    where nobody else's arrays are, and which lives as long as the graph.

    A table of addresses cannot be filled by the step: CuPy 14 refuses copies from the host while a stream is captured.
    Its rows are the same at every replay, so it is filled once, when the recording is over. Its memory does not come
    from the graph's pool, where it might lie in the place of what an earlier kernel of the step writes and lets go.

    What is launched in a `branch` is recorded on a stream of its own, beside the other one until `join`: the graph may
    run it at the same time. The other stream's pool does not know of that, so what a branch reads is kept until then.
    """

    def __init__(self, driver: CudaDriver, step: Callable[[], None]):
        self.driver, self.step = driver, step
        self.runs = 0
        self.graph: Any = None
        self.tables: list[tuple[Array, np.ndarray]] = []  # (device array, its rows)
        self.beside: Any = None  # the stream of branches, from the first branch on
        self.in_branch = False
        self.kept: list[Any] = []  # what unjoined branches read and write

    def table(self, rows: np.ndarray) -> Array:
        """Room for a table of addresses, or for other numbers, that will hold `rows` when the recording is over."""
        with self.driver.cupy.cuda.using_allocator(self.outside):
            self.tables.append((self.driver.cupy.empty(rows.shape, rows.dtype), rows))
        return self.tables[-1][0]

    @contextmanager
    def branch(self) -> Iterator[None]:
        cupy = self.driver.cupy
        if self.beside is None:
            self.beside = cupy.cuda.Stream(non_blocking=True)
        self.beside.wait_event(cupy.cuda.get_current_stream().record())
        self.in_branch = True
        try:
            with self.beside:
                yield
        finally:
            self.in_branch = False

    def launched(self, args: Sequence[Any]) -> None:
        if self.in_branch:
            self.kept.append(args)

    def join(self) -> None:
        if self.kept:
            self.driver.cupy.cuda.get_current_stream().wait_event(self.beside.record())
            self.kept.clear()

    def __call__(self) -> None:
        self.runs += 1
        if self.runs == 2:
            self.capture()
        if self.graph is None:
            self.step()
        else:
            self.graph.launch(self.driver.cupy.cuda.get_current_stream())

    def capture(self) -> None:
        """Record the step into self.graph, or say in a warning why that cannot be. Nothing is computed here."""
        cupy = self.driver.cupy
        cupy.get_default_memory_pool().free_all_blocks()  # what the first run took: the graph needs as much
        self.outside, self.pool = cupy.cuda.get_allocator(), cupy.cuda.MemoryPool()
        stream = cupy.cuda.Stream(non_blocking=True)
        before = _recording.set(self)
        try:
            with cupy.cuda.using_allocator(self.pool.malloc), stream:
                stream.begin_capture()
                try:
                    self.step()
                    self.join()
                except BaseException:
                    with suppress(RuntimeError):  # what the step tripped over has spoilt the recording too
                        stream.end_capture()
                    raise
                graph = stream.end_capture()
            for table, rows in self.tables:
                table.set(rows)
            self.graph = graph
        except (RuntimeError, NotImplementedError, MemoryError) as error:
            why = " ".join(str(error).split())
            warnings.warn(
                f"the step cannot be recorded as a CUDA graph, its kernels are launched one by one: {why}", stacklevel=3
            )
            self.tables.clear()
        finally:
            self.kept.clear()
            _recording.reset(before)


class CudaDevice(KernelDevice):
    """The kernels in float32 or float64 on an NVIDIA GPU."""

    name = "cuda"
    paths = PATHS
    usual_path = "fast"  # a step takes less time, for a few seconds of compiling once
    driver: CudaDriver

    def __init__(self, dtype: str = "float32"):
        super().__init__(dtype, CudaDriver())
