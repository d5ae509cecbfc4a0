"""A kernel in Python: max pooling by Numba."""

import numpy as np

from tinycnn.emulator import Launch
from tinycnn.exercises.exercise import Case, Exercise, Output, Sizes, ceil_div, normal, shapes, unwritten

NAMES = ("N", "H", "W", "C")
THREADS = 32


def case(sizes: Sizes, random: np.random.Generator) -> Case:
    N, H, W, C = (sizes[name] for name in NAMES)
    x, P, Q = normal(random, N, H, W, C), H // 2, W // 2
    want = x[:, : 2 * P, : 2 * Q].reshape(N, P, 2, Q, 2, C).max((2, 4)).astype(np.float64)
    launch = Launch("maxpool", (ceil_div(want.size, THREADS),), (THREADS,), [x, unwritten(*want.shape)])
    return Case(launch, (Output("y", 1, want, np.zeros(want.shape)),))


EXERCISE = Exercise(
    name="numba_maxpool",
    title="A kernel in Python",
    function="maxpool",
    signature="maxpool(x, y)",
    sizes={"N": 1, "H": 2, "W": 2, "C": 1},
    case=case,
    visible=shapes(NAMES, ("images are square", (1, 4, 4, 2)), ("a row and a column are left over", (2, 5, 7, 3))),
    hidden=shapes(
        NAMES, ("there is one window", (1, 2, 2, 1)), ("images are high", (1, 9, 4, 2)),
        ("there are several blocks", (2, 6, 8, 4)),
    ),
    kind="numba",
)  # fmt: skip
