"""Builds a kernel file into a shared object, with the C++ compiler of the host, and keeps what it built.

The file is not rewritten. A generated wrapper includes it and names, for each kernel that is asked for, a function that
the compiler instantiates and describes (kernel_table.h). The wrapper, the runtime and the storage of dynamic shared
memory are linked into one shared object; its name in the cache is a hash of everything that went into it.

There are three ways to build:

    fast      optimised; for computing
    hooked    every load and store calls the tools first. The compiler does that for us: -fsanitize=thread makes it emit
              a call before each access, and we link functions of our own under those names, not the sanitizer's.
              (Linux's KCSAN does the same.) -fsanitize-coverage=trace-pc adds a call where code branches or joins.
    debug     nothing optimised away, for gdb
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tinycnn.emulator import elf

HERE = Path(__file__).parent / "runtime"
FAST, HOOKED, DEBUG = "fast", "hooked", "debug"

COMMON = ["-std=c++17", "-fPIC", "-w", "-fvisibility=hidden", "-fno-exceptions", "-fno-rtti", "-fno-strict-aliasing"]
MODE_FLAGS: dict[str, dict[str, list[str]]] = {
    # Peeled: short loops are unrolled, as `#pragma unroll`, which g++ does not know, asks for.
    FAST: {"gcc": ["-O2", "-fpeel-loops", "-march=native"], "clang": ["-O2", "-march=native"]},
    # Code stays in the order of the source, and single: trace.cpp relies on it. Clang does that at -O0 only.
    HOOKED: {
        "gcc": "-O1 -fno-reorder-blocks -fno-thread-jumps -fno-tree-ch -g1 -gdwarf-4 -DCUDASIM_HOOKED".split(),
        "clang": ["-O0", "-g", "-gdwarf-4", "-DCUDASIM_HOOKED"],
    },
    DEBUG: {"gcc": ["-O0", "-g3"], "clang": ["-O0", "-g"]},
}
CORE = ["problems.cpp", "fibers.cpp", "warp.cpp", "scheduler.cpp", "interrupts.cpp"]
RUNTIME = {FAST: CORE, DEBUG: CORE, HOOKED: [*CORE, "shadow.cpp", "trace.cpp", "hooks.cpp"]}

BUILT_IN = "/tinycnn"  # stands in debug information for the temporary folder of the build

MOST_SHARED = 227 * 1024  # bytes of shared memory that a block can have at most, on compute capability 9.0


class BuildError(RuntimeError):
    """A kernel file that does not build: carries what the compiler said about it."""


class CompilerMissing(BuildError):
    """There is no C++ compiler, or not one for this platform."""


class Compiler(NamedTuple):
    """A C++ compiler that can be run."""

    command: tuple[str, ...]
    kind: str  # gcc or clang
    version: str

    def flags(self, mode: str) -> list[str]:
        """What every file that is built in this mode is compiled with."""
        if self.kind == "gcc":
            # Without GNU_UNIQUE symbols two built files keep their variables apart.
            own = ["-fno-gnu-unique", "-fno-extern-tls-init"]
        else:
            own = ["-fno-sanitize=undefined"] if self.is_zig else []
        return [*COMMON, *own, *MODE_FLAGS[mode][self.kind]]

    @property
    def is_zig(self) -> bool:
        """Whether it is the one in the package ziglang."""
        return "ziglang" in self.command

    @property
    def linker(self) -> tuple[str, ...]:
        """The command that links. As C with zig, which would otherwise first build a C++ library, for half a minute."""
        return (*self.command[:-1], "cc") if self.is_zig else self.command


# ---------------------------------------------------------------- the compiler


@functools.cache
def find_compiler() -> Compiler:
    """The C++ compiler: that of the variable CXX, else g++, clang++, or the one in the package ziglang.

    Raises CompilerMissing with the remedy.
    """
    if platform.system() != "Linux":
        raise CompilerMissing(
            f"the emulator runs on Linux (also in WSL2, a container or Colab), not on {platform.system()}"
        )
    wanted = os.environ.get("CXX")
    candidates = [shlex.split(wanted)] if wanted else [["g++"], ["clang++"]]
    if not wanted and importlib.util.find_spec("ziglang"):
        candidates.append([sys.executable, "-m", "ziglang", "c++"])
    for command in candidates:
        if shutil.which(command[0]) is None:
            continue
        answer = subprocess.run([*command, "--version"], capture_output=True, text=True)
        if answer.returncode == 0:
            return Compiler(tuple(command), "clang" if "clang" in answer.stdout else "gcc", answer.stdout)
    if wanted:
        raise CompilerMissing(f"the C++ compiler that the variable CXX names, {wanted!r}, cannot be run")
    raise CompilerMissing("the emulator needs a C++ compiler: apt install g++, or pip install 'tinycnn[zig]'")


@functools.cache
def processor() -> str:
    """What -march=native means here: a cache folder may be shared between machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return platform.machine() + features


