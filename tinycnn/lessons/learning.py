"""Lesson 9: filters and maps epoch by epoch, receptive fields, and mistakes."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from tinycnn import datasets
from tinycnn.devices import use_device
from tinycnn.layers import InputLayer, Symbol
from tinycnn.lessons import figures
from tinycnn.lessons.lesson import Made, Question, number_question
from tinycnn.lessons.subjects import Subject, first_convolution
from tinycnn.models import Model
from tinycnn.pictures import confusion_matrix
from tinycnn.pictures.feature_maps import run
from tinycnn.shapes import window_padding

EPOCHS, IMAGES, BATCH = 5, 2000, 64
MOST_FILTERS, MOST_EXAMPLES = 16, 6


def learned(subject: Subject) -> Made:
    data = datasets.load("synthetic", limit=IMAGES)
    with use_device("cpu"):
        model = subject.model()
        y_train, x = np.eye(model.symbols[-1].extents[0])[data.y_train], data.x_test
        symbol = first_convolution(model)
        kept = [state(model, symbol, x, data.y_test)]
        for _ in range(EPOCHS):
            model.fit(data.x_train, y_train, batch_size=BATCH, verbose=0)
            kept.append(state(model, symbol, x, data.y_test))
    frames = [(name_of(epoch), frame(found)) for epoch, found in enumerate(kept)]
    final = kept[-1]
    pairs = mistakes(final["confusion"], x, data.y_test, final["answers"])
    spatial = fields(model)
    last = spatial[-1]
    accuracy = [float(found["confusion"].trace() / found["confusion"].sum()) for found in kept]
    questions = [
        number_question(
            f"How many pixels high is what one number of {last['name']} sees of the image?", last["size"][0],
            (1, 3, last["size"][0] // 2 + 1, model.input.extents[0]),
            "each layer's window adds to it, and a layer behind a pooling or a stride adds so many times as much.",
        ),
        Question(
            f"Before any training, which share of {len(x):,} digits is answered rightly?",
            ("about one in ten", "about a half", "none"),
            int(np.argmin([abs(accuracy[0] - share) for share in (0.1, 0.5, 0.0)])),
            f"it is {accuracy[0]:.3f}; the weights are random, and so are the answers.",
        ),
    ]  # fmt: skip
    return Made(
        f"Here: {subject.shown}, trained for {EPOCHS} epochs on {IMAGES:,} digits that tinycnn draws, and tested on as "
        "many others.",
        questions,
        partial(figures.grid, [found["kernel"] for found in kept], [name_of(e) for e in range(len(kept))]),
        values={
            "frames": frames, "pairs": pairs, "layers": spatial, "image": figures.pixels(x[0, ..., 0]),
            "layer": symbol.layer.name, "accuracy": [f"{a:.3f}" for a in accuracy],
            "matrix": matrix(final["confusion"]), "side": model.input.extents[0],
        },
        data={"layers": spatial},
    )  # fmt: skip


def name_of(epoch: int) -> str:
    return f"after epoch {epoch}" if epoch else "before any training"


def state(model: Model, symbol: Symbol, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """What is kept of an epoch: a convolution's filters, its maps of the first image, and who is taken for whom."""
    answers = model.predict(x)
    return {
        "kernel": symbol.layer.parameters["kernel"].numpy().copy()[:, :, 0, :MOST_FILTERS],
        "maps": run(model, x[0])[symbol][:, :, :MOST_FILTERS],
        "answers": answers.argmax(axis=1),
        "confusion": confusion_matrix(y, answers.argmax(axis=1), answers.shape[1]),
    }


def frame(found: dict[str, Any]) -> figures.Markup:
    """Filters above their maps."""
    shown = []
    for k in range(found["kernel"].shape[2]):
        filters = figures.pixels(found["kernel"][:, :, k], signed=True, limit=float(np.abs(found["kernel"]).max()))
        maps = figures.pixels(found["maps"][:, :, k], limit=float(found["maps"].max()) or 1.0)
        shown.append(
            figures.Markup(
                '<div><img class="pixels" width="56" height="56" src="{}" alt="filter {}"><br>'
                '<img class="pixels" width="56" height="56" src="{}" alt="map {}"></div>'
            ).format(filters, k, maps, k)
        )
    right = found["confusion"].trace() / found["confusion"].sum()
    return figures.Markup("<p>{} of the test's digits are answered rightly.</p><div class='row'>{}</div>").format(
        f"{right:.1%}", figures.Markup("").join(shown)
    )


def matrix(counts: np.ndarray) -> list[list[tuple[int, str]]]:
    """The cells of the confusion matrix: (count, its colour)."""
    most = np.log1p(counts.max())
    return [
        [
            (int(n), f"hsl({205 if row == column else 28} 90% {97 - 40 * np.log1p(n) / most:.0f}%)" if n else "#ffffff")
            for column, n in enumerate(line)
        ]
        for row, line in enumerate(counts)
    ]


def mistakes(counts: np.ndarray, x: np.ndarray, y: np.ndarray, answers: np.ndarray) -> list[dict[str, Any]]:
    """The most frequent mistakes: {"true", "taken", "count", "images"}."""
    wrong = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    found = []
    for i in np.argsort(-wrong, axis=None, kind="stable")[:MOST_EXAMPLES]:
        true, taken = divmod(int(i), len(counts))
        those = np.flatnonzero((y == true) & (answers == taken))[:MOST_EXAMPLES]
        if wrong.flat[i] and len(those):
            images = [figures.pixels(x[n, ..., 0]) for n in those]
            found.append({"true": true, "taken": taken, "count": int(wrong.flat[i]), "images": images})
    return found


def fields(model: Model) -> list[dict[str, Any]]:
    """Where the pixels lie that a number of each layer with an image as output depends on.

    {"name", "rows", "columns", "start", "jump", "size"}, the last three for rows and columns: place i sees the pixels
    from start + i * jump on, `size` of them.
    """
    seen: dict[Symbol, list[tuple[int, int, int]]] = {model.input: [(0, 1, 1), (0, 1, 1)]}
    found = []
    for symbol in model.symbols[1:]:
        if len(symbol.extents) != 3:
            continue
        layer, inputs = symbol.layer, [seen[i] for i in symbol.inputs]
        pads = window_padding(
            symbol.inputs[0].extents[:2], layer.window, layer.stride, getattr(layer, "padding", "valid")
        )
        axes = []
        for axis in (0, 1):
            start = min(i[axis][0] for i in inputs)
            jump = inputs[0][axis][1]
            end = max(i[axis][0] + i[axis][2] for i in inputs)
            start -= pads[axis][0] * jump
            end += (layer.window[axis] - 1 - pads[axis][0]) * jump
            axes.append((start, jump * layer.stride[axis], end - start))
        seen[symbol] = axes
        if not isinstance(layer, InputLayer):
            rows, columns = symbol.extents[:2]
            parts = {name: [axis[i] for axis in axes] for i, name in enumerate(("start", "jump", "size"))}
            found.append({"name": layer.name, "rows": rows, "columns": columns, **parts})
    return found
