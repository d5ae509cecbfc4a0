"""Whole programs: builds host code and kernels of `.cu` files into one shared object, and runs its main.

The host code is C++ for the same compiler; `cuda_runtime.h` and its like are in runtime/include, and what they declare
is in runtime/host_*.cpp. A launch calls the scheduler that also runs a single kernel (module.py).
"""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tinycnn.emulator import arguments, build, cache, elf, headers, sources, syntax
from tinycnn.emulator.compiler import FAST, HOOKED, BuildError, find_compiler, processor, run
from tinycnn.emulator.module import Module, _Parameter
from tinycnn.emulator.sources import Sources
from tinycnn.emulator.unsupported import explained

if TYPE_CHECKING:
    from tinycnn.devices.gpu.cards import Card

DEVICE, MANAGED, HOST = 0, 1, 4  # of `Owner` in host_parts.h
_FENCE = re.compile(rb"__threadfence|\batomic_ref\b|\bcuda::|\bthis_grid\b")  # what can hand over from block to block
STACK = 64 * 2**20  # bytes of main's stack: a program may have large arrays there
FLAGS = ["-fexceptions", "-frtti", "-fno-lto"]  # what host code may use and kernels do not
LINES = ["-g1", "-gdwarf-4"]  # tell where a kernel crashed
LINK = ["-shared", "-fPIC", "-Wl,--wrap=exit", "-Wl,-z,defs", "-lm", "-lpthread"]

ENTRY = f"""
#include "{build.HERE}/kernel_table.h"
extern "C" int call_main(int, char**) __asm__("main");
extern "C" __attribute__((visibility("hidden"))) int cudasim_main(int argc, char** argv) {{
    return call_main(argc, argv);
}}
extern "C" __attribute__((visibility("default"))) const cudasim::Kernel cudasim_kernels[1] = {{}};
"""


def build_program(program: Sources, defines: Sequence[str] = (), mode: str = FAST) -> Path:
    """The shared object of a program: a Path in the cache, built if it is not there yet. Raises BuildError."""
    compiler = find_compiler()
    first = program.paths[0]
    if not program.has_main:
        raise BuildError(f"{first} has no main")
    own = {FAST: LINES, HOOKED: compiler.instrumented}.get(mode, [])
    flags = [*compiler.flags(mode), *own, *build.KERNEL_FLAGS, *FLAGS, *(f"-D{define}" for define in defines)]
    linked = ["-fopenmp"] if any(b"omp.h" in text for text in program.contents.values()) else []
    contents = [item for file, text in program.contents.items() for item in (relative(file, first), text)]
    key = build.hash_of(
        compiler, processor(), flags, linked, build.own_sources(mode), ENTRY, headers.content(), *contents
    )
    name = f"{first.stem}-{mode}-{key}.so"
    if known := cache.find(name):
        return known
    target = cache.folder() / name
    with build.building(target) as folder:
        copies = sources.rewritten(program, folder)
        maps = build.prefix_maps(folder, first.parent)
        folders = [word for path in program.folders for word in ("-I", path)]
        included = [*folders, *headers.flags(folder, program.contents.values(), whole=True)]
        objects: list[str] = []
        said = ""
        for number, path in enumerate(program.paths):
            objects.append(f"{number}.o")
            words = [*linked, *included, "-x", "c++", copies.get(path, path), "-I", path.parent, "-c"]
            plain = [*FLAGS, *(f"-D{define}" for define in defines), *words]
            compiled = [*flags, *maps, *words, "-o", objects[-1]]
            try:
                said += build.compile_kernels(compiler, mode, compiled, plain, folder, path)
            except BuildError as error:
                raise explained(error, program) from None
        (folder / "entry.cpp").write_text(ENTRY)
        base = ["-include", build.HERE / "cudasim.h"]
        run(compiler.command, [*flags, *base, "-c", "entry.cpp", "-o", "entry.o"], folder, first)
        parts = build.linked_in(compiler, mode, folder, objects, said, first.parent)
        try:
            run(compiler.command, [*parts, "entry.o", *LINK, *linked, "-o", "program.so"], folder, first)
        except BuildError as error:
            raise explained(error, program) from None
        cache.keep(folder / "program.so", target)
    return target


def relative(file: Path, first: Path) -> str:
    """A file's name, beside the program's first file."""
    try:
        return str(file.relative_to(first.parent))
    except ValueError:
        return str(file)


# ---------------------------------------------------------------- running


class Site(ctypes.Structure):
    """`Site` of cudasim.h."""

    _fields_ = [("file", ctypes.c_char_p), ("line", ctypes.c_int)]


