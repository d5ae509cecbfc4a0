"""Running a kernel: many tasks, a few threads.

A kernel is a function of three arguments that does one task of many, as a CUDA kernel does the work
of one thread block:

    @kernel
    def scale(arguments, task, thread):
        x, y = floats(arguments, 0), floats(arguments, 1)
        factor, n = real(arguments, 2), arguments[3]
        for i in range(task * 1024, min(task * 1024 + 1024, n)):
            y[i] = x[i] * factor

    launch(scale, -(-n // 1024), x, y, 0.5, n)

`arguments` is a row of 64-bit words: the address of each array, integers, and real numbers. Kernels
compile to plain C functions, which the threads (threads.py) call by their address. Numba's own
parallel loops would take seconds to compile each; a kernel takes a quarter of a second.

Which thread does which task never changes a result: a task writes where no other task writes, and
sums are cut into tasks by the shapes alone and added up in a fixed order.
"""

import ctypes
import operator
import struct
import sys

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import event
from numba.extending import intrinsic

from tinycnn.devices.cpu.cache import in_use
from tinycnn.devices.cpu.threads import WORDS, team

SIGNATURE = types.void(WORDS, types.int64, types.int64)

# Sums may be regrouped so that they can be vectorised (always in the same way: the code is fixed
# once compiled). NaN and infinity are respected.
FASTMATH = {"reassoc", "contract", "nsz", "arcp"}


def _pointer_intrinsic(element):
    @intrinsic
    def pointer(typing, arguments, index):
        """Word `index` of the arguments as a pointer."""
        result = types.CPointer(element)

        def code(context, builder, signature, values):
            word = builder.load(builder.gep(values[0], [values[1]]))
            return builder.inttoptr(word, context.get_value_type(result))

        return result(WORDS, types.int64), code

    return pointer


floats = _pointer_intrinsic(types.float32)
doubles = _pointer_intrinsic(types.float64)
integers = _pointer_intrinsic(types.int64)
integers32 = _pointer_intrinsic(types.int32)
octets = _pointer_intrinsic(types.uint8)


@intrinsic
def real(typing, arguments, index):
    """Word `index` of the arguments as a float32 number (it travels as the bits of a float64)."""

    def code(context, builder, signature, values):
        word = builder.load(builder.gep(values[0], [values[1]]))
        return builder.fptrunc(builder.bitcast(word, ir.DoubleType()), ir.FloatType())

    return types.float32(WORDS, types.int64), code


class _Announcement(event.Listener):
    """Says once that compiling, which takes a while, has begun."""

    def on_start(self, event_):
        if not self.said:
            self.said = True
            print("tinycnn: compiling CPU kernels for this network (cached afterwards)", file=sys.stderr, flush=True)

    def on_end(self, event_):
        pass

    said = False


_announcement = _Announcement()


def compile_cached(function, signature, **options):
    """`function` as a C function, from the cache, or compiled and announced."""
    with in_use(), event.install_listener("numba:run_pass", _announcement):
        return numba.cfunc(signature, cache=True, error_model="numpy", **options)(function)


class kernel:
    """A decorator: a function of (arguments, task, thread), compiled when it is first launched."""

    def __init__(self, function):
        self.function = function
        self.compiled = None

    @property
    def address(self):
        if self.compiled is None:
            self.compiled = compile_cached(self.function, SIGNATURE, fastmath=FASTMATH)
        return self.compiled.address


def launch(kernel, tasks, *arguments):
    """Do tasks 0 to tasks - 1 of a kernel. Arguments: arrays, integers and Python floats."""
    team().run(kernel.address, [_word(argument) for argument in arguments], tasks)


# array.ctypes.data takes 2 microseconds, and a training step asks for hundreds of addresses. The address
# is the first word behind the header that all Python objects begin with; where it is not, ask NumPy.
_DATA = object.__basicsize__
_word_at = ctypes.c_size_t.from_address
_probe = np.zeros(1)
_KNOWN = _word_at(id(_probe) + _DATA).value == _probe.ctypes.data


def address(array):
    """Where an array's elements lie."""
    return _word_at(id(array) + _DATA).value if _KNOWN else array.ctypes.data


def _word(argument):
    if isinstance(argument, np.ndarray):
        return address(argument)
    if isinstance(argument, (float, np.floating)):
        return struct.unpack("q", struct.pack("d", argument))[0]
    return operator.index(argument)
