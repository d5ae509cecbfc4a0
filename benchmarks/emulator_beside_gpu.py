"""Whether a GPU does what the emulator's tests say of CUDA: a step of gpu_check.py."""

import math
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path

from commands import ROOT, command, of_pytest

FOLDER = ROOT / "tests" / "emulator"
TESTS = ("test_semantics.py", "test_intrinsics.py", "test_together.py")
PROGRAMS = {  # those of FOLDER/programs: what follows the name of a compiler, and what follows the program's
    "textbook": (["textbook.cu"], []),
    "groups": (["groups.cu"], []),
    "runtime": (["runtime.cu"], ["3"]),
    "limits": (["limits.cu"], []),
    "faults, done right": (["faults.cu"], ["right"]),
    "parts": (["parts/main.cu", "parts/scale.cu", "-I", "parts/include", "-D", "OFFSET=5"], []),
}
NVCC = ("-std=c++17", "-arch=native", "-rdc=true", "--extended-lambda")
# Bandwidth, of which the emulator has the data sheet's, and the error of too many threads, which CUDA 13 changed.
NOT_COMPARED = ("bandwidth", "errors")
NEAR = 1e-5  # of a number that is printed, what rounding may change


def tests(seconds=120):
    """The emulator's own tests with its kernels on the GPU: see tests/emulator/on_gpu.py."""
    path = os.pathsep.join([str(FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])])
    words = [sys.executable, "-m", "pytest", "-p", "on_gpu", *(str(FOLDER / name) for name in TESTS)]
    return of_pytest(*command(words, seconds, variables={"PYTHONPATH": path}))


def differing(ours, theirs):
    """[{"emulator", "gpu"}, ...]: the lines of two programs' output that do not say the same, but for rounding."""

    def same(a, b):
        with suppress(ValueError):
            return a == b or math.isclose(float(a), float(b), rel_tol=NEAR, abs_tol=NEAR)
        return False

    found = []
    for a, b in zip_longest(ours.splitlines(), theirs.splitlines(), fillvalue=""):
        words = a.split(), b.split()
        alike = len(words[0]) == len(words[1]) and all(map(same, *words))
        if not alike and not a.startswith(NOT_COMPARED):
            found.append({"emulator": a, "gpu": b})
    return found


def ended(status, output):
    """How a program ended, and what it printed, without what `tinycnn run` adds."""
    lines = [line for line in output.splitlines() if not line.startswith("tinycnn: ")]
    return "\n".join([f"status {status}", *lines])


def programs(card, seconds=60):
    """What each of PROGRAMS prints, and its exit status, in the emulator and as nvcc builds it."""
    if shutil.which("nvcc") is None:
        return {"passed": True, "absent": "nvcc is not installed"}
    folder, rows = FOLDER / "programs", []
    with tempfile.TemporaryDirectory() as built:
        for number, (name, (files, given)) in enumerate(PROGRAMS.items()):
            ours = [sys.executable, "-m", "tinycnn", "run", *files, "--gpu", card, *(["--", *given] if given else [])]
            emulated = ended(*command(ours, seconds, folder))
            binary = Path(built, str(number))
            status, printed = command(["nvcc", *NVCC, "-o", str(binary), *files], seconds, folder)
            if status == 0:
                printed = ended(*command([str(binary), *given], seconds, folder))
            rows.append({
                "program": name, "lines": len(printed.splitlines()), "differing": differing(emulated, printed),
            })  # fmt: skip
    return {"passed": not any(row["differing"] for row in rows), "programs": rows}
