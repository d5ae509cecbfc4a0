"""Every kernel through NVIDIA's compiler, without a GPU: registers, shared memory and spills.

NVRTC comes as a wheel, `pip install nvidia-cuda-nvrtc`, and needs neither a driver nor a toolkit.
"""

import ctypes
import re
from collections import namedtuple
from pathlib import Path

import tinycnn.kernels as kernels

ARCHITECTURES = ("sm_75", "sm_80", "sm_90")
TYPES = ("float", "double")

Row = namedtuple("Row", "file kernel arch registers shared stack spills")  # shared, stack and spills in bytes


class NvrtcMissing(RuntimeError):
    """The compiler cannot be had: says what brings it."""


class CompileError(RuntimeError):
    """A kernel that NVRTC refuses, with its log."""


def load_nvrtc():
    """The NVRTC library of the wheel, or of the system."""
    try:
        import nvidia
    except ImportError:
        folders = []
    else:
        folders = [Path(p) for p in nvidia.__path__]
    found = sorted(p for folder in folders for p in folder.glob("*/lib/libnvrtc.so.*"))
    for name in [*map(str, found), "libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12"]:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise NvrtcMissing("NVRTC, NVIDIA's run-time compiler, is missing: pip install nvidia-cuda-nvrtc")


def compile_log(source, file_name, name_expressions, arch):
    """Compile one program for one architecture; the log that `-Xptxas -v` leaves. Raises CompileError."""
    nvrtc = load_nvrtc()
    program = ctypes.c_void_p()

    def check(code):
        if code != 0:
            raise CompileError(f"{file_name} for {arch}: NVRTC error {code}\n{log(program)}")

    def log(program):
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
            lowered[symbol.value.decode()] = name
        return log(program), lowered
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


ENTRY = re.compile(r"Compiling entry function '(\w+)' for")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers(.*)")


def rows_of(log, lowered, file_name, arch):
    """One Row for each kernel that the log names."""
    rows, name, stack, spills = [], None, 0, 0
    for line in log.splitlines():
        if match := ENTRY.search(line):
            name, stack, spills = lowered[match[1]], 0, 0
        elif match := FRAME.search(line):
            stack, spills = int(match[1]), int(match[2]) + int(match[3])
        elif (match := USED.search(line)) and name:
            shared = re.search(r"(\d+) bytes smem", match[2])
            rows.append(Row(file_name, name, arch, int(match[1]), int(shared[1]) if shared else 0, stack, spills))
            name = None
    return rows


def compile_file(name, arch):
    """The rows of one kernel file, float and double in one program. Raises CompileError."""
    expressions = tuple(dict.fromkeys(e for ctype in TYPES for e in kernels.instances(name, ctype)))
    log, lowered = compile_log(kernels.source(name), f"{name}.cu", expressions, arch)
    rows = rows_of(log, lowered, f"{name}.cu", arch)
    if {row.kernel for row in rows} != set(expressions):
        raise CompileError(f"{name}.cu for {arch}: NVRTC's log does not name every kernel\n{log}")
    return rows


def report(files=None, architectures=ARCHITECTURES):
    """The rows of all kernels of these files (all if None)."""
    return [row for name in files or kernels.INSTANCES for arch in architectures for row in compile_file(name, arch)]


def table(rows):
    """The rows as text, the architectures side by side: registers, and what else is worth a look."""
    architectures = sorted({row.arch for row in rows})
    lines = [f"{'kernel':46} " + " ".join(f"{arch:>6}" for arch in architectures) + "  shared  spills"]
    by_kernel = {}
    for row in rows:
        by_kernel.setdefault((row.file, row.kernel), {})[row.arch] = row
    for (_, kernel), found in by_kernel.items():
        registers = " ".join(f"{found[a].registers:6}" if a in found else "     -" for a in architectures)
        worst = max(found.values(), key=lambda row: row.spills)
        lines.append(f"{kernel:46} {registers}  {worst.shared:6}  {worst.spills:6}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(report()))
