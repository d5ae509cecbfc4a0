"""A built kernel file, loaded: launches its kernels on NumPy arrays."""

from __future__ import annotations

import ctypes
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from tinycnn.emulator import arguments, build, elf, sources
from tinycnn.emulator.arguments import LaunchError

if TYPE_CHECKING:
    from tinycnn.emulator.program import Call

__all__ = ["KernelError", "LaunchError", "Module", "load"]

Triple = tuple[int, int, int]

INTERRUPTED, NO_MEMORY, REFUSED = -1, -2, -3  # what cudasim_launch returns, if not the number of blocks that failed

MOST_THREADS = 1024
MOST_GRID = (2**31 - 1, 65535, 65535)
MOST_BLOCK = (1024, 1024, 64)
# What the largest GPU holds at once, for cooperative launches: so many multiprocessors, each of so many threads, blocks
# and bytes of shared memory, of which every block takes some for the system.
MULTIPROCESSORS, HELD_THREADS, HELD_BLOCKS, HELD_SHARED, SYSTEM_SHARED = 148, 2048, 32, 228 * 1024, 1024


class KernelError(RuntimeError):
    """A kernel that went wrong while it ran: a divergent barrier, a warp intrinsic with bad lanes, a trap."""


class Problem(ctypes.Structure):
    """`Problem` of runtime.h."""

    _fields_ = [
        ("kind", ctypes.c_int),
        ("line", ctypes.c_int),
        ("file", ctypes.c_char * 256),
        ("pc", ctypes.c_uint64),
        ("other_pc", ctypes.c_uint64),
        ("count", ctypes.c_uint64),
        ("block", ctypes.c_uint * 3),
        ("thread", ctypes.c_uint * 3),
        ("other_block", ctypes.c_uint * 3),
        ("other_thread", ctypes.c_uint * 3),
        ("region", ctypes.c_int),
        ("size", ctypes.c_int),
        ("write", ctypes.c_int),
        ("other_write", ctypes.c_int),
        ("space", ctypes.c_int),
        ("offset", ctypes.c_int64),
        ("message", ctypes.c_char * 640),
    ]


class _Parameter(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_char_p),
        ("size", ctypes.c_int),
        ("pointer", ctypes.c_int),
        ("constant", ctypes.c_int),
        ("passed", ctypes.c_int),
    ]


class _Kernel(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("call", ctypes.c_void_p),
        ("parameters", ctypes.POINTER(_Parameter)),
        ("count", ctypes.c_int),
    ]


class _Function(ctypes.Structure):
    """`Function` of limits.cpp."""

    _fields_ = [
        ("begin", ctypes.c_uint64), ("size", ctypes.c_uint64), ("shared", ctypes.c_uint64), ("symbol", ctypes.c_char_p)
    ]  # fmt: skip


class SharedArray(ctypes.Structure):
    _fields_ = [("offset", ctypes.c_int64), ("size", ctypes.c_int64)]


MOST_LAUNCHES = 8  # at the same time: the stacks of one take 2,050 memory maps, and a process may have 65,530
_places = threading.BoundedSemaphore(MOST_LAUNCHES)
_free_stacks: list[int] = []  # sets of stacks that no launch is on

_loaded: dict[tuple[Path, Path], Module] = {}  # (built file, kernel file): Module
_loading = threading.Lock()  # one Module of each: the runtime keeps an address of what belongs to it
_locks: dict[Path, threading.Lock] = {}  # by the built file: its runtime plays one GPU, so one launch at a time


def load(path: str | Path, name_expressions: Sequence[str], mode: str = build.FAST) -> Module:
    """Build a kernel file (unless the cache has it) and load it: a Module.

    path: the .cu file. Its own folder is searched for what it includes.
    name_expressions: its kernels, as CuPy names them: ["copy", "conv2d_forward<float>"].
    Raises BuildError with the compiler's message, CompilerMissing where there is no compiler.
    """
    built = build.build(path, name_expressions, mode)
    key = built, Path(path).resolve()
    with _loading:
        if key not in _loaded:
            _loaded[key] = Module(key[1], built, list(dict.fromkeys(name_expressions)))
        return _loaded[key]


