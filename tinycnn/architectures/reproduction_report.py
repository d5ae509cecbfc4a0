"""What `tinycnn reproduce` shows of its results: a table, and each network's curves over the documented ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from tinycnn import optimizers
from tinycnn.architectures.catalogue import ARCHITECTURES, Architecture
from tinycnn.architectures.explanations import EXPLANATIONS, RECIPE
from tinycnn.fit.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[dict[str, Any]]  # of results.json, see reproduction.Results
WITHIN = "within"

ACCURACIES = ("documented", "last epoch", "best epoch", "difference")
HEADERS = ("network", "parameters", *ACCURACIES, "seeds", "epochs", "minutes", "CPU minutes", "remarks")
ALIGNMENT = ("left", *["right"] * (len(HEADERS) - 2), "left")
NOTES = """\
Validation accuracies. Documented is what the document gives, and whether by its log that is the last epoch's or the
best. Of the trainings here, one a seed: the mean ± the standard deviation of the last epoch's, and of the best. The
difference is the documented accuracy less the mean of the last epochs, and where it lies among those of the seeds; if
not within, and without a log, also where among their best. Epochs: trained of documented. Minutes are those of one
training, the mean over the seeds: by the clock, which counts what else ran on the machine too, and the processor time
of all its threads.
"""


# ---------------------------------------------------------------- the table


def groups(rows: Rows) -> list[Rows]:
    """The rows of each network trained in the same way, in the order of ARCHITECTURES."""
    found: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        if row["history"]["val_acc"]:
            names = ("network", "epochs", "data", "images", "device", "machine", "explanation")
            key = tuple(row.get(name, "") for name in names)
            found.setdefault(key, []).append(row)
    order = list(ARCHITECTURES)
    return [found[key] for key in sorted(found, key=lambda key: order.index(key[0]))]


def finished(rows: Rows) -> Rows:
    """Those of the rows that have all their epochs; where none has, the one that has most."""
    whole = [row for row in rows if len(row["history"]["val_acc"]) == row["epochs"]]
    return whole or [max(rows, key=lambda row: len(row["history"]["val_acc"]))]


def diverged(row: dict[str, Any]) -> bool:
    """Whether a figure of this training is no number any more."""
    return not all(math.isfinite(value) for values in row["history"].values() for value in values)


def last_and_best(rows: Rows) -> tuple[list[float], list[float]]:
    """The validation accuracies of the last epochs, and of the best ones."""
    logs = [row["history"]["val_acc"] for row in rows]
    return [log[-1] for log in logs], [max(log) for log in logs]


def accuracies(rows: Rows) -> list[str]:
    """The cells below ACCURACIES for rows that were trained in the same way; those that have diverged do not count."""
    architecture = ARCHITECTURES[rows[0]["network"]]
    last, best = last_and_best([row for row in rows if not diverged(row)])
    if not last:
        return [documented(architecture), "diverged", "diverged", "-"]
    cells = [documented(architecture), spread(last), spread(best)]
    return [*cells, "-" if architecture.accuracy is None else difference(architecture, last, best)]


def documented(architecture: Architecture) -> str:
    """'0.9919 (last)': what the document gives, and which epoch of its log that is."""
    return "-" if architecture.accuracy is None else f"{architecture.accuracy:.4f} ({architecture.accuracy_of})"


def spread(values: Sequence[float]) -> str:
    """'0.9941 ± 0.0003', without the standard deviation of one value alone."""
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


def difference(architecture: Architecture, last: Sequence[float], best: Sequence[float]) -> str:
    """'+0.0013, above all': the documented accuracy less the last epochs', and where it lies among the seeds'."""
    figure = architecture.accuracy
    assert figure is not None
    text = f"{figure - mean(last):+.4f}"
    if len(last) == 1:
        return text
    text += f", {place(figure, last)}"
    if architecture.accuracy_of == "no log" and place(figure, last) != WITHIN:
        text += f" (best: {place(figure, best)})"
    return text


def place(documented: float, values: Sequence[float]) -> str:
    """Where a documented accuracy, which has four digits, lies among those of trainings."""
    lowest, highest = (round(value, 4) for value in (min(values), max(values)))
    if documented < lowest:
        return "below all"
    return "above all" if documented > highest else WITHIN


def epochs(rows: Rows) -> str:
    """'20 of 20'; how many are documented is left out where no document says it."""
    trained, recipe = len(rows[0]["history"]["val_acc"]), ARCHITECTURES[rows[0]["network"]].recipe
    return f"{trained} of {recipe.epochs}" if recipe.epochs_documented else f"{trained}"


def remarks(rows: Rows) -> str:
    """What the reader must know to compare: what the documents leave open, and data other than theirs."""
    row, architecture = rows[0], ARCHITECTURES[rows[0]["network"]]
    recipe, explanation = architecture.recipe, row.get("explanation", RECIPE)
    texts = [explanation] if explanation else []
    taken = {} if recipe.optimizer_documented else {
        "optimizer": f"{optimizers.get(recipe.optimizer).name} {recipe.learning_rate:g}"
    }  # fmt: skip
    taken |= {} if recipe.batch_size_documented else {"batch_size": f"batch {recipe.batch_size}"}
    taken |= {} if recipe.epochs_documented else {"epochs": f"{recipe.epochs} epochs"}
    taken.pop(EXPLANATIONS[explanation].replaces, None)
    if taken:
        texts.append(f"not documented: {', '.join(taken.values())}")
    if architecture.reconstructed:
        texts.append(f"{architecture.reconstructed} reconstructed")
    if other_data(row):
        texts.append(other_data(row))
    if len(row["history"]["val_acc"]) < row["epochs"]:
        texts.append("unfinished")
    if lost := sum(map(diverged, rows)):
        texts.append(f"{lost} of {len(rows)} diverged")
    return "; ".join(texts)


def other_data(row: dict[str, Any]) -> str:
    """'512 images of MNIST', or '' where they were all of MNIST's, as in the documents."""
    whole = (row["data"], row["images"]) == ("MNIST", 60_000)
    return "" if whole else f"{row['images']:,} images of {row['data']}"


