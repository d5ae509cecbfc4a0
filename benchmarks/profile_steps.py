"""A training step of every documented network, as `fit` makes it: how many launches, how long, and which kernels.

    python benchmarks/profile_steps.py                  # on a GPU; writes benchmarks/results/<GPU>/profile_steps.json
    python benchmarks/profile_steps.py --budget 60      # within so many seconds, the most looked for first
    python benchmarks/profile_steps.py --networks go-crazy models-9
    python benchmarks/profile_steps.py --path fast      # by kernels compiled for each shape: profile_steps_fast.json
    python benchmarks/profile_steps.py --dry-run        # anywhere: launches a step, counted on the emulator

Batches of 128 images of MNIST, or random ones of that size. `us`: a step's microseconds, as it is recorded (a CUDA
graph), the data resident: the host's clock around some hundred steps, the median of three rounds, waiting for the GPU
at the end of each. `files`: the same step launched kernel by kernel, two CUDA events around each launch, summed by
kernel file. Recorded steps keep the GPU busy meanwhile, so what launching costs the host is not in them; what two
events cost the GPU is, about `events_us` each launch, so the sums of small kernels exceed their share of `us`.
"""

import argparse
import gc
import sys
import time
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import budget as budgets
import machine
import numpy as np
from gpu_timing import CupyMarks
from report import EPOCH_IMAGES
from tabulate import tabulate
from train_frameworks import training_data

import tinycnn
from tinycnn import architectures, session
from tinycnn.devices import DeviceError
from tinycnn.devices.gpu.cuda import OTHERWISE
from tinycnn.fit import data, loop
from tinycnn.utils import to_categorical