class Module:
    """The kernels of one built file."""

    def __init__(self, path: Path, built: Path, names: Sequence[str]):
        self.path, self.built = path, built
        self.library = ctypes.CDLL(str(built))
        self.lock = _locks.setdefault(built, threading.Lock())
        table = (_Kernel * len(names)).in_dll(self.library, "cudasim_kernels") if names else ()
        parameter_names = arguments.parameter_names(sources.read([path]).contents)
        self._kernels = {k.name.decode(): arguments.Signature(k, parameter_names) for k in table}
        self.library.cudasim_problems.restype = ctypes.POINTER(Problem)
        self.library.cudasim_make_stacks.restype = ctypes.c_void_p
        self.library.cudasim_launch.argtypes = [ctypes.c_void_p] * 4 + [
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_int64,
            ctypes.c_void_p,
            ctypes.c_int,
        ]
        self._find_variables()

    def _find_variables(self) -> None:
        """Tell the runtime where shared memory is, and whose; remember the other variables of the file, by name."""
        found = [s for s in elf.symbols(self.built) if s.defined]
        symbols = [s for s in found if not s.is_function]
        anchor = next(s.value for s in symbols if s.is_tls and "cudasim_anchor" in s.name)
        table = ctypes.addressof(ctypes.c_char.in_dll(self.library, "cudasim_kernels"))
        self.base = table - next(s.value for s in symbols if s.name == "cudasim_kernels")  # where the file is loaded
        shared = [s for s in symbols if s.is_tls and "cudasim" not in s.name and s.size]
        dynamic = [s for s in shared if s.size == build.MOST_SHARED][:1]  # the others are the same memory
        static = [s for s in shared if s.size != build.MOST_SHARED]
        self.dynamic_count = len(dynamic)
        self.shared_names = [elf.plain_name(s.name) for s in dynamic + static]
        self.shared = (SharedArray * (len(shared) or 1))(*[SharedArray(s.value, s.size) for s in dynamic + static])
        self.library.cudasim_shared(self.shared, len(self.shared_names), len(dynamic), ctypes.c_int64(anchor))
        self.variables = {s.name: s for s in symbols if not s.is_tls}
        of = build.static_shared(static)
        rows = [(self.base + s.value, s.size, of.get(s.name, 0), s.name.encode()) for s in found if s.is_function]
        self._functions = (_Function * len(rows))(*(_Function(*row) for row in rows))
        self.library.cudasim_functions(self._functions, len(rows))

    @property
    def own_variables(self) -> list[elf.Symbol]:
        """The variables that are the file's own, and none of the runtime's."""
        ours = ("threadIdx", "blockIdx", "blockDim", "gridDim")
        return [s for s in self.variables.values() if s.size and "cudasim" not in s.name and s.name not in ours]

    @property
    def uninitialised(self) -> list[tuple[str, int, str, str]]:
        """(file, line, function, what the compiler said) of variables that are used before they have a value."""
        if "cudasim_warnings" not in self.variables:
            return []
        size = self.variables["cudasim_warnings"].size
        text = bytes((ctypes.c_char * size).in_dll(self.library, "cudasim_warnings")).rstrip(b"\0")
        return [(file, line, function, said) for file, line, function, said in json.loads(text)]

    @property
    def kernels(self) -> list[str]:
        """The names of the kernels."""
        return list(self._kernels)

    def signature(self, kernel: str) -> arguments.Signature:
        """The parameters of a kernel, as the compiler deduced them. Raises LaunchError for one that is not here."""
        if kernel not in self._kernels:
            raise LaunchError(
                f"{self.path.name} is loaded without a kernel {kernel!r}; with: {', '.join(self._kernels)}"
            )
        return self._kernels[kernel]

    def get_global(self, name: str, dtype: DTypeLike = np.uint8) -> np.ndarray:
        """The __constant__ array of that name, as a NumPy array to read and write. KeyError if there is none."""
        if name not in self.variables:
            raise KeyError(f"{self.path.name} has no __constant__ array {name!r}")
        size = self.variables[name].size
        return np.frombuffer(memoryview((ctypes.c_char * size).in_dll(self.library, name)).cast("B"), dtype)

    def set_variable(self, name: str, values: np.ndarray) -> None:
        """What a __constant__ or __device__ variable holds from here on. LaunchError if there is none, or no room."""
        symbol = next((s for s in self.variables.values() if elf.plain_name(s.name) == name), None)
        if symbol is None or symbol.size < values.nbytes:
            has = "no such variable" if symbol is None else f"{symbol.size} bytes there"
            raise LaunchError(f"{self.path.name}: {name} is given {values.nbytes} bytes, and the file has {has}")
        ctypes.memmove(self.base + symbol.value, np.ascontiguousarray(values).ctypes.data, values.nbytes)

    def launch(
        self, kernel: str, grid: tuple[int, ...], block: tuple[int, ...], args: Sequence[Any], shared: int = 0,
        cooperative: bool = False,
    ) -> None:  # fmt: skip
        """Run a kernel, all of it, on NumPy arrays.

        grid, block: tuples of one to three ints. shared: bytes of dynamic shared memory.
        cooperative: all blocks run at once, so that they may wait for one another, as cudaLaunchCooperativeKernel has
        it; otherwise they run one after the other.
        args: as CuPy's RawKernel takes them: arrays for pointers (None for a null pointer), NumPy scalars of the
        parameter's own type for the rest.

        Raises LaunchError for what cannot be launched and KernelError for a kernel that deadlocks or misuses a
        warp intrinsic. An access out of bounds is not noticed here: it may end Python. `check` notices it.
        """
        signature = self.signature(kernel)
        shape = check_shape(kernel, grid, block, shared, cooperative)
        with self.lock:
            failures = self.run(signature, *shape, args, shared, cooperative=cooperative)
            if failures:
                raise KernelError(self._problem_text(kernel))

    def run(
        self, signature: arguments.Signature, grid: Triple, block: Triple, args: Sequence[Any], shared: int,
        only: Sequence[int] | None = None, cooperative: bool = False,
    ) -> int:  # fmt: skip
        """The launch itself, for who holds the lock; only: of the blocks these. Returns how many blocks failed."""
        packed, _alive = signature.pack(args)
        failures = self._run(signature.call, packed, grid, block, shared, only, cooperative)
        if failures == NO_MEMORY:
            count = int(np.prod(grid)) * int(np.prod(block))
            raise MemoryError(f"{signature.name}: no address space for the stacks of {count} threads")
        if failures == REFUSED:
            raise LaunchError(f"{signature.name}: {self.problems()[0].message.decode()}")
        if failures == INTERRUPTED:
            raise KernelError(f"{signature.name}: interrupted")  # unless Python raises KeyboardInterrupt before
        return failures

    def run_blocks(self, call: Call, blocks: Sequence[int]) -> None:
        """Run these blocks of a program's launch once more, while it is told of."""
        pointer = ctypes.cast(call.arguments, ctypes.c_void_p)
        self._run(call.run, pointer, call.grid, call.block, int(call.shared), blocks, bool(call.cooperative))

    def _run(
        self, function: int, packed: Any, grid: Sequence[int], block: Sequence[int], shared: int,
        only: Sequence[int] | None, cooperative: bool,
    ) -> int:  # fmt: skip
        blocks = None if only is None else (ctypes.c_int64 * len(only))(*only)
        self.library.cudasim_forget_problems()
        with self._stacks() as stacks:
            return self.library.cudasim_launch(
                function,
                packed,
                (ctypes.c_uint * 3)(*grid),
                (ctypes.c_uint * 3)(*block),
                shared,
                blocks,
                0 if only is None else len(only),
                stacks,
                cooperative,
            )

    @contextmanager
    def _stacks(self) -> Iterator[int]:
        """A set of stacks for a launch's threads: one that an earlier launch has left, of whichever module."""
        with _places:
            stacks = _free_stacks.pop() if _free_stacks else self.library.cudasim_make_stacks()
            if not stacks:
                raise MemoryError("no address space for the stacks of the emulator's threads")
            try:
                yield stacks
            finally:
                _free_stacks.append(stacks)

    def problems(self) -> list[Problem]:
        """What went wrong in the last launch."""
        count = ctypes.c_int()
        first = self.library.cudasim_problems(ctypes.byref(count))
        return [first[i] for i in range(count.value)]

    def _problem_text(self, kernel: str) -> str:
        problem = self.problems()[0]
        where = f"{problem.file.decode()}:{problem.line}"
        return f"{kernel}: {where}: block {tuple(problem.block)}: {problem.message.decode()}"


