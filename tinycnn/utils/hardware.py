"""What computes here: the processor, the GPU, and the versions of what runs on them."""

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path


def cores():
    """The processor cores that this program may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device():
    """'AMD EPYC 9654 96-Core Processor, 2 cores'"""
    count = cores()
    return f"{processor()}, {count} core{'s' * (count > 1)}"


def processor():
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


def gpu():
    """'NVIDIA H200': the name of the GPU that CuPy uses."""
    import cupy

    return cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()


def versions(packages):
    """{package: version, or None where it is not installed}, and Python's."""
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
