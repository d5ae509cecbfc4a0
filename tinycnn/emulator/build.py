"""Builds a kernel file into a shared object, with the C++ compiler of the host, and keeps what it built.

The file is rewritten only where C++ has no word for what it says (syntax.py). A generated wrapper includes it and
names, for each kernel that is asked for, a function that the compiler instantiates and describes (kernel_table.h). The
wrapper, the runtime and the storage of dynamic shared memory are linked into one shared object; its name in the cache
is a hash of everything that went into it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tinycnn.emulator import cache, elf, headers, sources
from tinycnn.emulator.compiler import (
    DEBUG,
    FAST,
    HOOKED,
    BuildError,
    Compiler,
    find_compiler,
    is_x86,
    processor,
    run,
    uninitialised,
)
from tinycnn.emulator.unsupported import explained

HERE = Path(__file__).parent / "runtime"
CORE = ["problems.cpp", "fibers.cpp", "warp.cpp", "scheduler.cpp", "together.cpp", "interrupts.cpp", "crash.cpp"]
CORE += ["deadline.cpp", "limits.cpp", "host_errors.cpp", "host_memory.cpp", "host_copies.cpp", "host_gpu.cpp"]
CORE += ["host_launches.cpp", "host_streams.cpp", "host_program.cpp"]
TOOLS = ["shadow.cpp", "handover.cpp", "trace.cpp", "hooks.cpp"]
RUNTIME = {FAST: CORE, DEBUG: CORE, HOOKED: CORE + TOOLS}

BUILT_IN = "/tinycnn"  # stands in debug information for the temporary folder of the build

MOST_STATIC_SHARED = 48 * 1024  # of that, declared with their sizes
MOST_SHARED = 227 * 1024  # bytes of shared memory that a block can have at most, on compute capability 9.0

# Of the kernels alone. A kernel that copies too much is for `check` to report; the C library's own check of memcpy and
# its like, which Ubuntu's compiler puts in unasked, ends the whole of Python.
KERNEL_FLAGS = ["-U_FORTIFY_SOURCE"]
PLAIN = ["-std=c++17", "-O1", "-fno-lto", "-Wuninitialized"]


# ---------------------------------------------------------------- sources


@functools.cache
def own_sources(mode: str) -> bytes:
    """What the runtime consists of."""
    files = [*sorted(HERE.glob("*.h")), *(HERE / name for name in RUNTIME[mode])]
    return b"".join(file.read_bytes() for file in files)


def hash_of(*parts: object) -> str:
    """Tells apart what differs in any part."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:32]


def wrapper(path: Path, kernels: Iterable[str], kind: str = "gcc", library: bool = False) -> str:
    """The C++ source that is compiled: the kernel file, or what stands for it, and the table of its kernels.

    library: whether the file includes headers of the C or C++ library, whose names are defined elsewhere.
    """
    lines = [f'#include "{path}"']
    if kind == "gcc" and not library:
        # Accesses to extern __shared__ arrays need not ask the loader then. (Clang calls an initialiser of theirs if
        # there is one, and would then take it for granted that there is.)
        lines = ["#pragma GCC visibility push(hidden)", *lines, "#pragma GCC visibility pop"]
    lines.append(f'#include "{HERE / "kernel_table.h"}"')
    lines.append('extern "C" __attribute__((visibility("default"))) const cudasim::Kernel cudasim_kernels[] = {')
    for name in kernels:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        lines += [f'#line 1 "kernel {quoted}"', f'cudasim::Thunk<&{name}>::describe("{quoted}"),']
    return "\n".join([*lines, "};", ""])


# ---------------------------------------------------------------- building


