"""Tables of what is known of kernels without running them: predicted, counted, compiled.

planner: from tinycnn/devices/gpu/fast/cost.json, which fit_cost_model.py makes of results/nvidia-h200/fast_tiles.json;
planner-rows: of the same times the quickest of each large layer, and of go-crazy's, beside what is predicted of it;
one-kernel, step-paths: from results/emulator/step_paths.json, which step_paths.py counts;
fast-kernels, fast-kernels-in-short: from results/nvrtc/fast_compile.json.
"""

import json
from pathlib import Path
from statistics import median

import fast_compile
import fit_cost_model
import network_shapes
import profile_steps
import step_paths
import whole_steps
from tables_shared import field, markdown, of_every_file, used

from tinycnn.devices.gpu.fast import cost
from tinycnn.devices.gpu.fast.instances import TURNED


def planner(results):
    """How far the planner's predictions are off, by kernel."""
    fitted = cost.fitted()
    source, lines = fitted["measured"], fit_cost_model.lines_of(fitted["errors"], 2)
    names = ("kernel", "prediction", "times", "median factor", "worst", "tile within 10 % of the best", "time lost")
    of = f"{source['card']}, {source['date'][:10]}, commit {source['commit']}."
    return f"{of}\n\n{markdown(lines, names, left=2)}"


def planner_rows(results):
    """For each layer and direction the quickest of the measured times, and what the model predicts of that tile."""
    facts, rows = fit_cost_model.read()
    predicted = {row: row.predicted(cost.Coefficients(**cost.fitted()["coefficients"][row.family])) for row in rows}
    best = {}
    flop = {(r["direction"], r["name"], r["masked"]): r["flop"] for r in facts["rows"] if is_shown(r)}
    for row in rows:
        if row.problem in flop and (row.problem not in best or row.us < best[row.problem].us):
            best[row.problem] = row
    lines = [
        [
            row.problem[1], row.direction + " behind a ReLU" * row.masked,
            row.family.split()[0] + ", turned" * (row.way == TURNED), f"{row.us:.1f}", f"{predicted[row]:.1f}",
            f"{predicted[row] / row.us:.2f}", f"{flop[problem] / row.us / 1e6:.1f}",
        ]
        for problem, row in sorted(best.items(), key=lambda item: (flop[item[0]], item[0][1]))
    ]  # fmt: skip
    told = fit_cost_model.errors({row: predicted[row] for row in best.values()})
    source = fit_cost_model.source_of(facts)
    head = (
        f"{source['card']}, {source['date'][:10]}, commit {source['commit']}. Of these {len(lines)} times half are "
        f"within a factor of {told['median']:.2f} of what is predicted, all within {told['worst']:.2f}."
    )
    columns = ("layer", "direction", "kernel", "measured µs", "predicted µs", "predicted / measured", "TFLOP/s")
    return f"{head}\n\n{markdown(lines, columns, left=3)}"


def is_shown(row):
    """Whether it is among what one looks for: the large layers, go-crazy's, and those of well-known networks."""
    large = row["flop"] >= network_shapes.LARGE_FLOP and set(row["networks"]) & set(network_shapes.LARGE)
    return bool(large or set(row["networks"]) & {*network_shapes.FOREMOST[:1], network_shapes.CLASSIC})


def one_kernel(results):
    """Which network fits whom, as one kernel; or why not."""
    lines = []
    for row in step_paths.read(results):
        found = row["one_kernel"]
        if "shared" not in found:
            lines.append([f"`{row['network']}`", found["why_not"], row["batch"], "-", "-", "-", "-"])
            continue
        where = ", ".join(card.removeprefix("NVIDIA ") for card in found["cards"]) or found["why_not"]
        barriers = found["grid_barriers"], found["block_barriers"]
        size = f"{found['shared'] / 1024:.1f}"
        lines.append([f"`{row['network']}`", where, row["batch"], size, *barriers, f"{found['us']:.0f}"])
    names = ["network", "cards, or why not", "batch", "KB", "grid", "block", "µs, predicted"]
    return markdown(lines, names, left=2)


