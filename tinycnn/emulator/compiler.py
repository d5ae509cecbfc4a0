"""The host's C++ compiler: which one, and with what flags kernels and runtime are compiled.

There are three ways to build:

    fast      optimised; for computing
    hooked    every load and store calls the tools first. The compiler does that for us: -fsanitize=thread makes it emit
              a call before each access, and we link functions of our own under those names, not the sanitizer's.
              (Linux's KCSAN does the same.) -fsanitize-coverage=trace-pc adds a call where code branches or joins.
    debug     nothing optimised away, for gdb
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

FAST, HOOKED, DEBUG = "fast", "hooked", "debug"

COMMON = ["-std=c++17", "-fPIC", "-fvisibility=hidden", "-fno-exceptions", "-fno-rtti", "-fno-strict-aliasing"]
MODE_FLAGS: dict[str, dict[str, list[str]]] = {
    # Peeled: short loops are unrolled, as `#pragma unroll`, which g++ does not know, asks for.
    FAST: {"gcc": ["-O2", "-fpeel-loops", "-march=native"], "clang": ["-O2", "-march=native"]},
    # Code stays in the order of the source, and single: trace.cpp relies on it. Clang does that at -O0 only.
    # And an access through a null pointer stays an access, for it is to be reported.
    HOOKED: {
        "gcc": "-O1 -fno-reorder-blocks -fno-thread-jumps -fno-tree-ch -g1 -gdwarf-4 -DCUDASIM_HOOKED".split()
        + ["-fno-delete-null-pointer-checks"],
        "clang": ["-O0", "-g", "-gdwarf-4", "-DCUDASIM_HOOKED", "-fno-delete-null-pointer-checks"],
    },
    DEBUG: {"gcc": ["-O0", "-g3", "-DCUDASIM_DEBUG"], "clang": ["-O0", "-g", "-DCUDASIM_DEBUG"]},
}
BUILD_SECONDS = 120.0  # what a child process has that builds foreign code: zig's first build takes most of a minute
INSTRUMENTED = ["-fsanitize=thread", "-fsanitize-coverage=trace-pc"]  # of the kernels, in hooked builds


class BuildError(RuntimeError):
    """A kernel file that does not build: what, and what the compiler said about it, in `log`."""

    def __init__(self, message: str, log: str = ""):
        super().__init__(f"{message}\n{log}" if log else message)
        self.message, self.log = message, log

    def in_one_line(self) -> str:
        """The message and the first error of the compiler's."""
        errors = [line for line in self.log.splitlines() if re.search(r"\berror\b", line)] or self.log.splitlines()
        return " ".join([self.message, *errors[:1]])


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
        quiet = [] if mode == HOOKED else ["-w"]  # there one of its warnings is wanted: see `instrumented`
        return [*COMMON, *quiet, *own, *self.switched_off, *MODE_FLAGS[mode][self.kind]]

    @property
    def switched_off(self) -> list[str]:
        """What many distributions' compilers do unasked, and what cannot be here."""
        # An object file of -flto has no symbols to read: shared memory would not be found.
        flags = ["-fno-lto"]
        if is_x86():
            # Not marked as fit for a shadow stack of return addresses: changing fibers returns to where nobody called.
            flags.append("-fcf-protection=none")
        return flags

    @property
    def instrumented(self) -> list[str]:
        """What kernels are compiled with besides, in hooked builds.

        Volatile accesses call functions of their own, and so does an index outside of an array whose size is known. Of
        variables that are used before they have a value the compiler warns.
        """
        flags = [*INSTRUMENTED, "-Wuninitialized"]
        if self.kind == "clang":
            bounds = [] if self.is_zig else ["-fsanitize=array-bounds"]
            return [*flags, *bounds, "-mllvm", "-tsan-distinguish-volatile"]
        flags.append("-fsanitize=bounds")
        number = re.search(r"\) (\d+)\.", self.version)
        if number is None or int(number[1]) >= 11:  # an older one has no word for it: volatile reads are as others
            flags.append("--param=tsan-distinguish-volatile=1")
        return flags

    @property
    def is_zig(self) -> bool:
        """Whether it is the one in the package ziglang."""
        return "ziglang" in self.command

    @property
    def linker(self) -> tuple[str, ...]:
        """The command that links. As C with zig, which would otherwise first build a C++ library, for half a minute."""
        return (*self.command[:-1], "cc", "-fno-lto") if self.is_zig else (*self.command, "-fno-lto")


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


def is_x86() -> bool:
    """Whether this machine has one of Intel's or AMD's processors."""
    return platform.machine() in ("x86_64", "AMD64")


def run(tool: Sequence[str], arguments: Sequence[object], folder: Path, subject: object) -> str:
    """Compile or link `subject` in a folder; returns the compiler's warnings. Raises BuildError with what it said."""
    command = [*tool, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr or done.stdout
        raise BuildError(_refusal(said) or f"{subject} does not build:", shortened(said))
    return done.stderr


@functools.cache
def _intrinsics() -> dict[str, dict]:
    return json.loads(Path(__file__).with_name("intrinsics.json").read_text(encoding="utf-8"))


def refused() -> dict[str, str]:
    """{an intrinsic of CUDA's that the emulator does not have: what to write instead}"""
    return _intrinsics()["refused"]


@functools.cache
def working() -> frozenset[str]:
    """The intrinsics of CUDA's that the emulator has."""
    return frozenset(name for names in _intrinsics()["works"].values() for name in names)


def _refusal(said: str) -> str:
    """Where the compiler does not know an intrinsic because the emulator does not have it: that, and its line."""
    for place, name in re.findall(r"^(.*?:\d+):\d+: error: .*?['\u2018](\w+)['\u2019]", said, re.MULTILINE):
        if name in refused():
            return f"{place}: {name} is not supported by the emulator: {refused()[name]}"
    return ""


def uninitialised(warnings: str, folder: Path) -> list[tuple[str, int, str, str]]:
    """(file, line, function, what the compiler says) of every variable that is used before it has a value.

    A file of the folder is named as seen from there.
    """
    found: dict[tuple[str, int, str, str], None] = {}
    function = ""
    for line in warnings.splitlines():
        if named := re.search(r"In (?:static |member )?function .*?([A-Za-z_]\w*)\(", line):
            function = named[1]
        said = re.match(r"(.*?):(\d+):\d+: warning: (.*) \[-Wuninitialized\]", line)
        if said:
            words = re.sub("[\u2018\u2019]", "'", said[3])
            found[said[1].removeprefix(f"{folder}/"), int(said[2]), function, words] = None
    return list(found)


def shortened(text: str, most: int = 40) -> str:
    """The compiler's messages without those lines that only lead through our wrapper."""
    lines = [line for line in text.splitlines() if "wrapper.cpp" not in line]
    cut = [f"... {len(lines) - most} more lines"] if len(lines) > most else []
    return "\n".join([*lines[:most], *cut])