def build(path: str | Path, kernels: Iterable[str], mode: str = FAST) -> Path:
    """The shared object of a kernel file with these kernels: a Path in the cache, built if it is not there yet.

    Raises BuildError with what the compiler said, and OSError for a file that cannot be read or written.
    """
    path = Path(path).resolve()
    if not path.is_file():
        raise FileNotFoundError(2, "no such kernel file", str(path))
    kernels = list(dict.fromkeys(kernels))
    for name in kernels:
        if not re.fullmatch(r"[A-Za-z_]\w*(::\w+)*(\s*<[\w\s,:<>*()+-]*>)?", name):
            raise BuildError(f"{name!r} is not the name of a kernel, like 'copy' or 'copy<float>'")
    compiler = find_compiler()
    source = sources.read([path])
    contents = [item for file, text in source.contents.items() for item in (file.name, text)]
    whole = headers.has_host_code(source.contents.values())
    library = any(match[2] == b"<" for text in source.contents.values() for match in sources.INCLUDE.finditer(text))
    flags = [*compiler.flags(mode), *(compiler.instrumented if mode == HOOKED else []), *KERNEL_FLAGS]
    where = path if mode == DEBUG else path.name  # gdb is to find the source; otherwise equal content is equal
    # Every file can be told apart by what it was made of, so a file in the cache is never changed, only added.
    key = hash_of(compiler, processor(), flags, PLAIN, own_sources(mode), headers.content(), where, *contents, *kernels)
    name = f"{path.stem}-{mode}-{key}.so"
    if known := cache.find(name):
        return known
    target = cache.folder() / name
    with building(target) as folder:
        copies = sources.rewritten(source, folder)
        (folder / "wrapper.cpp").write_text(wrapper(copies.get(path, path), kernels, compiler.kind, library))
        maps = prefix_maps(folder, path.parent) if mode != DEBUG else []
        header = [*headers.flags(folder, source.contents.values(), whole), "-I", path.parent]
        compiled = [*flags, *maps, *header, "-c", "wrapper.cpp", "-o", "wrapper.o"]
        try:
            said = compile_kernels(compiler, mode, compiled, [*header, "-c", "wrapper.cpp"], folder, path)
        except BuildError as error:
            raise explained(error, source) from None
        parts = [*linked_in(compiler, mode, folder, ["wrapper.o"], said, path.parent), "-Wl,-z,defs"]
        run(compiler.linker, ["-shared", "-fPIC", *parts, "-o", "module.so"], folder, path)
        cache.keep(folder / "module.so", target)
    return target


@contextmanager
def building(target: Path) -> Iterator[Path]:
    """A temporary folder beside a file of the cache that is built in it. An OSError names at least that file."""
    try:
        with tempfile.TemporaryDirectory(prefix="building-", dir=target.parent) as temporary:
            yield Path(temporary)
    except OSError as error:  # a full disk: writing, unlike opening, does not tell of which file
        raise OSError(error.errno, error.strerror, error.filename or str(target)) from None


def prefix_maps(folder: Path, beside: Path) -> list[str]:
    """What the compiler is told to call files: those of the build, beside the first source file, of the runtime."""
    names = {f"{folder}": BUILT_IN, f"{beside}/": "", f"{HERE}/": "cudasim/"}
    return [f"-ffile-prefix-map={old}={new}" for old, new in names.items()]


def linked_in(
    compiler: Compiler, mode: str, folder: Path, objects: Sequence[str], said: str, beside: Path
) -> list[str | Path]:  # fmt: skip
    """Object files of kernels, and what is linked with them: the runtime, the storage of their dynamic shared memory,
    and what the compiler said of variables. beside: the folder of the first source file."""
    parts: list[str | Path] = [*objects, runtime(compiler, mode, folder)]
    if used := uninitialised(said, beside):
        parts.append(warnings_in(folder, used))
    symbols = [symbol for name in objects for symbol in elf.variables(folder / name) if symbol.is_tls and symbol.name]
    _check_static_shared(symbols)
    defined = {symbol.name for symbol in symbols if symbol.defined}
    if dynamic := {s.name for s in symbols if s.name not in defined and not s.name.startswith("_ZSt")}:
        (folder / "dynamic.cpp").write_text(dynamic_shared(dynamic))
        parts.append("dynamic.cpp")
    return parts


