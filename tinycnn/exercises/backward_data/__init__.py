"""The gradient of a convolution's image: back through every window that has seen a pixel."""

import numpy as np

from tinycnn.emulator import Launch
from tinycnn.exercises import conv_shapes, convolution, counts
from tinycnn.exercises.exercise import Case, Exercise, Goal, Output, Sizes, ceil_div, ints, normal, rounded, unwritten

THREADS = 128


def case(sizes: Sizes, random: np.random.Generator) -> Case:
    conv = convolution.Conv.of(sizes)
    dy, w = normal(random, conv.N, conv.P, conv.Q, conv.K), normal(random, conv.R, conv.S, conv.C, conv.K)
    want, magnitude = convolution.backward_data(conv, dy, w)
    grid = (ceil_div(conv.H * conv.W * conv.C, THREADS), conv.N)
    launch = Launch("conv2d_backward_data", grid, (THREADS,), [dy, w, unwritten(*want.shape), *ints(*conv.numbers)])
    return Case(launch, (Output("dx", 2, want, rounded(conv.R * conv.S * conv.K, magnitude)),))


EXERCISE = Exercise(
    name="backward_data",
    title="The gradient goes back",
    function="conv2d_backward_data",
    signature=conv_shapes.signature("backward_data", "dy", "w", "dx"),
    sizes=convolution.SIZES,
    case=case,
    visible=(
        *conv_shapes.VISIBLE,
        *conv_shapes.at(
            ("a last row and column of pixels is seen by no window", (1, 6, 6, 2, 3, 1, 1, 2, 2, 0, 0, 0, 0))
        ),
    ),
    hidden=conv_shapes.HIDDEN,
    goals=(
        Goal("sectors a request of dx", 4, lambda trace, sizes: counts.sectors_per_request(trace, "dx")),
        Goal("atomics", 0, lambda trace, sizes: counts.atomics(trace)),
    ),
    counted=conv_shapes.at(("", (1, 6, 6, 32, 8, 3, 3, 1, 1, 0, 0, 0, 0)))[0],
)
