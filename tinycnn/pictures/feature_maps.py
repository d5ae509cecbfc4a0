"""What an image becomes in a network, layer by layer."""

import numpy as np

from tinycnn.fit import summary
from tinycnn.fit.data import check_images
from tinycnn.layers import Dropout, InputLayer
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

MOST_MAPS = 16  # in a row
CELL, PITCH, IMAGE = 0.58, 1.12, 2.6  # inches a map; from one to the next and the image's side, in maps
LABEL, RANGE = 1.75, 1.0  # inches left and right of the maps


def plot_feature_maps(model, image, path=None):
    """The image, its maps after every layer with spatial output, and the network's answer.

    model: a Model or Sequential, branches included, whose input's shape is known. image: (H, W, C), (1, H, W, C),
    or (H, W) for one channel. path: a .png, .svg or .pdf file to write, or None.

    A row has the layer's name, its output's shape and its receptive field; up to 16 maps, the rest counted; and
    the range of all its maps, which share one scale: from 0 (dark) up, or around 0 (white) where some are
    negative. Where a layer's input is not the row above, the row says what it is. At the end stands the
    probability of every class, for a model with one flat output.

    Everything is computed in inference mode, and the model is left as it was. Returns the matplotlib Figure.
    Raises ShapeError for an image that does not fit; ValueError for one that is not finite, for a model without
    layers, and for another suffix; OSError for a path that cannot be written.
    """
    check_path(path)
    described = summary.rows(model)
    image = check_image(image, model)
    values = run(model, image)
    named = [symbol for symbol in model.symbols if symbol.layer in model.layers]
    rows = [(row, symbol) for row, symbol in zip(described, named, strict=True)
            if len(symbol.shape) == 3 and not isinstance(symbol.layer, InputLayer)]  # fmt: skip

    answered = not isinstance(model.output, (list, tuple)) and len(model.output.shape) == 1
    columns = min(MOST_MAPS, max([10] + [symbol.shape[2] for _, symbol in rows]))
    height = CELL * (IMAGE + 0.5 + PITCH * len(rows))
    bars = 2.0 if answered else 0
    figure = new_figure(LABEL + RANGE + CELL * PITCH * columns, height + bars + 0.2)
    parts = figure.subplots(1 + answered, 1, squeeze=False, height_ratios=[height, bars] if answered else None)[:, 0]
    draw_maps(parts[0], image, rows, values, columns, model)
    if answered:
        draw_answer(parts[1], model, values[model.output])
    return finish(figure, path)


def check_image(image, model):
    """(H, W, C) as floats. Raises ShapeError or ValueError."""
    image = np.asarray(image)
    wanted = model.input.shape
    if image.shape == wanted[:2] and wanted[2] == 1:
        image = image[..., None]
    if image.shape[:1] == (1,) and image.ndim == 4:
        image = image[0]
    if image.shape != wanted:
        raise ShapeError(f"{model.name} takes one image of shape {wanted}, not {image.shape}")
    image = check_images(image[None], model, "the image")[0]
    return image if image.dtype.kind == "f" else image.astype(np.float32)


def run(model, image):
    """{Symbol: array without the batch} of every connection, in inference mode.

    The layers are called here and not through a Model with many outputs: a new Model would be the one whose
    training steps the dropout layers count.
    """
    with no_grad():
        values = {model.input: Tensor(image[None], device=model.device)}
        for symbol in model.symbols[1:]:
            values[symbol] = symbol.compute(values, training=False)
        return {symbol: value.numpy()[0].copy() for symbol, value in values.items()}


def draw_maps(axes, image, rows, values, columns, model):
    """The image and a row of maps for each (summary.Row, Symbol)."""
    frameless(axes)
    axes.set_aspect("equal")
    text = {"va": "center", "fontsize": 8, "color": INK, "linespacing": 1.2}
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
        colours = {"cmap": "RdBu_r" if signed else "magma", "vmin": -limit if signed else 0, "vmax": limit}
        for k in range(min(maps.shape[2], MOST_MAPS)):
            place(axes, maps[:, :, k], k * PITCH, top, 1, **colours)
        field = f"sees {size(row.receptive_field)} pixels"
        note = "" if symbol.inputs == (above,) else f"\nfrom {' and '.join(i.layer.name for i in symbol.inputs)}"
        if isinstance(symbol.layer, Dropout):
            note += "\ndrops nothing here"
        axes.text(-0.2, top + 0.5, f"{row.name}\n{size(symbol.shape)}\n{field}{note}", ha="right", **text)
        more = f"\n+{maps.shape[2] - MOST_MAPS} more" if maps.shape[2] > MOST_MAPS else ""
        axes.text(columns * PITCH + 0.05, top + 0.5, f"{extent}{more}", ha="left", **text)
        above = symbol
    axes.set_xlim(-0.05, columns * PITCH)
    axes.set_ylim(IMAGE + 0.4 + len(rows) * PITCH, -0.05)


def place(axes, picture, left, top, side, **colours):
    """Draw `picture` as large as it fits into a square of this side at this corner."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    left, top = left + (side - width * scale) / 2, top + (side - height * scale) / 2
    corners = (left, left + width * scale, top + height * scale, top)
    axes.imshow(picture, extent=corners, interpolation="nearest", **colours)


def draw_answer(axes, model, output):
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


def size(shape):
    return "x".join(str(n) for n in shape)
