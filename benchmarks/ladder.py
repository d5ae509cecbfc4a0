"""The ladder of kernels/ladder, step by step: what each asks of memory, and how fast it is beside cuDNN.

    python benchmarks/ladder.py --emulator    # anywhere: counts sectors, bank conflicts and bytes, by the emulator
    python benchmarks/ladder.py               # on a GPU: times each step and cuDNN
    python benchmarks/ladder.py --dry-run --budget 60    # anywhere: what would be timed within so many seconds
    python benchmarks/ladder.py --tables      # writes kernels/ladder/README.md's tables again, and nothing else

Three layers of the documented networks, in three directions. The counts are of two images, and are the same on every
machine: benchmarks/results/emulator/ladder.json. The times are of 128 images, medians by device events over replays
of a CUDA graph, over buffers that the L2 cache does not hold: benchmarks/results/<GPU>/ladder.json. A step's result is
compared with float64 before it is timed. For each layer and direction the peers are timed first, then every step by
itself, written at once. The tensor cores stand beside cuDNN with TF32 allowed, all other steps beside cuDNN in strict
float32.
"""

import argparse
import hashlib
import json
import re
import sys
from pathlib import Path

import budget as budgets
import expected
import machine
import readme_tables
import tables_shared
import versus
from problems import PASSES, Convolution
from report import summary
from sides import Bound, How, TinycnnSide

import tinycnn
from tinycnn import emulator, kernels
from tinycnn.devices import DeviceError
from tinycnn.devices.checks.cases import Operations
from tinycnn.devices.gpu import ladder
from tinycnn.devices.gpu.cuda import OTHERWISE

README = kernels.FOLDER / "ladder" / "README.md"
LAYERS = {  # name: H, W, C, K, R, S
    "the first layer of breakdown-2": (28, 28, 1, 8, 3, 3),
    "the second layer of go-crazy": (26, 26, 12, 20, 3, 3),
    "the second layer of models-1": (12, 12, 32, 64, 5, 5),
}
MOST_IMPORTANT_FIRST = ("the second layer of go-crazy", "the second layer of models-1")
COUNTED_IMAGES, TIMED_IMAGES = 2, 128
TF32_STEPS = ("8_tensor_cores",)
OWN = "kernels/conv2d.cu"  # what tinycnn trains with, at the end of the table
STARTING = 20  # seconds until the first row: libraries load, kernels are compiled


def conv_of(problem):
    return ladder.Conv.of(problem.x_shape, problem.w_shape, problem.stride, problem.padding)


def fingerprint(step):
    """Of a step's code, headers included, without comments, lines' numbers and spaces: what its counts belong to."""
    code = re.sub(r"//.*|#line.*", "", kernels.source(f"ladder/{step}"))
    return hashlib.sha256("".join(code.split()).encode()).hexdigest()[:16]


# ---------------------------------------------------------------- counted by the emulator


def count(step, direction, problem):
    """What a step asks of memory for this problem: one row of the results file.

    Where blocks leave partial sums, the launch that adds them up is counted too.
    """
    on, conv = Operations("float32"), conv_of(problem)
    operands = [on.device.asarray(array) for array in problem.inputs(direction, on.rng).values()]
    getattr(ladder, direction)(on.device, step, conv, *operands)
    traces = [emulator.trace(kernels.path(file), launch, blocks=None) for file, launch in on.driver.launches]
    lines = [line for trace in traces for line in trace.lines]
    loads = [line for line in lines if (line.space, line.op) == ("global", "load")]
    stores = [line for line in lines if line.space == "global" and line.op != "load"]
    shared = [line for line in lines if line.space == "shared"]

    def a_request(lines, what):
        requests = sum(line.requests for line in lines)
        return sum(getattr(line, what) for line in lines) / requests if requests else None

    loaded, stored = (32 * sum(line.sectors for line in part) for part in (loads, stores))
    flop = problem.flop(direction)
    return {
        "step": step, "direction": direction, "launch": ladder.shape_of(step, direction, conv)._asdict(),
        "sectors_per_load": a_request(loads, "sectors"),
        "fewest_sectors_per_load": a_request(loads, "fewest_sectors"),
        "sectors_per_store": a_request(stores, "sectors"),
        "fewest_sectors_per_store": a_request(stores, "fewest_sectors"),
        "shared_requests": sum(line.requests for line in shared),
        "passes_per_shared_request": a_request(shared, "passes"),
        "fewest_passes_per_shared_request": a_request(shared, "fewest_passes"),
        "bytes_loaded": loaded, "bytes_stored": stored, "flop": flop, "flop_per_byte": flop / (loaded + stored),
    }  # fmt: skip


