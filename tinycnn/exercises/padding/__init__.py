"""Padding: pixels outside the image are 0, and nobody may read them."""

from tinycnn.exercises import conv_forward, conv_shapes, convolution
from tinycnn.exercises.exercise import Exercise

EXERCISE = Exercise(
    name="padding",
    title="Outside the image",
    function="conv2d_forward",
    signature=conv_shapes.signature("forward", "x", "w", "y"),
    sizes=convolution.SIZES,
    case=conv_forward.case,
    visible=conv_shapes.VISIBLE,
    hidden=conv_shapes.HIDDEN,
)
