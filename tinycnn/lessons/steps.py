"""Lesson 11: the launches of one training step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from tinycnn import emulator
from tinycnn.datasets import synthetic
from tinycnn.devices import use_device
from tinycnn.devices.checks.cases import RecordingDriver
from tinycnn.devices.gpu import KernelDevice
from tinycnn.fit.data import resident
from tinycnn.fit.loop import Steps
from tinycnn.lessons import figures
from tinycnn.lessons.lesson import Made, number_question
from tinycnn.lessons.subjects import Subject
from tinycnn.shapes import Shape

BATCH = 128
HELD = 2048  # threads a multiprocessor, of compute capability 8.0 and 9.0; a large GPU has over a hundred of them


class ListingDevice(KernelDevice):
    """A device of kernels that are listed."""

    name = "listing"


class ListingDriver(RecordingDriver):
    """Keeps a description of each launch and runs none: what is computed is never looked at."""

    def launch(
        self, file: str, kernel: str, ctype: str, grid: Shape, block: Shape, args: Sequence[Any], shared: int,
        cooperative: bool = False,
    ) -> None:  # fmt: skip
        self.launches.append((file, emulator.Launch(kernel, tuple(grid), tuple(block), [], shared)))


def launches(subject: Subject) -> Made:
    found = launches_of_a_step(subject)
    files = [file for file, _ in found]
    by_file = {file: files.count(file) for file in dict.fromkeys(files)}
    times = subject.measured("profile_steps", partial(of_network, subject.network))
    threads = [int(np.prod(launch.grid)) * int(np.prod(launch.block)) for _, launch in found]
    smallest = sum(n < HELD for n in threads)
    total = len(found)
    with use_device("reference"):
        layers = len(subject.model().layers)
    questions = [
        number_question(
            f"How many kernels does one training step of this network launch, on a batch of {BATCH}?", total,
            (1, layers, 2 * layers, 3 * total, 10 * total),
            "each layer goes forward and back, for its input and for its weights; and there are the batch, the loss, "
            "the counters and the update.",
        ),
        number_question(
            f"How many of them have fewer than {HELD:,} threads, what one multiprocessor of a large GPU holds?",
            smallest, (0, 1, total // 2, total - 1),
            "they leave almost all of the GPU idle, and the next has to wait for them all the same.",
        ),
    ]  # fmt: skip
    draw = partial(figures.chain, found, times)
    rows = [
        [number, file, launch.kernel, "x".join(map(str, launch.grid)), "x".join(map(str, launch.block))]
        + ([f"{times['us'][launch.kernel]:.1f}"] if times and launch.kernel in times["us"] else [""] * bool(times))
        for number, (file, launch) in enumerate(found, 1)
    ]
    return Made(
        f"Here: one training step of {subject.shown} on a batch of {BATCH}, as tinycnn launches it on a GPU.",
        questions,
        draw,
        values={
            "chart": figures.inline(draw()), "rows": rows, "by_file": list(by_file.items()), "total": total,
            "heads": ["", "file", "kernel", "grid", "block", *(["µs, measured"] if times else [])], "times": times,
            "smallest": smallest, "held": HELD,
        },
    )  # fmt: skip


def launches_of_a_step(subject: Subject) -> list[tuple[str, emulator.Launch]]:
    """(file, Launch) of one training step, in order."""
    driver = ListingDriver()
    with use_device(ListingDevice("float32", driver)):
        model = subject.model()
        images, labels = synthetic.digits(BATCH)
        x = (images[..., None] / 255).astype(np.float32)
        y = np.eye(model.symbols[-1].extents[0], dtype=np.float32)[labels]
        data = resident(model, x, y, ("x", "y"))
        model.trained = model.trainable_weights
        assert model.optimizer is not None
        model.optimizer.bind(model.trained)
        steps = Steps(model, data)
        steps.start(np.arange(BATCH))
        driver.launches.clear()
        steps.train(BATCH)
    return driver.launches


def of_network(network: str | None, content: Any) -> dict[str, Any] | None:
    """{"device", "step_us", "us": {kernel: of one launch}, "kernels_us", "launches"}; None for one not measured."""
    row = next((row for row in content["rows"] if row["network"] == network), None)
    if row is None:
        return None
    us = {kernel["kernel"]: kernel["us"] / kernel["launches"] for kernel in row["kernels"]}
    whole = sum(kernel["us"] for kernel in row["kernels"])
    return {
        "device": content["device"], "step_us": row["us"], "us": us, "kernels_us": whole, "launches": row["launches"],
    }  # fmt: skip