def cache_folder() -> Path:
    """Where built files are kept: TINYCNN_EMULATOR_CACHE, or the user's cache folder."""
    given = os.environ.get("TINYCNN_EMULATOR_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinycnn" / "emulator"


# ---------------------------------------------------------------- sources


def with_includes(path: str | Path) -> list[Path]:
    """The file and every file that it includes by #include "...", each once."""
    found: list[Path] = []
    left = [Path(path)]
    while left:
        file = left.pop()
        if file in found:
            continue
        found.append(file)
        for name in re.findall(r'^\s*#\s*include\s*"([^"]+)"', file.read_text(errors="replace"), re.MULTILINE):
            left += [folder / name for folder in (file.parent, Path(path).parent) if (folder / name).is_file()][:1]
    return found


@functools.cache
def _own_sources(mode: str) -> bytes:
    """What the runtime consists of."""
    headers = ["cudasim.h", "kernel_table.h", "runtime.h", "tools.h"]
    return b"".join((HERE / name).read_bytes() for name in headers + RUNTIME[mode])


def _hash(*parts: object) -> str:
    """Tells apart what differs in any part."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:32]


def wrapper(path: Path, kernels: Iterable[str], kind: str = "gcc") -> str:
    """The C++ source that is compiled: the kernel file and the table of its kernels."""
    lines = [f'#include "{path}"']
    if kind == "gcc":
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

    Raises BuildError with what the compiler said, and FileNotFoundError.
    """
    path = Path(path).resolve()
    if not path.is_file():
        raise FileNotFoundError(2, "no such kernel file", str(path))
    kernels = list(dict.fromkeys(kernels))
    for name in kernels:
        if not re.fullmatch(r"[A-Za-z_]\w*(::\w+)*(\s*<[\w\s,:<>*()+-]*>)?", name):
            raise BuildError(f"{name!r} is not the name of a kernel, like 'copy' or 'copy<float>'")
    compiler = find_compiler()
    sources = with_includes(path)
    contents = [item for file in sources for item in (file.name, file.read_bytes())]
    flags = compiler.flags(mode)
    where = path if mode == DEBUG else path.name  # gdb is to find the source; otherwise equal content is equal
    # Every file can be told apart by what it was made of, so a file in the cache is never changed, only added.
    key = _hash(compiler.version, processor(), flags, _own_sources(mode), where, *contents, *kernels)
    target = cache_folder() / f"{path.stem}-{mode}-{key}.so"
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="building-", dir=target.parent) as temporary:
        folder = Path(temporary)
        (folder / "wrapper.cpp").write_text(wrapper(path, kernels, compiler.kind))
        sanitize = ["-fsanitize=thread", "-fsanitize-coverage=trace-pc"] if mode == HOOKED else []
        names = {f"{folder}": BUILT_IN, f"{path.parent}/": "", f"{HERE}/": "cudasim/"} if mode != DEBUG else {}
        maps = [f"-ffile-prefix-map={old}={new}" for old, new in names.items()]
        header = ["-include", HERE / "cudasim.h", "-I", path.parent]
        _run(
            compiler.command, [*flags, *sanitize, *maps, *header, "-c", "wrapper.cpp", "-o", "wrapper.o"], folder, path
        )
        parts: list[object] = ["wrapper.o", _runtime(compiler, mode, folder)]
        dynamic = [s.name for s in elf.variables(folder / "wrapper.o") if s.is_tls and not s.defined and s.name]
        if dynamic:
            (folder / "dynamic.cpp").write_text(_dynamic_shared(dynamic))
            parts.append("dynamic.cpp")
        _run(compiler.linker, ["-shared", "-fPIC", *parts, "-o", "module.so", "-Wl,-z,defs"], folder, path)
        os.replace(folder / "module.so", target)
    return target


def _runtime(compiler: Compiler, mode: str, folder: Path) -> Path:
    """The compiled runtime, an object file that all kernel files built in this mode share."""
    flags = [*compiler.flags(mode), "-O2", "-DCUDASIM_RUNTIME", f"-I{HERE}"]
    key = _hash(compiler.version, processor(), flags, _own_sources(mode))
    target = cache_folder() / f"runtime-{mode}-{key}.o"
    if not target.is_file():
        # One translation unit: it compiles faster than its parts, and the compiler sees across them.
        (folder / "runtime.cpp").write_text("".join(f'#include "{HERE / name}"\n' for name in RUNTIME[mode]))
        _run(compiler.command, [*flags, "-c", "runtime.cpp", "-o", "runtime.o"], folder, "the emulator's runtime")
        os.replace(folder / "runtime.o", target)
    return target


def _dynamic_shared(names: Sequence[str]) -> str:
    """Storage for `extern __shared__` arrays: as in CUDA, all of them begin at the same address."""
    first, *others = sorted(names)
    lines = ['.section .tbss,"awT",%nobits', ".balign 1024", f".globl {first}", f".type {first}, %tls_object"]
    lines += [f".hidden {first}", f".size {first}, {MOST_SHARED}", f"{first}: .zero {MOST_SHARED}"]
    for name in others:
        lines += [f".globl {name}", f".hidden {name}", f".type {name}, %tls_object", f".set {name}, {first}"]
    text = "".join(f'    "{line}\\n"\n' for line in [*lines, ".text"]).replace("%", "@" if _is_x86() else "%")
    return f"asm(\n{text});\n".replace('"awT"', '\\"awT\\"')


def _is_x86() -> bool:
    return platform.machine() in ("x86_64", "AMD64")


def _run(tool: Sequence[str], arguments: Sequence[object], folder: Path, subject: object) -> None:
    command = [*tool, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"{subject} does not build:\n{_what_the_compiler_said(done.stderr or done.stdout)}")


def _what_the_compiler_said(text: str, most: int = 40) -> str:
    """The compiler's messages without those lines that only lead through our wrapper."""
    lines = [line for line in text.splitlines() if "wrapper.cpp" not in line]
    cut = [f"... {len(lines) - most} more lines"] if len(lines) > most else []
    return "\n".join([*lines[:most], *cut])
