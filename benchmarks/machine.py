"""What a results file says about where it was measured, and how it is written."""

import importlib.metadata
import importlib.util
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from tinycnn import checkpoint

RESULTS = Path(__file__).resolve().parent / "results"


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


def slug(text):
    """A folder's name: 'amd-epyc-9654-96-core-processor-2-cores'."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def versions(packages):
    """{package: version, or None where it is not installed}, and Python's."""
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def installed(module):
    return importlib.util.find_spec(module) is not None


def write_atomically(path, text):
    """Write the whole text or leave the file as it was. Makes the folder."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    checkpoint.write_atomically(path, text.encode())


def gpu():
    """'NVIDIA H200': the name of the GPU that CuPy uses."""
    import cupy

    return cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()
