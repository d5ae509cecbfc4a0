"""Registers: what a thread has loaded once it uses several times."""

import numpy as np

from tinycnn.emulator import Launch
from tinycnn.exercises import counts
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

NAMES = ("M", "N", "L")
TILE = 32


def case(sizes: Sizes, random: np.random.Generator) -> Case:
    M, N, L = (sizes[name] for name in NAMES)
    a, b = normal(random, M, L), normal(random, L, N)
    want = a.astype(np.float64) @ b.astype(np.float64)
    magnitude = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)
    launch = Launch("multiply", (ceil_div(N, TILE), ceil_div(M, TILE)), (8, 8), [a, b, unwritten(M, N), *ints(M, N, L)])
    return Case(launch, (Output("c", 2, want, rounded(L, magnitude)),))


EXERCISE = Exercise(
    name="registers",
    title="Sixteen sums in registers",
    function="multiply",
    signature="multiply(const float* a, const float* b, float* c, int M, int N, int L)",
    sizes=dict.fromkeys(NAMES, 1),
    case=case,
    visible=shapes(
        NAMES, ("there is one whole tile", (32, 32, 16)), ("tiles are partly empty", (37, 45, 19)),
    ),
    hidden=shapes(
        NAMES, ("there is one of everything", (1, 1, 1)), ("M is much larger than N", (70, 5, 8)),
        ("N is much larger than M", (3, 66, 33)),
    ),
    goals=(
        Goal(
            "loads from shared memory for each multiply-add", 0.5,
            lambda t, sizes: counts.numbers(t, "shared", op="load") / (sizes["M"] * sizes["N"] * sizes["L"]),
        ),
        Goal(  # one tile: without shared memory each is loaded 32 times
            "loads of each number of a and b", 1,
            lambda t, sizes: max(
                counts.numbers(t, "global", "a", "load") / (sizes["M"] * sizes["L"]),
                counts.numbers(t, "global", "b", "load") / (sizes["L"] * sizes["N"]),
            ),
        ),
    ),
    counted=shapes(NAMES, ("", (32, 32, 32)))[0],
)  # fmt: skip
