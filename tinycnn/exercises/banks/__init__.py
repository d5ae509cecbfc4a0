"""Banks: a transpose through shared memory."""

import numpy as np

from tinycnn.emulator import Launch
from tinycnn.exercises import counts
from tinycnn.exercises.exercise import Case, Exercise, Goal, Output, Sizes, ceil_div, ints, normal, shapes, unwritten

NAMES = ("rows", "columns")


def case(sizes: Sizes, random: np.random.Generator) -> Case:
    rows, columns = sizes["rows"], sizes["columns"]
    x = normal(random, rows, columns)
    grid = (ceil_div(columns, 32), ceil_div(rows, 32))
    launch = Launch("transpose", grid, (32, 8), [x, unwritten(columns, rows), *ints(rows, columns)])
    return Case(launch, (Output("y", 1, x.T.astype(np.float64), np.zeros((columns, rows))),))


EXERCISE = Exercise(
    name="banks",
    title="Thirty-two banks",
    function="transpose",
    signature="transpose(const float* x, float* y, int rows, int columns)",
    sizes=dict.fromkeys(NAMES, 1),
    case=case,
    visible=shapes(NAMES, ("there are whole tiles", (32, 64)), ("tiles are partly empty", (35, 40))),
    hidden=shapes(
        NAMES, ("there are more rows than columns", (70, 9)), ("there is one row", (1, 50)),
        ("there is one column", (33, 1)),
    ),
    goals=(
        Goal("bank conflict ways", 1, lambda trace, sizes: counts.bank_conflict_ways(trace)),
        Goal("sectors a request of x", 4, lambda trace, sizes: counts.sectors_per_request(trace, "x")),
        Goal("sectors a request of y", 4, lambda trace, sizes: counts.sectors_per_request(trace, "y")),
    ),
    counted=shapes(NAMES, ("", (64, 64)))[0],
)  # fmt: skip
