"""The guard: the last block has more threads than there is work."""

import numpy as np

from tinycnn.emulator import Launch
from tinycnn.exercises import counts
from tinycnn.exercises.exercise import Case, Exercise, Goal, Output, Sizes, ceil_div, ints, normal, shapes, unwritten

THREADS = 128


def case(sizes: Sizes, random: np.random.Generator) -> Case:
    n = sizes["n"]
    x = normal(random, n)
    launch = Launch("relu", (ceil_div(n, THREADS),), (THREADS,), [x, unwritten(n), *ints(n)])
    return Case(launch, (Output("y", 1, np.maximum(x, 0).astype(np.float64), np.zeros(n)),))


EXERCISE = Exercise(
    name="guard",
    title="The guard",
    function="relu",
    signature="relu(const float* x, float* y, int n)",
    sizes={"n": 1},
    case=case,
    visible=shapes(["n"], ("every thread has work", (256,)), ("the last block is partly empty", (1000,))),
    hidden=shapes(
        ["n"], ("there is one number", (1,)), ("one number is left for the last block", (129,)),
        ("there are more blocks", (2047,)), ("there are more numbers than 16 bits can count", (70000,)),
    ),
    goals=(
        Goal("sectors a request of x", 4, lambda trace, sizes: counts.sectors_per_request(trace, "x")),
        Goal("sectors a request of y", 4, lambda trace, sizes: counts.sectors_per_request(trace, "y")),
    ),
    counted=shapes(["n"], ("", (1024,)))[0],
)  # fmt: skip
