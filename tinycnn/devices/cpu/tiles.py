r"""The inner loops of convolution, written by a program: one function per shape of tile.

All three directions of a convolution come down to one step, repeated:

    total[i][j] += scalar[i] * vector[j]        (each vector[j] 8 or 16 channels wide)

Computing one output at a time, every multiplication would need two loads. A tile computes many at
once: with 12 scalars and 2 vectors, 14 loads feed 24 multiplications, and all 24 totals stay in
registers until the end. What the scalars and vectors are:

    forward        pixels of x    times  a filter tap's output channels     total: a tile of y
    backward data  the same, with dy for x and the filter turned round      total: a tile of dx
    backward filter  x under a tap  times  the pixel's dy                   total: a tile of dw

A compiler keeps totals in registers only if each has its own name, so the functions are generated as
source text: total_3_1 is scalar 3 times vector 1. To read one:

    print("\n".join(forward_source(Tile(rows=1, columns=2, widths=(16,), row_step=0, column_step=12), channels=16)))
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import numba
from numba import types

from tinycnn.devices.cpu import simd
from tinycnn.devices.cpu.compiler import address_of
from tinycnn.devices.cpu.processor import REGISTERS, WIDTHS
from tinycnn.devices.cpu.simd import FLOATS

FORWARD_SIGNATURE = types.void(*[FLOATS] * 4, *[types.int64] * 8, types.float32)
PRODUCT_SIGNATURE = types.void(*[FLOATS] * 3, *[types.int64] * 2)
FILTER_SIGNATURE = types.void(*[FLOATS] * 3, *[types.int64] * 6)


class Part(NamedTuple):
    """Vector j of a tile: which channel it begins at, how many it has room for, and how many there are."""

    j: int
    start: int
    width: int
    channels: int


@dataclass(frozen=True)
class Tile:
    """rows x columns scalars by len(widths) vectors.

    Scalar (row, column) lies row * row_step + column * column_step floats behind the tile's first.
    """

    rows: int
    columns: int
    widths: tuple[int, ...]
    row_step: int
    column_step: int

    @property
    def lanes(self) -> int:
        return sum(self.widths)

    def scalars(self) -> list[int]:
        return [
            row * self.row_step + column * self.column_step
            for row in range(self.rows)
            for column in range(self.columns)
        ]


def multiply_lines(tile: Tile, vectors: Sequence[Part], indent: int) -> list[str]:
    """total_i_j += scalar_i * vector_j for all i, j; x and vectors are addressed from `a`."""
    lines = []
    for i, step in enumerate(tile.scalars()):
        lines.append(f"scalar = broadcast{tile.widths[0]}(x, a + {step})")
        for j, *_ in vectors:
            lines.append(f"total_{i}_{j} = fma(scalar, vector_{j}, total_{i}_{j})")
    return [" " * indent + line for line in lines]


def vectors_of(tile: Tile, channels: int) -> list[Part]:
    """The vectors of a tile that have any channels.

    The number of channels is a constant of the generated code: a mask that came as an argument would take a register
    from the totals, and a masked store takes AVX2 a dozen cycles.
    """
    starts = [sum(tile.widths[:j]) for j in range(len(tile.widths))]
    return [
        Part(j, start, width, min(width, channels - start))
        for j, (start, width) in enumerate(zip(starts, tile.widths, strict=True))
        if start < channels
    ]


def load_text(array: str, place: str, width: int, count: int) -> str:
    return f"load{width}({array}, {place})" if count == width else f"load_first{width}({array}, {place}, {count})"


def forward_source(tile: Tile, channels: int) -> list[str]:
    """A tile of y: rows x columns pixels by `channels` channels, added to `begin`: the bias, or an earlier y."""
    vectors = vectors_of(tile, channels)
    totals = [
        (row, column, f"total_{row * tile.columns + column}_{j}", start, width, count)
        for row in range(tile.rows)
        for column in range(tile.columns)
        for j, start, width, count in vectors
    ]
    lines = [
        "def tile(",
        "    x, w, begin, y, outer, inner, x_outer, w_outer, begin_row, begin_column, y_row, y_column, floor",
        "):",
    ]
    for row, column, total, start, width, count in totals:
        place = f"{row} * begin_row + {column} * begin_column + {start}"
        lines.append(f"    {total} = {load_text('begin', place, width, count)}")
    lines += [
        "    for o in range(outer):",
        "        a = o * x_outer",
        "        b = o * w_outer",
        "        for t in range(inner):",
    ]
    lines += [f"            vector_{j} = load{width}(w, b + {start})" for j, start, width, _ in vectors]
    lines += multiply_lines(tile, vectors, 12)
    lines += ["            a += 1", f"            b += {tile.lanes}"]
    lines += [f"    least = fill{tile.widths[0]}(floor)"]
    for row, column, total, start, _, count in totals:
        place = f"{row} * y_row + {column} * y_column + {start}"
        lines.append(f"    store_few(y, {place}, maximum({total}, least), {count})")
    return lines


def product_source(tile: Tile, channels: int) -> list[str]:
    """A product of small matrices: y (count, lanes) = x (count, inner) @ w (inner, lanes), tile.columns rows at a time.

    The rows of x are tile.column_step floats apart. The last tile overlaps the one before.
    """
    vectors = vectors_of(tile, channels)
    totals = [
        (f"total_{i}_{j}", i * tile.lanes + start, width) for i in range(tile.columns) for j, start, width, _ in vectors
    ]
    lines = [
        "def tile(x, w, y, count, inner):",
        f"    for i in range(0, count, {tile.columns}):",
        f"        row = min(i, count - {tile.columns})",
        f"        a = row * {tile.column_step}",
        "        b = 0",
    ]
    lines += [f"        {total} = fill{width}(float32(0))" for total, _, width in totals]
    lines += ["        for t in range(inner):"]
    lines += [f"            vector_{j} = load{width}(w, b + {start})" for j, start, width, _ in vectors]
    lines += multiply_lines(tile, vectors, 12)
    lines += ["            a += 1", f"            b += {tile.lanes}"]
    lines += [f"        store(y, row * {tile.lanes} + {place}, {total})" for total, place, _ in totals]
    return lines


def filter_source(tile: Tile, channels: int) -> list[str]:
    """A tile of dw, rows x columns taps by `channels` channels, summed over rows of an image onto what was there.

    The tile's totals lie one after the other, tile.lanes for each tap.
    """
    vectors = vectors_of(tile, channels)
    totals = [
        (f"total_{i}_{j}", i * tile.lanes + start, width)
        for i in range(tile.rows * tile.columns)
        for j, start, width, _ in vectors
    ]
    lines = ["def tile(x, dy, totals, outer, inner, x_outer, x_inner, dy_outer, dy_inner):"]
    lines += [f"    {total} = load{width}(totals, {place})" for total, place, width in totals]
    lines += ["    for o in range(outer):", "        a = o * x_outer", "        b = o * dy_outer"]
    lines += ["        for t in range(inner):"]
    for j, start, width, count in vectors:
        lines.append(f"            vector_{j} = {load_text('dy', f'b + {start}', width, count)}")
    lines += multiply_lines(tile, vectors, 12)
    lines += ["            a += x_inner", "            b += dy_inner"]
    lines += [f"    store(totals, {place}, {total})" for total, place, _ in totals]
    return lines


# What generated functions may use.
NAMES = {
    name: getattr(simd, name)
    for name in (
        *(f"{name}{width}" for name in ("broadcast", "fill", "load", "load_first") for width in (8, 16)),
        *("add", "fma", "maximum", "multiply", "store", "store_few", "subtract"),
    )
}


def compile_source(lines: list[str], signature: Any) -> int:
    """The address of the compiled function `tile` that the lines define."""
    text = "\n".join(lines)
    names = {**NAMES, "float32": numba.float32}
    exec(text, names)
    return address_of(names["tile"], signature, f"tile-{hashlib.sha256(text.encode()).hexdigest()[:16]}")


Source = Callable[[Tile, int], list[str]]


@cache
def _address(source: Source, tile: Tile, channels: int, signature: Any) -> int:
    return compile_source(source(tile, channels), signature)


def _addresses(source: Source, tile: Tile, K: int, signature: Any) -> tuple[int, int]:
    last = K % tile.lanes or tile.lanes
    whole = tile.lanes if K > tile.lanes else last
    return _address(source, tile, whole, signature), _address(source, tile, last, signature)


def forward_tiles(tile: Tile, K: int) -> tuple[int, int]:
    """The addresses of the compiled functions for a tile of y: for the blocks of K channels, and for the last block."""
    return _addresses(forward_source, tile, K, FORWARD_SIGNATURE)


def product_tiles(tile: Tile, K: int) -> tuple[int, int]:
    """The same for a product of small matrices."""
    return _addresses(product_source, tile, K, PRODUCT_SIGNATURE)


def filter_tiles(tile: Tile, K: int) -> tuple[int, int]:
    """The same for a tile of dw."""
    return _addresses(filter_source, tile, K, FILTER_SIGNATURE)


def step_cycles(scalars: int, widths: Sequence[int]) -> float:
    """About how many cycles one step takes: multiplications, or loads, or waiting for the last sum; and the loop.

    A core multiplies and adds 16 floats a cycle, as one vector or as two, and loads two scalars or 16 floats.
    """
    vectors = sum(widths) / 16
    multiplications, loads = scalars * vectors, scalars / 2 + vectors
    waiting = 4  # a sum is ready 4 cycles after it was begun
    return max(multiplications, loads, waiting) + 0.5


def _vector_choices(channels: int) -> Iterator[tuple[int, ...]]:
    """Ways to cover the channels by blocks of one to four equal vectors (mixing widths costs shuffles)."""
    for width in WIDTHS:
        for count in range(1, 5):
            if (count - 1) * width < channels:
                yield (width,) * count


def _blocks_cycles(scalars: int, widths: Sequence[int], channels: int) -> float:
    """The cycles of one step in all blocks of channels, of which the last needs only the vectors that it fills."""
    whole, rest = divmod(channels, sum(widths))
    cycles = whole * step_cycles(scalars, widths)
    if rest:
        cycles += step_cycles(scalars, widths[: -(-rest // widths[0])])
    return cycles


@cache
def choose(rows: int, columns: int, channels: int, row_step: int, column_step: int, overlap: bool = True) -> Tile:
    """The Tile that covers rows x columns scalars and `channels` in the fewest estimated cycles.

    With `overlap` the last tile of a row or column overlaps the one before it, so a width that divides
    wastes nothing. Without, what remains of a row takes a narrower tile (see `remainder`).
    """
    # Addresses 4096 bytes apart share a place in the L1 cache, which has room for 8: no more scalars than that.
    most_columns = min(columns, 6 * 4096 // math.gcd(4096, 4 * column_step))
    fewest, best = math.inf, None
    for widths in _vector_choices(channels):
        limit = (REGISTERS - len(widths) - 1) // len(widths)
        for tile_rows in range(1, min(rows, limit) + 1):
            for tile_columns in range(1, min(most_columns, limit // tile_rows) + 1):
                row_cycles = columns // tile_columns * _blocks_cycles(tile_rows * tile_columns, widths, channels)
                if columns % tile_columns:
                    rest = tile_columns if overlap else columns % tile_columns
                    row_cycles += _blocks_cycles(tile_rows * rest, widths, channels)
                cycles = -(-rows // tile_rows) * row_cycles
                # Several rows tie a tile to one image width: only where that clearly pays.
                cycles *= 1.0 if tile_rows == 1 else 1.1
                if cycles < fewest:
                    fewest = cycles
                    best = Tile(tile_rows, tile_columns, widths, row_step if tile_rows > 1 else 0, column_step)
    assert best is not None
    return best


def remainder(tile: Tile, columns: int) -> Tile:
    """The tile for what is left of `columns`, or `tile` itself if nothing is."""
    return replace(tile, columns=columns % tile.columns or tile.columns)
