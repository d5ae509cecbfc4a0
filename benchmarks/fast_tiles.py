"""How long tiles of kernels/fast take for the layers of documented networks, on a GPU: the planner's model is fitted to
these times, and where they are of the GPU that trains, they decide.

    python benchmarks/fast_tiles.py                   # on a GPU; writes benchmarks/results/<GPU>/fast_tiles.json
    python benchmarks/fast_tiles.py --budget 120      # within so many seconds, the important layers first
    python benchmarks/fast_tiles.py --missing         # what the file has no times of yet
    python benchmarks/fast_tiles.py --dry-run         # anywhere: how many launches and kernels

Every convolution and dense layer, and a few classics, forward and both ways back, behind a ReLU too where a network has
one there. Of the planner's candidates some that differ are tried, by each kernel that can compute the layer. A time is
that of measuring.py; its launch's result is compared with that of the general kernels in double.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import NamedTuple

import budget as budgets
import machine
import network_shapes
import numpy as np
from fast_compile import layer_of
from fit_cost_model import MOST_ERROR
from problems import Convolution, Dense, relative_error

import tinycnn
from tinycnn import architectures, layers, session
from tinycnn.devices import DeviceError
from tinycnn.devices.base import Wanted
from tinycnn.devices.gpu import cards
from tinycnn.devices.gpu.fast import launches, measuring
from tinycnn.devices.gpu.fast.instances import BACKWARD_DATA, DIRECTIONS, FORWARD, GemmTile, SmallTile
from tinycnn.devices.gpu.fast.plan import choices

FILE = "fast_tiles.json"
MOST, MOST_MASKED = 5, 3  # launches that are tried of a layer's direction, of each way to compute it
HOPELESS = 1.5  # a way that is predicted to take so many times what another does is not tried
ALIKE = 2  # of one size
PACKAGES = ("tinycnn", "numpy", "cupy-cuda13x", "cupy-cuda12x")


class Case(NamedTuple):
    """A layer's direction."""

    problem: Convolution | Dense
    networks: tuple[str, ...]
    direction: str
    masked: bool

    @property
    def name(self):
        return f"{self.problem.name} {self.direction}{' behind a ReLU' if self.masked else ''}"


def with_relu():
    """The problems that stand before a ReLU of their own in some documented network."""
    found = set()
    with tinycnn.use_device("reference"), session.without_initial_weights():
        for name in architectures.ARCHITECTURES:
            for symbol in architectures.build(name).symbols[1:]:
                if getattr(symbol.layer, "activation", None) == "relu" and not isinstance(
                    symbol.layer, layers.Activation
                ):
                    found.add(network_shapes.problem_of(symbol, network_shapes.BATCH))
    return found


def cases():
    """Every Case, in order of importance."""
    every = {p: n for p, n in network_shapes.problems().items() if isinstance(p, Convolution | Dense)}
    every |= {p: [network_shapes.CLASSIC] for p in network_shapes.CLASSICS}
    before_relu = with_relu()
    found = []
    for problem, networks in network_shapes.by_importance(every, network_shapes.LARGE).items():
        for direction in DIRECTIONS:
            masks = (False, True) if direction != FORWARD and problem in before_relu else (False,)
            found += [Case(problem, tuple(networks), direction, masked) for masked in masks]
    return found


def size_of(one):
    """What tells apart candidates that differ much."""
    tile = one.tile
    if isinstance(tile, GemmTile):
        return one.plan.file, tile.BM, tile.BN, tile.TM, tile.TN
    if isinstance(tile, SmallTile):
        return one.plan.file, tile.PX, tile.TK
    return one.plan.file, *tile[:5]


def tried(case, card):
    """The candidates to measure: the best of each size, a few alike, one of each kernel at least."""
    every = choices(layer_of(case.problem), case.direction, card, case.masked)
    least = min(one.us for one in every)
    found = []
    for way in dict.fromkeys(one.way for one in every):
        of_way, sizes = [], {}
        for one in every:
            if one.way == way:
                sizes[size_of(one)] = sizes.get(size_of(one), 0) + 1
                of_way += [one] if sizes[size_of(one)] <= ALIKE else []
        best = {one.plan.file: one for one in reversed(of_way)}
        if min(one.us for one in of_way) < HOPELESS * least:
            found += [*of_way[: MOST_MASKED if case.masked else MOST], *best.values()]
    return list(dict.fromkeys(found))


def seconds_for(case):
    """What it takes, roughly."""
    calls = measuring.FEW if case.problem.flop(case.direction) >= measuring.LONG else measuring.CALLS
    launched = calls * (2 * measuring.ROUNDS + measuring.RUNS_UNTIL_RECORDED)
    return MOST * (0.03 + launched * case.problem.flop(case.direction) / 3e13)


# ---------------------------------------------------------------- on a GPU