def check_shape(
    kernel: str, grid: tuple[int, ...], block: tuple[int, ...], shared: int, cooperative: bool = False
) -> tuple[Triple, Triple]:
    """Grid and block as three ints each, or a LaunchError that says which limit of CUDA they break."""
    shapes: list[Triple] = []
    for word, shape, limits in (("grid", grid, MOST_GRID), ("block", block, MOST_BLOCK)):
        if not isinstance(shape, tuple | list) or not 1 <= len(shape) <= 3:
            raise LaunchError(f"{kernel}: the {word} is a tuple of one to three ints, not {shape!r}")
        for axis, extent, most in zip("xyz", shape, limits, strict=False):
            if not isinstance(extent, int | np.integer) or isinstance(extent, bool):
                raise LaunchError(f"{kernel}: {word}.{axis} is an int, not {extent!r}")
            if not 1 <= extent <= most:
                raise LaunchError(f"{kernel}: {word}.{axis} is from 1 to {most}, not {extent}")
        x, y, z = [*map(int, shape), 1, 1][:3]
        shapes.append((x, y, z))
    threads = shapes[1][0] * shapes[1][1] * shapes[1][2]
    if threads > MOST_THREADS:
        raise LaunchError(f"{kernel}: a block has at most {MOST_THREADS} threads, not {threads} {tuple(block)}")
    if not 0 <= shared <= build.MOST_SHARED:
        raise LaunchError(
            f"{kernel}: a block has at most {build.MOST_SHARED} bytes (227 KB) of shared memory, not {shared}"
        )
    blocks = shapes[0][0] * shapes[0][1] * shapes[0][2]
    each = min(HELD_BLOCKS, HELD_THREADS // (-(-threads // 32) * 32), HELD_SHARED // (shared + SYSTEM_SHARED))
    if cooperative and blocks > MULTIPROCESSORS * each:
        raise LaunchError(
            f"{kernel}: a cooperative launch needs all of its {blocks} blocks on the GPU at once; of {threads} threads "
            f"and {shared} bytes of shared memory the largest GPU holds {MULTIPROCESSORS * each}"
        )
    return shapes[0], shapes[1]