class Call(ctypes.Structure):
    """`Call` of host_launch.h, as far as Python reads it."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared", ctypes.c_size_t),
        ("site", Site),
        ("cooperative", ctypes.c_bool),
        ("run", ctypes.c_void_p),
        ("arguments", ctypes.POINTER(ctypes.c_void_p)),
        ("parameters", ctypes.POINTER(_Parameter)),
        ("count", ctypes.c_int),
    ]


class Allocation(ctypes.Structure):
    """`Allocation` of host_parts.h."""

    _fields_ = [
        ("begin", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("owner", ctypes.c_int),
        ("line", ctypes.c_int),
        ("freed_line", ctypes.c_int),
        ("fresh", ctypes.c_int),
        ("file", ctypes.c_char * 256),
        ("memory", ctypes.c_void_p),
    ]


class Variable(ctypes.Structure):
    """`Variable` of host_parts.h."""

    _fields_ = [("begin", ctypes.c_uint64), ("size", ctypes.c_uint64), ("owner", ctypes.c_int)]
    _fields_ += [("has_address", ctypes.c_int)]


class Mistake(ctypes.Structure):
    """`Mistake` of host_parts.h."""

    _fields_ = [
        ("error", ctypes.c_int),
        ("line", ctypes.c_int),
        ("count", ctypes.c_int),
        ("file", ctypes.c_char * 256),
        ("text", ctypes.c_char * 400),
        ("pc", ctypes.c_uint64),
    ]


@dataclass
class Ended:
    """How a program ended: its exit status; whether it asked how long something took."""

    status: int
    asked_for_times: bool


LISTENER = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.POINTER(Call), ctypes.c_int)


class Observer(Protocol):
    """Who watches the launches of a program: is told of each before and after it, and of the end of main."""

    def before(self, call: Call) -> None: ...

    def after(self, call: Call, failures: int) -> None: ...

    def end(self, status: int) -> None: ...


class Program:
    """A built program, to be run once: what it leaves in its variables stays there."""

    def __init__(self, built: Path, source: Sources, gpu: Card):
        self.module = Module(source.paths[0], built, [])
        self.parameter_names = arguments.parameter_names(list(source.contents))
        self.library = self.module.library
        self.library.cudasim_mistakes.restype = ctypes.POINTER(Mistake)
        self.library.cudasim_allocations.restype = ctypes.POINTER(Allocation)
        self.library.cudasim_error_name.restype = ctypes.c_char_p
        self.texts = list(source.contents.values())
        self.has_fences = any(_FENCE.search(text) for text in self.texts)
        self._tell_of_variables(source)
        self.library.cudasim_describe_gpu(gpu.name.encode(), (ctypes.c_int64 * 13)(*described(gpu)))

    def _tell_of_variables(self, source: Sources) -> None:
        """Tell the runtime whose each variable of the program is; of none where it cannot be told."""
        known = [syntax.device_variables(text) for text in source.contents.values()]
        rows: list[tuple[int, int, int]] = []
        for symbol in self.module.own_variables:
            name = elf.plain_name(symbol.name)
            of_the_gpu = [managed for names in known if names for n, managed in names.items() if n == name]
            in_a_function = symbol.name.startswith("_ZZ") and not symbol.name.startswith(
                "_ZZ4main"
            )  # whose, who knows?
            if symbol.writable and (of_the_gpu or not in_a_function):
                owner = MANAGED if any(of_the_gpu) else DEVICE if of_the_gpu else HOST
                rows.append((self.module.base + symbol.value, symbol.size, owner))
        if None not in known:
            self._variables = (Variable * (len(rows) or 1))(*(Variable(*row) for row in rows))
            self.library.cudasim_variables(self._variables, len(rows))

    def run(self, words: Sequence[str], observer: Observer) -> Ended:
        """Run main with these arguments, on a thread of its own, whose stack is large."""
        ended: list[Ended] = []

        def hear(phase: int, call: Any, failures: int) -> None:
            if phase:
                observer.after(call.contents, failures)
            else:
                observer.before(call.contents)

        def main() -> None:
            listener = LISTENER(hear)
            self.library.cudasim_listen(listener)
            given = [str(self.module.path).encode(), *(word.encode() for word in words)]
            status = self.library.cudasim_run(len(given), (ctypes.c_char_p * (len(given) + 1))(*given, None))
            observer.end(status & 0xFF)
            ended.append(Ended(status & 0xFF, bool(self.library.cudasim_asked_for_times())))

        before = threading.stack_size(STACK)
        thread = threading.Thread(target=main, daemon=True)
        thread.start()
        threading.stack_size(before)
        thread.join()
        return ended[0]

    def allocations(self) -> list[Allocation]:
        """What the program has allocated, and not given back for good."""
        count = ctypes.c_int()
        first = self.library.cudasim_allocations(ctypes.byref(count))
        return [Allocation.from_buffer_copy(first[i]) for i in range(count.value)]

    def mistakes(self) -> list[Mistake]:
        """The calls that CUDA answered with an error, and the host's accesses to what is the device's."""
        count = ctypes.c_int()
        first = self.library.cudasim_mistakes(ctypes.byref(count))
        return [Mistake.from_buffer_copy(first[i]) for i in range(count.value)]

    def unasked_error(self) -> int:
        """The error of a launch that the program has not asked for; 0 if there is none."""
        return int(self.library.cudasim_unasked_error())

    def error_name(self, error: int) -> str:
        """cudaErrorInvalidValue, say."""
        return str(self.library.cudasim_error_name(error).decode())


def described(gpu: Card) -> list[int]:
    """What cudasim_describe_gpu takes, in its order."""
    numbers = (
        *gpu.capability, gpu.multiprocessors, gpu.clock / 1e3, gpu.memory, gpu.l2, gpu.threads, gpu.blocks,
        gpu.registers, gpu.shared, gpu.shared_of_a_block, gpu.reserved, gpu.bandwidth,
    )  # fmt: skip
    return [int(number) for number in numbers]
