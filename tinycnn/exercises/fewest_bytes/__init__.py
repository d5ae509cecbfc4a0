"""Open: the fewest bytes of global memory on a layer of the network go-crazy."""

import numpy as np

from tinycnn.emulator import Launch
from tinycnn.exercises import convolution
from tinycnn.exercises.exercise import Case, Exercise, Goal, Output, Sizes, ints, normal, rounded, shapes, unwritten

NAMES = ("N", "H", "W", "C", "K")
BLOCKS, THREADS, SHARED = 4, 256, 48 * 1024
TAPS = 3


def case(sizes: Sizes, random: np.random.Generator) -> Case:
    N, H, W, C, K = (sizes[name] for name in NAMES)
    conv = convolution.Conv.of(dict(zip(convolution.NAMES, (N, H, W, C, K, TAPS, TAPS, 1, 1, 0, 0, 0, 0), strict=True)))
    if H * W * C + TAPS * TAPS * C * K > SHARED // 4:
        raise ValueError(f"an image and the filters do not fit into {SHARED // 1024} KB")
    x, w = normal(random, N, H, W, C), normal(random, TAPS, TAPS, C, K)
    want, magnitude = convolution.forward(conv, x, w)
    launch = Launch("layer", (BLOCKS,), (THREADS,), [x, w, unwritten(*want.shape), *ints(N, H, W, C, K)], SHARED)
    return Case(launch, (Output("y", 2, want, rounded(TAPS * TAPS * C, magnitude)),))


EXERCISE = Exercise(
    name="fewest_bytes",
    title="The fewest bytes",
    function="layer",
    signature="layer(const float* x, const float* w, float* y, int N, int H, int W, int C, int K)",
    sizes={"N": 1, "H": TAPS, "W": TAPS, "C": 1, "K": 1},
    case=case,
    visible=shapes(
        NAMES, ("every block has an image", (4, 6, 6, 4, 8)), ("some blocks have two images", (6, 5, 7, 3, 5)),
    ),
    hidden=shapes(
        NAMES, ("there are fewer images than blocks", (1, 8, 4, 2, 6)),
        ("there is one output an image", (5, 3, 3, 7, 3)),
        ("there is much to copy", (2, 12, 9, 16, 33)),
    ),
    goals=(
        Goal("bytes moved, of the fewest", 1.4, lambda trace, sizes: trace.bytes_moved / trace.bytes_fewest),
    ),
    counted=shapes(NAMES, ("", (8, 10, 10, 16, 16)))[0],
)  # fmt: skip
