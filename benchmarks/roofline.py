"""The fastest that a GPU could be: its peaks, the floor of an operation's time, and the picture of both."""

from dataclasses import dataclass

from precision import STRICT, TF32


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


# NVIDIA's data sheets: dense TF32, the larger memory where there are two. The longer name first.
DATA_SHEETS = {
    "H200": (67e12, 494e12, 4.8e12),
    "H100 PCIe": (51e12, 378e12, 2.0e12),
    "H100 NVL": (60e12, 418e12, 3.9e12),
    "H100": (67e12, 494e12, 3.35e12),
    "A100": (19.5e12, 156e12, 2.0e12),
    "L40S": (91.6e12, 183e12, 0.864e12),
    "L4": (30.3e12, 60e12, 0.3e12),
    "T4": (8.1e12, None, 0.32e12),
}


def known_peaks(name):
    """The Peaks of a GPU by its name, or None for one that is not in the table."""
    for part, figures in DATA_SHEETS.items():
        if part.lower() in name.lower():
            return Peaks(name, *figures, "data sheet")
    return None


def peaks_of(name, attributes, capability):
    """The Peaks of a GPU: from its data sheet, else from the attributes that CUDA gives.

    attributes: MultiProcessorCount, ClockRate and MemoryClockRate in kHz, GlobalMemoryBusWidth in bits.
    capability: (9, 0). Memory moves data twice a clock. TF32 is not known from attributes.
    """
    if found := known_peaks(name):
        return found
    lanes = 64 if capability in ((7, 0), (7, 2), (7, 5), (8, 0)) else 128  # float32 a clock and multiprocessor
    float32 = 2 * lanes * attributes["MultiProcessorCount"] * attributes["ClockRate"] * 1e3
    bandwidth = 2 * attributes["MemoryClockRate"] * 1e3 * attributes["GlobalMemoryBusWidth"] / 8
    return Peaks(name, float32, None, bandwidth, "the device's attributes")


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