def line(rows: Rows) -> list[str]:
    """One line of the table for rows that were trained in the same way."""
    rows = finished(rows)
    architecture = ARCHITECTURES[rows[0]["network"]]
    minutes = [mean(sum(row["history"][name]) for row in rows) / 60 for name in ("seconds", "cpu_seconds")]
    return [
        architecture.id, f"{architecture.params.total:,}", *accuracies(rows), f"{len(rows)}", epochs(rows),
        *[f"{value:.1f}" for value in minutes], remarks(rows),
    ]  # fmt: skip


def table(rows: Rows, form: str = "simple") -> str:
    """The table as text; `form` is one of tabulate's."""
    from tabulate import tabulate

    lines = [line(group) for group in groups(rows)]
    return tabulate(lines, HEADERS, tablefmt=form, disable_numparse=True, colalign=ALIGNMENT if lines else None)


def write_table(rows: Rows, folder: Path) -> None:
    """table.md: the table for each machine, and links to the pictures."""
    text = f"# The documented networks, trained again\n\n{NOTES}"
    for machine, device in dict.fromkeys((row["machine"], row["device"]) for row in rows):
        here = [row for row in rows if (row["machine"], row["device"]) == (machine, device)]
        text += f"\n## {machine}, device `{device}`\n\n{table(here, 'pipe')}\n"
    names = [name for name in ARCHITECTURES if (folder / f"{name}.png").exists()]
    text += "".join(f"\n![{name}]({name}.png)\n" for name in names)
    write_atomically(folder / "table.md", text.encode())


# ---------------------------------------------------------------- the pictures


def draw(rows: Rows, network: str, folder: Path) -> Figure:
    """NETWORK.png: every training's loss and accuracy over the documented log, where there is one; its Figure."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    from tinycnn.pictures.history import scale_epochs
    from tinycnn.pictures.paper import BLUE, GREY, INK, ORANGE, finish

    here = [row for row in rows if row["network"] == network and row["history"]["loss"]]
    histories = [row["history"] for row in here]
    documented = ARCHITECTURES[network].history
    figure = Figure(figsize=(9, 3.8), dpi=80, layout="constrained")  # small files: there may be 27 of them
    for axes, kind, title in zip(figure.subplots(1, 2), ("loss", "acc"), ("loss", "accuracy"), strict=True):
        for name, figures, colour, old in (("train", kind, BLUE, GREY), ("validation", f"val_{kind}", ORANGE, INK)):
            for i, history in enumerate(histories):
                label = None if i else f"{name}, {len(histories)} trainings" if len(histories) > 1 else name
                curve(axes, history[figures], colour, label, marker=".")
            if documented:
                curve(axes, documented[figures], old, f"{name}, documented", linestyle="--", marker="x", zorder=1)
        axes.set_xlabel("epoch")
        axes.set_ylabel(title)
        trained = max(len(history[kind]) for history in histories)
        expected = len(documented[kind]) if documented else trained
        scale_epochs(axes, np.arange(1, trained + 1), np.arange(1, expected + 1))
        axes.grid(color="#E3E3E3", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
    # The first epochs, far from the others, would press the rest into one line.
    loss = figure.axes[0]
    if np.isfinite(np.concatenate([line.get_ydata() for line in loss.get_lines()])).any():  # else all have diverged
        loss.set_yscale("log")
        loss.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        loss.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        loss.yaxis.set_minor_formatter("")
    ends = [line.get_ydata()[-1] for line in axes.get_lines()]
    axes.set_ylim(max(0, 1 - 4 * (1 - min(ends))), 1)
    figure.suptitle(about(here) + ("" if documented else " (no log is documented)"), color=INK, fontsize=12)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return finish(figure, folder / f"{network}.png")


def about(rows: Rows) -> str:
    """'go-crazy on 60,000 images of MNIST, seeds 0, 1, 2': what the trainings of one network had."""
    data = dict.fromkeys(f"{row['images']:,} images of {row['data']}" for row in rows)
    drawn_from = sorted({row["seed"] for row in rows})
    of = f"seed{'s' * (len(drawn_from) > 1)} {', '.join(map(str, drawn_from))}"
    return f"{rows[0]['network']} on {' and '.join(data)}, {of}"


def curve(axes: Axes, values: Sequence[float], colour: str, label: str | None, **style: Any) -> None:
    epochs = range(1, len(values) + 1)
    axes.plot(epochs, values, color=colour, label=label, linewidth=1.2, markersize=4, **style)
