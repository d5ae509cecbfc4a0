"""Fits the planner's cost model to the times in benchmarks/results/nvidia-h200/fast_tiles.json.

    python benchmarks/fit_cost_model.py             # writes tinycnn/devices/gpu/fast/cost.json, says how far it is off
    python benchmarks/fit_cost_model.py --report    # only says it, from cost.json

Every kernel family has coefficients of its own (`Coefficients` of cost.py): those that bring the logarithms of its
predicted times nearest to the measured ones, without going far from what such a thing should take. They are found by
walking along one coefficient after the other, so the same times give the same coefficients.

The errors are told three times. `expected`: of what had been predicted before these times were measured. `fitted`: of
the times that the model was fitted to. `held out`: of each layer by a model that has not seen its times in any tile.
"""

import argparse
import hashlib
import json
import math
import sys
from pathlib import Path
from statistics import median

import machine
from tabulate import tabulate

from tinycnn.devices.gpu import cards
from tinycnn.devices.gpu.fast import cost, instances, occupancy
from tinycnn.devices.gpu.fast.counts import counts_of
from tinycnn.devices.gpu.fast.instances import TURNED
from tinycnn.devices.gpu.fast.plan import launched, least_bytes, preparation
from tinycnn.shapes import Geometry

MEASURED = machine.RESULTS / "nvidia-h200" / "fast_tiles.json"
TILES = {
    "fast/conv_gemm": instances.GemmTile,
    "fast/conv_gemm_filter": instances.FilterTile,
    "fast/conv_small": instances.SmallTile,
    "fast/conv_small_filter": instances.SmallFilterTile,
}
# What a part should take, and how far, as a factor e^x, it may easily be from it.
LIKELY = cost.Coefficients(1.15, 1, 6, 15, 1, 1, 100, 1500, 1.5, 0.3, 3)
SPREAD = cost.Coefficients(0.1, 0.3, 0.5, 0.7, 0.4, 0.4, 0.7, 0.5, 0.3, 0.5, 0.3)
MOST_ERROR = 3e-6  # of a right result: no less is expected of sums in float32
STRAYING = 0.02  # what straying so far costs, beside errors
USUAL = 0.1  # errors above it count by their size, not by its square: a single odd time does not bend all the others
NEAR = 1.1  # of the best: as good
PARTS = 8  # of the layers, each held out once


class Row:
    """A measured time, with what is counted of its launch."""

    def __init__(self, facts, tried, card):
        self.layer, self.tile = Geometry(*tried["layer"]), TILES[tried["kernel"]](*tried["tile"])
        self.way, self.masked, self.slices = tried["way"], facts["masked"], tried["slices"]
        self.us, self.expected = tried["us"], tried["expected_us"]
        self.problem = facts["direction"], facts["name"], facts["masked"]
        form, direction, masked = launched(self.layer, self.way, self.masked)
        self.family = cost.family(tried["kernel"], direction)
        self.counts = counts_of(form, direction, self.tile, self.slices, masked)
        self.resident = max(1, occupancy.resident(card, tried["block"], tried["registers"], tried["shared"]))
        self.card, self.size = card, least_bytes(self.layer, itemsize=4)
        self.before = preparation(self.layer, self.masked, card, 4) if self.way == TURNED else 0

    @property
    def direction(self):
        return self.problem[0]

    def predicted(self, coefficients):
        return self.before + cost.microseconds(self.counts, self.resident, self.card, self.size, coefficients)


def read(path=MEASURED):
    """(facts of the file, its Rows). Rows whose result was wrong are left out."""
    facts = json.loads(Path(path).read_text(encoding="utf-8"))
    card = cards.get(facts["device"])
    return facts, [
        Row(row, tried, card) for row in facts["rows"] for tried in row["tried"] if tried["error"] < MOST_ERROR
    ]


def source_of(facts):
    """Where the times come from: card and path, the date of the last of them, and their commits."""
    rows = facts["rows"]
    commits = dict.fromkeys(row["commit"] or "unknown" for row in rows)
    return {
        "card": facts["device"], "date": max(row["date"] for row in rows), "commit": ", ".join(commits),
        "path": rows[0]["path"],
    }  # fmt: skip


# ---------------------------------------------------------------- the fit


def loss(logarithms, rows):
    coefficients = cost.Coefficients(*map(math.exp, logarithms))
    far = [(x - math.log(m)) / s for x, m, s in zip(logarithms, LIKELY, SPREAD, strict=True)]
    errors = [abs(math.log(row.predicted(coefficients) / row.us)) for row in rows]
    return sum(e * e / USUAL / 2 if e < USUAL else e - USUAL / 2 for e in errors) + STRAYING * sum(x * x for x in far)


