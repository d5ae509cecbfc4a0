"""Coalescing: which threads of a warp take which outputs."""

from tinycnn.exercises import conv_forward, conv_shapes, convolution, counts
from tinycnn.exercises.exercise import Exercise, Goal

EXERCISE = Exercise(
    name="coalesce",
    title="Thirty-two threads ask together",
    function="conv2d_forward",
    signature=conv_shapes.signature("forward", "x", "w", "y"),
    sizes=convolution.SIZES,
    case=conv_forward.case,
    visible=conv_shapes.VISIBLE,
    hidden=conv_shapes.HIDDEN,
    goals=(
        Goal("sectors a request of x", 4, lambda trace, sizes: counts.sectors_per_request(trace, "x")),
        Goal("sectors a request of w", 4, lambda trace, sizes: counts.sectors_per_request(trace, "w")),
        Goal("sectors a request of y", 4, lambda trace, sizes: counts.sectors_per_request(trace, "y")),
    ),
    counted=conv_shapes.at(("", (1, 8, 8, 8, 32, 3, 3, 1, 1, 1, 1, 1, 1)))[0],
)
