"""From a Python function to the address of a C function: Numba compiles, LLVM makes machine code, cache.py keeps it.

Numba's `cfunc` turns a function into LLVM's intermediate code, optimised, with everything that it calls. From there
on this file goes by itself: LLVM translates the text to an object file, as a C compiler writes it (`emit_object`), and
another part of LLVM puts an object file into memory and says where its function begins. Fresh code and code from the
cache take the same way.

Why not Numba's own cache, `cfunc(cache=True)`: it does not notice when a function that was compiled into another has
changed, reads what is damaged, takes functions from files only (ours are generated), has one folder for the whole
process, and its start takes half a second more, since it gets Numba ready to compile even where nothing is compiled.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import numba
from llvmlite import binding
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys

from tinycnn.devices.cpu import cache
from tinycnn.devices.cpu.processor import processor

# Sums may be regrouped so that they can be vectorised (always in the same way: the code is fixed once compiled). NaN
# and infinity are respected.
FASTMATH = {"reassoc", "contract", "nsz", "arcp"}

ENTRY = "tinycnn_kernel"  # the name of the one function that an object file is asked for

_lock = threading.RLock()
_addresses: dict[str, int] = {}  # by the name in the cache
_loaded: list[binding.ExecutionEngine] = []  # they own the memory in which the machine code lies
_announced = False


def address_of(function: Callable[..., None], signature: Any, name: str, fastmath: bool = False) -> int:
    """The address of `function`, compiled as a C function of Numba's `signature`; `name` is its own in the cache.

    Any number of threads may ask at once.
    """
    with _lock:
        if name not in _addresses:
            code = cache.read(name)
            if code is None:
                code = _compile(function, signature, fastmath)
                cache.write(name, code)
            _addresses[name] = _load(code)
        return _addresses[name]


def _compile(function: Callable[..., None], signature: Any, fastmath: bool) -> bytes:
    """An object file with the function as ENTRY."""
    _announce()
    compiled = numba.cfunc(signature, error_model="numpy", fastmath=FASTMATH if fastmath else False)(function)
    module = binding.parse_assembly(compiled.inspect_llvm())
    module.get_function(compiled.native_name).name = ENTRY
    return _target_machine().emit_object(module)


def _load(code: bytes) -> int:
    """Put an object file into memory: the address of its ENTRY.

    Each has an engine of its own, because different files may use one name for different things.
    """
    # No kernel raises, but Numba adds code for what happens if one did, which refers to functions of Numba's runtime.
    rtsys.initialize(cpu_target.target_context)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), _target_machine())
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _loaded.append(engine)
    return engine.get_function_address(ENTRY)


def _target_machine() -> binding.TargetMachine:
    """LLVM's description of the processor, with the settings that Numba compiles with."""
    return binding.Target.from_default_triple().create_target_machine(
        *processor(), opt=3, reloc="default", codemodel="jitdefault", jit=True
    )


def _announce() -> None:
    """Say once that compiling, which takes a while, has begun."""
    global _announced
    if not _announced:
        _announced = True
        print("tinycnn: compiling CPU kernels for this network (cached afterwards)", file=sys.stderr, flush=True)


def _after_fork() -> None:
    """The lock may have been held by a thread that the new process does not have."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
