"""Runs a launch with the tools watching: the part that `check` and `trace` share.

The arrays are copied first, each between two wide margins, so that an access out of bounds meets no other array, and
the caller's arrays stay as they are. A copy is aligned as cudaMalloc aligns, to 256 bytes, with a slice where it was in
its base array: sectors are counted on the GPU's addresses, not on those that NumPy's allocator chose.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn.emulator import build, elf, sources, syntax
from tinycnn.emulator.arguments import Signature
from tinycnn.emulator.compiler import BuildError
from tinycnn.emulator.launches import Launch
from tinycnn.emulator.module import Module, check_shape, load

Place = tuple[str, int]  # (file, line)

MOST_SECONDS = 20.0  # of a launch, if nothing else is asked for
SOON = 0.001  # seconds between two looks at what it has computed, at least

ALIGNMENT = 256
MARGIN = 64 * 1024


class GlobalArray(ctypes.Structure):
    """`GlobalArray` of hooks.cpp."""

    _fields_ = [("address", ctypes.c_uint64), ("size", ctypes.c_uint64), ("granule", ctypes.c_int)]
    _fields_ += [("unset", ctypes.c_int), ("constant", ctypes.c_int)]


class Array:
    """An array of the launch, or several that overlap: its place in memory while the launch runs."""

    def __init__(self, name: str, begin: int, end: int, dtype: np.dtype, offset: int = 0):
        self.name, self.begin, self.end, self.dtype = name, begin, end, dtype
        self.offset = offset  # from the begin of the array that it is a slice of
        self.granule = 1 if dtype.itemsize == 1 else 2 if dtype.itemsize == 2 else 4
        self.moved_by = 0  # from the caller's addresses to the copy's
        self.unset = False  # nobody has written there yet
        self.constant = False  # it is __constant__ memory
        self.word = ""  # of the launch comment, where that gives it no value: see _without_value

    @property
    def size(self) -> int:
        """In bytes."""
        return self.end - self.begin


class Observed:
    """A built file with hooks, and the arrays of the launch that the tools watch."""

    def __init__(self, module: Module):
        self.module, self.path = module, module.path
        self.arrays: list[Array] = []

    def begin(self, shared: int, seconds: float, check: bool = False, trace: bool = False) -> None:
        """Tell the tools of the arrays. shared: the launch's bytes of dynamic shared memory."""
        rows = [(a.begin + a.moved_by, a.size, a.granule, a.unset, a.constant) for a in self.arrays]
        table = (GlobalArray * (len(rows) or 1))(*(GlobalArray(*row) for row in rows))
        self.module.library.cudasim_watch(table, len(rows), shared, int(check), int(trace), ctypes.c_double(seconds))

    def array_of(self, region: int) -> tuple[str, int | None, int]:
        """(name, itemsize, bytes) of a region as the runtime numbers them; itemsize None where it has no known type."""
        if region < 0:
            return "unknown memory", None, 0
        if region < len(self.arrays):
            array = self.arrays[region]
            return array.name, array.dtype.itemsize, array.size
        index = region - len(self.arrays)
        return self.module.shared_names[index], None, self.module.shared[index].size

    def word_of(self, region: int) -> str:
        """What the launch comment says of an array that it gives no value; '' for any other region."""
        return self.arrays[region].word if 0 <= region < len(self.arrays) else ""

    def places(self, instructions: Iterable[int]) -> dict[int, Place]:
        """{instruction: (file, line)}, in the source as far as can be told."""
        return places(self.module.built, self.path, tuple(sorted(set(instructions))))


