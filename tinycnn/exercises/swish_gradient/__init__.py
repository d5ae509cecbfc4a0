"""A gradient: the way back of an operation of one's own."""

import numpy as np

from tinycnn.exercises.exercise import Exercise, GradientCase, Sizes, shapes

NAMES = ("rows", "columns")


def case(sizes: Sizes, random: np.random.Generator) -> GradientCase:
    x = random.uniform(-3, 3, (sizes["rows"], sizes["columns"]))
    slope = random.uniform(0.5, 2, sizes["columns"])
    return GradientCase([x, slope], swish)


def swish(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-slope * x))


EXERCISE = Exercise(
    name="swish_gradient",
    title="A gradient of one's own",
    function="swish",
    signature="swish(x, slope)",
    sizes=dict.fromkeys(NAMES, 1),
    case=case,
    visible=shapes(NAMES, ("there is one row", (1, 3)), ("a slope is used by several rows", (4, 3))),
    hidden=shapes(NAMES, ("there is one number", (1, 1)), ("there is one column", (5, 1)), ("it is square", (3, 3))),
    kind="gradient",
)
