"""The halo: a tile of the image in shared memory, with the pixels around it that its outputs see."""

import numpy as np

from tinycnn.emulator import Launch
from tinycnn.exercises import convolution, counts
from tinycnn.exercises.exercise import (
    Case,
    Exercise,
    Goal,
    Output,
    Sizes,
    ceil_div,
    ints,
    normal,
    rounded,
    shapes,
    unwritten,
)

TILE = 8
NAMES = ("N", "H", "W", "R", "S")


def case(sizes: Sizes, random: np.random.Generator) -> Case:
    N, H, W, R, S = (sizes[name] for name in NAMES)
    if max(R, S) > 16:
        raise ValueError("R and S are at most 16")
    conv = convolution.Conv.of(dict(zip(convolution.NAMES, (N, H, W, 1, 1, R, S, 1, 1, 0, 0, 0, 0), strict=True)))
    x, w = normal(random, N, H, W, 1), normal(random, R, S, 1, 1)
    want, magnitude = convolution.forward(conv, x, w)
    shared = 4 * (TILE + R - 1) * (TILE + S - 1)
    grid = (ceil_div(conv.Q, TILE), ceil_div(conv.P, TILE), N)
    arguments = [x[..., 0].copy(), w[..., 0, 0].copy(), unwritten(*want.shape[:3]), *ints(N, H, W, R, S)]
    launch = Launch("convolve", grid, (TILE, TILE), arguments, shared)
    return Case(launch, (Output("y", 2, want[..., 0], rounded(R * S, magnitude[..., 0])),))


EXERCISE = Exercise(
    name="halo",
    title="Who loads it again?",
    function="convolve",
    signature="convolve(const float* x, const float* w, float* y, int N, int H, int W, int R, int S)",
    sizes=dict.fromkeys(NAMES, 1),
    case=case,
    visible=shapes(
        NAMES, ("there is one whole tile", (1, 10, 10, 3, 3)),
        ("tiles are partly empty, and the filter is not square", (2, 12, 19, 5, 3)),
    ),
    hidden=shapes(
        NAMES, ("the filter is larger than the tile", (1, 18, 17, 11, 10)),
        ("the filter is one pixel", (2, 9, 7, 1, 1)),
        ("there are several tiles downwards", (1, 31, 9, 2, 4)),
        ("there is one output", (1, 3, 4, 3, 4)),
    ),
    goals=(
        Goal(
            "loads of x for each output", 2.5,
            lambda t, sizes: counts.numbers(t, "global", "x", "load") / ((sizes["H"] - 4) * (sizes["W"] - 4)),
        ),
    ),
    counted=shapes(NAMES, ("", (1, 20, 20, 5, 5)))[0],
)  # fmt: skip
