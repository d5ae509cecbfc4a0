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

`arguments` is a row of 64-bit words: the address of each array, integers, and real numbers. A NamedTuple of integers
takes as many words as it has fields, and is read back as one by its `record`. Kernels compile to plain C functions
(compiler.py), which the threads (threads.py) call by their address. Numba's own parallel loops would take seconds to
compile each; a kernel takes a quarter of a second. `thread` numbers the thread that does the task, for scratch memory.

Which thread does which task never changes a result: a task writes where no other task writes, and
sums are cut into tasks by the shapes alone and added up in a fixed order.

Kernels, and what is called from within them, have no type hints: they are compiled for one signature, this one, and
what they read from the arguments says its type itself.
"""

from __future__ import annotations

import ctypes
import operator
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from tinycnn.devices.cpu.compiler import address_of
from tinycnn.devices.cpu.simd import intrinsic
from tinycnn.devices.cpu.threads import WORDS, team
from tinycnn.shapes import Geometry

SIGNATURE = types.void(WORDS, types.int64, types.int64)


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


def record(kind: type) -> Any:
    """A reader for kernels: words `index` and following of the arguments as `kind`, a NamedTuple of integers.

    LLVM keeps the fields that are used in registers: a record costs no more than its words read one by one.
    """
    fields = len(kind._fields)  # type: ignore[attr-defined]

    @intrinsic
    def read(typing, arguments, index):
        result = types.NamedUniTuple(types.int64, fields, kind)

        def code(context, builder, signature, values):
            words, first = values
            places = (builder.add(first, first.type(i)) for i in range(fields))
            return context.make_tuple(builder, result, [builder.load(builder.gep(words, [i])) for i in places])

        return result(WORDS, types.int64), code

    return read


geometry = record(Geometry)


class Kernel:
    """A function of (arguments, task, thread), compiled when it is first launched."""

    def __init__(self, function: Callable[[Any, int, int], None]):
        self.function = function
        self._address: int | None = None

    @property
    def address(self) -> int:
        if self._address is None:
            name = f"{self.function.__module__}.{self.function.__qualname__}"
            self._address = address_of(self.function, SIGNATURE, name, fastmath=True)
        return self._address


def kernel(function: Callable[[Any, int, int], None]) -> Kernel:
    """The decorator."""
    return Kernel(function)


def launch(kernel: Kernel, tasks: int, *arguments: Any) -> None:
    """Do tasks 0 to tasks - 1 of a kernel. Arguments: arrays, integers, Python floats, and NamedTuples of integers."""
    words: list[int] = []
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            words.append(address(argument))
        elif isinstance(argument, tuple):
            words.extend(argument)
        elif isinstance(argument, (float, np.floating)):
            words.append(struct.unpack("q", struct.pack("d", argument))[0])
        else:
            words.append(operator.index(argument))
    team().run(kernel.address, words, tasks)


_view: Callable[[Any], ctypes.Array] = (ctypes.c_char * 0).from_buffer


def address(array: np.ndarray) -> int:
    """Where an array's elements lie.

    A training step asks for hundreds of addresses, and `array.ctypes.data` takes over a microsecond for each. ctypes
    is asked for an empty view of the array and the view's address in a third of that, but views only what is writable
    and contiguous.
    """
    try:
        return ctypes.addressof(_view(array))
    except (TypeError, ValueError):
        return array.ctypes.data