def exact(case, arrays):
    """The gradient or output in double, by the general kernels."""
    device = tinycnn.get_device("cuda", "float64")
    x, w, b, dy, y = (device.asarray(array) for array in arrays)
    y, wanted = (
        y if case.masked else None,
        Wanted(x=case.direction == BACKWARD_DATA, w=case.direction != BACKWARD_DATA, b=False),
    )
    if isinstance(case.problem, Dense):
        x, w, dy = x.reshape(x.shape[0], -1), w.reshape(-1, w.shape[-1]), dy.reshape(dy.shape[0], -1)
        y = None if y is None else y.reshape(dy.shape)
        if case.direction == FORWARD:
            return device.numpy(device.dense_forward(x, w, b, True))
        found = device.dense_backward(dy, y, x, w, wanted)
    else:
        at = case.problem.stride, case.problem.padding
        if case.direction == FORWARD:
            return device.numpy(device.conv2d_forward(x, w, b, *at, True))
        found = device.conv2d_backward(dy, y, x, w, *at, wanted)
    return device.numpy(found[0] if case.direction == BACKWARD_DATA else device.whole(found[1]))


def result(device, one, case, arrays):
    """What a launch computes, as NumPy's."""
    x, w, b, dy, y = arrays
    cut = y if case.masked else None
    if case.direction == FORWARD:
        return device.numpy(launches.forward(device, one.plan, one.layer, x, w, b, True))
    if case.direction == BACKWARD_DATA:
        return device.numpy(launches.backward_data(device, one.plan, one.layer, dy, cut, w))
    dw, _ = launches.backward_filter(device, one.plan, one.layer, x, dy, cut, False)
    return device.numpy(dw).sum(axis=0, dtype=np.float64)


def measure(case, device):
    """A row of the file."""
    layer = layer_of(case.problem)
    ways, arrays = tried(case, device.driver.card), measuring.inputs(layer, device)
    times = measuring.microseconds(ways, case.direction, case.masked, arrays, device)
    wanted = exact(case, arrays).reshape(-1)
    found = []
    for one, us in zip(ways, times, strict=True):
        function = device.driver.functions[one.plan.file, device.named(one.plan.kernel)]
        error = relative_error(result(device, one, case, arrays).reshape(-1), wanted)
        found.append({
            "kernel": one.plan.file, "way": one.way, "layer": one.layer, "tile": one.tile, "slices": one.plan.slices,
            "us": round(us, 3), "expected_us": round(one.us, 3), "error": float(f"{error:.3g}"),
            "registers": function.num_regs, "local_bytes": function.local_size_bytes,
            "block": one.plan.block[0], "shared": one.plan.room,
        })  # fmt: skip
    return {
        "name": case.problem.name, "networks": case.networks, "direction": case.direction, "masked": case.masked,
        "flop": case.problem.flop(case.direction), "bytes": case.problem.bytes(case.direction), "tried": found,
    }  # fmt: skip


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--missing", action="store_true", help="only what the file has no times of; they stay there")
    parser.add_argument("--dry-run", action="store_true", help="what would be measured")
    parser.add_argument("--results", type=Path, default=machine.RESULTS, metavar="DIR", help="where <GPU>/ is written")
    budgets.add_option(parser, "layers")
    options = parser.parse_args(arguments)
    budget = budgets.Budget(options.budget, rehearsal=options.dry_run)
    if options.dry_run:
        return rehearse(budget)
    try:
        device = tinycnn.get_device("cuda", "float32")
    except DeviceError as error:
        print(f"fast_tiles.py: {error}", file=sys.stderr)
        return 2
    card = machine.gpu()
    path = options.results / machine.slug(card) / FILE
    facts = {"device": card, "calls": measuring.CALLS, "rounds": measuring.ROUNDS}
    rows, wrong = machine.rows_before(path, facts) if options.missing else [], []
    there = {(row["name"], row["direction"], row["masked"]) for row in rows}
    missing = [case for case in cases() if (case.problem.name, case.direction, case.masked) not in there]
    for case in budget.within(missing, lambda case: case.name, seconds_for):
        row = machine.provenance(card, "cuda", PACKAGES) | {"path": "fast"} | measure(case, device)
        rows.append(row)
        wrong += [
            f"{case.name}: {one['kernel']}: {one['error']:.2g}" for one in row["tried"] if not one["error"] < MOST_ERROR
        ]
        best = min(row["tried"], key=lambda one: one["us"])
        print(f"{case.name}: {best['us']:.1f} us, {row['flop'] / best['us'] / 1e6:.1f} TFLOP/s", flush=True)
        machine.write_atomically(path, text_of(facts, rows))
    machine.write_atomically(path, text_of({**facts, "left_out": budget.left_out}, rows))
    print(budget.report() or "nothing was left out")
    for line in wrong:
        print(f"FAILED: {line}")
    print(f"written: {path}")
    return 1 if wrong else 0


def text_of(facts, rows):
    """JSON with a line for each time."""

    def of_row(row):
        about = {name: value for name, value in row.items() if name != "tried"}
        lines = ",\n   ".join(map(json.dumps, row["tried"]))
        return f'{json.dumps(about).removesuffix("}")}, "tried": [\n   {lines}]}}'

    return machine.text_with_lines(facts, "rows", rows, of_row)


def rehearse(budget):
    card, count = cards.get("h200"), 0
    for case in budget.within(cases(), lambda case: case.name, seconds_for):
        count += len(tried(case, card))
    print(f"{budget.elapsed():.0f} s: {count} launches")
    print(budget.report() or "nothing would be left out")
    return 0


if __name__ == "__main__":
    sys.exit(main())