def count_all(layers, results):
    """Count every step for every layer and direction, and write results/emulator/ladder.json."""
    found = []
    for name, numbers in layers.items():
        problem = Convolution(COUNTED_IMAGES, *numbers)
        rows = []
        for direction in PASSES:
            for step in ladder.STEPS:
                rows.append(count(step, direction, problem))
                print(f"{name}, {direction}, {step}: {rows[-1]['bytes_loaded']:,} bytes loaded", file=sys.stderr)
        found.append({"name": name, "shape": problem.name, "images": problem.N, "rows": rows})
    facts = {"note": emulator.tracing.NOTE, "code": {step: fingerprint(step) for step in ladder.STEPS}, "layers": found}
    machine.write_json(Path(results) / "emulator" / "ladder.json", facts)


# ---------------------------------------------------------------- timed on a GPU


class LadderSide(TinycnnSide):
    """One step of the ladder, as a side of a comparison."""

    def __init__(self, device, step):
        super().__init__(device)
        self.step = self.label = step

    def variants(self, problem, direction):
        return {self.label: How(tf32=self.step in TF32_STEPS)}

    def bind(self, problem, direction, how, inputs):
        conv, on = conv_of(problem), [self.device.asarray(array) for array in inputs.values()]
        call = getattr(ladder, direction)
        return Bound(lambda: (call(self.device, self.step, conv, *on),), self.to_host, self.poison)


def row_of(problem, direction, one, peers):
    """A step's row: its time beside the fastest peer of the same precision. one, peers: versus.Measured."""
    rivals = [m for m in peers if not m.excluded and (one.how.tf32 or not m.how.tf32)]
    peer = min(rivals, key=versus.Measured.us, default=None)
    us = None if one.excluded else one.us()
    return {
        "step": one.side.label, "direction": direction, "us": us, "error": one.errors, "precision": one.precision,
        "excluded": one.excluded, "timed_by": one.timed_by,
        "all_us": {name: summary([s * 1e6 for s in seconds]) for name, seconds in one.times.items()},
        "tflops": us and problem.flop(direction) / us / 1e6,
        "peer": peer and peer.label, "peer_us": peer and peer.us(), "ratio": us and peer and peer.us() / us,
    }  # fmt: skip


def places(layers):
    """[(layer, direction, step), ...] in the order in which they are timed."""
    order = sorted(layers, key=lambda name: name not in MOST_IMPORTANT_FIRST)
    return [(layer, d, step) for d in PASSES for layer in order for step in (OWN, *ladder.STEPS)]


def name_of(place):
    layer, direction, step = place
    return f"{layer}, {direction}, {step}"


def seconds_for(place):
    """What a place takes, roughly: the first of a layer and direction waits for the peers, and for float64."""
    return 4.0 if place[2] == OWN else 0.6


def time_all(layers, device, name, peers, absent, cache, results, budget=None):
    """Time every step, and write results/<GPU>/ladder.json after each. Returns the lines of what went wrong."""
    budget = budget or budgets.Budget()
    rounds = versus.ROUNDS_WITHIN_A_BUDGET if budget.limited else versus.ROUNDS
    own = TinycnnSide(device)
    own.label = OWN
    sides = {**{step: LadderSide(device, step) for step in ladder.STEPS}, OWN: own}
    rows, contest, missing = {}, (None, None, None), dict.fromkeys(places(layers))
    facts = {
        "device": name, "l2_bytes": cache, "absent": absent, "date": machine.now(), "rounds": rounds,
    }  # fmt: skip
    for place in budget.within(places(layers), name_of, seconds_for):
        layer, direction, step = place
        if contest[:2] != (layer, direction):
            problem = Convolution(TIMED_IMAGES, *layers[layer])
            contest = (
                layer,
                direction,
                versus.Contest(problem, direction, cache, expected.result_of(problem, direction), rounds),
            )
            measured_peers = contest[2].measure(peers)
        (one,) = contest[2].measure([sides[step]])
        rows[place] = row_of(problem, direction, one, measured_peers)
        rows[place] |= machine.provenance(name, device.name, versus.PACKAGES)
        del missing[place]
        found = [by_step(layer, layers[layer], rows) for layer in layers]
        facts |= {"left_out": [name_of(place) for place in missing], "layers": [f for f in found if f["rows"]]}
        machine.write_json(Path(results) / machine.slug(name) / "ladder.json", facts)
        print(f"{name_of(place)}: {number(rows[place]['us'], '.1f')} us", file=sys.stderr)
    if budget.left_out:
        print(budget.report(), file=sys.stderr)
    return [f"{name_of(place)}: {row['excluded']}" for place, row in rows.items() if row["excluded"]]


def by_step(layer, numbers, rows):
    """A layer of the results file: its rows by direction, and in these the steps in order."""
    problem = Convolution(TIMED_IMAGES, *numbers)
    order = [(layer, direction, step) for direction in PASSES for step in (*ladder.STEPS, OWN)]
    found = [rows[place] for place in order if place in rows]
    return {"name": layer, "shape": problem.name, "images": problem.N, "rows": found}


