"""Which classes a network takes for which, and the images it does that with."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.losses import one_hot
from tinycnn.models import Model
from tinycnn.pictures.paper import (
    INK,
    as_picture,
    check_path,
    ends_in_softmax,
    finish,
    frameless,
    new_figure,
    percent,
)
from tinycnn.shapes import ShapeError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase

MOST_PAIRS = 6
MOST_NUMBERED = 25  # classes; with more, the numbers in the cells could not be read


def confusion_matrix(y_true: ArrayLike, y_pred: ArrayLike, classes: int) -> np.ndarray:
    """How many images of class `row` were taken for class `column`.

    Args:
        y_true, y_pred: the true and the predicted classes, whole numbers from 0 to classes - 1, or one-hot.

    Shapes:
        y_true, y_pred (N,) or (N, classes) -> int64 (classes, classes).

    Raises:
        ValueError: for labels out of range, and for different numbers of them.

    >>> confusion_matrix([0, 1, 1], [0, 1, 0], classes=2)
    array([[1, 0],
           [1, 1]])
    """
    y_true, y_pred = class_numbers(y_true, classes), class_numbers(y_pred, classes)
    if len(y_true) != len(y_pred):
        raise ValueError(f"there are {len(y_true)} true classes, but {len(y_pred)} predicted ones")
    return np.bincount(y_true * classes + y_pred, minlength=classes * classes).reshape(classes, classes)


def class_numbers(y: ArrayLike, classes: int) -> np.ndarray:
    """int64 (N,) from whole numbers (N,) or (N, 1), or from one-hot (N, classes). Raises ValueError."""
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] == classes > 1:
        return labels.argmax(axis=1)
    return one_hot(labels, classes).argmax(axis=1)


def plot_confusion(model: Model, x: ArrayLike, y: ArrayLike, path: str | PathLike | None = None) -> Figure:
    """The confusion matrix of a network, and an example of each of its most frequent mistakes.

    Args:
        model: a Model that ends in classes. x: images. y: their classes, whole numbers or one-hot.
        path: a .png, .svg or .pdf file to write, or None.

    Shapes:
        x (N, H, W, C), y (N,) or (N, classes).

    Rows are true classes, columns predicted ones; colours grow with the logarithm of the count, blue for right
    answers and orange for mistakes, each with its scale; an empty cell is 0. Beside it stand up to six (true,
    predicted) pairs, the most frequent first, each with the image that the network was surest about.

    Returns:
        The matplotlib Figure.

    Raises:
        ShapeError: for images that do not fit, labels of another count, or a model that does not end in classes.
        ValueError: for labels out of range, answers that are not finite, and another suffix.
        OSError: for a path that cannot be written.

    >>> from tinycnn import architectures, datasets
    >>> data = datasets.load("synthetic", limit=4)
    >>> figure = plot_confusion(architectures.build("vanilla-15k"), data.x_test, data.y_test)
    """
    check_path(path)
    images = np.asarray(x)
    outputs = model.predict(images)
    if isinstance(outputs, list) or outputs.ndim != 2:
        raise ShapeError(f"{model.name} does not end in one output of shape (classes,)")
    if not np.isfinite(outputs).all():
        raise ValueError(f"{model.name} answers with NaN or infinity: its training diverged, lower the learning rate")
    classes = outputs.shape[1]
    truth, answers = class_numbers(y, classes), outputs.argmax(axis=1)
    if len(truth) != len(images):
        raise ShapeError(f"y has {len(truth)} labels for {len(images)} images")
    counts = confusion_matrix(truth, answers, classes)

    side = min(max(0.5 * classes + 1, 4.8), 11)
    wrong = len(images) - int(counts.trace())
    table, beside = side + 0.9, 6.2 if wrong else 2.8
    figure = new_figure(table + beside, side + 0.6)
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=[table, beside])[0]
    left.suptitle("how many images: blue right, orange wrong", fontsize=10.5, color=INK)
    draw_matrix(left.subplots(), counts)
    draw_mistakes(right, model, images, truth, outputs, counts)
    mistakes = "no mistake" if wrong == 0 else f"{wrong:,} mistake{'s' * (wrong > 1)}"
    share = percent(counts.trace() / len(images))
    figure.suptitle(f"{model.name}: {share} right, {mistakes} among {len(images):,} images", fontsize=14, color=INK)
    return finish(figure, path)


def draw_matrix(axes: Axes, counts: np.ndarray) -> None:
    """Counts (classes, classes) as a coloured table, and the scales of its colours."""
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import LogLocator

    classes = len(counts)
    right = np.eye(classes, dtype=bool)
    for part, colours, what, bottom in ((right, "Blues", "right", 0.52), (~right, "Oranges", "wrong", 0)):
        shown = np.ma.masked_where(~part | (counts == 0), counts)
        most = int(counts[part].max(initial=0))
        scale = LogNorm(0.6, max(10, most * 1.3))
        image = axes.imshow(shown, cmap=colours, norm=scale)
        if most:
            bar = axes.inset_axes((1.03, bottom, 0.025, 0.48))
            ticks = LogLocator(subs=(1, 2, 5))
            axes.figure.colorbar(image, cax=bar, ticks=ticks, format="%d", label=f"images, {what}").minorticks_off()
            bar.set_ylim(0.8, scale.vmax)
        if classes > MOST_NUMBERED:
            continue
        for row, column in np.argwhere(~np.ma.getmaskarray(shown)):
            red, green, blue, _ = colormaps[colours](scale(counts[row, column]))
            light = 0.3 * red + 0.59 * green + 0.11 * blue > 0.55
            axes.text(
                column, row, str(counts[row, column]), ha="center", va="center",
                fontsize=min(9.5, 180 / classes), color=INK if light else "white",
            )  # fmt: skip
    if classes <= MOST_NUMBERED:
        axes.set_xticks(range(classes))
        axes.set_yticks(range(classes))
    axes.set_xticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="#E3E3E3", linewidth=0.6)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")


def draw_mistakes(
    figure: FigureBase, model: Model, x: np.ndarray, truth: np.ndarray, outputs: np.ndarray, counts: np.ndarray
) -> None:
    """An example image for each of the most frequent mistakes."""
    pairs = most_frequent_mistakes(counts)
    if not pairs:
        axes = figure.subplots()
        frameless(axes)
        axes.text(0.5, 0.5, f"no mistakes\namong {len(x):,} images", ha="center", va="center", fontsize=15, color=INK)
        return
    answers = outputs.argmax(axis=1)
    figure.suptitle("the most frequent mistakes, each with its surest example", fontsize=10.5, color=INK)
    grid = figure.subplots(2, 3, squeeze=False).ravel()
    for axes in grid:
        frameless(axes)
    for axes, (true, predicted) in zip(grid, pairs, strict=False):
        those = np.flatnonzero((truth == true) & (answers == predicted))
        example = those[outputs[those, predicted].argmax()]
        output, often = float(outputs[example, predicted]), "once" if len(those) == 1 else f"{len(those)} times"
        sure = f"{percent(output)} sure" if ends_in_softmax(model) else f"output {output:.3g}"
        axes.imshow(as_picture(x[example]), cmap="gray", interpolation="nearest")
        axes.set_title(f"{true} taken for {predicted}", fontsize=11, color=INK, fontweight="bold")
        axes.set_xlabel(f"{often}\nimage {example}: {sure}", fontsize=9, color=INK)


def most_frequent_mistakes(counts: np.ndarray) -> list[tuple[int, int]]:
    """Up to six (true, predicted), the most frequent first; of equals the one with the lower classes."""
    wrong = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_PAIRS]
    return [divmod(int(i), len(counts)) for i in order if wrong.flat[i] > 0]
