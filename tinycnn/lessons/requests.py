"""Lessons 1 to 4: recorded requests, played."""

from __future__ import annotations

from functools import partial

import numpy as np

from tinycnn import kernels
from tinycnn.devices.gpu.ladder import Conv
from tinycnn.emulator.tracing import SECTOR
from tinycnn.lessons import figures
from tinycnn.lessons.lesson import Made, number_question
from tinycnn.lessons.runs import OP_WORDS, Run, recorded, watched
from tinycnn.lessons.subjects import Layer, Subject, changed, launch_of

EVERYTHING = (("x", "load"), ("w", "load"), ("y", "store"))


def step_of_ladder(
    step: str, layer: Layer, number: int, keep: tuple[tuple[str, str], ...] | None = None, direction: str = "forward"
) -> Run:
    """A recording of a step of the ladder on a layer."""
    launch = launch_of(step, direction, layer.conv)
    return recorded(kernels.path(f"ladder/{step}"), launch, number, f"step {step.replace('_', ', ', 1)}", keep)


# ---------------------------------------------------------------- 1: one thread


def one_thread(subject: Subject) -> Made:
    layer = subject.first
    conv = layer.conv
    run = step_of_ladder("1_naive", layer, 0)
    loads = loads_by_thread(run)[: conv.P * conv.Q * conv.K]
    corner, most = int(loads[0]), int(loads.max())
    whole = conv.R * conv.S * conv.C
    missing = whole - corner
    # Where none lies outside, any window is as good as that in the middle.
    middle = int(np.argmax(loads)) if corner < most else conv.P // 2 * conv.Q + conv.Q // 2
    questions = [
        number_question(
            "How many numbers of the image does thread 0 load, whose output is in the corner?", corner,
            (whole, conv.C, conv.R * conv.S, conv.H * conv.W * conv.C, whole // 2),
            f"its window has {conv.R} x {conv.S} pixels of {conv.C} channels, {whole} numbers"
            + (f", and {missing} of them lie outside the image, where nothing is loaded." if missing else "."),
        ),
        number_question(
            "By how many pixels do the windows of two neighbouring outputs differ?", conv.stride_w,
            (1, 2, conv.S, conv.C * conv.stride_w), "that is the stride: the window moves by so many pixels.",
        ),
    ]  # fmt: skip
    return Made(
        f"Here: {layer.what}, {layer}. Each of its {conv.P} x {conv.Q} x {conv.K} outputs has a thread.",
        questions,
        partial(figures.windows, run, conv, [*dict.fromkeys((0, middle))]),
        [run],
        {"thread": watched([run], EVERYTHING)[:2]},
        {
            "conv": conv, "run": run, "threads": conv.P * conv.Q * conv.K, "corner": corner, "most": most,
            "middle": middle, "whole": whole,
        },
    )  # fmt: skip


def seen_by(conv: Conv, pixel: tuple[int, int]) -> tuple[int, int]:
    """The rows and the columns of outputs whose windows a pixel lies in: how many."""
    rows = sum(0 <= pixel[0] + conv.top - p * conv.stride_h < conv.R for p in range(conv.P))
    return rows, sum(0 <= pixel[1] + conv.left - q * conv.stride_w < conv.S for q in range(conv.Q))


def loads_by_thread(run: Run) -> np.ndarray:
    """How many numbers of x each thread of the grid loads, by the thread's number in the whole grid."""
    recording = run.recording
    threads = int(np.prod(recording.launch.block))
    counts = np.zeros(int(np.prod(recording.launch.grid)) * threads, np.int64)
    chosen = recording.of("x", "load")
    requests = recording.requests[chosen]
    first = requests["block"][:, 0].astype(np.int64) * threads + requests["warp"] * 32
    rows, lanes = np.nonzero(recording.active[chosen])
    np.add.at(counts, first[rows] + lanes, 1)
    return counts


# ---------------------------------------------------------------- 2: a warp


def warp(subject: Subject) -> Made:
    layer = subject.later
    runs = [step_of_ladder(step, layer, i) for i, step in enumerate(("1_naive", "2_coalesced"))]
    sectors = [run.recording.sectors() for run in runs]
    stores = [int(costs[run.of("y", "store")[0]]) for run, costs in zip(runs, sectors, strict=True)]
    guesses = (1, 2, 4, 8, 16, 32)
    questions = [
        number_question(
            "Step 1: neighbouring threads have neighbouring pixels. Its first warp stores 32 results to y. How many "
            "sectors of 32 bytes does that touch?", stores[0], guesses,
            f"in y the {layer.conv.K} channels of a pixel are neighbours, so two pixels' results lie "
            f"{4 * layer.conv.K} bytes apart.",
        ),
        number_question(
            "Step 2: neighbouring threads have neighbouring channels. How many sectors now?", stores[1], guesses,
            "32 results side by side are 128 bytes, four sectors, if the warp is full.",
        ),
    ]  # fmt: skip
    names = ("1_naive", "2_coalesced")
    rows = [
        [name, f"{OP_WORDS[op]} {array}", *counts_of(run, array, op)]
        for run, name in zip(runs, names, strict=True)
        for array, op in EVERYTHING
    ]
    moved = [SECTOR * int(costs.sum()) for costs in sectors]
    return Made(
        f"Here: {layer.what}, {layer}, by the ladder's first two steps, which differ in one line.",
        questions,
        partial(figures.sectors, runs, "x"),
        runs,
        {"warp": watched(runs, (EVERYTHING[-1], *EVERYTHING[:-1]))},
        {"runs": runs, "stores": stores, "rows": rows, "moved": moved, "times": moved[0] / moved[1]},
    )


def counts_of(run: Run, array: str, op: str) -> list[str]:
    """Requests, sectors and the fewest that would do, of one array, as cells of a table."""
    chosen = run.recording.of(array, op)
    counts = [len(chosen), run.recording.sectors()[chosen].sum(), run.recording.fewest_sectors()[chosen].sum()]
    return [f"{int(count):,}" for count in counts]


# ---------------------------------------------------------------- 3: who loads it again


def reuse(subject: Subject) -> Made:
    layer = subject.later
    steps = ("2_coalesced", "3_shared_filters", "4_halo_tile")
    runs = [step_of_ladder(step, layer, i, (("x", "load"),)) for i, step in enumerate(steps)]
    heat = [requests_by_pixel(run) for run in runs]
    middle = layer.conv.H // 2, layer.conv.W // 2
    rows_see, columns_see = seen_by(layer.conv, middle)
    once = rows_see * columns_see * layer.conv.C  # by one warp for each output
    at_middle = [int(counts[middle]) for counts in heat]
    questions = [
        number_question(
            f"In step 2, how many requests load something of the pixel in the middle {middle}?", at_middle[0],
            (1, layer.conv.R * layer.conv.S, layer.conv.C, at_middle[0] // 2, 2 * at_middle[0]),
            f"{rows_see} x {columns_see} outputs see it, each for {layer.conv.C} channels"
            + (", and more than one warp has the same output." if at_middle[0] > once else "."),
        ),
        number_question(
            "And in step 4, whose blocks keep what 4 x 4 outputs see of the image in shared memory, four channels at a "
            "time?", at_middle[2],
            (1, at_middle[0], at_middle[1], layer.conv.R * layer.conv.S, 2),
            "each block whose tile or halo holds the pixel loads it once for every four channels.",
        ),
    ]  # fmt: skip
    moved = [SECTOR * int(run.recording.sectors().sum()) for run in runs]
    rows = [
        [run.title, f"{len(run.recording):,}", f"{counts.mean():.1f}", f"{counts.max():,}", f"{size:,}"]
        for run, counts, size in zip(runs, heat, moved, strict=True)
    ]
    stage = [{"label": run.title, "lists": [{"run": run.number, "requests": run.of("x", "load")}]} for run in runs]
    return Made(
        f"Here: {layer.what}, {layer}, by steps 2, 3 and 4 of the ladder. Counted is how many requests of warps touch "
        "each pixel of the image in global memory.",
        questions,
        partial(figures.heat, heat, [run.title for run in runs]),
        runs,
        {"reuse": stage},
        {"conv": layer.conv, "runs": runs, "rows": rows, "at_middle": at_middle},
        {"hottest": int(max(counts.max() for counts in heat))},
    )


def requests_by_pixel(run: Run) -> np.ndarray:
    """How many requests touch each pixel of x: (H, W), over all channels and images."""
    recording = run.recording
    _, H, W, C = next(array.shape for array in recording.arrays if array.name == "x")
    chosen = recording.of("x", "load")
    pixels = recording.requests["offsets"][chosen] // (4 * C) % (H * W)
    counts = np.zeros(H * W, np.int64)
    for row, active in zip(pixels, recording.active[chosen], strict=True):
        counts[np.unique(row[active])] += 1
    return counts.reshape(H, W)


# ---------------------------------------------------------------- 4: banks


def banks(subject: Subject) -> Made:
    layer = subject.later
    direction, keep, step = "backward_data", (("filters", "store"), ("filters", "load")), "3_shared_filters"
    launch = launch_of(step, direction, layer.conv)
    with changed(step, "filters[ROWS][WIDTH + 1]", "filters[ROWS][WIDTH]") as path:
        without = recorded(path, launch, 1, "without it: filters[ROWS][WIDTH]", keep, {"filters": (32, 16)})
    padded = recorded(
        kernels.path(f"ladder/{step}"), launch, 0, "as it is: filters[ROWS][WIDTH + 1]", keep, {"filters": (32, 17)}
    )
    runs = [padded, without]
    passes = [run.recording.passes()[run.of("filters", "store")] for run in runs]
    worst = [int(costs.max()) for costs in passes]
    guesses = (1, 2, 8, 16, 32)
    questions = [
        number_question(
            "A warp writes 32 rows of one column. The rows are 17 numbers apart. How many passes does that take?",
            worst[0], guesses, "17 is odd, so 32 rows begin in 32 different banks.",
        ),
        number_question(
            "And with rows of 16 numbers?", worst[1], guesses,
            "every second row begins in the same bank: 32 lanes share two banks.",
        ),
    ]  # fmt: skip
    rows = [
        [run.title, label, f"{len(chosen):,}", f"{int(run.recording.passes()[chosen].sum()):,}"]
        for run in runs
        for op, label in (("store", "stores to filters"), ("load", "loads of filters"))
        for chosen in [run.recording.of("filters", op)]
    ]
    return Made(
        f"Here: {layer.what}, {layer}; the gradient of its image by step 3 of the ladder, which turns the filters "
        "while it copies them to shared memory.",
        questions,
        partial(figures.banks, runs, "filters"),
        runs,
        {"banks": watched(runs, (("filters", "store"), ("filters", "load")))},
        {"runs": runs, "rows": rows, "worst": worst},
    )
