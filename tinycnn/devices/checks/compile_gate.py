"""Every kernel through NVIDIA's compiler, without a GPU: registers, shared memory and spills.

NVRTC comes as a wheel, `pip install nvidia-cuda-nvrtc`, and needs neither a driver nor a toolkit.
"""

from __future__ import annotations

import ctypes
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from elftools.elf.elffile import ELFFile

import tinycnn.kernels as kernels

ARCHITECTURES = ("sm_75", "sm_80", "sm_89", "sm_90")
TYPES = ("float", "double")


class Row(NamedTuple):
    """What a kernel takes on an architecture."""

    file: str
    kernel: str
    arch: str
    registers: int  # of a thread
    shared: int  # bytes of a block
    stack: int  # bytes of a thread
    spills: int  # bytes of a thread, stored and loaded


class NvrtcMissing(RuntimeError):
    """The compiler cannot be had: says what brings it."""


class CompileError(RuntimeError):
    """A kernel that NVRTC refuses, with its log."""


def load_nvrtc() -> ctypes.CDLL:
    """The NVRTC library of the wheel, or of the system. Raises NvrtcMissing with the remedy."""
    folders: list[Path] = []
    try:
        import nvidia

        folders = [Path(p) for p in nvidia.__path__]
    except ImportError:
        pass
    found = sorted(p for folder in folders for p in folder.glob("*/lib/libnvrtc.so.*"))
    for name in [*map(str, found), "libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12"]:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise NvrtcMissing("NVRTC, NVIDIA's run-time compiler, is missing: pip install nvidia-cuda-nvrtc")


class Compiled(NamedTuple):
    """A program for one architecture."""

    log: str  # that `-Xptxas -v` leaves
    lowered: dict[str, str]  # {name in the log and in the code: name expression}
    code: bytes  # an ELF file

    def code_sizes(self) -> dict[str, int]:
        """{name expression: bytes of its instructions}"""
        sections = {section.name: section["sh_size"] for section in ELFFile(io.BytesIO(self.code)).iter_sections()}
        return {name: sections[f".text.{symbol}"] for symbol, name in self.lowered.items()}


def compile_log(source: str, file_name: str, name_expressions: Sequence[str], arch: str) -> tuple[str, dict[str, str]]:
    """Compile one program for one architecture: (log, lowered) of a Compiled. Raises CompileError."""
    return compile_program(source, file_name, name_expressions, arch)[:2]


def compile_program(source: str, file_name: str, name_expressions: Sequence[str], arch: str) -> Compiled:
    """Compile one program for one architecture. Raises CompileError."""
    nvrtc = load_nvrtc()
    program = ctypes.c_void_p()

    def check(code: int) -> None:
        if code != 0:
            raise CompileError(f"{file_name} for {arch}: NVRTC error {code}\n{log(program)}")

    def log(program: ctypes.c_void_p) -> str:
        size = ctypes.c_size_t()
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, text)
        return text.value.decode()

    check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), file_name.encode(), 0, None, None))
    try:
        for name in name_expressions:
            check(nvrtc.nvrtcAddNameExpression(program, name.encode()))
        options = [f"-arch={arch}".encode(), b"-std=c++17", b"-Xptxas", b"-v"]
        check(nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options)))
        lowered = {}
        for name in name_expressions:
            symbol = ctypes.c_char_p()
            check(nvrtc.nvrtcGetLoweredName(program, name.encode(), ctypes.byref(symbol)))
            lowered[(symbol.value or b"").decode()] = name
        size = ctypes.c_size_t()
        check(nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)))
        code = ctypes.create_string_buffer(size.value)
        check(nvrtc.nvrtcGetCUBIN(program, code))
        return Compiled(log(program), lowered, code.raw)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


ENTRY = re.compile(r"Compiling entry function '(\w+)' for")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers(.*)")


def rows_of(log: str, lowered: dict[str, str], file_name: str, arch: str) -> list[Row]:
    """One Row for each kernel that the log names."""
    rows: list[Row] = []
    name, stack, spills = "", 0, 0
    for line in log.splitlines():
        if match := ENTRY.search(line):
            name, stack, spills = lowered[match[1]], 0, 0
        elif match := FRAME.search(line):
            stack, spills = int(match[1]), int(match[2]) + int(match[3])
        elif (match := USED.search(line)) and name:
            shared = re.search(r"(\d+) bytes smem", match[2])
            rows.append(Row(file_name, name, arch, int(match[1]), int(shared[1]) if shared else 0, stack, spills))
            name = ""
    return rows


def compile_file(name: str, arch: str) -> list[Row]:
    """The rows of one kernel file, float and double in one program. Raises CompileError."""
    return compile_kernels(name, dict.fromkeys(e for ctype in TYPES for e in kernels.instances(name, ctype)), arch)


def compile_kernels(name: str, expressions: Iterable[str], arch: str) -> list[Row]:
    """The rows of some kernels of a file, by their name expressions, as 'relu_forward<float>'. Raises CompileError."""
    wanted = tuple(expressions)
    log, lowered = compile_log(kernels.source(name), f"{name}.cu", wanted, arch)
    rows = rows_of(log, lowered, f"{name}.cu", arch)
    if {row.kernel for row in rows} != set(wanted):
        raise CompileError(f"{name}.cu for {arch}: NVRTC's log does not name every kernel\n{log}")
    return rows


def report(files: Iterable[str] | None = None, architectures: Sequence[str] = ARCHITECTURES) -> list[Row]:
    """The rows of all kernels of these files (all if None)."""
    return [row for name in files or kernels.INSTANCES for arch in architectures for row in compile_file(name, arch)]


def table(rows: Sequence[Row]) -> str:
    """The rows as text, the architectures side by side: registers, and what else is worth a look."""
    architectures = sorted({row.arch for row in rows})
    lines = [f"{'kernel':46} " + " ".join(f"{arch:>6}" for arch in architectures) + "  shared  spills"]
    by_kernel: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        by_kernel.setdefault((row.file, row.kernel), {})[row.arch] = row
    for (_, kernel), found in by_kernel.items():
        registers = " ".join(f"{found[a].registers:6}" if a in found else "     -" for a in architectures)
        worst = max(found.values(), key=lambda row: row.spills)
        lines.append(f"{kernel:46} {registers}  {worst.shared:6}  {worst.spills:6}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(report()))