def fit(rows, start=LIKELY):
    """The Coefficients for these rows."""
    at, steps = list(map(math.log, start)), [0.3] * len(start)
    best = loss(at, rows)
    while max(steps) >= 0.01:
        for i, step in enumerate(steps):
            for move in (step, -step):
                there = at[:i] + [at[i] + move] + at[i + 1 :]
                found = loss(there, rows)
                if found < best - 1e-9:
                    at, best, steps[i] = there, found, 1.5 * step
                    break
            else:
                steps[i] = step / 2
    return cost.Coefficients(*map(math.exp, at))


def families(rows):
    """{family: its rows}"""
    found = {}
    for row in rows:
        found.setdefault(row.family, []).append(row)
    return found


def held_out(rows):
    """{row: the time by a model of its family that has not seen its layer}.

    Each is fitted from LIKELY on: begun at what fits all times, it would stay near to what the unseen ones made of it.
    """
    found, layers = {}, list(dict.fromkeys(row.problem[1] for row in rows))
    for part in range(PARTS):
        unseen = set(layers[part::PARTS])
        coefficients = fit([row for row in rows if row.problem[1] not in unseen])
        found |= {row: row.predicted(coefficients) for row in rows if row.problem[1] in unseen}
    return found


# ---------------------------------------------------------------- how far it is off


def errors(predicted):
    """{row: microseconds} -> how far off they are, and what choosing by them costs; None without rows.

    median, worst: predicted / measured, or the inverse where that is larger. near: of so many layers with several
    tiles, how often the tile that should be the quickest takes at most NEAR times what the quickest does. lost: how
    much longer it takes, the geometric mean.
    """
    if not predicted:
        return None
    off = sorted(math.exp(abs(math.log(us / row.us))) for row, us in predicted.items())
    layers = {}
    for row in predicted:
        layers.setdefault(row.problem, []).append(row)
    several = [rows for rows in layers.values() if len(rows) > 1]
    lost = [min(rows, key=predicted.get).us / min(row.us for row in rows) for rows in several]
    return {
        "times": len(off),
        "median": round(median(off), 3),
        "worst": round(off[-1], 3),
        "layers": len(several),
        "near": sum(factor <= NEAR for factor in lost),
        "lost": round(math.prod(lost) ** (1 / len(lost)), 3) if lost else 1,
    }


def lines_of(found, digits):
    """The errors of cost.json as text: (family, kind, times, median, worst, near, lost) where there are any."""
    lines = []
    for family, kinds in found.items():
        for kind, e in kinds.items():
            if e:
                median, worst, lost = (f"{e[name]:.{digits}f}" for name in ("median", "worst", "lost"))
                lines.append((family, kind, e["times"], median, worst, f"{e['near']} of {e['layers']}", lost))
    return lines


def table(found):
    """The errors of cost.json as a terminal shows them."""
    headers = ("kernel", "errors", "times", "median", "worst", f"tile within {NEAR - 1:.0%} of the best", "time lost")
    return tabulate(lines_of(found, 3), headers, disable_numparse=True, colalign=(*["left"] * 2, *["right"] * 5))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", action="store_true", help="only print the errors that cost.json has")
    if parser.parse_args(arguments).report:
        print(table(cost.fitted()["errors"]))
        return 0
    facts, rows = read()
    coefficients, found, everything = {}, {}, {"expected": {}, "fitted": {}, "held out": {}}
    for family, of_family in families(rows).items():
        coefficients[family] = fit(of_family)
        kinds = {
            "expected": {row: row.expected for row in of_family if row.expected},
            "fitted": {row: row.predicted(coefficients[family]) for row in of_family},
            "held out": held_out(of_family),
        }
        found[family] = {kind: errors(predicted) for kind, predicted in kinds.items()}
        for kind, predicted in kinds.items():
            everything[kind] |= predicted
    found["all"] = {kind: errors(predicted) for kind, predicted in everything.items()}
    file = {"file": MEASURED.relative_to(machine.RESULTS).as_posix(), "sha256": digest(MEASURED)}
    facts = {
        "measured": source_of(facts) | file,
        "coefficients": {name: {k: round(v, 4) for k, v in c._asdict().items()} for name, c in coefficients.items()},
        "errors": found,
    }
    text = machine.text_with_lines(facts, "times", [time_of(row) for row in quickest(rows)])
    machine.write_atomically(cost.FILE, text)
    print(table(found))
    print(f"written: {cost.FILE}")
    return 0


def quickest(rows):
    """Of each layer's direction the quickest row of each kernel, and of each way."""
    found = {}
    for row in sorted(rows, key=lambda row: row.us):
        found.setdefault((row.problem, row.way, type(row.tile)), row)
    kept = set(found.values())
    return [row for row in rows if row in kept]


def time_of(row):
    """A measured time as measured.py reads it."""
    tile = {"tile": type(row.tile).__name__, "numbers": row.tile, "slices": row.slices}
    return {"layer": row.layer, "direction": row.way, "masked": row.masked, **tile, "us": row.us}


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
