"""The fastest that a GPU could be: its peaks, the floor of an operation's time, and the picture of both."""

from dataclasses import dataclass

from precision import STRICT, TF32

from tinycnn.devices.gpu import cards


@dataclass(frozen=True)
class Peaks:
    """Operations a second in float32 and with TF32 tensor cores (None where there are none), bytes a second."""

    name: str
    float32: float
    tf32: float | None
    bandwidth: float
    source: str

    def flop_per_s(self, precision):
        return self.tf32 or self.float32 if precision == TF32 else self.float32

    def floor(self, flop, size, precision=STRICT):
        """(seconds, 'arithmetic' or 'memory'): no version is faster, whose data come from memory."""
        times = {"arithmetic": flop / self.flop_per_s(precision), "memory": size / self.bandwidth}
        bound = max(times, key=times.get)
        return times[bound], bound


def known_peaks(name):
    """The Peaks of a GPU by its name, or None for one whose data sheet is not in cards.json."""
    card = cards.called(name)
    return card and Peaks(name, card.float32, card.tf32, card.bandwidth, "data sheet")


def peaks_of(name, attributes, capability):
    """The Peaks of a GPU: from its data sheet, else from the attributes that CUDA gives, as CuPy names them.

    capability: (9, 0). TF32 is not known from attributes.
    """
    if found := known_peaks(name):
        return found
    card = cards.of_attributes(name, attributes, capability)
    return Peaks(name, card.float32, card.tf32, card.bandwidth, card.source)


H200 = known_peaks("NVIDIA H200")  # what --dry-run reckons with

# ---------------------------------------------------------------- the picture


def plot(rows, peaks, precision, path):
    """Every row of one table under the roof: operations per byte against TFLOP/s, tinycnn and its peer joined.

    Raises ValueError where no row of this table has a time.
    """
    from matplotlib.figure import Figure

    rows = [r for r in rows if r["precision"] == precision and r["tinycnn_us"]]
    if not rows:
        raise ValueError(f"nothing was measured in {precision}")
    directions = list(dict.fromkeys(r["direction"] for r in rows))
    figure = Figure(figsize=(5.2 * len(directions), 4.8), layout="constrained")
    axes = figure.subplots(1, len(directions), sharex=True, sharey=True, squeeze=False)[0]
    intensities = [r["flop"] / r["bytes"] for r in rows]
    low, high = min(intensities) / 2, 2 * max(*intensities, peaks.flop_per_s(precision) / peaks.bandwidth)
    knee = peaks.flop_per_s(precision) / peaks.bandwidth
    for ax, direction in zip(axes, directions, strict=True):
        roof = [(i, min(i * peaks.bandwidth, peaks.flop_per_s(precision)) / 1e12) for i in (low, knee, high)]
        ax.plot(*zip(*roof, strict=True), color="0.3", linewidth=1.5, label=f"roof: {peaks.name}")
        here = [r for r in rows if r["direction"] == direction]
        for row in here:
            if row["cudnn_us"]:
                both = [row["flop"] / row[key] / 1e6 for key in ("cudnn_us", "tinycnn_us")]
                ax.plot([row["flop"] / row["bytes"]] * 2, both, color="0.8", linewidth=0.8, zorder=1)
        for key, label, marker in (("cudnn_us", "the fastest peer", "s"), ("tinycnn_us", "tinycnn", "o")):
            points = [(r["flop"] / r["bytes"], r["flop"] / r[key] / 1e6) for r in here if r[key]]
            if points:
                ax.scatter(*zip(*points, strict=True), s=18, marker=marker, label=label, zorder=2)
        ax.set(xscale="log", yscale="log", title=direction, xlabel="FLOP per byte")
        ax.grid(True, which="major", color="0.92")
    axes[0].set_ylabel("TFLOP/s")
    axes[0].legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=120)
