"""tinycnn against its peers, operation by operation: measuring, checking, and the tables of it.

Used by conv_cudnn.py and layers_cudnn.py. Every contender's result is compared with float64 before it is timed and
again, over poisoned outputs, after; the precision that a row is filed under is judged by that error.
"""

import argparse
import json
import sys
from collections import Counter
from math import exp, log
from pathlib import Path

import budget as budgets
import expected
import machine
import roofline
from gpu_timing import CALLS, ROUNDS, in_turn, sets_needed
from precision import STRICT, TF32, WRONG, precision_of
from report import summary
from sides import FAST, GENERAL, TinycnnSide
from tables_shared import markdown
from tabulate import tabulate

import tinycnn
from tinycnn.devices import DeviceError
from tinycnn.devices.gpu.cuda import OTHERWISE

TABLES = {STRICT: "strict float32", TF32: "TF32 allowed"}
STARTING = 20  # seconds until the first row: libraries load, kernels are compiled
ROUNDS_WITHIN_A_BUDGET = 5
PACKAGES = ("tinycnn", "numpy", "numba", "numba-cuda", "cupy-cuda13x", "cupy-cuda12x", "torch", "nvidia-cudnn-frontend")


# ---------------------------------------------------------------- measuring


class Measured:
    """One contender of a row: its variant, its errors and its times."""

    def __init__(self, side, variant, how):
        self.side, self.variant, self.how = side, variant, how
        self.errors, self.precision, self.excluded = [], None, None
        self.times, self.timed_by = {}, None  # seconds over rotating and over warm buffers; 'graph' or 'launches'

    @property
    def label(self):
        return self.side.label if self.side.label == self.variant else f"{self.side.label}, {self.variant}"

    def facts(self):
        times = {name: summary([s * 1e6 for s in seconds]) for name, seconds in self.times.items()}
        return {
            "side": self.side.label, "variant": self.variant, "tf32_allowed": self.how.tf32,
            "precision": self.precision, "errors": self.errors, "us": times, "timed_by": self.timed_by,
            "excluded": self.excluded,
        }  # fmt: skip

    def us(self):
        """The median over rotating buffers, which is what the tables show; infinite where there is none."""
        return summary(self.times["rotating"])["median"] * 1e6 if self.times else float("inf")


class Contest:
    """All contenders at one problem in one direction. wanted: its result in float64; tf32: whether those that take it
    when allowed are among them."""

    def __init__(self, problem, direction, cache, wanted, rounds=ROUNDS, tf32=True):
        self.problem, self.direction, self.rounds, self.tf32 = problem, direction, rounds, tf32
        self.inputs, self.wanted = expected.inputs_of(problem, direction), wanted
        self.sets = sets_needed(problem.bytes(direction), cache)

    def check(self, measured, bound, outputs):
        """Remember the error, and what precision it speaks for; exclude what is wrong, or not what it should be."""
        found = self.problem.errors(self.direction, self.inputs, bound.to_host(outputs), self.wanted)
        worst = max(found, key=lambda error: error if error == error else float("inf"))
        measured.errors.append(worst)
        measured.precision = precision_of(worst, self.problem.length(self.direction))
        if measured.precision == WRONG:
            measured.excluded = f"its result is wrong, by {worst:.2g} of its norm"
        elif measured.precision == TF32 and not measured.how.tf32:
            measured.excluded = f"computed in TF32, which was not allowed: its error is {worst:.2g}"

    def measure(self, sides):
        """[Measured, ...], those that could not take part with the reason."""
        contenders = [
            Measured(side, variant, how)
            for side in sides
            for variant, how in side.variants(self.problem, self.direction).items()
            if self.tf32 or not how.tf32
        ]
        ready, replays = [], {}
        for one in contenders:
            try:
                bounds = [one.side.bind(self.problem, self.direction, one.how, self.inputs) for _ in range(self.sets)]
                self.check(one, bounds[0], bounds[0].call())
                if one.excluded is None:
                    kept = []
                    for name, (work, calls) in {
                        "rotating": rotating_work(bounds, kept),
                        "warm": warm_work(bounds[0]),
                    }.items():
                        replay, one.timed_by = one.side.record(work)
                        replays[one, name] = replay, calls, one.side.marks
                    ready.append((one, bounds, kept))
            except Exception as error:  # whatever keeps a contender from taking part is a fact for the table
                one.excluded = " ".join(str(error).split())[:300] or type(error).__name__
                replays = {key: replay for key, replay in replays.items() if key[0] is not one}
        if replays:
            for (one, name), seconds in in_turn(replays, self.rounds).items():
                one.times[name] = seconds
        for one, bounds, kept in ready:
            for outputs in (kept[0], kept[len(bounds) - 1]):
                bounds[0].poison(outputs)
            replays[one, "rotating"][0]()
            for outputs in (kept[0], kept[len(bounds) - 1]):
                self.check(one, bounds[0], outputs)
            if one.excluded:
                one.times = {}
        return contenders


