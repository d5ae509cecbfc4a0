"""The lessons, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tinycnn.careful import nearest
from tinycnn.emulator import Launch
from tinycnn.lessons import gradients, learning, own, products, races, requests, roofs, steps, tiles
from tinycnn.lessons.lesson import Lesson

LESSONS = (
    Lesson(
        1, "thread", "One thread, one pixel",
        "A convolution's kernel is one small program that every thread runs, each for an output of its own: it walks "
        "the window of pixels that this output sees.",
        "a recording of kernels/ladder/1_naive.cu", requests.one_thread, minutes=13, counts=True,
    ),
    Lesson(
        2, "warp", "Thirty-two threads ask together",
        "The 32 threads of a warp load at the same moment, and memory answers in pieces of 32 bytes: what a load costs "
        "is how many of these sectors the warp touches.",
        "recordings of kernels/ladder/1_naive.cu and 2_coalesced.cu", requests.warp, minutes=14, counts=True,
    ),
    Lesson(
        3, "reuse", "Who loads it again?",
        "Every pixel is wanted by many outputs, so what makes a convolution fast is to load it once and hand it round.",
        "recordings of kernels/ladder/2_coalesced.cu, 3_shared_filters.cu and 4_halo_tile.cu", requests.reuse,
        minutes=13, counts=True,
    ),
    Lesson(
        4, "banks", "Thirty-two banks",
        "Shared memory is 32 banks side by side, and lanes that want different words of one bank wait for one another.",
        "recordings of kernels/ladder/3_shared_filters.cu, with and without its + 1", requests.banks,
        minutes=10, counts=True,
    ),
    Lesson(
        5, "barrier", "The missing barrier",
        "Without a barrier between them, nothing says which of two threads comes first, even where the numbers come "
        "out right.",
        "the check of kernels/ladder/3_shared_filters.cu without its first barrier", races.barrier, minutes=12,
    ),
    Lesson(
        6, "gradient", "The gradient goes back",
        "A gradient is a slope: how fast the loss rises when one number is nudged, and the way back computes all of "
        "them at once.",
        "a forward and a backward pass in float64, and the loss at nudged weights", gradients.gradient,
    ),
    Lesson(
        7, "product", "A product in disguise",
        "A convolution is a matrix product whose left matrix is the image, with every pixel written down once for each "
        "tap that sees it.",
        "a recording of kernels/ladder/6_implicit_gemm.cu, and traces of steps 3 to 8", products.product, counts=True,
    ),
    Lesson(
        8, "roof", "The roof",
        "A kernel is as fast as the slower of two things: its arithmetic, and the bytes that it moves for it.",
        "traces of the ladder's steps", roofs.roof, minutes=12, counts=True, times=True,
    ),
    Lesson(
        9, "learned", "What it learned",
        "A network learns filters that nobody wrote down, and its mistakes show what they do not see.",
        "a training on digits that tinycnn draws", learning.learned,
    ),
    Lesson(
        10, "tiles", "Fewer multiplications",
        "A tile of outputs can be computed with a quarter of the multiplications, and the price is a little precision.",
        "the matrices of tinycnn/devices/cpu/cook_toom.py, applied in float32 beside float64", tiles.fewer,
        network=False,
    ),
    Lesson(
        11, "launches", "One launch after the other",
        "A training step is a chain of launches, each waiting for the one before, so a kernel costs more than its "
        "work.",
        "the launches of one training step, in their order", steps.launches, times=True,
    ),
)  # fmt: skip

NAMES = [lesson.name for lesson in LESSONS]


def find(name: str) -> Lesson:
    """The lesson of that name or number. Raises ValueError that names the nearest."""
    for lesson in LESSONS:
        if name in (lesson.name, str(lesson.number)):
            return lesson
    raise ValueError(f"there is no lesson {name!r}; {nearest(name, NAMES)}")


def of_file(path: Path, launches: Sequence[Launch]) -> Lesson:
    """The lesson of a kernel file of one's own: its faults, or what its launch asks of memory."""
    return Lesson(
        0, path.stem, f"What {path.name} does",
        "A kernel is read by running it and watching: who asks for what, and what is wrong with it.",
        f"the check of {path.name} and a recording of its first launch", partial(own.own, path, launches),
        counts=True,
    )  # fmt: skip
