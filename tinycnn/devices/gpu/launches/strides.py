"""How a kernel of at most four axes walks over arrays of any number of axes: for elementwise.cu and layout.cu."""

from itertools import product as places
from math import prod

MOST_AXES = 4  # of one launch


def contiguous_steps(shape):
    """How far apart in memory neighbours along each axis are, in elements."""
    return [prod(shape[i + 1 :]) for i in range(len(shape))]


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
    total = prod(inner)
    for count, place in enumerate(places(*map(range, outer))):
        firsts = [sum(i * s for i, s in zip(place, operand[:spare], strict=True)) for operand in operands]
        yield total, extents, steps, firsts, count * total
