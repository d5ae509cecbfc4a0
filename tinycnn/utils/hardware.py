"""What computes here: the processor, the GPU, and the versions of what runs on them."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement

import tinycnn


def cores() -> int:
    """How many processor cores this program may use."""
    return len(affinity())


def affinity() -> set[int]:
    """The numbers of those cores."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def device() -> str:
    """'AMD EPYC 9654 96-Core Processor, 2 cores'"""
    count = cores()
    return f"{processor()}, {count} core{'s' * (count > 1)}"


def processor() -> str:
    """The processor's own name for itself."""
    name = ""
    if Path("/proc/cpuinfo").exists():
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
        name = found[1] if found else ""
    elif sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        name = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    name = re.sub(r"\((R|TM)\)", "", name or platform.processor() or platform.machine())
    return " ".join(name.split())


def gpu() -> str:
    """'NVIDIA H200': the name of the GPU that CuPy uses."""
    import cupy

    return cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """{package: version, or None where it is not installed}, and Python's."""
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def version(package: str) -> str | None:
    """The version of an installed package, or None where it is not installed; of tinycnn, of the one that runs."""
    if package == tinycnn.__name__:
        return tinycnn.__version__
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def numpy_remedy() -> str | None:
    """The command that brings a NumPy which the installed Numba goes with, or None where they go together.

    Every version of Numba names the versions of NumPy that it was tried with, and refuses to be imported beside others.
    """
    numpy, numba = version("numpy"), version("numba")
    if numpy is None or numba is None:
        return None
    for requirement in map(Requirement, importlib.metadata.requires("numba") or []):
        if requirement.name == "numpy" and not requirement.specifier.contains(numpy, prereleases=True):
            return f"Numba {numba} does not go with NumPy {numpy}: pip install '{requirement}'"
    return None