class Watched(Observed):
    """A kernel file, whose launches are made on copies of their arrays."""

    def __init__(self, path: str | Path, kernels: Sequence[str]):
        super().__init__(load(path, kernels, build.HOOKED))
        self.variables = variables(self.module, sources.read([self.path]).contents.values())
        self.args: list[Any] = []  # what the kernel was given: arrays are copies, to be read while it is watched

    @contextmanager
    def watch(
        self, launch: Launch, check: bool = False, trace: bool = False, only: list[int] | None = None,
        seconds: float = MOST_SECONDS, record: int = 0,
    ) -> Iterator[Watched]:  # fmt: skip
        """Run the launch, or `only` these of its blocks; what the tools found can be asked for inside.

        It is ended after so many seconds, which is one of the problems then. Of a trace, at most `record` requests are
        kept.
        """
        library, signature = self.module.library, self.module.signature(launch.kernel)
        grid, block = check_shape(launch.kernel, launch.grid, launch.block, launch.shared, launch.cooperative)
        signature.pack(launch.args)  # to refuse bad arguments before anything is copied
        self.arrays, self.args, alive = _guarded(launch, signature)
        self.arrays += self.variables
        with self.module.lock, _kept(launch.buffers):
            self.begin(launch.shared, seconds, check, trace)
            library.cudasim_record(record)
            for name, values in launch.variables.items():
                self.module.set_variable(name, values)
            try:
                with time_limit(library, seconds):
                    self.module.run(signature, grid, block, self.args, launch.shared, only, launch.cooperative)
                yield self
            finally:
                library.cudasim_record(0)
                library.cudasim_unwatch()
                self.args = []
                del alive


def variables(module: Module, texts: Iterable[bytes]) -> list[Array]:
    """A file's own __device__ and __constant__ variables, as arrays in place. texts: its source, and its headers'."""
    constants = frozenset[str]().union(*map(syntax.constants, texts))
    names = [elf.plain_name(symbol.name) for symbol in module.own_variables]
    found = []
    for symbol, name in zip(module.own_variables, names, strict=True):
        begin = module.base + symbol.value
        found.append(Array(name, begin, begin + symbol.size, np.dtype("uint32")))
        found[-1].constant = name in constants and names.count(name) == 1  # of two namespaces, who knows which?
    return found


def _guarded(launch: Launch, signature: Signature) -> tuple[list[Array], list[Any], list[np.ndarray]]:
    """(the arrays of a launch, its arguments on copies of them, what must stay alive)."""
    named = [(p.name or f"argument {p.number}", a) for p, a in zip(signature.parameters, launch.args, strict=True)]
    pointers = [(n, a) for (n, a), p in zip(named, signature.parameters, strict=True) if p.is_pointer and a is not None]
    through_tables = [(f"buffer {i}", buffer) for i, buffer in enumerate(launch.buffers, 1)]
    through_tables += launch.within.items()
    without_value = _without_value(launch, signature)
    unset = {_span(array) for array in launch.unset} | set(without_value)
    spans = sorted(
        ((*_span(array), name, array) for name, array in pointers + through_tables if array.nbytes), key=lambda s: s[:2]
    )
    groups: list[Array] = []
    for begin, end, name, array in spans:
        if groups and begin < groups[-1].end:
            group = groups[-1]
            group.end = max(group.end, end)
            group.granule = min(group.granule, Array(name, begin, end, array.dtype).granule)
            if name not in group.name.split("/"):
                group.name += f"/{name}"
        else:
            groups.append(Array(name, begin, end, array.dtype, begin - _span(_base(array))[0]))
            groups[-1].unset = (begin, end) in unset
            groups[-1].word = without_value.get((begin, end), "")
    kept = {_span(buffer)[0] for buffer in launch.buffers}  # pointers lead there, so there they stay
    alive = [_move(group) for group in groups if not any(group.begin <= address < group.end for address in kept)]

    def moved(array: np.ndarray) -> np.ndarray:
        group = next((g for g in groups if g.begin <= _span(array)[0] < g.end), None)
        if group is None:
            return array  # it has no elements
        memory = (ctypes.c_char * array.nbytes).from_address(_span(array)[0] + group.moved_by)
        copy = np.frombuffer(memoryview(memory).cast("B"), array.dtype).reshape(array.shape)
        copy.flags.writeable = array.flags.writeable
        return copy

    is_pointer = [p.is_pointer and a is not None for p, a in zip(signature.parameters, launch.args, strict=True)]
    args = [moved(a) if pointer else a for a, pointer in zip(launch.args, is_pointer, strict=True)]
    return groups, args, alive


