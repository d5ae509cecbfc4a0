"""SIMD vectors for Numba: the handful of instructions that the kernels are made of.

A processor with AVX-512 multiplies and adds 16 floats with one instruction, provided that they
stand in one of its 32 vector registers. Numba has no type for such a register, so this file gives
it one: Vector(16) is LLVM's <16 x float>. A kernel then says exactly what the processor does:

    weights = load16(w, i)                   # 16 neighbouring floats into a register
    pixel = broadcast16(x, j)                # one float, 16 times
    total = fma(pixel, weights, total)       # 16 multiplications and additions at once

Each function here is a Numba intrinsic: a Python function that writes LLVM code for its call. On a
processor with shorter registers LLVM splits the vectors, so the code stays right everywhere.

A kernel's arrays are plain pointers, as in C: `x[i]` reads, `x[i] = v` writes, `offset(x, n)` is x + n.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.extending import models, register_model

# Numba gives the Python function a typing context and the types of what a kernel gives the instruction; it answers with
# the signature and a function that writes the code. To a type checker all that is Any.
intrinsic: Any = extending.intrinsic

FLOATS = types.CPointer(types.float32)
INTEGERS32 = types.CPointer(types.int32)
FLOAT_ALIGNMENT = 4  # rows start anywhere: promise LLVM no more than the alignment of one float


class Vector(types.Type):
    """`width` float32 numbers in one register."""

    def __init__(self, width):
        self.width = width
        super().__init__(name=f"Vector({width})")


@register_model(Vector)
class VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, ir.VectorType(ir.FloatType(), vector.width))


def _splat(builder, value, width):
    """The LLVM vector that holds `value` in every lane."""
    vector = ir.VectorType(value.type, width)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width))


def _address(builder, pointer, index, llvm_type):
    """Where llvm_type number `index`, counted in floats, begins."""
    return builder.bitcast(builder.gep(pointer, [index]), llvm_type.as_pointer())


def _first_lanes(builder, count, width):
    """A mask of the first `count` lanes, fewer than `width`."""
    number = ir.IntType(32)
    lanes = ir.Constant(ir.VectorType(number, width), list(range(width)))
    return builder.icmp_signed("<", lanes, _splat(builder, builder.trunc(count, number), width))


def _load_first(builder, pointer, index, count, vector):
    """The first `count` elements from pointer[index] on, then zeros: masked only where some are missing."""
    width, address = vector.count, _address(builder, pointer, index, vector)
    name = f"llvm.masked.load.v{width}{'f32' if vector.element == ir.FloatType() else 'i32'}.p0"
    result = cgutils.alloca_once(builder, vector)
    with builder.if_else(builder.icmp_signed(">=", count, count.type(width))) as (whole, part):
        with whole:
            builder.store(builder.load(address, align=FLOAT_ALIGNMENT), result)
        with part:
            mask = _first_lanes(builder, count, width)
            masked_load = _declare(builder, name, vector, [address.type, ir.IntType(32), mask.type, vector])
            zeros = ir.Constant(vector, [0] * width)
            some = builder.call(masked_load, [address, ir.IntType(32)(FLOAT_ALIGNMENT), mask, zeros])
            builder.store(some, result)
    return builder.load(result)


def _store_first(builder, pointer, index, vector, count):
    """Write the first `count` lanes. A few of them go in pieces of 8, 4, 2 and 1: without AVX-512 a processor takes
    a dozen cycles for a masked store."""
    width = vector.type.count
    with builder.if_else(builder.icmp_signed(">=", count, count.type(width))) as (whole, part):
        with whole:
            builder.store(vector, _address(builder, pointer, index, vector.type), align=FLOAT_ALIGNMENT)
        with part:
            left, place = cgutils.alloca_once_value(builder, vector), cgutils.alloca_once_value(builder, index)
            while width > 1:
                width //= 2
                with builder.if_then(builder.icmp_signed("!=", builder.and_(count, count.type(width)), count.type(0))):
                    _store_lanes(builder, pointer, builder.load(place), builder.load(left), 0, width)
                    builder.store(_shifted(builder, builder.load(left), width), left)
                    builder.store(builder.add(builder.load(place), index.type(width)), place)


def _lanes(builder, vector, numbers):
    return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(ir.IntType(32), len(numbers)), numbers))


def _shifted(builder, vector, by):
    """The vector moved down by so many lanes."""
    return _lanes(builder, vector, [(i + by) % vector.type.count for i in range(vector.type.count)])


def _store_lanes(builder, pointer, index, vector, first, width):
    """Write lanes first to first + width - 1."""
    piece = _lanes(builder, vector, list(range(first, first + width)))
    builder.store(piece, _address(builder, pointer, index, piece.type), align=FLOAT_ALIGNMENT)


def _declare(builder, name, result, arguments):
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)


def _instructions(width):
    """The loads of `width` floats. (Stores and arithmetic see the width in their arguments.)"""
    vector = Vector(width)
    llvm_vector = ir.VectorType(ir.FloatType(), width)

    @intrinsic
    def load(typing, pointer, index):
        """`width` floats from pointer[index] on."""

        def code(context, builder, signature, arguments):
            pointer, index = arguments
            return builder.load(_address(builder, pointer, index, llvm_vector), align=FLOAT_ALIGNMENT)

        return vector(FLOATS, types.int64), code

    @intrinsic
    def load_first(typing, pointer, index, count):
        """The first `count` of them, then zeros. What lies behind is not touched."""

        def code(context, builder, signature, arguments):
            pointer, index, count = arguments
            return _load_first(builder, pointer, index, count, llvm_vector)

        return vector(FLOATS, types.int64, types.int64), code

    @intrinsic
    def broadcast(typing, pointer, index):
        """pointer[index] in every lane."""

        def code(context, builder, signature, arguments):
            pointer, index = arguments
            value = builder.load(builder.gep(pointer, [index]), align=FLOAT_ALIGNMENT)
            return _splat(builder, value, width)

        return vector(FLOATS, types.int64), code

    @intrinsic
    def fill(typing, value):
        """A number in every lane."""

        def code(context, builder, signature, arguments):
            return _splat(builder, arguments[0], width)

        return vector(types.float32), code

    return load, load_first, broadcast, fill


load8, load_first8, broadcast8, fill8 = _instructions(8)
load16, load_first16, broadcast16, fill16 = _instructions(16)


@intrinsic
def fma(typing, a, b, c):
    """a * b + c, in one instruction where the processor has it."""

    def code(context, builder, signature, arguments):
        vector = arguments[0].type
        multiply_add = _declare(builder, f"llvm.fmuladd.v{vector.count}f32", vector, [vector] * 3)
        return builder.call(multiply_add, arguments)

    return a(a, a, a), code


@intrinsic
def maximum(typing, a, floor):
    """The larger of the two, lane by lane; NaN where a is NaN."""

    def code(context, builder, signature, arguments):
        a, floor = arguments
        return builder.select(builder.fcmp_ordered("<", a, floor), floor, a)

    return a(a, a), code


@intrinsic
def store_first(typing, pointer, index, vector, count):
    """Write the first `count` lanes to pointer[index] and on."""

    def code(context, builder, signature, arguments):
        _store_first(builder, *arguments)
        return context.get_dummy_value()

    return types.void(FLOATS, types.int64, vector, types.int64), code


@intrinsic(prefer_literal=True)
def store_few(typing, pointer, index, vector, count):
    """Write the first `count` lanes, a number in the source, in pieces that are powers of two."""
    lanes = count.literal_value

    def code(context, builder, signature, arguments):
        pointer, index, vector, _ = arguments
        done = 0
        while done < lanes:
            width = min(1 << ((lanes - done).bit_length() - 1), vector.type.count)
            _store_lanes(builder, pointer, builder.add(index, index.type(done)), vector, done, width)
            done += width
        return context.get_dummy_value()

    return types.void(FLOATS, types.int64, vector, count), code


@intrinsic
def offset(typing, pointer, count):
    """pointer + count, as in C."""

    def code(context, builder, signature, arguments):
        return builder.gep(arguments[0], [arguments[1]])

    return pointer(pointer, types.int64), code


@intrinsic
def store(typing, pointer, index, vector):
    """Write all lanes to pointer[index] and on."""

    def code(context, builder, signature, arguments):
        pointer, index, vector = arguments
        builder.store(vector, _address(builder, pointer, index, vector.type), align=FLOAT_ALIGNMENT)
        return context.get_dummy_value()

    return types.void(FLOATS, types.int64, vector), code


def _arithmetic(operation, meaning):
    @intrinsic
    def instruction(typing, a, b):
        def code(context, builder, signature, arguments):
            return getattr(builder, operation)(*arguments)

        return a(a, a), code

    instruction.__doc__ = meaning
    return instruction


add = _arithmetic("fadd", "a + b")
subtract = _arithmetic("fsub", "a - b")
multiply = _arithmetic("fmul", "a * b")


def _choice(comparison, meaning):
    @intrinsic
    def instruction(typing, a, b, yes, no):
        def code(context, builder, signature, arguments):
            a, b, yes, no = arguments
            return builder.select(builder.fcmp_ordered(comparison, a, b), yes, no)

        return yes(a, b, yes, no), code

    instruction.__doc__ = meaning
    return instruction


where_greater = _choice(">", "yes where a > b, no elsewhere, lane by lane")
where_equal = _choice("==", "yes where a == b, no elsewhere, lane by lane")


@intrinsic
def where_larger(typing, a, b, yes, no):
    """The same where a NaN is larger than any number, and than no other NaN."""

    def code(context, builder, signature, arguments):
        a, b, yes, no = arguments
        larger = builder.and_(builder.fcmp_unordered(">", a, b), builder.fcmp_ordered("ord", b, b))
        return builder.select(larger, yes, no)

    return yes(a, b, yes, no), code


@intrinsic
def load_integers_first16(typing, pointer, index, count):
    """The first `count` of 16 int32 numbers, as floats."""

    def code(context, builder, signature, arguments):
        pointer, index, count = arguments
        whole = _load_first(builder, pointer, index, count, ir.VectorType(ir.IntType(32), 16))
        return builder.sitofp(whole, ir.VectorType(ir.FloatType(), 16))

    return Vector(16)(INTEGERS32, types.int64, types.int64), code


@intrinsic
def store_integers_first(typing, pointer, index, vector, count):
    """Write the first `count` lanes as int32 numbers."""

    def code(context, builder, signature, arguments):
        pointer, index, vector, count = arguments
        whole = builder.fptosi(vector, ir.VectorType(ir.IntType(32), vector.type.count))
        _store_first(builder, pointer, index, whole, count)
        return context.get_dummy_value()

    return types.void(INTEGERS32, types.int64, vector, types.int64), code
