"""How a kernel of at most four axes walks over arrays of any number of axes: for elementwise.cu and layout.cu."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product as places
from math import prod
from typing import NamedTuple

from tinycnn.shapes import Shape

MOST_AXES = 4  # of one launch


class Walk(NamedTuple):
    """What one launch does of a walk."""

    total: int  # elements
    extents: list[int]  # MOST_AXES of them
    steps: list[list[int]]  # of each operand, along each axis
    firsts: list[int]  # where each operand begins
    y_first: int  # and where y does, which is contiguous


def contiguous_steps(shape: Shape) -> list[int]:
    """How far apart in memory neighbours along each axis are, in elements."""
    return [prod(shape[i + 1 :]) for i in range(len(shape))]


def broadcast_steps(shape: Shape, wanted: Shape) -> list[int]:
    """The steps of an array of `shape` that is stretched to `wanted`: 0 along the axes it is stretched over."""
    steps = [0 if n == 1 else step for n, step in zip(shape, contiguous_steps(shape), strict=True)]
    return [0] * (len(wanted) - len(shape)) + steps


def merged(shape: Shape, operands: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """The same walk with as few axes as possible: neighbours that every operand steps through as one are joined."""
    axes: list[tuple[int, list[int]]] = []  # (extent, steps of each operand)
    for i, n in enumerate(shape):
        steps = [operand[i] for operand in operands]
        if n == 1:
            continue
        if axes and all(outer == inner * n for outer, inner in zip(axes[-1][1], steps, strict=True)):
            axes[-1] = (axes[-1][0] * n, steps)
        else:
            axes.append((n, steps))
    return [n for n, _ in axes], [[steps[j] for _, steps in axes] for j in range(len(operands))]


def strided_launches(shape: Shape, operands: Sequence[Sequence[int]]) -> Iterator[Walk]:
    """The launches that walk over `shape`, at most MOST_AXES axes each.

    operands: the steps of each operand.
    """
    extents, walks = merged(shape, operands)
    spare = max(0, len(extents) - MOST_AXES)
    outer, inner = extents[:spare], extents[spare:]
    fill = MOST_AXES - len(inner)
    extents = [1] * fill + inner
    steps = [[0] * fill + walk[spare:] for walk in walks]
    total = prod(inner)
    for count, place in enumerate(places(*map(range, outer))):
        firsts = [sum(i * s for i, s in zip(place, walk[:spare], strict=True)) for walk in walks]
        yield Walk(total, extents, steps, firsts, count * total)