# ---------------------------------------------------------------- the tables


def by_layer(content, path, names, cells):
    """A table for each layer of a results file. cells(row): what stands behind direction and step."""
    parts = []
    for layer in tables_shared.field(content, "layers", path):
        lines = [[row["direction"].replace("_", " "), f"`{row['step']}`", *cells(row)] for row in layer["rows"]]
        table = tables_shared.markdown(lines, ["direction", "step", *names], left=2)
        parts.append(f"{layer['name'].capitalize()}, {layer['shape']}, {layer['images']} images:\n\n{table}")
    return "\n\n".join(parts)


def number(value, form):
    return "-" if value is None else format(value, form)


def counts_table(results):
    path = Path(results) / "emulator" / "ladder.json"
    if not path.exists():
        return "Not counted yet: `python benchmarks/ladder.py --emulator` counts."
    names = ["sectors a load", "sectors a store", "shared requests", "passes each", "MB loaded", "MB stored"]

    def at_best(row, what):
        return "-" if row[what] is None else f"{row[what]:.1f} ({row[f'fewest_{what}']:.1f})"

    def cells(row):
        return [
            at_best(row, "sectors_per_load"), at_best(row, "sectors_per_store"), f"{row['shared_requests']:,}",
            at_best(row, "passes_per_shared_request"), f"{row['bytes_loaded'] / 1e6:.2f}",
            f"{row['bytes_stored'] / 1e6:.2f}", f"{row['flop_per_byte']:.1f}",
        ]  # fmt: skip

    return by_layer(json.loads(path.read_text(encoding="utf-8")), path, [*names, "FLOP a byte"], cells)


def times_table(results):
    files = [f for f in tables_shared.read_all(results, "ladder.json") if f[0].parent.name != "emulator"]
    if not files:
        return "Not measured yet: `python benchmarks/ladder.py` on a machine with an NVIDIA GPU measures."

    def cells(row):
        return [
            number(row["us"], ".1f"), number(row["tflops"], ".2f"), number(row["peer_us"], ".1f"),
            number(row["ratio"], ".2f"), row["precision"] or "-",
        ]  # fmt: skip

    names = ["µs", "TFLOP/s", "cuDNN µs", "times cuDNN", "precision"]
    parts = []
    for path, content in files:
        rows = [row for layer in tables_shared.field(content, "layers", path) for row in layer["rows"]]
        commits = ", ".join(dict.fromkeys(row["commit"] or "unknown" for row in rows))
        device, versions = tables_shared.field(content, "device", path), tables_shared.used(rows, path)
        head = f"{device}; commit {commits}; {versions}:\n\n{by_layer(content, path, names, cells)}"
        never = [f"`{step}`" for step in ladder.STEPS if step not in {row["step"] for row in rows}]
        came_later = f"\n\nNot measured, for it was written later: {', '.join(never)}." if never else ""
        parts.append(head + tables_shared.left_out(content) + came_later)
    return "\n\n".join(parts)


TABLES = {"counts": counts_table, "times": times_table}


def write_tables(results):
    text = README.read_text(encoding="utf-8")
    machine.write_atomically(README, readme_tables.render(text, results, TABLES))


# ---------------------------------------------------------------- the command


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--emulator", action="store_true", help="count by the emulator; needs no GPU")
    what.add_argument("--tables", action="store_true", help="only write the README's tables again")
    what.add_argument("--dry-run", action="store_true", help="print what would be timed on a GPU, in order")
    budgets.add_option(parser, "steps")
    parser.add_argument("--results", type=Path, default=machine.RESULTS, metavar="DIR", help="benchmarks/results")
    options = parser.parse_args(arguments)
    wrong, budget = [], budgets.Budget(options.budget, rehearsal=options.dry_run)
    if options.dry_run:
        budget.spend(STARTING)
        for place in budget.within(places(LAYERS), name_of, seconds_for):
            print(f"{budget.elapsed():6.1f} s  {name_of(place)}")
        print(budget.report() or "nothing would be left out")
        return 0
    try:
        if options.emulator:
            count_all(LAYERS, options.results)
        elif not options.tables:
            device = tinycnn.get_device("cuda")
            peers, absent = versus.peers_and_what_is_absent()
            peaks, cache = versus.gpu_facts()
            wrong = time_all(LAYERS, device, peaks.name, peers, absent, cache, options.results, budget)
            print(times_table(options.results))
    except emulator.CompilerMissing as error:
        print(f"ladder.py: {error}", file=sys.stderr)
        return 2
    except DeviceError as error:
        why = str(error).replace(f"; {OTHERWISE}", "")
        print(f"ladder.py: {why}; --emulator counts without one", file=sys.stderr)
        return 2
    if options.results == machine.RESULTS:
        write_tables(options.results)
    for line in wrong:
        print(f"FAILED: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
