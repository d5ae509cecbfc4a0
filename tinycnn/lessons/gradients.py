"""Lesson 6: a gradient beside the slope that it claims to be, and the sum that it is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from tinycnn import functional as F
from tinycnn.datasets import synthetic
from tinycnn.devices import use_device
from tinycnn.layers import Conv2D, Symbol
from tinycnn.lessons import figures
from tinycnn.lessons.lesson import Made, Question, number_question
from tinycnn.lessons.subjects import Subject, first_convolution
from tinycnn.models import Model
from tinycnn.shapes import window_padding
from tinycnn.tensor import Tensor, no_grad

REACH, POINTS = 0.5, 21  # how far a weight is nudged for its curve, and at how many places
STEP = 1e-5  # of the slope
MOST_TAPS = 9


def gradient(subject: Subject) -> Made:
    with use_device("reference", "float64"):
        model = subject.model()
        images, labels = synthetic.digits(1)
        x = images[..., None] / 255
        y = np.eye(model.symbols[-1].extents[0])[labels]
        symbol = first_convolution(model)
        kernel = symbol.layer.parameters["kernel"]
        before, dy, dw, dx = backward(model, symbol, x, y)
        R, S, C, _ = kernel.shape
        k = int(np.abs(dw[:, :, 0]).max(axis=(0, 1)).argmax())  # the filter whose weights matter most
        taps = [(r, s) for r in range(R) for s in range(S)][:MOST_TAPS]

        def value() -> float:
            with no_grad():
                return loss_of(model, before, symbol, y).item()

        start = value()
        found = [nudged(value, kernel.data, (r, s, 0, k)) for r, s in taps]
    slopes = [slope for _, _, slope in found]
    gradients = [float(dw[r, s, 0, k]) for r, s in taps]
    windows = [window(x[0, :, :, 0], r, s, dy[0, :, :, k], symbol) for r, s in taps]
    frames = [
        (f"tap ({r}, {s})", frame(tap, start, curve, gradients[tap], slopes[tap], windows[tap], dy[0, :, :, k], (r, s)))
        for tap, ((r, s), (_, curve, _)) in enumerate(zip(taps, found, strict=True))
    ]
    worst = max(abs(a - b) for a, b in zip(gradients, slopes, strict=True))
    tap = int(np.abs(gradients).argmax())
    g = gradients[tap]
    questions = [
        Question(
            f"The gradient of the loss at the weight of tap {taps[tap]} is {g:+.3f}. The weight is raised by 0.01. "
            "What does the loss do?",
            (f"it {'rises' if g > 0 else 'falls'} by about {abs(g) / 100:.5f}",
             f"it {'falls' if g > 0 else 'rises'} by about {abs(g) / 100:.5f}", "it stays as it is"),
            0, "the gradient is the slope: the change of the loss for a small change of the weight.",
        ),
        number_question(
            "How many products are added up for the gradient of this one weight, for one image?", windows[0].size,
            (R * S, R * S * C, x.size, 1), "one for each output: each has used this weight once, at another pixel.",
        ),
    ]  # fmt: skip
    return Made(
        f"Here: one image through {subject.shown}, in float64; the first convolution's filter {k} over channel 0.",
        questions,
        partial(figures.slope, start, found[tap][1], g, f"tap {taps[tap]}"),
        values={
            "frames": frames, "start": f"{start:.6f}", "worst": f"{worst:.1e}",
            "dx": figures.pixels(dx[0, :, :, 0], signed=True), "image": figures.pixels(x[0, :, :, 0]),
            "taps": f"{R} x {S}", "P": windows[0].shape[0], "Q": windows[0].shape[1],
        },
    )  # fmt: skip


Values = dict[Symbol, Tensor]


def backward(
    model: Model, symbol: Symbol, x: np.ndarray, y: np.ndarray
) -> tuple[Values, np.ndarray, np.ndarray, np.ndarray]:
    """(what is computed ahead of the convolution, dy at its sums, dw, dx), for the loss of one batch.

    dy is the gradient behind the bias and ahead of ReLU: the layer's output is made a leaf of its own for it.
    """
    with no_grad():
        before: Values = {model.input: Tensor(x)}
        for earlier in model.symbols[1 : model.symbols.index(symbol)]:
            before[earlier] = earlier.compute(before, False)
        output = symbol.compute(before, False).numpy().copy()
    leaf = Tensor(output, requires_grad=True)
    loss_of(model, {**before, symbol: leaf}, symbol, y).backward()
    assert leaf.grad is not None
    dy = leaf.grad.numpy() * (output > 0 if getattr(symbol.layer, "activation", None) == "relu" else 1)
    image = Tensor(before[symbol.inputs[0]].numpy().copy(), requires_grad=True)
    again: Values = {symbol.inputs[0]: image}
    loss_of(model, {**before, **again}, symbol, y).backward()
    kernel = symbol.layer.parameters["kernel"]
    assert kernel.grad is not None and image.grad is not None
    return before, dy, kernel.grad.numpy().copy(), image.grad.numpy().copy()


def loss_of(model: Model, before: Values, symbol: Symbol, y: np.ndarray) -> Tensor:
    """The loss, from the convolution on or, where its output is known, from there."""
    values = dict(before)
    for later in model.symbols[model.symbols.index(symbol) :]:
        if later not in values:
            values[later] = later.compute(values, False, to_logits=later is model.output)
    assert isinstance(model.output, Symbol)
    return F.softmax_crossentropy(values[model.output], Tensor(y))[0]


def nudged(value: Callable[[], float], weight: np.ndarray, at: tuple[int, ...]) -> tuple[float, np.ndarray, float]:
    """(the weight, [(nudge, loss)] as (POINTS, 2), the slope by a small difference). The weight stays as it was."""
    kept = float(weight[at])

    def moved(by: float) -> float:
        weight[at] = kept + by
        return value()

    try:
        curve = np.array([(by, moved(by)) for by in np.linspace(-REACH, REACH, POINTS)])
        return kept, curve, (moved(STEP) - moved(-STEP)) / (2 * STEP)
    finally:
        weight[at] = kept


def window(image: np.ndarray, r: int, s: int, dy: np.ndarray, symbol: Symbol) -> np.ndarray:
    """The pixels (P, Q) that a tap of the filter has met, 0 outside the image."""
    layer = symbol.layer
    assert isinstance(layer, Conv2D)
    (top, _), (left, _) = window_padding(image.shape, layer.window, layer.stride, layer.padding)
    seen = np.zeros_like(dy)
    for p, q in np.ndindex(*dy.shape):
        h, v = p * layer.stride[0] + r - top, q * layer.stride[1] + s - left
        if 0 <= h < image.shape[0] and 0 <= v < image.shape[1]:
            seen[p, q] = image[h, v]
    return seen


def frame(
    number: int, start: float, curve: np.ndarray, gradient: float, slope: float, seen: np.ndarray, dy: np.ndarray,
    tap: tuple[int, int],
) -> figures.Markup:  # fmt: skip
    """What is shown for one tap: the curve with the gradient as its tangent, and the three maps of its sum."""
    maps = [
        (figures.pixels(dy, signed=True), "dy: what each output's sum does to the loss"),
        (figures.pixels(seen), f"the pixels that tap {tap} has met"),
        (figures.pixels(dy * seen, signed=True), f"their product; its sum is {float((dy * seen).sum()):+.6f}"),
    ]
    shown = figures.Markup("").join(
        figures.Markup(
            '<figure><img class="pixels" width="168" height="168" src="{}" alt="{}">'
            "<figcaption>{}</figcaption></figure>"
        ).format(source, text, text)
        for source, text in maps
    )  # fmt: skip
    return figures.Markup("<p>gradient {}, slope {}</p><div>{}</div><div class='row'>{}</div>").format(
        f"{gradient:+.6f}", f"{slope:+.6f}", figures.inline(figures.slope(start, curve, gradient, f"tap {tap}")), shown
    )
