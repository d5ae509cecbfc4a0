"""What all pictures share: the sheet they are drawn on, their colours, and writing them to a file.

matplotlib is imported when the first picture is made, and only its figures are used, never pyplot.
"""

from __future__ import annotations

import io
import os
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tinycnn.models import Model

SUFFIXES = (".png", ".svg", ".pdf")
DOTS_PER_INCH = 150

# From the palette of Okabe and Ito, which is told apart by every kind of colour blindness.
BLUE, ORANGE, GREY, INK = "#0072B2", "#D55E00", "#8C8C8C", "#262626"


def new_figure(width: float, height: float) -> Figure:
    """An empty Figure of so many inches that lays itself out."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained", facecolor="white")


def check_path(path: str | PathLike | None) -> None:
    """Refuse a file that could not be written, before anything is computed for it.

    Raises ValueError for another suffix than .png, .svg, .pdf, FileNotFoundError where there is no such folder.
    """
    if path is None:
        return
    if Path(path).suffix.lower() not in SUFFIXES:
        raise ValueError(f"cannot draw to {os.fspath(path)}: pictures end in {', '.join(SUFFIXES)}")
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise FileNotFoundError(f"cannot write {os.fspath(path)}: there is no folder {folder}")


def finish(figure: Figure, path: str | PathLike | None) -> Figure:
    """The figure itself, written to `path` unless that is None. Raises OSError naming a path that cannot be written."""
    words = [part for axes in figure.axes for part in (axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts)]
    for text in (*figure.texts, *words):
        text.set_parse_math(False)  # names may have a $, which would begin a formula
    if path is not None:
        drawn = io.BytesIO()  # so that a figure that cannot be drawn leaves no half a file
        figure.savefig(drawn, format=Path(path).suffix[1:].lower(), bbox_inches="tight", pad_inches=0.15)
        try:
            Path(path).write_bytes(drawn.getvalue())
        except OSError as error:
            raise type(error)(f"cannot write {os.fspath(path)}: {error.strerror}") from error
    return figure


def frameless(axes: Axes) -> None:
    """Without frame and ticks, for pictures and text."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def as_picture(image: np.ndarray) -> np.ndarray:
    """An image (H, W, C) as imshow takes it: (H, W) for one channel, (H, W, 3) from 0 to 1 for three.

    Other numbers of channels are averaged.
    """
    if image.shape[2] != 3:
        return image.mean(axis=2)
    low, high = float(image.min()), float(image.max())
    if low >= 0 and high <= 1:
        return image
    return (image - low) / ((high - low) or 1)


def largest(values: np.ndarray) -> float:
    """The largest magnitude among the finite `values`, or 1 where that is 0 or there are none: for a colour scale."""
    magnitudes = np.abs(values[np.isfinite(values)])
    return float(magnitudes.max(initial=0)) or 1.0


def percent(share: float) -> str:
    """0.9917 as '99.17%'. What is not quite all is not rounded to '100.00%', nor what is a little to '0.00%'."""
    value = round(100 * share, 2)
    if share < 1 and value == 100:
        return "above 99.99%"
    if share > 0 and value == 0:
        return "below 0.01%"
    return f"{value:.2f}%"


def ends_in_softmax(model: Model) -> bool:
    """Whether the model's output is probabilities."""
    return getattr(model.output.layer, "activation", None) == "softmax"
