"""How the kernels of a convolution are called in several exercises, and the shapes that they are run on."""

from __future__ import annotations

from tinycnn.exercises import convolution
from tinycnn.exercises.exercise import Shape, shapes


def signature(direction: str, a: str, b: str, out: str) -> str:
    """How the kernel of a direction is called."""
    sizes = ", ".join(f"int {name}" for name in "N H W C K R S P Q stride_h stride_w top left".split())
    return f"conv2d_{direction}(const float* {a}, const float* {b}, float* {out}, {sizes})"


def at(*rows: tuple[str, tuple[int, ...]]) -> tuple[Shape, ...]:
    """Shapes from rows (suspicion, (N, H, W, C, K, R, S, stride_h, stride_w, top, bottom, left, right))."""
    return shapes(convolution.NAMES, *rows)


# No two sizes of a shape are equal that a fault could exchange, and each stride is above 1 somewhere without the other.
VISIBLE = at(
    ("there is no padding, and the filter is not square", (2, 7, 6, 3, 5, 3, 2, 1, 1, 0, 0, 0, 0)),
    ("pixels lie above the image, and the vertical stride is above 1", (1, 9, 6, 2, 4, 3, 2, 2, 1, 1, 0, 0, 0)),
    ("pixels lie left of the image, and the horizontal stride is above 1", (2, 5, 8, 2, 3, 2, 3, 1, 2, 0, 0, 1, 0)),
)
HIDDEN = at(
    ("pixels lie below the image and right of it", (1, 6, 5, 2, 3, 3, 2, 1, 1, 0, 2, 0, 1)),
    ("both strides are above 1, and differ", (2, 10, 9, 3, 7, 2, 3, 2, 3, 1, 0, 2, 1)),
    ("the filter is larger than the image", (1, 2, 3, 4, 2, 5, 4, 1, 1, 2, 3, 1, 2)),
    ("there is one of everything", (1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0)),
    ("there are more filters than threads of a warp", (3, 5, 4, 5, 37, 2, 2, 1, 1, 1, 1, 0, 0)),
)
