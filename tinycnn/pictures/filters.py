"""The filters of a convolution as small images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from tinycnn.layers import Conv2D
from tinycnn.models import Model
from tinycnn.pictures.paper import INK, check_path, finish, largest, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_IN_GRID = 64  # filters over one channel
MOST_ROWS, MOST_COLUMNS = 16, 16  # filters and channels, for filters over several
CELL, GAP = 0.62, 0.14  # inches a filter; the gap between two as a share of that


def plot_filters(model: Model, path: str | PathLike | None = None, layer: str | None = None) -> Figure:
    """The filters of a convolution as small images: blue weights are negative, white ones 0, red ones positive.

    Args:
        model: a Model whose input's shape is known. path: a .png, .svg or .pdf file to write, or None.
        layer: the name of one of its Conv2D layers; None takes the first.

    The kernel has shape (R, S, C, K). For C = 1 the K filters make a grid; otherwise filter k is row k and its
    weights over channel c are column c. Numbers are those of kernel[:, :, c, k]. Of more than can be read, the
    first are shown, and the title says so. All share one colour scale, as wide as the layer's largest weight.

    Returns:
        The matplotlib Figure.

    Raises:
        ValueError: where there is no such convolution or it has no weights yet, and for another suffix.
        OSError: for a path that cannot be written.

    >>> from tinycnn.architectures import build
    >>> plot_filters(build("vanilla-15k")).axes[0].get_title()
    'conv2d_1: 8 filters of 3x3 over 1 channel'
    """
    check_path(path)
    convolution = find(model, layer)
    kernel = convolution.kernel.numpy()
    channels, filters = kernel.shape[2:]
    if channels == 1:
        shown = min(filters, MOST_IN_GRID)
        across = min(shown, max(8, math.ceil(math.sqrt(shown))))
        places = [(0, k, k // across, k % across) for k in range(shown)]
        limits = f"the first {shown} of {filters} filters" if shown < filters else None
    else:
        down, across = min(filters, MOST_ROWS), min(channels, MOST_COLUMNS)
        places = [(c, k, k, c) for k in range(down) for c in range(across)]
        cut = [f"{n} of {all_} {what}" for n, all_, what in
               ((down, filters, "filters"), (across, channels, "channels")) if n < all_]  # fmt: skip
        limits = "the first " + " and ".join(cut) if cut else None
    return finish(draw(convolution, kernel, places, limits), path)


def find(model: Model, name: str | None) -> Conv2D:
    """The Conv2D called `name`, or the first one; with weights. Raises ValueError."""
    convolutions = [layer for layer in model.layers if isinstance(layer, Conv2D)]
    if not convolutions:
        raise ValueError(f"{model.name} has no convolution, so there are no filters to show")
    layer = convolutions[0] if name is None else model.get_layer(name)
    if layer not in convolutions:
        names = ", ".join(c.name for c in convolutions)
        raise ValueError(f"{layer.name} is a {layer.type}, not a convolution; there are: {names}")
    if layer.built_shape is None:
        raise ValueError(f"{layer.name} has no weights yet: give the first layer input_shape=, or build() the model")
    return layer


def draw(layer: Conv2D, kernel: np.ndarray, places: Sequence[tuple[int, int, int, int]], limits: str | None) -> Figure:
    """A Figure with the weights kernel[:, :, c, k] at a row and column of a grid, for each (c, k, row, column)."""
    height, width, channels, filters = kernel.shape
    one_channel = channels == 1
    shape = height / width  # of a cell; a 7x1 filter is high and narrow
    across, down = 1 + max(p[3] for p in places), 1 + max(p[2] for p in places)
    step = 1 + GAP, shape + GAP + (0.24 if one_channel else 0)  # a number stands above each cell of a grid
    scale = CELL / max(1, shape / 2)  # inches a unit
    figure = new_figure(max(scale * across * step[0] + 1.9, 5.2), max(scale * down * step[1] + 1.3, 2.6))
    axes = figure.subplots()
    limit = largest(kernel)
    for c, k, row, column in places:
        left, top = column * step[0], row * step[1]
        image = axes.imshow(
            kernel[:, :, c, k], cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest",
            extent=(left, left + 1, top + shape, top),
        )  # fmt: skip
        axes.plot(*outline(left, top, shape), color="#B0B0B0", linewidth=0.6)
        if one_channel:
            axes.text(left + 0.5, top - 0.05, str(k), ha="center", va="bottom", fontsize=7.5, color=INK)
    axes.set_xlim(-GAP, across * step[0])
    axes.set_ylim(down * step[1], -GAP - (0.24 if one_channel else 0))
    axes.set_aspect("equal")
    axes.spines[:].set_visible(False)
    if one_channel:
        axes.set_xticks([])
        axes.set_yticks([])
    else:
        axes.set_xticks(0.5 + np.arange(across) * step[0], [str(c) for c in range(across)])
        axes.set_yticks(shape / 2 + np.arange(down) * step[1], [str(k) for k in range(down)])
        axes.tick_params(length=0, labelsize=8)
        axes.set_xlabel("channel of the input")
        axes.set_ylabel("filter")
    width_of_grid = scale * (across * step[0] + GAP)
    figure.colorbar(image, cax=axes.inset_axes((1 + 0.2 / width_of_grid, 0, 0.16 / width_of_grid, 1)), label="weight")
    over = "1 channel" if one_channel else f"{channels} channels"
    title = f"{layer.name}: {filters} filter{'s' * (filters > 1)} of {height}x{width} over {over}"
    axes.set_title(f"{title}\n{limits}" if limits else title, fontsize=11, color=INK)
    return figure


def outline(left: float, top: float, height: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The x and y of a frame around a cell."""
    return (left, left + 1, left + 1, left, left), (top, top, top + height, top + height, top)
