"""The barrier: prefix sums in shared memory."""

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

THREADS = 128


def case(sizes: Sizes, random: np.random.Generator) -> Case:
    n = sizes["n"]
    x = normal(random, n)
    blocks = [x[first : first + THREADS].astype(np.float64) for first in range(0, n, THREADS)]
    want = np.concatenate([block.cumsum() for block in blocks])
    magnitude = np.concatenate([np.abs(block).cumsum() for block in blocks])
    launch = Launch("prefix_sums", (ceil_div(n, THREADS),), (THREADS,), [x, unwritten(n), *ints(n)])
    return Case(launch, (Output("y", 1, want, rounded(THREADS, magnitude)),))


EXERCISE = Exercise(
    name="barrier",
    title="Place the barrier",
    function="prefix_sums",
    signature="prefix_sums(const float* x, float* y, int n)",
    sizes={"n": 1},
    case=case,
    visible=shapes(["n"], ("every thread has work", (256,)), ("the last block is partly empty", (300,))),
    hidden=shapes(
        ["n"], ("there is one number", (1,)), ("less than a warp has work", (149,)), ("there are more blocks", (1000,))
    ),
    goals=(
        Goal("loads of x for each number", 1, lambda t, sizes: counts.numbers(t, "global", "x", "load") / sizes["n"]),
    ),
    counted=shapes(["n"], ("", (256,)))[0],
)
