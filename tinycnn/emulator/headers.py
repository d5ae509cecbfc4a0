"""NVIDIA's headers, as far as the emulator has them: what `#include <cuda_runtime.h>` and its like find.

What they declare for host code is in runtime/host.h; the others are in runtime/include.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

RUNTIME = Path(__file__).parent / "runtime"
FOLDER = RUNTIME / "include"
ALIASES = (  # parts of cuda_runtime.h
    "builtin_types.h channel_descriptor.h crt/host_defines.h cuda.h cuda_device_runtime_api.h cuda_profiler_api.h "
    "cuda_runtime_api.h cudaProfiler.h device_atomic_functions.h device_functions.h device_launch_parameters.h "
    "device_types.h driver_types.h host_defines.h math_constants.h math_functions.h sm_20_atomic_functions.h "
    "sm_20_intrinsics.h sm_30_intrinsics.h sm_32_atomic_functions.h sm_32_intrinsics.h sm_35_intrinsics.h "
    "sm_60_atomic_functions.h sm_61_intrinsics.h vector_functions.h vector_types.h"
).split()
_HOST_CODE = re.compile(rb"<<[ \t]*<|\bcuda[A-Z]|\b__managed__\b")


def names() -> list[str]:
    """All of them, as programs include them."""
    return sorted([*ALIASES, *(str(path.relative_to(FOLDER)) for path in _files())])


def _files() -> list[Path]:
    return sorted(path for path in FOLDER.rglob("*") if path.is_file())


def content() -> bytes:
    """What those in FOLDER consist of, and which others there are: a built file depends on it."""
    return b"".join([*(path.read_bytes() for path in _files()), " ".join(ALIASES).encode()])


def has_host_code(texts: Iterable[bytes]) -> bool:
    """Whether source files say something of CUDA's runtime, which NVIDIA's compiler includes unasked."""
    return any(_HOST_CODE.search(text) for text in texts)


def flags(folder: Path, texts: Iterable[bytes], whole: bool) -> list[str | Path]:
    """What a compiler is told so that it finds them.

    folder: of the build; texts: the program's own files; whole: include the host's part unasked.
    """
    for name in ALIASES:
        alias = folder / "aliases" / name
        alias.parent.mkdir(parents=True, exist_ok=True)
        alias.write_text("#include <cuda_runtime.h>\n")
    unasked: list[str | Path] = ["-include", RUNTIME / "host.h"] if whole else []
    if not any(b"__noinline__" in text for text in texts):
        unasked.append("-DCUDASIM_NO_NOINLINE")
    return ["-include", RUNTIME / "cudasim.h", *unasked, "-I", FOLDER, "-I", folder / "aliases"]