def _without_value(launch: Launch, signature: Signature) -> dict[tuple[int, int], str]:
    """{span: its word} of the arrays that the launch comment gives no value, and that are no inputs by their type."""
    given = list(zip(launch.args, signature.parameters, strict=True))
    inputs = [a for a, p in given if p.is_pointer and p.is_constant and a is not None]
    named = dict(zip(launch.names, launch.args, strict=False))  # names: none, if not of a comment
    words = [(named[name], word) for name, word in launch.no_value.items() if name in named]
    return {_span(a): word for a, word in words if not any(np.may_share_memory(a, b) for b in inputs)}


def _move(group: Array) -> np.ndarray:
    """Copy a group of arrays to memory with margins around it."""
    margin = MARGIN + min(group.size, 16 * MARGIN)
    memory = np.empty(2 * margin + group.size + 2 * ALIGNMENT, np.uint8)
    start = memory.ctypes.data + margin
    start += -start % ALIGNMENT + group.offset % ALIGNMENT
    ctypes.memmove(start, group.begin, group.size)
    group.moved_by = start - group.begin
    return memory


def _span(array: np.ndarray) -> tuple[int, int]:
    """The addresses of its first byte and of that behind its last."""
    begin = array.__array_interface__["data"][0]
    return begin, begin + array.nbytes


def _base(array: np.ndarray) -> np.ndarray:
    """The array that this is a slice of, or it itself."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


@contextmanager
def time_limit(library: ctypes.CDLL, seconds: float) -> Iterator[None]:
    """Tell the runtime when this thread has computed for so many seconds: see deadline.cpp.

    They are the processor's, for a machine that has much else to do makes no kernel endless.
    """
    clock, ended = time.pthread_getcpuclockid(threading.get_ident()), threading.Event()
    end = time.clock_gettime(clock) + seconds

    def watch() -> None:
        while (left := end - time.clock_gettime(clock)) > 0:
            if ended.wait(min(max(left, SOON), threading.TIMEOUT_MAX)):  # before that it cannot have computed so long
                return
        library.cudasim_time_is_up()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        library.cudasim_ended()
        watcher.join()


@contextmanager
def _kept(buffers: list[np.ndarray]) -> Iterator[None]:
    """Give these arrays their values back at the end."""
    before = [buffer.copy() for buffer in buffers]
    try:
        yield
    finally:
        for buffer, values in zip(buffers, before, strict=True):
            buffer[...] = values


@cache
def places(built: Path, path: Path, instructions: tuple[int, ...]) -> dict[int, Place]:
    """{instruction: (file, line)} by the debug information of a built file: the innermost line of the kernel's own."""
    if not instructions:
        return {}
    tool = shutil.which("addr2line") or shutil.which("llvm-addr2line")
    if tool is None:
        raise BuildError("check and trace need addr2line, to tell the lines: apt install binutils")
    # A hook knows the instruction after its call; one byte back is in the call itself.
    addresses = [hex(instruction - 1) for instruction in instructions]
    answer = subprocess.run([tool, "-a", "-i", "-e", built, *addresses], capture_output=True, text=True, check=True)
    folder = Path(path).parent
    found: dict[int, list[str]] = {}
    frames: list[str] = []
    for line in answer.stdout.splitlines():
        if line.startswith("0x"):
            frames = found.setdefault(int(line, 16) + 1, [])
        else:
            frames.append(line)
    result: dict[int, Place] = {}
    for instruction, lines in found.items():
        result[instruction] = (str(path), 0)
        for line in lines:
            match = re.match(r"(.*):(\d+)", line)
            if match and "cudasim" not in match[1] and int(match[2]):
                result[instruction] = (source_file(match[1], folder), int(match[2]))
                break
    return result


def source_file(name: str, folder: Path) -> str:
    """The path to show for a file that the compiler knows by its name in the kernel file's folder."""
    # Debug information names it in the folder of the build: by the name that stands for it, or with zig by its own.
    path = folder / re.sub(rf"^({build.BUILT_IN}|/.*/building-[^/]*)/", "", name)
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
