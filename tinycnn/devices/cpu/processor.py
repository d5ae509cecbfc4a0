"""The processor that kernels are compiled for: this one, unless NUMBA_CPU_NAME and NUMBA_CPU_FEATURES say another."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
from llvmlite import binding

settings: Any = numba.config  # Numba's, from the environment; they have no types


class Processor(NamedTuple):
    """As LLVM names it, and what it can: "+avx512f,-sse4a,..."."""

    name: str
    features: str


def processor() -> Processor:
    """What Numba compiles for."""
    name, features = settings.CPU_NAME, settings.CPU_FEATURES
    return Processor(
        binding.get_host_cpu_name() if name is None else name,
        binding.get_host_cpu_features().flatten() if features is None else features,
    )


HAS_512_BITS = "+avx512f" in processor().features and processor().name == binding.get_host_cpu_name()
REGISTERS = 32 if HAS_512_BITS else 16  # of the widest vectors; ARM has 32 of half the width
WIDTHS = (16, 8) if HAS_512_BITS else (8,)  # floats in a vector
