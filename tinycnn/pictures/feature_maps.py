"""What an image becomes in a network, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.fit import summary
from tinycnn.fit.data import check_images
from tinycnn.layers import Dropout, InputLayer, Symbol
from tinycnn.models import Model
from tinycnn.pictures.paper import (
    BLUE,
    GREY,
    INK,
    as_picture,
    check_path,
    ends_in_softmax,
    finish,
    frameless,
    largest,
    new_figure,
    percent,
)
from tinycnn.shapes import ShapeError
from tinycnn.tensor import Tensor, no_grad

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_MAPS = 16  # in a row
CELL, PITCH, IMAGE = 0.58, 1.12, 2.6  # inches a map; from one to the next and the image's side, in maps
LABEL, RANGE = 1.75, 1.0  # inches left and right of the maps


def plot_feature_maps(model: Model, image: ArrayLike, path: str | PathLike | None = None) -> Figure:
    """The image, its maps after every layer with spatial output, and the network's answer.

    Args:
        model: a Model or Sequential, branches included, whose input's shape is known. image: one image.
        path: a .png, .svg or .pdf file to write, or None.

    Shapes:
        image (H, W, C), (1, H, W, C), or (H, W) for one channel.

    A row has the layer's name, its output's shape and its receptive field; up to 16 maps, the rest counted; and
    the range of all its maps, which share one scale: from 0 (dark) up, or around 0 (white) where some are
    negative. Where a layer's input is not the row above, the row says what it is. At the end stands the
    probability of every class, for a model with one flat output.

    Everything is computed in inference mode, and the model is left as it was.

    Returns:
        The matplotlib Figure.

    Raises:
        ShapeError: for an image that does not fit.
        ValueError: for one that is not finite, for a model without layers, and for another suffix.
        OSError: for a path that cannot be written.

    >>> from tinycnn.architectures import build
    >>> figure = plot_feature_maps(build("vanilla-15k"), np.zeros((28, 28)))
    """
    check_path(path)
    described = summary.rows(model)
    pixels = check_image(image, model)
    values = run(model, pixels)
    named = [symbol for symbol in model.symbols if symbol.layer in model.layers]
    rows = [(row, symbol) for row, symbol in zip(described, named, strict=True)
            if len(symbol.extents) == 3 and not isinstance(symbol.layer, InputLayer)]  # fmt: skip

    answered = not isinstance(model.output, (list, tuple)) and len(model.output.extents) == 1
    columns = min(MOST_MAPS, max([10] + [symbol.extents[2] for _, symbol in rows]))
    height = CELL * (IMAGE + 0.5 + PITCH * len(rows))
    bars = 2.0 if answered else 0
    figure = new_figure(LABEL + RANGE + CELL * PITCH * columns, height + bars + 0.2)
    parts = figure.subplots(1 + answered, 1, squeeze=False, height_ratios=[height, bars] if answered else None)[:, 0]
    draw_maps(parts[0], pixels, rows, values, columns, model)
    if answered:
        draw_answer(parts[1], model, values[model.output])
    return finish(figure, path)


def check_image(image: ArrayLike, model: Model) -> np.ndarray:
    """(H, W, C) as floats. Raises ShapeError or ValueError."""
    if len(model.inputs) > 1:
        raise ValueError(f"{model.name} has {len(model.inputs)} inputs, and the maps of one image are drawn")
    pixels = np.asarray(image)
    wanted = model.input.extents
    if pixels.shape == wanted[:2] and wanted[2] == 1:
        pixels = pixels[..., None]
    if pixels.shape[:1] == (1,) and pixels.ndim == 4:
        pixels = pixels[0]
    if pixels.shape != wanted:
        raise ShapeError(f"{model.name} takes one image of shape {wanted}, not {pixels.shape}")
    pixels = check_images(pixels[None], model, "the image")[0]
    return pixels if pixels.dtype.kind == "f" else pixels.astype(np.float32)


def run(model: Model, image: np.ndarray) -> dict[Symbol, np.ndarray]:
    """{Symbol: array without the batch} of every connection, in inference mode.

    The layers are called here and not through a Model with many outputs: a new Model would be the one whose
    training steps the dropout layers count.
    """
    with no_grad():
        values = {model.input: Tensor(image[None], device=model.device)}
        for symbol in model.symbols[1:]:
            values[symbol] = symbol.compute(values, training=False)
        return {symbol: value.numpy()[0].copy() for symbol, value in values.items()}


def draw_maps(
    axes: Axes, image: np.ndarray, rows: Sequence[tuple[summary.Row, Symbol]], values: dict[Symbol, np.ndarray],
    columns: int, model: Model,
) -> None:  # fmt: skip
    """The image and a row of maps for each (summary.Row, Symbol)."""
    frameless(axes)
    axes.set_aspect("equal")
    text: dict[str, Any] = {"va": "center", "fontsize": 8, "color": INK, "linespacing": 1.2}
    place(axes, as_picture(image), 0, 0, IMAGE, cmap="gray")
    axes.text(-0.2, IMAGE / 2, f"image\n{size(image.shape)}", ha="right", **text)
    axes.text(
        IMAGE + 0.4, IMAGE / 2,
        f"What {model.name} makes of this image, layer by layer\n",
        ha="left", va="center", fontsize=12, color=INK,
    )  # fmt: skip
    axes.text(
        IMAGE + 0.4, IMAGE / 2 + 0.1,
        "dark to bright: from 0 to the row's largest value\n"
        "blue, white, red: below, at and above 0, in rows with negative values",
        ha="left", va="top", fontsize=8.5, color=INK, linespacing=1.4,
    )  # fmt: skip
    above = model.input
    for number, (row, symbol) in enumerate(rows):
        maps, top = values[symbol], IMAGE + 0.4 + number * PITCH
        signed, limit = bool((maps < 0).any()), largest(maps)
        extent = f"{maps.min():.3g} to {maps.max():.3g}" if np.isfinite(maps).all() else "not finite"
        colours: dict[str, Any] = {
            "cmap": "RdBu_r" if signed else "magma",
            "vmin": -limit if signed else 0,
            "vmax": limit,
        }
        for k in range(min(maps.shape[2], MOST_MAPS)):
            place(axes, maps[:, :, k], k * PITCH, top, 1, **colours)
        field = f"sees {size(row.receptive_field)} pixels"
        note = "" if symbol.inputs == (above,) else f"\nfrom {' and '.join(i.layer.name for i in symbol.inputs)}"
        if isinstance(symbol.layer, Dropout):
            note += "\ndrops nothing here"
        axes.text(-0.2, top + 0.5, f"{row.name}\n{size(symbol.extents)}\n{field}{note}", ha="right", **text)
        more = f"\n+{maps.shape[2] - MOST_MAPS} more" if maps.shape[2] > MOST_MAPS else ""
        axes.text(columns * PITCH + 0.05, top + 0.5, f"{extent}{more}", ha="left", **text)
        above = symbol
    axes.set_xlim(-0.05, columns * PITCH)
    axes.set_ylim(IMAGE + 0.4 + len(rows) * PITCH, -0.05)


def place(axes: Axes, picture: np.ndarray, left: float, top: float, side: float, **colours: Any) -> None:
    """Draw `picture` as large as it fits into a square of this side at this corner."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    left, top = left + (side - width * scale) / 2, top + (side - height * scale) / 2
    corners = (left, left + width * scale, top + height * scale, top)
    axes.imshow(picture, extent=corners, interpolation="nearest", **colours)


