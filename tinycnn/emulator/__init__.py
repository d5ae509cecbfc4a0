"""Runs CUDA kernels on a CPU: to test them, to find their faults, and to see what they do to memory.

    from tinycnn import emulator

    module = emulator.load("copy.cu", ["copy<float>"])
    module.launch("copy<float>", (4,), (256,), [x, y, np.int32(1000)])

The host's C++ compiler builds the kernel file as it is, with a header in front that supplies the words of CUDA
(`cudasim.h`) and a small runtime that plays the GPU: blocks one after the other, threads as a loop or as fibers, warps
that meet at their shuffles. It emulates what the program means, not what the hardware does: no caches, no occupancy,
and its time says nothing about a kernel's speed.

    load             build a kernel file and launch its kernels on NumPy arrays
    check            run launches with every memory access watched: races, bounds, divergent barriers, ...
    trace            count the memory requests of every line: sectors, bank conflicts, divergence
    record           keep every one of those requests, in order: which lanes of which warp wanted which bytes
    debug_command    the gdb command that stops in one thread of one block
"""

from tinycnn.emulator.checking import ENDED, Checker, Report, check
from tinycnn.emulator.compiler import BuildError, CompilerMissing
from tinycnn.emulator.debugging import debug_command
from tinycnn.emulator.instrument import MOST_SECONDS, Watched
from tinycnn.emulator.launches import Launch, describes_launches, read_launches
from tinycnn.emulator.module import KernelError, LaunchError, Module, load
from tinycnn.emulator.recording import Recording, record
from tinycnn.emulator.tracing import Trace, trace
from tinycnn.emulator.values import DescriptionError

__all__ = [
    "ENDED",
    "MOST_SECONDS",
    "BuildError",
    "Checker",
    "CompilerMissing",
    "DescriptionError",
    "KernelError",
    "Launch",
    "LaunchError",
    "Module",
    "Recording",
    "Report",
    "Trace",
    "Watched",
    "check",
    "debug_command",
    "describes_launches",
    "load",
    "read_launches",
    "record",
    "trace",
]
