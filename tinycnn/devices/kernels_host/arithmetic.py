"""Launches of elementwise.cu, reduce.cu and layout.cu: the arithmetic of tensors."""

from itertools import product as places

import numpy as np

from tinycnn.devices.kernels_host.shapes import BLOCKS, THREADS, ceil_div, flat, product

BINARY = ("add", "subtract", "multiply", "divide", "power", "equal", "greater")  # the numbers of elementwise.cu
UNARY = ("negative", "exp", "log", "sqrt")
REDUCTIONS = ("sum", "max")
MOST_AXES = 4  # of one launch
LONGEST_WALK = 64  # what a thread sums before a second launch is worth its cost


def is_number(value):
    """Whether it is one of the host's numbers, which travel with the launch, and no array of the device."""
    return isinstance(value, (int, float, np.generic))


def elementwise(device, operation, *arrays):
    if operation in UNARY:
        (a,) = arrays
        y = device.empty(a.shape)
        device.launch("elementwise", "unary<T>", *flat(y.size), UNARY.index(operation), a, y, np.int64(y.size))
        return y
    number, (a, b) = BINARY.index(operation), arrays
    if is_number(a) or is_number(b):
        number_first = is_number(a)
        array, value = (b, a) if number_first else (a, b)
        y = device.empty(array.shape)
        args = (number, array, float(value), y, np.int64(y.size), int(number_first))
        device.launch("elementwise", "binary_number<T>", *flat(y.size), *args)
        return y
    y = device.empty(np.broadcast_shapes(a.shape, b.shape))
    if a.shape == b.shape:
        device.launch("elementwise", "binary_flat<T>", *flat(y.size), number, a, b, y, np.int64(y.size))
        return y
    operands = [broadcast_steps(array.shape, y.shape) for array in (a, b)]
    for total, extents, (a_steps, b_steps), (a_first, b_first), y_first in strided_launches(y.shape, operands):
        steps = [np.int64(n) for n in (*a_steps, *b_steps, a_first, b_first, y_first)]
        device.launch("elementwise", "binary<T>", *flat(total), number, a, b, y, np.int64(total), *extents[1:], *steps)
    return y


# ---------------------------------------------------------------- strides


def contiguous_steps(shape):
    """How far apart in memory neighbours along each axis are, in elements."""
    return [product(shape[i + 1 :]) for i in range(len(shape))]


def broadcast_steps(shape, wanted):
    """The steps of an array of `shape` that is stretched to `wanted`: 0 along the axes it is stretched over."""
    steps = [0 if n == 1 else step for n, step in zip(shape, contiguous_steps(shape), strict=True)]
    return [0] * (len(wanted) - len(shape)) + steps


def merged(shape, operands):
    """The same walk with as few axes as possible: neighbours that every operand steps through as one are joined."""
    axes = []  # [extent, steps of each operand]
    for i, n in enumerate(shape):
        steps = [operand[i] for operand in operands]
        if n == 1:
            continue
        if axes and all(outer == inner * n for outer, inner in zip(axes[-1][1], steps, strict=True)):
            axes[-1] = [axes[-1][0] * n, steps]
        else:
            axes.append([n, steps])
    return [n for n, _ in axes], [[steps[j] for _, steps in axes] for j in range(len(operands))]


def strided_launches(shape, operands):
    """The launches that walk over `shape`, at most MOST_AXES axes each.

    operands: the steps of each operand. Yields (total, extents, steps, firsts, first of y), four extents each.
    """
    shape, operands = merged(shape, operands)
    spare = max(0, len(shape) - MOST_AXES)
    outer, inner = shape[:spare], shape[spare:]
    fill = MOST_AXES - len(inner)
    extents = [1] * fill + inner
    steps = [[0] * fill + operand[spare:] for operand in operands]
    total = product(inner)
    for count, place in enumerate(places(*map(range, outer))):
        firsts = [sum(i * s for i, s in zip(place, operand[:spare], strict=True)) for operand in operands]
        yield total, extents, steps, firsts, count * total


# ---------------------------------------------------------------- reductions


