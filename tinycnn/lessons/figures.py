"""The lessons' pictures: drawn by matplotlib from what was run, for the pages and for paper.

A figure gives the same bytes each time it is written: no dates, and names of its parts that are made from them.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from tinycnn.emulator.tracing import SECTOR
from tinycnn.fit.files import write_atomically
from tinycnn.lessons.grids import Grid, grid_of
from tinycnn.lessons.subjects import output_of
from tinycnn.pictures.paper import BLUE, INK, ORANGE, frameless, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tinycnn.devices.gpu.ladder import Conv
    from tinycnn.lessons.races import Event
    from tinycnn.lessons.runs import Run

LANE, TOUCHED, EMPTY = "#00558C", "#FFCF8A", "#E9E9E9"
ROW = 0.14  # inches, in which a lane's number can be read


# ---------------------------------------------------------------- to files and into pages


def rendered(figure: Figure, kind: str) -> bytes:
    """A figure as 'svg' or 'png'. Of an SVG's numbers two decimals are kept, and a path is one line."""
    from matplotlib import rc_context

    drawn = io.BytesIO()
    with rc_context({"svg.hashsalt": "tinycnn", "svg.fonttype": "none"}):
        metadata = {"Date": None} if kind == "svg" else {}
        figure.savefig(drawn, format=kind, metadata=metadata, bbox_inches="tight", pad_inches=0.08)
    if kind != "svg":
        return drawn.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", drawn.getvalue().decode(), flags=re.DOTALL)
    text = re.sub(r"\s*\n(?=[LMQCz]\b)", " ", text)
    return re.sub(r"(-?\d+\.\d{2})\d+", r"\1", text).encode()


def draw_to(figure: Figure, paths: Iterable[Path]) -> list[Path]:
    """Write a figure to files whose names end in .svg or .png. Raises OSError."""
    written = []
    for path in paths:
        write_atomically(path, rendered(figure, path.suffix[1:]))
        written.append(path)
    return written


def inline(figure: Figure) -> Markup:
    """A figure as an SVG element of a page."""
    text = rendered(figure, "svg").decode()
    text = re.sub(r"<style.*?</style>", "", text[text.index("<svg") :], flags=re.DOTALL)
    return Markup(re.sub(r"\s*\n\s*", " ", text).replace("<svg ", '<svg aria-hidden="true" ', 1))


# ---------------------------------------------------------------- lessons 1 and 2: an image, and who touches it


