"""Lesson 8: the ladder under the roof of a GPU."""

from __future__ import annotations

from functools import partial
from typing import Any

from tinycnn import emulator, kernels
from tinycnn.devices.gpu import cards, ladder
from tinycnn.lessons import figures
from tinycnn.lessons.lesson import Made, Question, number_question
from tinycnn.lessons.subjects import Subject, launch_of

ROOFS = {card.name: (card.float32, card.bandwidth) for card in map(cards.get, ("h200", "t4"))}


def roof(subject: Subject) -> Made:
    layer = subject.whole
    c = layer.conv
    flop = 2 * c.N * c.P * c.Q * c.K * c.R * c.S * c.C
    moved = {step: bytes_of(step, subject) for step in ladder.STEPS}
    intensity = {step: flop / size for step, size in moved.items()}
    times = subject.measured("ladder", partial(of_layer, f"{c.H}x{c.W}x{c.C} * {c.R}x{c.S} -> {c.K}"))
    card, (peak, bandwidth) = next(iter(ROOFS.items()))
    ridge = peak / bandwidth
    right = [step for step in intensity if intensity[step] >= ridge]
    ratio = moved["1_naive"] / moved["5_register_blocking"]
    questions = [
        number_question(
            "How many times fewer bytes does step 5, register blocking, move than step 1?", ratio,
            (ratio / 30, ratio / 6, ratio / 2, 2 * ratio), "its tiles are loaded once for many outputs.", "{:.0f}",
        ),
        Question(
            f"An {card} does {ridge:.0f} operations in the time in which it moves a byte, by its data sheet. Does one "
            "of the steps do so many for a byte?",
            ("yes", "no"), 0 if right else 1,
            f"the most is {max(intensity.values()):.1f}, that of step {max(intensity, key=lambda s: intensity[s])[0]}.",
        ),
    ]  # fmt: skip
    draw = partial(figures.roofline, intensity, ROOFS, times)
    rows = [
        [step.replace("_", " "), f"{moved[step]:,}", f"{value:.2f}", *limits(value), *reached(times, step)]
        for step, value in intensity.items()
    ]
    heads = ["step", "bytes moved", "FLOP a byte", *(f"at most on {name}, TFLOP/s (predicted)" for name in ROOFS)]
    return Made(
        f"Here: {layer.what}, {layer}: {flop:,} operations, two for each multiply-add.",
        questions,
        draw,
        values={
            "chart": figures.inline(draw()), "rows": rows,
            "heads": heads + ([f"measured on {times['device']}, TFLOP/s"] if times else []), "times": times,
            "ridge": ridge, "card": card, "ratio": ratio, "cards": " and ".join(ROOFS), "flop": flop,
        },
    )  # fmt: skip


def bytes_of(step: str, subject: Subject) -> int:
    """The bytes of all sectors that a step moves."""
    launch = launch_of(step, "forward", subject.whole.conv)
    return emulator.trace(kernels.path(f"ladder/{step}"), launch, blocks=None).bytes_moved


def limits(intensity: float) -> list[str]:
    """What a kernel of so many operations a byte could reach on each card, without caches."""
    return [f"{min(peak, intensity * bandwidth) / 1e12:.2f}" for peak, bandwidth in ROOFS.values()]


def of_layer(shape: str, content: Any) -> dict[str, Any] | None:
    """{"device", "tflops": {step: TFLOP/s}, "images"} of this layer's forward pass; None where it was not measured."""
    layers = [layer for layer in content["layers"] if layer["shape"] == shape]
    found = {
        row["step"]: row["tflops"]
        for layer in layers
        for row in layer["rows"]
        if row["direction"] == "forward" and row["tflops"] and row["step"] in ladder.STEPS
    }
    return {"device": content["device"], "tflops": found, "images": layers[0]["images"]} if found else None


def reached(times: dict[str, Any] | None, step: str) -> list[str]:
    """What was measured of a step, as cells of a table: none without times."""
    if not times:
        return []
    return [f"{times['tflops'][step]:.2f}" if step in times["tflops"] else "-"]