def reduce(device, operation, array, axis, keepdims):
    ndim = len(array.shape)
    axes = range(ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = sorted({a % ndim for a in axes})
    shape, result = list(array.shape), array
    while axes:  # neighbouring axes together, the last ones first
        last = first = axes.pop()
        while axes and axes[-1] == first - 1:
            first = axes.pop()
        outer, length, inner = product(shape[:first]), product(shape[first : last + 1]), product(shape[last + 1 :])
        result = reduce_middle(device, operation, result, outer, length, inner)
        shape[first : last + 1] = [1] * (last + 1 - first)
    if result is array:
        result = device.copy(array)
    if not keepdims and ndim:
        reduced = range(ndim) if axis is None else {a % ndim for a in (axis if isinstance(axis, tuple) else (axis,))}
        shape = [n for i, n in enumerate(shape) if i not in reduced]
    return result.reshape(tuple(shape))


def reduce_middle(device, operation, x, outer, length, inner):
    """(outer, length, inner) -> (outer, inner)."""
    columns = inner if inner < 32 else 32
    rows = THREADS // columns
    column_blocks = ceil_div(inner, columns)
    while True:
        slices = max(1, min(ceil_div(length, LONGEST_WALK * rows), BLOCKS // max(1, outer * column_blocks)))
        slice_length = ceil_div(length, slices)
        slices = max(1, ceil_div(length, slice_length)) if slice_length else 1
        y = device.empty((outer, slices, inner))
        device.launch(
            "reduce", "reduce<T>", (outer * column_blocks, slices), (columns, rows),
            REDUCTIONS.index(operation), x, y, length, np.int64(inner), slice_length, column_blocks,
            shared=columns * rows * device.itemsize,
        )  # fmt: skip
        if slices == 1:
            return y
        x, length = y, slices


def sum_slices(device, partial, shape):
    """Add up the first axis of `partial` (slices, ...) in its order: an array of `shape`."""
    slices = partial.shape[0]
    if slices == 1:
        return partial.reshape(shape)
    return reduce_middle(device, "sum", partial, 1, slices, product(shape)).reshape(shape)


# ---------------------------------------------------------------- layout


def transpose(device, array, axes):
    axes = tuple(a % len(array.shape) for a in axes)
    steps = contiguous_steps(array.shape)
    shape, steps = tuple(array.shape[a] for a in axes), [steps[a] for a in axes]
    y = device.empty(shape)
    extents, (merged_steps,) = merged(shape, [steps])
    if len(extents) == 2 and merged_steps == [1, extents[0]]:
        columns, rows = extents  # of the matrix as it lies
        tiles = ceil_div(columns, 32)
        grid, args = (ceil_div(rows, 32) * tiles,), (array, y, rows, columns, tiles)
        device.launch("layout", "transpose_matrix<T>", grid, (32, 8), *args)
        return y
    for total, extents, (steps,), (first,), y_first in strided_launches(shape, [steps]):  # noqa: B020
        numbers = [np.int64(n) for n in (*steps, first, y_first)]
        device.launch("layout", "transpose<T>", *flat(total), array, y, np.int64(total), *extents[1:], *numbers)
    return y


def copy_columns(device, x, y, width, x_first, y_first):
    total = x.size // x.shape[-1] * width if x.shape[-1] else 0
    args = (x, y, np.int64(total), width, x.shape[-1], x_first, y.shape[-1], y_first)
    device.launch("layout", "copy_columns<T>", *flat(total), *args)


def concatenate(device, arrays):
    arrays = list(arrays)
    y = device.empty((*arrays[0].shape[:-1], sum(a.shape[-1] for a in arrays)))
    first = 0
    for array in arrays:
        copy_columns(device, array, y, array.shape[-1], 0, first)
        first += array.shape[-1]
    return y


def split(device, array, sizes):
    parts, first = [], 0
    for size in sizes:
        part = device.empty((*array.shape[:-1], size))
        copy_columns(device, array, part, size, first, 0)
        parts.append(part)
        first += size
    return parts