def cells(axes: Axes, grid: Grid, drawn: Iterable[int], colours: Mapping[int, str]) -> dict[int, tuple[float, float]]:
    """The numbers of some rows, in these colours where there is one; where each begins.

    A row before which others are left out says with which number it begins.
    """
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    places, y, behind = {}, 0.0, 0
    for row in drawn:
        if row != behind:
            y += 1
            axes.text(-0.3, y + 0.43, f"{row * grid.columns:,}", ha="right", va="center", fontsize=7, color=INK)
        for column in range(min(grid.columns, grid.numbers - row * grid.columns)):
            places[row * grid.columns + column] = column + 0.25 * (column // grid.gap), y
        y, behind = y + 1, row + 1
    corners = np.array([(0, 0), (0.9, 0), (0.9, 0.86), (0, 0.86)])
    for colour in (EMPTY, *dict.fromkeys(colours.values())):  # one path a colour: a file of a fifth of the size
        those = [corners + place for i, place in places.items() if colours.get(i, EMPTY) == colour]
        if those:
            outline = Outline.make_compound_path_from_polys(np.array(those))
            axes.add_patch(PathPatch(outline, facecolor=colour, linewidth=0))
    axes.set_xlim(-0.2, max(x for x, _ in places.values()) + 1.2)
    axes.set_ylim(y + 0.1, -0.2)
    frameless(axes)
    return places


def sectors(runs: Sequence[Run], array: str) -> Figure:
    """The 32 lanes of a warp on an array, at the first request with the most lanes, and the sectors that they touch."""
    figure = new_figure(9.2, 2.6 * max(1, len(runs)))
    if not runs:
        return figure
    for axes, run in zip(figure.subplots(len(runs), 1, squeeze=False)[:, 0], runs, strict=True):
        recording = run.recording
        described = next(a for a in recording.arrays if a.name == array)
        chosen = recording.of(array)
        lanes = recording.active[chosen].sum(axis=1)
        at = int(chosen[lanes.argmax()])
        active, offsets = recording.active[at], recording.requests["offsets"][at]
        grid = grid_of(described)
        touched = np.unique(recording.addresses()[at][active] // SECTOR)
        numbers = (touched[:, None] * SECTOR + np.arange(0, SECTOR, described.itemsize) - described.at).ravel()
        numbers = numbers // described.itemsize % grid.numbers
        wanted = offsets[active] // described.itemsize % grid.numbers
        drawn = range(grid.rows) if grid.whole else np.unique(numbers // grid.columns).tolist()
        places = cells(axes, grid, drawn, {int(i): TOUCHED for i in numbers} | {int(i): LANE for i in wanted})
        if not grid.whole:
            figure.set_figheight(max(figure.get_figheight(), ROW * axes.get_ylim()[0]))
        by_element: dict[int, list[int]] = {}
        for lane, i in zip(np.flatnonzero(active).tolist(), wanted.tolist(), strict=True):
            by_element.setdefault(i, []).append(lane)
        for i, those in by_element.items():
            x, y = places[i]
            text = str(those[0]) if len(those) == 1 else f"×{len(those)}"
            size = 5.4 if len(text) < 3 else 4.2
            axes.text(x + 0.45, y + 0.45, text, ha="center", va="center", fontsize=size, color="white")
        axes.set_title(
            f"{run.title}: {active.sum()} lanes of a warp load {array}, and touch {len(touched)} sectors of 32 bytes",
            fontsize=10, color=INK, loc="left",
        )  # fmt: skip
    axes.set_xlabel(
        "A cell is a number of 4 bytes, and a gap stands between two pixels. Dark: what the lanes want, with the "
        "lane's number,\nor how many want it. Light: what came along in the same sectors.",
        fontsize=9, color=INK, loc="left",
    )  # fmt: skip
    return figure


def windows(run: Run, conv: Conv, threads: Sequence[int]) -> Figure:
    """What the thread of an output loads of the image, for some threads: its window."""
    recording = run.recording
    described = next(a for a in recording.arrays if a.name == "x")
    grid = grid_of(described)
    size = int(np.prod(recording.launch.block))
    figure = new_figure(4.4 * len(threads), 3.1)
    for axes, thread in zip(figure.subplots(1, len(threads), squeeze=False)[0], threads, strict=True):
        chosen = recording.requests[recording.of("x", "load")]
        warp, lane = divmod(thread % size, 32)
        mine = (chosen["block"][:, 0] == thread // size) & (chosen["warp"] == warp) & (chosen["lanes"] >> lane & 1 == 1)
        loaded = chosen["offsets"][mine, lane] // described.itemsize % grid.numbers
        cells(axes, grid, range(grid.rows), {int(i): LANE for i in loaded})
        output = output_of(thread, conv)
        axes.set_title(f"thread {thread}, output {output}: {len(loaded)} loads", fontsize=10, color=INK)
        axes.set_xlabel(f"columns, {conv.C} channels each", color=INK, fontsize=9)
        axes.set_ylabel("rows", color=INK, fontsize=9)
    return figure


# ---------------------------------------------------------------- lessons 3 and 4


def heat(counts: Sequence[np.ndarray], titles: Sequence[str]) -> Figure:
    """How often each pixel is loaded, step beside step, with one scale."""
    figure = new_figure(3.3 * len(counts), 3.5)
    most = max(int(c.max()) for c in counts)
    for axes, values, title in zip(figure.subplots(1, len(counts), squeeze=False)[0], counts, titles, strict=True):
        axes.imshow(values, cmap="Oranges", vmin=0, vmax=1.6 * most)
        for (row, column), value in np.ndenumerate(values):
            axes.text(column, row, str(value), ha="center", va="center", fontsize=7.5, color=INK)
        frameless(axes)
        axes.set_title(title, fontsize=10, color=INK)
    return figure


def banks(runs: Sequence[Run], array: str) -> Figure:
    """Which bank each lane of a warp's store wants, at the request that takes the most passes."""
    from matplotlib.patches import Rectangle

    figure = new_figure(8.4, 1.2 + 2.1 * len(runs))
    passes = [run.recording.passes() for run in runs]
    worst = [
        run.of(array, "store")[int(p[run.of(array, "store")].argmax())] for run, p in zip(runs, passes, strict=True)
    ]
    heights = [int(p[at]) for p, at in zip(passes, worst, strict=True)]
    parts = figure.subplots(len(runs), 1, squeeze=False, height_ratios=[h + 3 for h in heights])[:, 0]
    for axes, run, at, height in zip(parts, runs, worst, heights, strict=True):
        recording = run.recording
        active, words = recording.active[at], recording.requests["offsets"][at] // 4
        stacked: dict[int, list[int]] = {}
        for lane in np.flatnonzero(active).tolist():
            bank = int(words[lane]) % 32
            row = len(stacked.setdefault(bank, []))
            stacked[bank].append(lane)
            axes.add_patch(Rectangle((bank, row), 0.92, 0.9, facecolor=TOUCHED if row else LANE, linewidth=0))
            axes.text(bank + 0.46, row + 0.45, str(lane), ha="center", va="center", fontsize=6,
                      color=INK if row else "white")  # fmt: skip
        axes.set_xlim(-0.2, 32.2)
        axes.set_ylim(max(height, 1) + 0.2, -0.2)
        axes.set_xticks(np.arange(0, 32, 4) + 0.46, [str(bank) for bank in range(0, 32, 4)])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        axes.set_title(f"{run.title}: {height} pass{'es' * (height != 1)}", fontsize=10, color=INK, loc="left")
    parts[-1].set_xlabel("bank", color=INK)
    return figure


# ---------------------------------------------------------------- lesson 5


def timeline(events: Sequence[Event], title: str, names: Sequence[str], cell: str) -> Figure:
    """What two threads do with one number, in time, and the barriers in between."""
    figure = new_figure(7.2, 2.5)
    axes = figure.subplots()
    for x, event in enumerate(events):
        writes = event.op != "load"
        axes.scatter(
            x, 1 - event.thread, s=520, marker="s" if writes else "o", color=ORANGE if writes else BLUE, zorder=2
        )
        axes.text(x, 1 - event.thread, "W" if writes else "R", ha="center", va="center", color="white", zorder=3)
        axes.text(x, 1 - event.thread - 0.38, f"line {event.line}", ha="center", va="center", fontsize=8, color=INK)
        if x and event.barriers != events[x - 1].barriers:
            axes.axvline(x - 0.5, color=INK, linewidth=2.5, zorder=1)
            axes.text(x - 0.5, 1.62, "barrier", ha="center", va="bottom", fontsize=8.5, color=INK)
    for number, name in enumerate(names):
        axes.axhline(1 - number, color="#C9C9C9", linewidth=1, zorder=0)
        axes.text(-0.6, 1 - number, name, ha="right", va="center", color=INK)
    axes.set_xlim(-0.6, max(len(events) - 0.4, 1))
    axes.set_ylim(-0.6, 1.6)
    frameless(axes)
    axes.set_title(f"{cell}: {title}\nW writes it, R reads it; time goes to the right", fontsize=10, color=INK, pad=18)
    return figure


# ---------------------------------------------------------------- charts


def sheet(width: float = 5.6, height: float = 3.6) -> tuple[Figure, Axes]:
    """A figure with one chart, whose words can be read on a small screen too."""
    figure = new_figure(width, height)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK)
    return figure, axes


def bars(names: Sequence[str], values: Sequence[float], what: str, form: str = "{:.2f}") -> Figure:
    """Bars that lie, each with its number."""
    figure, axes = sheet(5.6, 0.8 + 0.36 * len(names))
    axes.barh(range(len(names)), values, color=BLUE)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    for row, value in enumerate(values):
        axes.annotate(form.format(value), (value, row), (4, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_xlim(0, 1.18 * max([*values, 1e-9]))
    axes.set_xlabel(what, color=INK)
    return figure


def slope(start: float, curve: np.ndarray, gradient: float, name: str) -> Figure:
    """The loss as one weight is nudged, and the gradient as the line through the place where it stands."""
    figure, axes = sheet(5.2, 3.0)
    axes.plot(curve[:, 0], curve[:, 1], color=BLUE, linewidth=2, label="the loss, computed anew at each nudge")
    axes.plot(curve[:, 0], start + gradient * curve[:, 0], color=ORANGE, linestyle="--", label="the gradient's line")
    axes.scatter([0], [start], color=INK, zorder=3)
    low, high = curve[:, 1].min(), curve[:, 1].max()
    margin = max(high - low, 1e-9) * 0.3
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlabel(f"how far the weight of {name} is nudged", color=INK)
    axes.set_ylabel("loss", color=INK)
    axes.legend(frameon=False, fontsize=8.5)
    return figure


def roofline(
    intensity: Mapping[str, float], roofs: Mapping[str, tuple[float, float]], times: Mapping[str, Any] | None
) -> Figure:
    """Steps by their operations a byte, and what each of two cards could reach; measured ones as crosses."""
    figure, axes = sheet(6.0, 4.2)
    low, high = min(intensity.values()) / 2, 2 * max(*intensity.values(), *(p / b for p, b in roofs.values()))
    across = np.geomspace(low, high, 60)
    styles = (("-", BLUE), ("--", ORANGE))
    for (name, (peak, bandwidth)), (style, colour) in zip(roofs.items(), styles, strict=True):
        axes.plot(across, np.minimum(peak, across * bandwidth) / 1e12, style, color=colour, label=name)
    peak, bandwidth = next(iter(roofs.values()))
    for number, (step, value) in enumerate(sorted(intensity.items(), key=lambda pair: pair[1])):
        y = min(peak, value * bandwidth) / 1e12
        axes.plot([value, value], [y / 40, y], color="#C9C9C9", linewidth=0.8, zorder=0)
        axes.scatter([value], [y], color=INK, s=18, zorder=3)
        axes.annotate(
            step[0], (value, y), textcoords="offset points", xytext=((-10, 4), (3, -11))[number % 2], fontsize=9
        )
        if times and step in times["tflops"]:
            axes.scatter([value], [times["tflops"][step]], marker="x", color=ORANGE, zorder=4)
            axes.annotate(step[0], (value, times["tflops"][step]), textcoords="offset points", xytext=(5, -9),
                          fontsize=9, color=ORANGE)  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("operations a byte moved, counted", color=INK)
    axes.set_ylabel("TFLOP/s", color=INK)
    title = "dots: the most that memory allows, predicted, without caches"
    axes.set_title(title + (f"\ncrosses: measured on {times['device']}" if times else ""), fontsize=9.5, color=INK)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return figure


def chain(launches: Sequence[tuple[str, Any]], times: Mapping[str, Any] | None) -> Figure:
    """Launches one after the other, a row for each kernel file; as wide as they took where that was measured."""
    files = list(dict.fromkeys(file for file, _ in launches))
    widths = [times["us"].get(launch.kernel, 1.0) if times else 1.0 for _, launch in launches]
    figure, axes = sheet(6.4, 1.0 + 0.34 * len(files))
    at = 0.0
    for (file, launch), width in zip(launches, widths, strict=True):
        way = "backward" in launch.kernel
        axes.barh(files.index(file), 0.9 * width, left=at, height=0.7, color=ORANGE if way else BLUE,
                  hatch="///" if way else None, edgecolor="white", linewidth=0)  # fmt: skip
        at += width
    axes.set_yticks(range(len(files)), files)
    axes.invert_yaxis()
    if not times:
        axes.locator_params(axis="x", integer=True)
    axes.set_xlabel(
        f"µs, measured on {times['device']}" if times else "launches in their order, all drawn equally wide", color=INK
    )
    axes.set_title("blue: forward, bookkeeping, update; hatched: backward", fontsize=9.5, color=INK)
    return figure


def grid(filters: Sequence[np.ndarray], names: Sequence[str]) -> Figure:
    """Filters (R, S, K), a row for each epoch."""
    count = min(8, filters[0].shape[2])
    figure = new_figure(0.75 * count + 1.6, 0.8 * len(filters))
    parts = figure.subplots(len(filters), count, squeeze=False)
    most = max(float(np.abs(f).max()) for f in filters)
    for row, values, name in zip(parts, filters, names, strict=True):
        for k, axes in enumerate(row):
            axes.imshow(values[:, :, k], cmap="RdBu_r", vmin=-most, vmax=most)
            frameless(axes)
        row[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9, color=INK)
    return figure


# ---------------------------------------------------------------- small images and tables of numbers


def pixels(values: np.ndarray, signed: bool = False, limit: float | None = None) -> str:
    """Numbers (H, W) as a PNG with a pixel each, as a data: address. From 0, black, to `limit`, white; signed ones blue
    and dark below 0, orange and lighter above."""
    from PIL import Image

    limit = limit or float(np.abs(values).max()) or 1.0
    share = np.clip(values / limit, -1, 1)
    if signed:
        below, above = np.clip(-share, 0, 1), np.clip(share, 0, 1)
        colours = np.stack([1 - below, 1 - 0.8 * below - 0.45 * above, 1 - above], axis=-1)
        image = Image.fromarray((255 * colours).round().astype(np.uint8), "RGB")
    else:
        image = Image.fromarray((255 * np.clip(share, 0, 1)).round().astype(np.uint8), "L")
    drawn = io.BytesIO()
    image.save(drawn, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(drawn.getvalue()).decode("ascii")


def number_table(title: str, values: np.ndarray) -> Markup:
    """A matrix as a table whose cells are the darker the larger the number is."""
    most = float(np.abs(values).max()) or 1.0

    def cell(value: float) -> Markup:
        hue, share = (28 if value < 0 else 205), abs(value) / most
        text = f"{value:.3g}".replace("-", "−")
        return Markup('<td style="background:hsl({} 80% {}%)">{}</td>').format(hue, f"{97 - 32 * share:.0f}", text)

    rows = Markup("").join(Markup("<tr>{}</tr>").format(Markup("").join(cell(float(v)) for v in row)) for row in values)
    return Markup("<div><h3>{}</h3><table class='cells'>{}</table></div>").format(title, rows)