def paths(results):
    """What a step costs on each path; of a time only what was measured."""
    files = (*profile_steps.FILES.values(), whole_steps.FILE)
    measured = [step_times(results, file) for file in files]
    lines = []
    for row in step_paths.read(results):
        found = row["one_kernel"]
        if "shared" not in found:
            continue
        general, fast = (row["paths"][path] for path in step_paths.PATHS)
        lines.append(
            [f"`{row['network']}`", general["launches"], f"{general['bytes'] / 1e6:.0f}", fast["launches"]]
            + [f"{fast['bytes'] / 1e6:.0f}", 1, found["grid_barriers"], f"{found['bytes'] / 1e6:.0f}"]
            + [times.get(row["network"], "-") for times in measured]
        )
    names = ["network", "general: launches", "MB", "fast: launches", "MB", "one kernel: launches", "barriers", "MB"]
    names += ["general as a graph, µs measured", "fast, µs measured", "one kernel, µs measured"]
    return markdown(lines, names, left=1)


def step_times(results, file):
    """{network: microseconds of a step on an H200} of what benchmarks/profile_steps.py or whole_steps.py measured, at
    the batch that the counts are of."""
    found = {}
    batches = {row["network"]: row["batch"] for row in step_paths.read(results)}
    for path in Path(results).glob(f"nvidia-h200/{file}"):
        for row in json.loads(path.read_text(encoding="utf-8"))["rows"]:
            if row.get("recorded", True) and batches.get(row["network"]) == row["batch"]:
                found[row["network"]] = f"{row['us']:,.0f}"
    return found


def fast_kernels_in_short(content, path):
    """What NVRTC makes of the kernels of kernels/fast, by architecture and kernel."""
    found = {}
    for row in field(content, "rows", path):
        found.setdefault((row["arch"], row["kernel"].split("<")[0]), []).append(row)
    lines = []
    for (arch, kernel), rows in sorted(found.items()):
        shares = sorted(row["loop"][1] / row["loop"][0] for row in rows if row["loop"] and row["loop"][0])
        registers, warps = ([row[name] for row in rows] for name in ("registers", "warps"))
        lines.append([
            arch, kernel, len(rows), f"{min(registers)} to {max(registers)}", sum(row["spills"] for row in rows),
            f"{median(warps):.0%}", f"{median(row['code'] for row in rows) / 1024:.0f} KB",
            *([f"{median(shares):.0%}", f"{shares[0]:.0%} to {shares[-1]:.0%}"] if shares else
              ["no nvdisasm" if rows[0]["loop"] is None else fast_compile.NO_LOOP, "-"]),
        ])  # fmt: skip
    names = ("architecture", "kernel", "kernels", "registers", "bytes spilled", "warps", "code", "FFMA")
    names += ("lowest to highest",)
    return f"{compiled_by(content, path)}\n\n{markdown(lines, names, left=2)}"


def compiled_by(content, path):
    """What was compiled, for which cards, and by what."""
    cards = {row["arch"]: row["card"] for row in content["rows"]}
    of = ", ".join(f"{arch} ({card})" for arch, card in sorted(cards.items()))
    return f"Batches of {field(content, 'batch', path)}, for {of}; commit {content['commit']}; {used([content], path)}."


def fast_kernels(content, path):
    """The same for every layer and direction: a number for each architecture, in their order."""
    found = {}
    for row in sorted(field(content, "rows", path), key=lambda row: row["arch"]):
        found.setdefault((row["layer"], row["direction"]), []).append(row)

    def each(rows, text):
        texts = [text(row) for row in rows]
        return texts[0] if len(set(texts)) == 1 else " / ".join(texts)

    lines = [
        [
            layer, direction, each(rows, lambda row: row["kernel"].split("_")[1]),
            each(rows, lambda row: str(row["threads"])), each(rows, lambda row: str(row["registers"])),
            each(rows, lambda row: f"{row['shared'] / 1024:.1f}"), each(rows, lambda row: f"{row['warps']:.0%}"),
            each(rows, lambda row: str(row["spills"])), each(rows, lambda row: f"{row['code'] / 1024:.0f}"),
            each(rows, fast_compile.share_of),
        ]
        for (layer, direction), rows in found.items()
    ]  # fmt: skip
    names = ("layer", "direction", "kernel", "threads", "registers", "shared KB", "warps", "spills", "code KB", "FFMA")
    return f"{compiled_by(content, path)}\n\n{markdown(lines, names, left=3)}"


NOT_COMPILED = "Not compiled yet: `python benchmarks/fast_compile.py` needs NVRTC, and no GPU."
TABLES = {
    "planner": planner,
    "planner-rows": planner_rows,
    "one-kernel": one_kernel,
    "step-paths": paths,
    "fast-kernels": of_every_file("fast_compile.json", fast_kernels, NOT_COMPILED),
    "fast-kernels-in-short": of_every_file("fast_compile.json", fast_kernels_in_short, NOT_COMPILED),
}
