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

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

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
    """A mask of the first `count` lanes."""
    lanes = ir.Constant(ir.VectorType(ir.IntType(64), width), list(range(width)))
    return builder.icmp_signed("<", lanes, _splat(builder, count, width))


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
            mask = _first_lanes(builder, count, width)
            address = _address(builder, pointer, index, llvm_vector)
            masked_load = _declare(
                builder,
                f"llvm.masked.load.v{width}f32.p0",
                llvm_vector,
                [address.type, ir.IntType(32), mask.type, llvm_vector],
            )
            zeros = ir.Constant(llvm_vector, [0.0] * width)
            return builder.call(masked_load, [address, ir.IntType(32)(FLOAT_ALIGNMENT), mask, zeros])

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
        pointer, index, vector, count = arguments
        mask = _first_lanes(builder, count, vector.type.count)
        address = _address(builder, pointer, index, vector.type)
        masked_store = _declare(
            builder,
            f"llvm.masked.store.v{vector.type.count}f32.p0",
            ir.VoidType(),
            [vector.type, address.type, ir.IntType(32), mask.type],
        )
        builder.call(masked_store, [vector, address, ir.IntType(32)(FLOAT_ALIGNMENT), mask])
        return context.get_dummy_value()

    return types.void(FLOATS, types.int64, vector, types.int64), code


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
def load_integers_first16(typing, pointer, index, count):
    """The first `count` of 16 int32 numbers, as floats."""

    def code(context, builder, signature, arguments):
        pointer, index, count = arguments
        vector = ir.VectorType(ir.IntType(32), 16)
        mask = _first_lanes(builder, count, 16)
        address = _address(builder, pointer, index, vector)
        masked_load = _declare(
            builder, "llvm.masked.load.v16i32.p0", vector, [address.type, ir.IntType(32), mask.type, vector]
        )
        zeros = ir.Constant(vector, [0] * 16)
        whole = builder.call(masked_load, [address, ir.IntType(32)(FLOAT_ALIGNMENT), mask, zeros])
        return builder.sitofp(whole, ir.VectorType(ir.FloatType(), 16))

    return Vector(16)(INTEGERS32, types.int64, types.int64), code


@intrinsic
def store_integers_first(typing, pointer, index, vector, count):
    """Write the first `count` lanes as int32 numbers."""

    def code(context, builder, signature, arguments):
        pointer, index, vector, count = arguments
        width = vector.type.count
        whole = builder.fptosi(vector, ir.VectorType(ir.IntType(32), width))
        mask = _first_lanes(builder, count, width)
        address = _address(builder, pointer, index, whole.type)
        masked_store = _declare(
            builder,
            f"llvm.masked.store.v{width}i32.p0",
            ir.VoidType(),
            [whole.type, address.type, ir.IntType(32), mask.type],
        )
        builder.call(masked_store, [whole, address, ir.IntType(32)(FLOAT_ALIGNMENT), mask])
        return context.get_dummy_value()

    return types.void(INTEGERS32, types.int64, vector, types.int64), code
