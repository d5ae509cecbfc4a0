"""Fewer multiplications: the matrices of Winograd's convolution, and the loops that apply them.

The product of two polynomials, of m and of R coefficients, has n = m + R - 1 of them. Evaluate both at n
points, multiply point by point, and the polynomial through the n products is the answer (Toom 1963, Cook
1966): n multiplications instead of m * R. Transposed, the same three matrices compute m outputs of a
filter with R taps from n inputs (Winograd 1980), and applied to rows and then to columns they compute
m x m outputs of an R x R filter from n x n inputs (Lavin and Gray 2016):

    forward          y  = A^T [ (G w G^T) * (B d B^T) ] A           d: a tile of x, * element by element
    backward data    dx = B^T [ (G w G^T) * (A dy A^T) ] B          summed where tiles overlap
    backward filter  dw = G^T [ (B d B^T) * (A dy A^T) ] G          summed over the tiles

The rows of B (6 x 6), G (6 x R) and A (6 x m) are points. So each matrix leads to the points in two of the
lines, and back from the points, transposed, in the third.

The points are 0, 2/3, -2/3, 3/2, -3/2 and infinity, for every size of filter: 4 x 4 outputs of a 3 x 3
filter, or 2 x 2 of a 5 x 5, with 36 multiplications instead of 144 or 100. With p and -p half of the
arithmetic is shared, and p and 1/p keep the numbers in the matrices near 1 (Alam, Anderson, Barabasz and
Gregg 2022, "Winograd Convolution for Deep Neural Networks: Efficient Point Selection", from -1/c, -c, c, 1/c).
In float32 the error is about half of that of the usual 0, 1, -1, 2, -2. Beside the error of multiplying directly
it is 1.1 to 2.4 times, and 3 times in dw of 5 x 5 filters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cache
from math import prod

import numpy as np
from numba import types

from tinycnn.devices.cpu.simd import FLOATS
from tinycnn.devices.cpu.tiles import compile_source

POINTS = tuple(Fraction(*point) for point in ((0, 1), (2, 3), (-2, 3), (3, 2), (-3, 2)))  # and infinity, the last
SIZE = len(POINTS) + 1
Matrix = list[list[Fraction]]
PAIRS = ((1, 2), (3, 4))  # which points are each other's negative

SIGNATURE = types.void(*[FLOATS] * 2, *[types.int64] * 5)


def polynomial(roots: Iterable[Fraction]) -> list[Fraction]:
    """The coefficients, lowest power first, of the product of all (x - root)."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *coefficients], [*(root * c for c in coefficients), Fraction(0)]
        coefficients = [a - b for a, b in zip(shifted, scaled, strict=True)]
    return coefficients


def powers(count: int) -> Matrix:
    """A polynomial of `count` coefficients at the points: (SIZE, count). At infinity it is its last coefficient."""
    return [[point**i for i in range(count)] for point in POINTS] + [[Fraction(i == count - 1) for i in range(count)]]


def others(point: Fraction) -> list[Fraction]:
    return [other for other in POINTS if other != point]


def matrices(R: int) -> dict[str, Matrix]:
    """B (6, 6), G (6, R) and A (6, 7 - R), by name and of exact fractions, for filters of R x R."""
    B = [[*polynomial(others(point)), Fraction(0)] for point in POINTS] + [polynomial(POINTS)]
    scale = [prod(point - other for other in others(point)) for point in POINTS] + [1]
    G = [[value / s for value in row] for row, s in zip(powers(R), scale, strict=True)]
    return {"B": B, "G": G, "A": powers(SIZE + 1 - R)}


def constant(value: Fraction) -> str:
    return f"fill8(float32({float(np.float32(float(value)))!r}))"


def sum_text(terms: Iterable[tuple[Fraction, str]]) -> str:
    """The source text of the sum of factor * name over (factor, name), those without a multiplication first."""
    text = ""
    for factor, name in sorted((term for term in terms if term[0]), key=lambda term: term[0] not in (1, -1)):
        if not text:
            text = name if factor == 1 else f"multiply({constant(factor)}, {name})"
        elif factor in (1, -1):
            text = f"{'add' if factor == 1 else 'subtract'}({text}, {name})"
        else:
            text = f"fma({constant(factor)}, {name}, {text})"
    return text


