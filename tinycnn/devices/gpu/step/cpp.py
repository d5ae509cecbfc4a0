"""Values of C++ for a generated file: the structs of kernels/step, and numbers."""

from __future__ import annotations

from tinycnn.devices.gpu.grid import ceil_div
from tinycnn.devices.gpu.step.memory import Place
from tinycnn.shapes import Geometry, Pair

MOST_TAPS = 25  # of a filter, for which code is written out


def written_out(g: Geometry) -> bool:
    """Whether there is code for a filter of this size: of stride 1, and not too large."""
    return (g.stride_h, g.stride_w) == (1, 1) and g.R * g.S <= MOST_TAPS and g.top < g.R and g.left < g.S


def convolve(g: Geometry, tile: tuple[int, int] | None) -> str:
    return f"convolve<{g.R}, {g.S}, {tile[0]}, {tile[1]}>" if tile else "convolve_any"


def conv_of(
    x: Place, y: Place, g: Geometry, strides: tuple[Pair, Pair], edges: Pair, filters: str, bias: str, relu: bool,
    tile: tuple[int, int] | None,
) -> str:  # fmt: skip
    """A Conv of conv.cuh. strides: of the outputs, and between the numbers of x; edges: zeros above and left of x."""
    assert y.shape
    _, rows, columns = y.shape
    groups = ceil_div(columns, tile[0]) if tile else 1
    numbers = f"{g.R}, {g.S}, {{{strides[0][0]}, {strides[0][1]}}}, {{{strides[1][0]}, {strides[1][1]}}}"
    return (
        f"{{{x.name}, {y.name}, {numbers}, {edges[0]}, {edges[1]}, {filters}, {bias}, {int(relu)}, divisor({rows}), "
        f"divisor({groups})}}"
    )


def dense_of(x: Place, y: Place, relu: bool) -> str:
    """A Dense of dense.cuh."""
    assert x.shape
    C, _, W = x.shape
    return f"{{{x.name}, {y.name}, {int(relu)}, divisor({C}), divisor({W})}}"


def literal(value: float) -> str:
    """A float of C++."""
    text = repr(float(value))
    return f"{text}f" if any(mark in text for mark in ".en") else f"{text}.f"