def runtime(compiler: Compiler, mode: str, folder: Path) -> Path:
    """The compiled runtime, an object file that all kernel files built in this mode share."""
    flags = [*compiler.flags(mode), "-O2", "-DCUDASIM_RUNTIME", f"-I{HERE}"]
    key = hash_of(compiler, processor(), flags, own_sources(mode))
    name = f"runtime-{mode}-{key}.o"
    if known := cache.find(name):
        return known
    # One translation unit: it compiles faster than its parts, and the compiler sees across them.
    (folder / "runtime.cpp").write_text("".join(f'#include "{HERE / name}"\n' for name in RUNTIME[mode]))
    run(compiler.command, [*flags, "-c", "runtime.cpp", "-o", "runtime.o"], folder, "the emulator's runtime")
    cache.keep(folder / "runtime.o", folder.parent / name)
    return folder.parent / name


def compile_kernels(
    compiler: Compiler, mode: str, words: Sequence[object], plain: Sequence[object], folder: Path, subject: Path
) -> str:
    """Compile a file with kernels. Returns what the compiler said, which is not silent in hooked builds.

    words: what the compiler is given; plain: the same without all that the hooks need, and without -o.
    """
    try:
        warnings = run(compiler.command, words, folder, subject)
    except BuildError as error:
        if mode != HOOKED or not re.search("recursi|body not available", error.log):
            raise
        # A function that calls itself, or that is in another file, cannot be inlined, as trace.cpp would have it.
        warnings = run(compiler.command, ["-DCUDASIM_RECURSIVE", *words], folder, subject)
    if "uninitialized" in warnings:
        # In the hooked build's loops "may be" is all that the compiler says; where it is sure, this one tells.
        warnings = run(compiler.command, [*PLAIN, *plain, "-o", "plain.o"], folder, subject)
    return warnings


def static_shared(arrays: Iterable[elf.Symbol]) -> dict[str, int]:
    """{a function's symbol: the bytes of the __shared__ arrays that are declared in it with their sizes}"""
    found: dict[str, int] = {}
    for array in arrays:
        function = elf.owner(array.name)
        found[function] = found.get(function, 0) + array.size
    return found


def _check_static_shared(symbols: Sequence[elf.Symbol]) -> None:
    """As NVIDIA's assembler does. Raises BuildError."""
    arrays = {s.name: s for s in symbols if s.defined}  # several files may have the same one, of a template
    for function, size in static_shared(arrays.values()).items():
        if function and size > MOST_STATIC_SHARED:
            names = ", ".join(elf.plain_name(name) for name in arrays if elf.owner(name) == function)
            raise BuildError(
                f"{elf.function_name(function)}: {size} bytes of __shared__ arrays ({names}), and a kernel has at most"
                f" {MOST_STATIC_SHARED}: declare one `extern __shared__`, and give the launch its size"
            )


def warnings_in(folder: Path, used: Sequence[tuple[str, int, str, str]]) -> str:
    """A source file of a variable that tells Python of these: of a file in the cache nobody else knows it."""
    visible = 'extern "C" __attribute__((visibility("default")))'
    text = f"{visible} const char cudasim_warnings[] = {json.dumps(json.dumps(used))};\n"
    (folder / "warnings.cpp").write_text(text)
    return "warnings.cpp"


def dynamic_shared(names: Iterable[str]) -> str:
    """Storage for `extern __shared__` arrays: as in CUDA, all of them begin at the same address."""
    first, *others = sorted(names)
    lines = ['.section .tbss,"awT",%nobits', ".balign 1024", f".globl {first}", f".type {first}, %tls_object"]
    lines += [f".hidden {first}", f".size {first}, {MOST_SHARED}", f"{first}: .zero {MOST_SHARED}"]
    for name in others:
        lines += [f".globl {name}", f".hidden {name}", f".type {name}, %tls_object", f".set {name}, {first}"]
    text = "".join(f'    "{line}\\n"\n' for line in [*lines, ".text"]).replace("%", "@" if is_x86() else "%")
    return f"asm(\n{text});\n".replace('"awT"', '\\"awT\\"')
