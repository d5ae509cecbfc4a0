"""Lesson 7: the matrix that is never written, and what registers save."""

from __future__ import annotations

from functools import partial

import numpy as np

from tinycnn import emulator, kernels
from tinycnn.devices.gpu import ladder
from tinycnn.lessons import figures
from tinycnn.lessons.lesson import Made, number_question
from tinycnn.lessons.requests import seen_by
from tinycnn.lessons.runs import Run, recorded
from tinycnn.lessons.subjects import Subject, launch_of

STEP = "6_implicit_gemm"
TILE = {"a_tile": (16, 66), "b_tile": (16, 34)}  # BL rows of BM + 2 and of BN + 2 numbers


def product(subject: Subject) -> Made:
    layer = subject.later
    conv = layer.conv
    path = kernels.path(f"ladder/{STEP}")
    run = recorded(
        path, launch_of(STEP, "forward", conv), 0, "step 6", [("x", "load"), ("a_tile", "store")], shared=TILE
    )
    loads, stores = pairs(run)
    middle = conv.H // 2, conv.W // 2
    copies, (rows, columns) = copies_of(run, middle), seen_by(conv, middle)
    requests = {step: shared_requests(step, subject) for step in list(ladder.STEPS)[2:]}
    names = [step.replace("_", ", ", 1).replace("_", " ") for step in requests]
    saved = requests["4_halo_tile"] / requests["5_register_blocking"]
    draw = partial(figures.bars, names, list(requests.values()), "requests to shared memory for 32 multiply-adds")
    questions = [
        number_question(
            "The pixel in the middle of the image: in how many rows of the left matrix does it stand?", copies,
            (1, conv.C, conv.R, conv.R * conv.S * conv.C),
            f"in one for each output that sees it, {rows} x {columns}.",
        ),
        number_question(
            "Step 5 keeps 4 x 4 sums in the registers of a thread. How many times as many requests to shared memory "
            "does a multiply-add need in step 4?", saved, (saved / 2, 2 * saved, 4 * saved),
            "for 16 multiply-adds it reads 4 + 4 numbers where step 4 reads 32; copying is in these counts too, and "
            "half empty tiles" + (", which here cost more than registers save." if saved < 1 else "."),
            "{:.1f}",
        ),
    ]  # fmt: skip
    return Made(
        f"Here: {layer.what}, {layer}: a product of {conv.P * conv.Q} x {conv.R * conv.S * conv.C} numbers of the "
        f"image by {conv.R * conv.S * conv.C} x {conv.K} of the filters.",
        questions,
        draw,
        [run],
        {"product": [{"label": "copies of x", "lists": [{"run": 0, "requests": part} for part in (loads, stores)]}]},
        {
            "conv": conv, "run": run, "copies": copies, "chart": figures.inline(draw()),
            "rows": [[name, f"{value:.2f}"] for name, value in zip(names, requests.values(), strict=True)],
            "larger": conv.P * conv.Q * conv.R * conv.S / (conv.H * conv.W),
        },
    )  # fmt: skip


def pairs(run: Run) -> tuple[list[int], list[int]]:
    """The loads of x, and of each the store to a_tile that follows in the same warp."""
    recording = run.recording
    requests = recording.requests
    waiting: dict[tuple[int, ...], int] = {}
    loads, stores = [], []
    is_load = np.isin(np.arange(len(recording)), recording.of("x", "load"))
    for i, request in enumerate(requests):
        who = (*request["block"].tolist(), int(request["warp"]))
        if is_load[i]:
            waiting[who] = i
        elif who in waiting:
            loads.append(waiting.pop(who))
            stores.append(i)
    return loads, stores


def copies_of(run: Run, pixel: tuple[int, int]) -> int:
    """In how many rows of the matrix, which are outputs, a pixel's channel 0 stands: how often it is copied to a tile.

    Each block of filters copies it again, so the copies of one of them are counted.
    """
    recording = run.recording
    _, _, W, C = next(array.shape for array in recording.arrays if array.name == "x")
    chosen = recording.of("x", "load")
    requests = recording.requests[chosen]
    wanted = requests["offsets"] // 4 == (pixel[0] * W + pixel[1]) * C
    return int((wanted & recording.active[chosen] & (requests["block"][:, 1:2] == 0)).sum())


def shared_requests(step: str, subject: Subject) -> float:
    """Requests to shared memory of a step, for 32 multiply-adds: what a warp does in one instruction."""
    conv = subject.later.conv
    traced = emulator.trace(kernels.path(f"ladder/{step}"), launch_of(step, "forward", conv), blocks=None)
    requests = sum(line.requests for line in traced.lines if line.space == "shared")
    return requests / (conv.N * conv.P * conv.Q * conv.K * conv.R * conv.S * conv.C / 32)