def to_points_lines(matrix: Matrix, inputs: Sequence[str], outputs: Sequence[str]) -> list[str]:
    """outputs = matrix @ inputs, all of them names of vectors: p and -p share the sums of even and of odd powers."""
    lines = []
    for point, mirror in PAIRS:
        terms = list(zip(matrix[point], matrix[mirror], inputs, strict=True))
        odd = [(a, name) for a, b, name in terms if a != b]
        factor = odd[-1][0]
        lines.append(f"even = {sum_text([(a, name) for a, b, name in terms if a == b])}")
        lines.append(f"odd = {sum_text([(a / factor, name) for a, name in odd])}")
        lines.append(f"{outputs[point]} = fma({constant(factor)}, odd, even)")
        lines.append(f"{outputs[mirror]} = fma({constant(-factor)}, odd, even)")
    for point in (0, SIZE - 1):
        lines.append(f"{outputs[point]} = {sum_text(zip(matrix[point], inputs, strict=True))}")
    return lines


def from_points_lines(matrix: Matrix, inputs: Sequence[str], outputs: Sequence[str]) -> list[str]:
    """outputs = transposed matrix @ inputs: where p and -p have the same factor, it multiplies their sum."""
    lines = []
    for point, mirror in PAIRS:
        lines.append(f"plus_{point} = add({inputs[point]}, {inputs[mirror]})")
        lines.append(f"minus_{point} = subtract({inputs[point]}, {inputs[mirror]})")
    for i, output in enumerate(outputs):
        terms = [(matrix[point][i], inputs[point]) for point in (0, SIZE - 1)]
        for point, mirror in PAIRS:
            sign = "plus" if matrix[point][i] == matrix[mirror][i] else "minus"
            terms.append((matrix[point][i], f"{sign}_{point}"))
        lines.append(f"{output} = {sum_text(terms)}")
    return lines


def transform_source(matrix: Matrix, to_points: bool) -> list[str]:
    """y = matrix @ x @ transposed matrix, or the way back, y += transposed matrix @ x @ matrix.

    For each of `length` channels, at least 8, side by side; on the way back a multiple of 8, because the last vector
    may overlap the one before, and would be added twice. The rows and columns of x and y are so many floats apart.
    """
    columns = len(matrix[0])
    before, after = (columns, SIZE) if to_points else (SIZE, columns)
    one_axis = to_points_lines if to_points else from_points_lines
    lines = []
    for column in range(before):
        names = [f"x_{row}" for row in range(before)]
        lines += [f"{x} = load8(x, at + {row} * x_row + {column} * x_column)" for row, x in enumerate(names)]
        lines += one_axis(matrix, names, [f"half_{row}_{column}" for row in range(after)])
    for row in range(after):
        names = [f"y_{column}" for column in range(after)]
        lines += one_axis(matrix, [f"half_{row}_{column}" for column in range(before)], names)
        for column, y in enumerate(names):
            place = f"at + {row} * y_row + {column} * y_column"
            value = y if to_points else f"add(load8(y, {place}), {y})"
            lines.append(f"store(y, {place}, {value})")
    return [
        "def tile(x, y, length, x_row, x_column, y_row, y_column):",
        "    for first in range(0, length, 8):",
        "        at = min(first, length - 8)",
        *[" " * 8 + line for line in lines],
    ]


@cache
def to_points(name: str, R: int) -> int:
    """The address of the compiled way to the points by matrix B, G or A, with the steps of rows and columns last:
    (x, y, length, x_row, x_column, y_row, y_column)."""
    return compile_source(transform_source(matrices(R)[name], True), SIGNATURE)


@cache
def from_points(name: str, R: int) -> int:
    """The same for the way back, which adds to y."""
    return compile_source(transform_source(matrices(R)[name], False), SIGNATURE)