BATCH, ROUNDS, PASSES = 128, 3, 3
MOST_STEPS, FEWEST_STEPS, ROUND_SECONDS = 200, 10, 0.3  # a round's
STEPS_AHEAD = 50  # recorded ones, at most, while kernels are launched one by one
EPOCH_STEPS = -(-EPOCH_IMAGES // BATCH)
STARTING = 5  # seconds until the first network
PACKAGES = ("tinycnn", "numpy", "cupy-cuda13x", "cupy-cuda12x")
FILES = {"general": "profile_steps.json", "fast": "profile_steps_fast.json"}  # by path
FOREMOST = ("go-crazy", "vanilla-15k", "models-9", "models-1", "cn-1", "models-4", "models-7", "essentia")
FOREMOST += ("breakdown-1", "other-1", "eip4-2", "cn-3", "cn-2")
LAST = ("models-10",)  # a hundred times as long as the small ones
SECONDS = {"models-10": 25, "models-6": 6}  # what a network takes, roughly, building it included
USUALLY = 2


def in_order(names=None):
    """The networks that are named, or all, in order of importance. Raises ValueError for one that there is not."""
    if names:
        return [architectures.get(name).id for name in names]
    others = [name for name in architectures.ARCHITECTURES if name not in FOREMOST + LAST]
    return [*FOREMOST, *others, *LAST]


def seconds_for(name):
    return SECONDS.get(name, USUALLY)


# ---------------------------------------------------------------- one step


class Launch(NamedTuple):
    """One launch of an unrecorded step. begin, end: events around it, or None."""

    file: str
    kernel: str
    begin: Any
    end: Any


@contextmanager
def noted(driver, event=lambda: None, running=True):
    """Inside, every launch of the driver's is noted in the list that this yields, an event before and one after.

    running: whether it is launched, too.
    """
    found, launch = [], driver.launch

    def noting(file, kernel, *arguments):
        begin = event()
        if running:
            launch(file, kernel, *arguments)
        found.append(Launch(file, kernel, begin, event()))

    driver.launch = noting
    try:
        yield found
    finally:
        del driver.launch


class Step:
    """A network's training step on resident data x (N, H, W, C), y (N,), and what is measured of it."""

    def __init__(self, name, x, y):
        tinycnn.set_random_seed(0)
        self.model = architectures.build(name)
        self.model.trained = self.model.trainable_weights
        self.model.optimizer.bind(self.model.trained)
        labels = to_categorical(y, self.model.output.extents[0])
        self.steps = loop.Steps(self.model, data.resident(self.model, x, labels, ("x", "y")))
        self.device = self.model.device

    def rewind(self):
        self.steps.start(np.arange(self.steps.data.count))

    def wait(self):
        self.steps.means(1)

    def launches(self, running=True):
        """[Launch, ...] of a step that is launched kernel by kernel."""
        self.rewind()
        self.model.optimizer.before_step()
        with noted(self.device.driver, running=running) as found:
            self.steps.train(BATCH)
        return found

    def record(self):
        """Make self.run: the step as `fit` runs it from its third batch on. self.why: why it is not recorded."""
        self.rewind()
        self.run, _ = self.steps.recorded(self.steps.train, BATCH)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(5):
                self.run()
            self.wait()
        self.recorded = getattr(self.run, "graph", None) is not None
        self.why = None if self.recorded else "; ".join(str(w.message) for w in caught) or "this device records nothing"

    def seconds(self, count):
        """Of a step, over so many of them."""
        self.rewind()
        self.wait()
        began = time.perf_counter()
        for _ in range(count):
            self.run()
        self.wait()
        return (time.perf_counter() - began) / count

    def by_kernel(self, marks, step_seconds):
        """([(file, kernel, seconds), ...] of each launch, the seconds between two events with nothing between)."""
        self.rewind()
        began = time.perf_counter()
        with noted(self.device.driver, marks.now):  # makes what is made once; how long it takes to launch is wanted
            self.steps.train(BATCH)
        launching = time.perf_counter() - began
        ahead = min(STEPS_AHEAD, 1 + int(2 * launching / step_seconds)) if self.recorded else 0
        self.rewind()
        self.wait()
        for _ in range(ahead):  # the GPU works on these while the host launches what is timed
            self.run()
        nothing = [(marks.now(), marks.now()) for _ in range(10)]
        with noted(self.device.driver, marks.now) as found:
            self.steps.train(BATCH)
        self.wait()
        seconds = [(one.file, one.kernel, marks.between(one.begin, one.end)) for one in found]
        return seconds, median(marks.between(*pair) for pair in nothing)


def summed(passes):
    """By kernel file: launches a step, and the median over the passes of the microseconds summed; the longest first.

    passes: [[(file, kernel, seconds), ...] of a step, ...]
    """
    totals = []
    for launches in passes:
        of_file = Counter()
        for file, _, seconds in launches:
            of_file[file] += 1e6 * seconds
        totals.append(of_file)
    counts = Counter(file for file, _, _ in passes[0])
    rows = [{"file": f, "launches": n, "us": median(total[f] for total in totals)} for f, n in counts.items()]
    return sorted(rows, key=lambda row: -row["us"])


def kernels_of(passes):
    """The same by kernel: [{"kernel", "launches", "us"}, ...]"""
    as_files = [[(kernel, kernel, seconds) for _, kernel, seconds in launches] for launches in passes]
    return [{"kernel": row.pop("file"), **row} for row in summed(as_files)]


def profile(name, x, y, marks):
    """A network's row."""
    step = Step(name, x, y)
    launches = step.launches()
    step.record()
    once = step.seconds(3)
    count = max(FEWEST_STEPS, min(MOST_STEPS, int(ROUND_SECONDS / once), len(x) // BATCH))
    rounds = [1e6 * step.seconds(count) for _ in range(ROUNDS)]
    passes = [step.by_kernel(marks, once) for _ in range(PASSES)]
    return {
        "network": name, "batch": BATCH, "launches": len(launches), "recorded": step.recorded,
        "why_not_recorded": step.why, "us": median(rounds), "rounds_us": rounds, "steps": count,
        "epoch_s": median(rounds) * EPOCH_STEPS / 1e6, "events_us": 1e6 * median(n for _, n in passes),
        "files": summed([p for p, _ in passes]), "kernels": kernels_of([p for p, _ in passes]),
    }  # fmt: skip


# ---------------------------------------------------------------- all of them


def measure(names, training, card, device, path, budget):
    """Profile these networks, and write the file after each. One that fails is named in it.

    Returns (the file's rows, {network: why it failed})."""
    facts = {
        "device": card, "data": training.name, "batch": BATCH, "epoch_images": EPOCH_IMAGES,
    }  # fmt: skip
    rows, failed = machine.rows_before(path, facts), {}
    missing = list(names)
    for name in budget.within(names, str, seconds_for):
        try:
            row = profile(name, training.x, training.y, CupyMarks())
            row |= machine.provenance(card, device, PACKAGES)
        except Exception as error:  # one network's failure is a fact of the file, and no end of the others
            failed[name] = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            print(f"{name}: FAILED: {failed[name]}", file=sys.stderr, flush=True)
        else:
            rows = [r for r in rows if r["network"] != name] + [row]
            graph = "" if row["recorded"] else f", not recorded: {row['why_not_recorded']}"
            print(f"{name}: {row['launches']} launches, {row['us']:.0f} us{graph}", file=sys.stderr, flush=True)
        gc.collect()  # the graph, and the memory that belongs to it
        missing.remove(name)
        machine.write_json(path, {**facts, "left_out": missing, "failed": failed, "rows": sorted(rows, key=place_of)})
    if budget.left_out:
        print(budget.report(), file=sys.stderr)
    return rows, failed


def place_of(row):
    return list(architectures.ARCHITECTURES).index(row["network"])


def table(rows):
    lines = [
        [
            row["network"], row["launches"], f"{row['us']:,.0f}", f"{row['epoch_s']:.2f}",
            ", ".join(f"{f['file']} {f['us']:,.0f}" for f in row["files"][:6]),
        ]
        for row in rows
    ]  # fmt: skip
    names = ["network", "launches", "us a step", "s an epoch", "us by file, between events"]
    return tabulate(lines, names, disable_numparse=True, colalign=["left", "right", "right", "right", "left"])


def rehearse(names, budget, path):
    """Print what would be measured, in order, with the launches of a step, which the emulator counts and does not run.

    Raises DeviceError without a compiler.
    """
    budget.spend(STARTING)
    x, y = np.zeros((BATCH, 28, 28, 1), np.float32), np.zeros(BATCH, int)
    with tinycnn.use_device("emulator") as device, device.taking(path), session.without_initial_weights():
        for name in budget.within(names, str, seconds_for):
            files = Counter(launch.file for launch in Step(name, x, y).launches(running=False))
            counts = ", ".join(f"{file} {count}" for file, count in files.most_common())
            print(f"{budget.elapsed():5.0f} s  {name:12s}{sum(files.values()):4d} launches: {counts}", flush=True)
    print(budget.report() or "nothing would be left out")
    return 0


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", metavar="ID", help="these again; the others stay as they are there")
    parser.add_argument("--path", choices=FILES, default="general", help="by which kernels")
    parser.add_argument("--dry-run", action="store_true", help="count launches on the emulator, and time nothing")
    parser.add_argument("--results", type=Path, default=machine.RESULTS, metavar="DIR", help="where <GPU>/ is written")
    budgets.add_option(parser, "networks")
    options = parser.parse_args(arguments)
    budget = budgets.Budget(options.budget, rehearsal=options.dry_run)
    try:
        names = in_order(options.networks)
        if options.dry_run:
            return rehearse(names, budget, options.path)
        with tinycnn.use_device("cuda") as gpu, gpu.taking(options.path):
            card, training = machine.gpu(), training_data(BATCH * MOST_STEPS)
            path = options.results / machine.slug(card) / FILES[options.path]
            rows, failed = measure(names, training, card, "cuda", path, budget)
    except DeviceError as error:
        why = str(error).replace(f"; {OTHERWISE}", "")
        print(f"profile_steps.py: {why}; --dry-run counts launches without one", file=sys.stderr)
        return 2
    except ValueError as error:  # an unknown network, or damaged data
        print(f"profile_steps.py: {error}", file=sys.stderr)
        return 2
    print(table(rows))
    print(f"written: {path}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
