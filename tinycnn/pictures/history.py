"""Loss and accuracy over the epochs of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.callbacks import ALIASES, History
from tinycnn.pictures.paper import BLUE, INK, ORANGE, check_path, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Figures = dict[str, np.ndarray]  # {one of NAMES: a value an epoch}
Log: TypeAlias = History | Mapping[str, ArrayLike] | Sequence[Mapping[str, float]]

# What is drawn: the name in the history, the name in the legend, the colour and the marker.
CURVES = (("", "train", BLUE, "o"), ("val_", "validation", ORANGE, "s"))

UNEVEN = 3  # how many times as long as a training its documented log may be on an even scale

# What is read, and the keys it can stand under.
NAMES = {name: (name, ALIASES.get(name, name)) for name in ("loss", "accuracy", "val_loss", "val_accuracy")}


def plot_history(
    history: Log, path: str | PathLike | None = None, documented: Log | None = None, title: str | None = None
) -> Figure:
    """The loss and the accuracy of every epoch, of training and of validation, in two panels.

    Args:
        history: what `fit` returned (epochs that lack a figure are gaps), a list of dicts, one an epoch, or a dict of
            lists with the keys loss, acc, val_loss, val_acc (or accuracy and val_accuracy). What is missing is left
            out; without any accuracy there is one panel.
        path: a .png, .svg or .pdf file to write, or None.
        documented: None, or figures to compare with, in one of the same forms; drawn behind, dashed.
        title: stands above the panels.

    Shapes:
        each list (epochs,).

    Returns:
        The matplotlib Figure.

    Raises:
        ValueError: for a history without an epoch or with lists that do not fit each other, and for another suffix.
        OSError: for a path that cannot be written.

    >>> figure = plot_history({"loss": [0.9, 0.4], "acc": [0.7, 0.9]}, title="two epochs")
    >>> figure.axes[1].get_title()
    'accuracy after epoch 2: train 90.00%'
    """
    check_path(path)
    epochs, figures = read(history, "the history")
    expected = None if documented is None else read(documented, "the documented history")
    kinds = [kind for kind in ("loss", "accuracy") if kind in figures or f"val_{kind}" in figures]
    figure = new_figure(5.2 * len(kinds), 4.2)
    for axes, kind in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        draw_curves(axes, epochs, figures, kind, "", linewidth=2, zorder=3)
        if expected is not None:
            draw_curves(axes, *expected, kind, " (documented)", linestyle="--", linewidth=1.1, alpha=0.8, zorder=2)
        label(axes, epochs, figures, kind)
        scale_epochs(axes, epochs, epochs if expected is None else expected[0])
    if title:
        figure.suptitle(title, fontsize=13, color=INK, wrap=True)
    entries = {name: line for axes in figure.axes for line, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    columns = min(len(entries), 2 * len(kinds))
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns, frameon=False)
    return finish(figure, path)


def read(history: Log, what: str) -> tuple[np.ndarray, Figures]:
    """(epochs from 1, {name: array} of those of NAMES that there are). Raises ValueError."""
    epochs: Sequence[int] | None = None
    lists: Mapping[str, ArrayLike]
    if isinstance(history, Mapping):
        lists = history
    else:  # by epochs; not all need have every figure
        rows = history.rows() if isinstance(history, History) else list(enumerate(history))
        epochs = [epoch for epoch, _ in rows]
        named = {key for _, logs in rows for key in logs}
        lists = {key: [dict(logs).get(key, np.nan) for _, logs in rows] for key in named}
    found = {name: np.asarray(lists[key], dtype=float) for name, keys in NAMES.items() for key in keys if key in lists}
    figures = {name: values for name, values in found.items() if len(values)}
    if not figures:
        raise ValueError(f"{what} has no epoch with a loss or an accuracy: train for one at least")
    count = max(len(values) for values in figures.values())
    wrong = [f"{len(values)} of {name}" for name, values in figures.items() if len(values) != count]
    if wrong:
        raise ValueError(f"{what} has {count} epochs but {', '.join(wrong)}: each figure needs a value for every epoch")
    return 1 + np.asarray(range(count) if epochs is None else epochs), figures


def draw_curves(axes: Axes, epochs: np.ndarray, figures: Figures, kind: str, suffix: str, **style: Any) -> None:
    for prefix, name, colour, marker in CURVES:
        if prefix + kind not in figures:
            continue
        # Few epochs need dots to be seen at all; among many they would hide the line.
        marks = marker if len(epochs) <= 30 and (not suffix or len(epochs) == 1) else None
        values = figures[prefix + kind]
        axes.plot(epochs, values, color=colour, marker=marks, markersize=4.5, label=name + suffix, **style)


def label(axes: Axes, epochs: np.ndarray, figures: Figures, kind: str) -> None:
    """Axes that say what they show, and in their title what came out at the end."""
    ends = []
    for prefix, name, _, _ in CURVES:
        if prefix + kind in figures:
            value = figures[prefix + kind][-1]
            ends.append(f"{name} " + (f"{100 * value:.2f}%" if kind == "accuracy" else f"{value:.4f}"))
    axes.set_title(f"{kind} after epoch {epochs[-1]}: {', '.join(ends)}", fontsize=10, color=INK)
    axes.set_xlabel("epoch")
    axes.set_ylabel(kind)
    if kind == "accuracy":
        axes.yaxis.set_major_formatter(lambda value, _: f"{round(100 * value, 6):g}%")
    axes.grid(color="#E3E3E3", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def scale_epochs(axes: Axes, epochs: np.ndarray, expected: np.ndarray) -> None:
    """Room for both trainings. Few epochs beside many would be lost at the edge of an even scale, so that the later an
    epoch is, the less room it gets."""
    first, last = int(min(epochs.min(), expected.min())), int(max(epochs.max(), expected.max()))
    if last <= UNEVEN * epochs.max():
        axes.set_xlim(first - 0.5, last + 0.5)
        axes.set_xticks(whole_ticks(first, last))
        return
    axes.set_xscale("log")
    axes.set_xlim(0.8 * first, 1.2 * last)
    ticks = [n * 10**power for power in range(len(str(last))) for n in (1, 2, 3, 5) if first <= n * 10**power <= last]
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.set_xticks([], minor=True)


def whole_ticks(first: float, last: float) -> list[int]:
    """At most ten whole numbers from `first` to `last`: 1, 2, 3, ... or 1, 3, 5, ... or 1, 5, 10, 15, ..."""
    first, last = int(first), int(last)
    step = next(s * 10**power for power in range(18) for s in (1, 2, 5) if last - first <= 9 * s * 10**power)
    if step <= 2:
        return list(range(first, last + 1, step))
    return [first] + [n for n in range(step, last + 1, step) if n > first + step // 2]
