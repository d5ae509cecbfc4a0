"""What this machine has, which devices it can use, and what would mend those that it cannot."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from typing import Any

import click

from tinycnn.command.options import json_option, print_json, print_table
from tinycnn.devices import DEVICES, DeviceError, get_device
from tinycnn.devices.default import choice
from tinycnn.devices.gpu.cuda import cuda_extra, driver_version, numba_extra
from tinycnn.devices.gpu.fast import cubins, measured
from tinycnn.devices.gpu.step import run as step_run
from tinycnn.emulator import cache as emulator_cache
from tinycnn.emulator.compiler import CompilerMissing, find_compiler
from tinycnn.utils.hardware import numpy_remedy, version


def cupy() -> str | None:
    """The version of CuPy and the package that brought it, as '14.0.1 (cupy-cuda13x)', or None."""
    for name in ("cupy-cuda13x", "cupy-cuda12x", "cupy"):
        if found := version(name):
            return f"{found} ({name})"
    return None


def cuda_driver() -> str | None:
    """The CUDA version of the NVIDIA driver, as '13.0', or None without a driver."""
    newest = driver_version()
    return newest and f"{newest[0]}.{newest[1]}"


def compiler() -> str | None:
    """The command of the C++ compiler that the emulator uses, or None."""
    try:
        return " ".join(find_compiler().command)
    except CompilerMissing:
        return None


def parts() -> list[tuple[str, str | None, str | None]]:
    """[(what, found or None, what mends it or None)] for everything tinycnn can make use of."""
    driver = cuda_driver()
    optional = [
        ("Numba", version("numba"), "pip install numba"),
        ("numba-cuda", version("numba-cuda"), f"pip install '{numba_extra()}'"),
        ("CuPy", cupy(), f"pip install '{cuda_extra()}'" if driver else "an NVIDIA GPU and its driver come first"),
        (
            "NVIDIA driver",
            driver and f"CUDA {driver}",
            "install the driver of your GPU: https://www.nvidia.com/drivers",
        ),
        ("C++ compiler", compiler(), "apt install g++, or pip install 'tinycnn[zig]'"),
    ]
    return [
        ("Python", platform.python_version(), None),
        ("NumPy", version("numpy"), numpy_remedy()),
        *((name, found, None if found else remedy) for name, found, remedy in optional),
    ]


def devices() -> list[tuple[str, bool, str | None]]:
    """[(name, usable, reason)] for every device."""
    result: list[tuple[str, bool, str | None]] = []
    for name in DEVICES:
        try:
            get_device(name)
            result.append((name, True, None))
        except DeviceError as error:
            result.append((name, False, str(error)))
    return result


def caches() -> list[dict[str, Any]]:
    """What is kept of compiled kernels: for which device, where, how many files and bytes, and how to empty it."""
    emulator = emulator_cache.chosen_folder()
    sizes = [path.stat().st_size for pattern in emulator_cache.PATTERNS for path in emulator.glob(pattern)]
    # That folder may be one that the user has chosen, with other files in it.
    built = " ".join(f"{shlex.quote(str(emulator))}/{pattern}" for pattern in emulator_cache.PATTERNS)
    described = [
        {
            "device": "emulator",
            "folder": str(emulator),
            "files": len(sizes),
            "bytes": sum(sizes),
            "emptied_by": f"rm -f {built}",
        },
        cuda_cache(),
        generated(),
    ]
    try:
        from tinycnn.devices.cpu import cache as cpu_cache
    except ImportError:  # Numba cannot be imported: the report on the devices says why
        return described
    cpu = cpu_cache.describe()
    emptied_by = f"rmdir /s {cpu.path}" if platform.system() == "Windows" else f"rm -r {shlex.quote(str(cpu.path))}"
    return [
        {"device": "cpu", "folder": str(cpu.path), "files": cpu.files, "bytes": cpu.bytes, "emptied_by": emptied_by},
        *described,
    ]


def generated() -> dict[str, Any]:
    """The same of the kernel files that were generated, a training step each."""
    folder = step_run.chosen_folder()
    sizes = [path.stat().st_size for path in folder.glob("*.cu")]
    emptied_by = f"rm -f {shlex.quote(str(folder))}/*.cu"
    words = {"device": "cuda and emulator, on the path one-kernel", "folder": str(folder)}
    return {**words, "files": len(sizes), "bytes": sum(sizes), "emptied_by": emptied_by}


def cuda_cache() -> dict[str, Any]:
    """The same of the kernels that the cuda device compiled for a layer's shape."""
    folder, (files, size) = cubins.chosen_folder(), cubins.describe()
    kept = " ".join(f"{shlex.quote(str(folder))}/*{suffix}" for suffix in cubins.SUFFIXES)
    return {"device": "cuda", "folder": str(folder), "files": files, "bytes": size, "emptied_by": f"rm -f {kept}"}


def times() -> dict[str, Any]:
    """What is kept of times that `tinycnn plan --measure` took: where, how many files and bytes, how to empty it."""
    folder = measured.folder()
    sizes = [path.stat().st_size for path in folder.glob("*.json")]
    emptied_by = f"rm -f {shlex.quote(str(folder))}/*.json"
    return {"folder": str(folder), "files": len(sizes), "bytes": sum(sizes), "emptied_by": emptied_by}


def data() -> str:
    """Where MNIST would be read from, in words."""
    folder = os.environ.get("TINYCNN_DATA")
    return f"TINYCNN_DATA={folder}" if folder else "the cache, else downloaded"


def report() -> dict[str, Any]:
    """All of it as plain data."""
    return {
        "platform": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "executable": sys.executable,
        "parts": [{"name": n, "found": f, "remedy": r} for n, f, r in parts()],
        "devices": [{"name": n, "usable": u, "reason": r} for n, u, r in devices()],
        "default": choice()._asdict(),
        "caches": caches(),
        "times": times(),
        "data": data(),
    }


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """What this machine has, and which devices can be used."""
    facts = report()
    if as_json:
        print_json(facts)
        return
    click.echo(f"{facts['platform']}, {facts['executable']}\n")
    print_table(
        [(p["name"], p["found"] or "not found", p["remedy"] or "") for p in facts["parts"]], ("part", "found", "remedy")
    )
    click.echo()
    print_table(
        [(d["name"], "yes" if d["usable"] else "no", d["reason"] or "") for d in facts["devices"]],
        ("device", "usable", "what is missing and what mends it"),
    )
    default = facts["default"]
    click.echo(f"\nThe default device is {default['device']}: {default['why']}")
    if default["remedy"]:
        click.echo(f"What brings the GPU: {default['remedy']}")
    click.echo()
    print_table(
        [(c["device"], c["files"], f"{c['bytes'] / 2**20:.1f} MB", c["emptied_by"]) for c in facts["caches"]],
        ("compiled kernels of", "files", "size", "emptied by"),
    )
    kept = facts["times"]
    click.echo(f"\nTimes that tinycnn plan --measure took: of {kept['files']} GPUs, emptied by {kept['emptied_by']}")
    click.echo(f"\nMNIST is read from: {facts['data']}")