def draw_answer(axes: Axes, model: Model, output: np.ndarray) -> None:
    """The last layer's output (classes,) as bars, the largest in colour."""
    best, classes = int(np.argmax(output)), len(output)
    chances = ends_in_softmax(model)
    bars = axes.bar(range(classes), output, color=[BLUE if k == best else GREY for k in range(classes)], width=0.7)
    said = f"{best}, probability {percent(float(output[best]))}" if chances else f"{best}, output {output[best]:.3g}"
    if not np.isfinite(output).all():
        said = "not a number"
    axes.set_title(f"the network's answer: {said}", fontsize=10.5, color=INK)
    axes.set_xlabel("class")
    axes.set_ylabel("probability" if chances else f"output of {model.output.layer.name}")
    axes.spines[["top", "right"]].set_visible(False)
    if chances:
        axes.set_ylim(0, 1.12)
        axes.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"])
    if classes <= 20:
        axes.set_xticks(range(classes))
        axes.set_xlim(-0.6, classes - 0.4)
        if chances:
            texts = [percent(float(p)) if p >= 0.00005 else "" for p in output]
            axes.bar_label(bars, texts, fontsize=7.5, color=INK, padding=1.5)


def size(shape: Sequence[int]) -> str:
    return "x".join(str(n) for n in shape)
