"""The gradient of a convolution's filters, without atomics."""

import numpy as np

from tinycnn.emulator import Launch
from tinycnn.exercises import conv_shapes, convolution, counts
from tinycnn.exercises.exercise import Case, Exercise, Goal, Output, Sizes, ceil_div, ints, normal, rounded, unwritten

ACROSS, DOWN = 16, 8


def case(sizes: Sizes, random: np.random.Generator) -> Case:
    conv = convolution.Conv.of(sizes)
    x, dy = normal(random, conv.N, conv.H, conv.W, conv.C), normal(random, conv.N, conv.P, conv.Q, conv.K)
    want, magnitude = convolution.backward_filter(conv, x, dy)
    grid = (conv.R * conv.S * conv.C, ceil_div(conv.K, ACROSS))
    arguments = [x, dy, unwritten(*want.shape), *ints(*conv.numbers)]
    launch = Launch("conv2d_backward_filter", grid, (ACROSS, DOWN), arguments)
    return Case(launch, (Output("dw", 2, want, rounded(conv.N * conv.P * conv.Q, magnitude)),))


def products(sizes: Sizes) -> int:
    """How many there are in all sums together, where there is no padding."""
    conv = convolution.Conv.of(sizes)
    return conv.R * conv.S * conv.C * conv.K * conv.N * conv.P * conv.Q


EXERCISE = Exercise(
    name="backward_filter",
    title="Eight sums into one",
    function="conv2d_backward_filter",
    signature=conv_shapes.signature("backward_filter", "x", "dy", "dw"),
    sizes=convolution.SIZES,
    case=case,
    visible=conv_shapes.VISIBLE,
    hidden=conv_shapes.HIDDEN,
    goals=(
        Goal("atomics", 0, lambda trace, sizes: counts.atomics(trace)),
        Goal(
            "stores for each number of dw", 1,
            lambda t, sizes: counts.numbers(t, "global", "dw", "store")
            / (sizes["R"] * sizes["S"] * sizes["C"] * sizes["K"]),
        ),
        Goal(  # all of x and dy is in the sums, and 16 filters fill their warps: more are sums that are not shared
            "lanes, idle ones too, that load dy for each product", 1,
            lambda t, sizes: sum(line.possible_lanes for line in counts.lines(t, "global", "dy", "load"))
            / products(sizes),
        ),
    ),
    counted=conv_shapes.at(("", (2, 6, 6, 2, 16, 3, 3, 1, 1, 0, 0, 0, 0)))[0],
)  # fmt: skip