def rotating_work(bounds, kept):
    """(a function that makes at least CALLS calls, in turn over these, how many). `kept` holds what they returned:
    what is written must not lie in the cache either, so every set has outputs of its own."""
    calls = bounds * -(-CALLS // len(bounds))

    def work():
        kept[:] = [bound.call() for bound in calls]

    return work, len(calls)


def warm_work(bound):
    """The same over one set, its outputs always in the same place."""

    def work():
        for _ in range(CALLS):
            bound.call()

    return work, CALLS


def row_of(table, problem, direction, networks, contenders, ours, peaks):
    """One row of a table: the fastest of each side that may stand in it."""

    def fastest(found):
        able = [m for m in found if not m.excluded and (table == TF32 or not m.how.tf32)]
        return min(able, key=Measured.us, default=None)

    mine = fastest(m for m in contenders if m.side is ours[0])
    peer = fastest(m for m in contenders if m.side not in ours)
    flop, size = problem.flop(direction), problem.bytes(direction)
    floor, bound = peaks.floor(flop, size, table)
    row = {
        "operation": problem.operation, "direction": direction, "name": problem.name, "shape": problem.facts(),
        "networks": networks, "precision": table, "flop": flop, "bytes": size, "floor_us": floor * 1e6, "bound": bound,
    }  # fmt: skip
    for key, one in (("tinycnn", mine), ("cudnn", peer)):
        us = one.us() if one else None
        row |= {
            f"{key}_us": us,
            f"{key}_variant": one and one.label,
            f"{key}_precision": one and one.precision,
            f"{key}_tflops": us and flop / us / 1e6,
            f"{key}_share": us and floor * 1e6 / us,
        }
    for side in ours[1:]:
        other = fastest(m for m in contenders if m.side is side)
        row[f"{side.label}_us"] = other.us() if other else None
    row["ratio"] = peer.us() / mine.us() if mine and peer else None
    row |= machine.provenance(peaks.name, ours[0].device.name, PACKAGES) | {"path": ours[0].path}
    row["measured"] = [m.facts() for m in contenders if table == TF32 or not m.how.tf32]
    return row


def has_tf32(problem):
    return problem.operation in ("conv2d", "dense")


def places(problems):
    """[(problem, direction), ...], in order."""
    return [(problem, direction) for problem in problems for direction in problem.directions]


def name_of(place):
    """'conv2d forward, 28x28x1 * 3x3 -> 32'"""
    problem, direction = place
    return f"{problem.operation} {direction}, {problem.name}"


def seconds_for(place):
    """What a row takes, roughly: buffers and searching, and a core's share of the results in float64."""
    problem, direction = place
    return 0.6 + problem.flop(direction) / 1e10 / machine.cores()


def measure(problems, ours, peers, peaks, cache, on_row=lambda rows: None, rounds=ROUNDS, budget=None, tf32=True):
    """The rows of both tables. problems: {problem: networks}; ours: tinycnn's sides, the first of which is compared;
    on_row is called with the rows so far after each problem and direction; tf32: whether the second table is made."""
    rows = []
    with expected.Results(places(problems)) as wanted:
        for problem, direction in (budget or budgets.Budget()).within(places(problems), name_of, seconds_for):
            contest = Contest(problem, direction, cache, wanted(problem, direction), rounds, tf32)
            contenders = contest.measure([*ours, *peers])
            tables = TABLES if tf32 and has_tf32(problem) else [STRICT]
            rows += [row_of(t, problem, direction, problems[problem], contenders, ours, peaks) for t in tables]
            on_row(rows)
    return rows


def geomeans(rows):
    """{table: {operation: {direction: {"ratio", "rows"}}}}: how many times as fast as the peer, as geometric means."""
    means = {}
    for row in rows:
        if row["ratio"]:
            of_operation = means.setdefault(row["precision"], {}).setdefault(row["operation"], {})
            of_operation.setdefault(row["direction"], []).append(row["ratio"])
    return {
        table: {
            operation: {
                direction: {"ratio": exp(sum(map(log, ratios)) / len(ratios)), "rows": len(ratios)}
                for direction, ratios in directions.items()
            }
            for operation, directions in operations.items()
        }
        for table, operations in means.items()
    }


# ---------------------------------------------------------------- what is shown


def number(value, form):
    return "-" if value is None else format(value, form)


def table_text(rows, table, title):
    """One table in Markdown, its geometric means below."""
    here = [row for row in rows if row["precision"] == table]
    others = sorted({key[:-3] for row in here for key in row if key.endswith("_us")} - {"tinycnn", "cudnn", "floor"})
    lines = [
        [
            row["operation"], row["direction"], row["name"], row["cudnn_variant"] or "-",
            f"{row['floor_us']:.2f}", number(row["tinycnn_us"], ".2f"),
            *[number(row.get(f"{name}_us"), ".2f") for name in others], number(row["cudnn_us"], ".2f"),
            number(row["tinycnn_tflops"], ".2f"), number(row["cudnn_tflops"], ".2f"),
            number(row["tinycnn_share"], ".0%"), number(row["cudnn_share"], ".0%"), number(row["ratio"], ".2f"),
        ]
        for row in here
    ]  # fmt: skip
    names = ["operation", "direction", "shape", "fastest peer", "floor µs", "tinycnn µs", *[f"{n} µs" for n in others]]
    names += ["peer µs", "tinycnn TFLOP/s", "peer TFLOP/s", "tinycnn of roof", "peer of roof", "times as fast"]
    text = f"## {title}, {TABLES[table]}\n\n{markdown(lines, names, left=4)}\n"
    for operation, directions in geomeans(here).get(table, {}).items():
        for direction, mean in directions.items():
            text += f"\nGeometric mean, {operation} {direction}: {mean['ratio']:.2f} ({mean['rows']} rows)."
    return text + "\n"


def described(found, problems, peaks):
    """A row for each (problem, direction) of `found`, with nothing measured."""
    rows = []
    for problem, direction in found:
        flop, size = problem.flop(direction), problem.bytes(direction)
        floor, bound = peaks.floor(flop, size)
        rows.append({
            "operation": problem.operation, "direction": direction, "name": problem.name,
            "shape": problem.facts(), "networks": problems[problem], "flop": flop, "bytes": size,
            "floor_us": floor * 1e6, "bound": bound,
        })  # fmt: skip
    return rows


def dry_text(rows, peaks):
    lines = [
        [
            place, row["operation"], row["direction"], row["name"], f"{row['flop'] / 1e6:,.2f}",
            f"{row['bytes'] / 1e6:,.2f}", f"{row['floor_us']:,.2f}", row["bound"], " ".join(row["networks"]),
        ]
        for place, row in enumerate(rows, 1)
    ]  # fmt: skip
    names = ["", "operation", "direction", "shape, of each image", "MFLOP", "MB", "floor µs", "bound by", "networks"]
    alignment = ["right", *["left"] * 3, *["right"] * 3, "left", "left"]
    head = (
        f"batches of 128; floors for {peaks.name}: {peaks.float32 / 1e12:g} TFLOP/s in float32, "
        f"{peaks.bandwidth / 1e12:g} TB/s\n\n"
    )
    kinds = Counter(row["operation"] for row in rows)
    tail = "\n\n" + ", ".join(f"{count} rows of {kind}" for kind, count in kinds.items())
    return head + tabulate(lines, names, disable_numparse=True, colalign=alignment) + tail


# ---------------------------------------------------------------- the command


def chosen(problems, only):
    """The problems whose operation, shape or network contains the text. Raises ValueError where there is none."""
    if only is None:
        return problems
    found = {p: n for p, n in problems.items() if only in n or only in f"{p.operation} {p.name}"}
    if not found:
        raise ValueError(f"--only {only}: no operation, shape or network is called so")
    return found


def our_sides():
    """(tinycnn's sides, {what is absent: why}). Raises DeviceError without a GPU."""
    cuda = tinycnn.get_device("cuda")
    ours = [TinycnnSide(cuda, FAST), TinycnnSide(cuda, GENERAL)]
    try:
        numba = tinycnn.get_device("numba")
    except DeviceError as error:
        return ours, {"tinycnn on numba": str(error)}
    if numba.remark:  # its simulator
        return ours, {"tinycnn on numba": numba.remark}
    return [*ours, TinycnnSide(numba)], {}


def peers_and_what_is_absent():
    """(cuDNN's sides, {what is absent: why})."""
    try:
        import torch

        if not torch.cuda.is_available():
            raise ImportError("this PyTorch is made for CPUs, or finds no GPU")
        from cudnn_peer import TorchSide

        peers = [TorchSide()]
    except ImportError as error:
        return [], {"cuDNN through PyTorch": f"pip install torch ({error})"}
    try:
        from cudnn_frontend import FrontendSide

        return [*peers, FrontendSide()], {}
    except Exception as error:  # it looks for cuDNN, the driver and a GPU, each with errors of its own
        return peers, {"cuDNN's own interface": f"pip install nvidia-cudnn-frontend ({error})"}


def gpu_facts():
    """(its Peaks, the bytes of its L2 cache), from CuPy."""
    import cupy

    device = cupy.cuda.Device()
    capability = divmod(int(device.compute_capability), 10)
    return roofline.peaks_of(machine.gpu(), device.attributes, capability), device.attributes["L2CacheSize"]


def main(name, title, about, find_problems, arguments=None):
    """The command of a benchmark script. name: of its files; find_problems: () -> {problem: networks}."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="what would be measured, its cost and its floor")
    parser.add_argument("--json", action="store_true", help="the dry run as JSON")
    text = "a network, or a part of an operation's or a shape's name; what was measured before stays in the results"
    parser.add_argument("--only", metavar="TEXT", help=text)
    parser.add_argument("--results", type=Path, default=machine.RESULTS, metavar="DIR", help="where <GPU>/ is written")
    budgets.add_option(parser)
    options = parser.parse_args(arguments)
    budget = budgets.Budget(options.budget, rehearsal=options.dry_run)
    try:
        if not options.dry_run:
            ours, absent = our_sides()
            peers, no_peers = peers_and_what_is_absent()
            peaks, cache = gpu_facts()
        problems = chosen(find_problems(), options.only)
    except DeviceError as error:
        why = str(error).replace(f"; {OTHERWISE}", "")
        print(f"{name}.py: {why}; --dry-run works without one", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"{name}.py: {error}", file=sys.stderr)
        return 2
    if options.dry_run:
        budget.spend(STARTING)
        rows = described(list(budget.within(places(problems), name_of, seconds_for)), problems, roofline.H200)
        facts = {"peaks": vars(roofline.H200), "rows": rows, "left_out": budget.left_out}
        print(json.dumps(facts, indent=1) if options.json else dry_text(rows, roofline.H200))
        if budget.left_out and not options.json:
            print(budget.report())
        return 0
    if budget.limited:  # the rest takes longer than all of this
        no_peers |= {peer.label: "left out within a budget" for peer in peers[1:]}
        peers = peers[:1]
    folder = options.results / machine.slug(peaks.name)
    facts = {
        "device": peaks.name, "peaks": vars(peaks), "l2_bytes": cache,
        "rounds": ROUNDS_WITHIN_A_BUDGET if budget.limited else ROUNDS, "absent": absent | no_peers,
    }  # fmt: skip
    earlier = machine.rows_before(folder / f"{name}.json", facts) if options.only else []
    return run(name, title, facts, earlier, problems, ours, peers, peaks, folder, budget)


def key_of(row):
    return row["operation"], row["name"], row["direction"], row["precision"]


def run(name, title, facts, earlier, problems, ours, peers, peaks, folder, budget=None):
    """Measure, and write <name>.json, .md and one .png a table into `folder`, the JSON anew after every row.

    facts: of the whole file; earlier: rows that stay, unless they are measured again. Within a budget nothing is
    measured with TF32 allowed. "left_out" names what the file has no row of yet. Returns the exit status: 1 where a
    result of tinycnn's was wrong, or not in float32.
    """
    budget = budget or budgets.Budget()
    tf32 = not budget.limited

    def with_earlier(rows):
        again = {key_of(row) for row in rows}
        return [row for row in earlier if key_of(row) not in again] + rows

    def write(rows):
        kept = with_earlier(rows)
        there = {(r["operation"], r["name"], r["direction"]) for r in kept}
        missing = [name_of((p, d)) for p, d in places(problems) if (p.operation, p.name, d) not in there]
        missing += [] if tf32 else ["everything with TF32 allowed"]
        result = {**facts, "left_out": missing, "rows": kept, "geomean": geomeans(kept)}
        machine.write_json(folder / f"{name}.json", result)
        row = rows[-1]
        print(f"{row['operation']} {row['direction']}, {row['name']}: {number(row['ratio'], '.2f')}", file=sys.stderr)

    measured = measure(problems, ours, peers, peaks, facts["l2_bytes"], write, facts["rounds"], budget, tf32)
    if budget.left_out:
        print(budget.report(), file=sys.stderr)
    rows = with_earlier(measured)
    tables = [table for table in TABLES if any(row["precision"] == table for row in rows)]
    launched = {one["side"] for row in rows for one in row["measured"] if one["timed_by"] == "launches"}
    text = f"# {title}\n\n{peaks.name}\n\n" + "\n".join(table_text(rows, table, title) for table in tables)
    for label in sorted(launched):
        text += f"\nNote: {label} was timed by launches, not by a graph: what they cost the host is in its times.\n"
    machine.write_atomically(folder / f"{name}.md", text)
    for table in tables:
        if any(row["precision"] == table and row["tinycnn_us"] for row in rows):
            roofline.plot(rows, peaks, table, folder / f"{name}-{table}.png")
    print(text)
    for what, why in facts["absent"].items():
        print(f"absent: {what}: {why}")
    wrong = {
        f"{row['operation']} {row['direction']}, {row['name']}: {one['side']}: {one['excluded']}"
        for row in measured
        for one in row["measured"]
        if one["excluded"] and one["side"] in [side.label for side in ours]
    }
    for line in sorted(wrong):
        print(f"FAILED: {line}")
    return 1 if wrong else 0
