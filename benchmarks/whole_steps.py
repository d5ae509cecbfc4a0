"""How long a training step takes as one kernel, for every documented network that fits.

    python benchmarks/whole_steps.py                    # on a GPU; writes benchmarks/results/<GPU>/whole_steps.json
    python benchmarks/whole_steps.py --budget 60        # within so many seconds
    python benchmarks/whole_steps.py --device emulator --networks breakdown-2 --batch 2 --images 4

Epochs of MNIST, or of random images of that size, at the documented batch, the data resident; all steps of an epoch in
one launch. `us`: of a step, the host's clock around the launch until the GPU is done, the median of five epochs.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import median

import budget as budgets
import machine
from profile_steps import PACKAGES
from tabulate import tabulate
from train_frameworks import training_data

import tinycnn
from tinycnn import architectures
from tinycnn.devices import DeviceError
from tinycnn.devices.base import WholeStep
from tinycnn.fit import data, loop
from tinycnn.fit.whole_steps import WholeSteps, found_or_why_not
from tinycnn.utils import to_categorical

ROUNDS = 5
FIRST = ("go-crazy", "vanilla-15k", "breakdown-2", "breakdown-5", "other-2", "other-4")
SECONDS = 25  # of a network, roughly: most of it compiles
FILE = "whole_steps.json"


def profile(name, x, y, batch=None):
    """A network's row on the current device; or, in a clause, why it has none."""
    tinycnn.set_random_seed(0)
    model = architectures.build(name)
    batch = batch or model.recipe["batch_size"]
    resident = data.resident(model, x, to_categorical(y, model.output.extents[0]), ("x", "y"))
    step = found_or_why_not(model, resident, batch, loop.Listeners([], model, {}))
    if not isinstance(step, WholeStep):
        return step
    model.optimizer.bind(model.trained)
    steps, whole, sizes = loop.Steps(model, resident), WholeSteps(model, resident, step), resident.batch_sizes(batch)
    rounds = []
    for number in range(ROUNDS + 1):
        steps.start(range(len(x)))
        began = time.perf_counter()
        whole.run(sizes, steps.totals)
        if number:  # the first has compiled
            rounds.append(1e6 * (time.perf_counter() - began) / len(sizes))
    loss, _ = steps.means(len(x))
    row = {"network": name, "batch": batch, "steps": len(sizes), "loss": loss, "us": median(rounds)}
    return {**row, "rounds_us": rounds, "epoch_s": median(rounds) * len(sizes) / 1e6}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", metavar="ID", help="these again; the others stay as they are there")
    parser.add_argument("--device", default="cuda", choices=["cuda", "emulator"])
    parser.add_argument("--batch", type=int, help="images of a step; the documented number if not given")
    parser.add_argument("--images", type=int, default=60_000, help="of an epoch")
    parser.add_argument("--results", type=Path, default=machine.RESULTS, metavar="DIR", help="where <GPU>/ is written")
    budgets.add_option(parser, "networks")
    options = parser.parse_args(arguments)
    budget = budgets.Budget(options.budget)
    names = options.networks or list(dict.fromkeys([*FIRST, *architectures.ARCHITECTURES]))
    try:
        with tinycnn.use_device(options.device) as device, device.taking("one-kernel"):
            card = machine.gpu() if options.device == "cuda" else "emulator"
            path, training = options.results / machine.slug(card) / FILE, training_data(options.images)
            facts = {"device": card, "data": training.name}
            rows = machine.rows_before(path, facts)
            for name in budget.within(names, str, lambda _: SECONDS):
                found = profile(name, training.x, training.y, options.batch)
                print(f"{name}: {found if isinstance(found, str) else round(found['us'], 1)}", flush=True)
                if not isinstance(found, str):
                    row = found | machine.provenance(card, options.device, PACKAGES)
                    rows = [r for r in rows if r["network"] != name] + [row]
                    machine.write_json(path, {**facts, "rows": rows})
    except (DeviceError, ValueError) as error:
        print(f"whole_steps.py: {error}", file=sys.stderr)
        return 2
    print(tabulate([(r["network"], r["steps"], f"{r['us']:.1f}", f"{r['epoch_s']:.3f}") for r in rows]))
    print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
