"""What a training step of each documented network costs on each path, counted: launches, barriers, bytes.

    python benchmarks/step_paths.py                     # anywhere; writes benchmarks/results/emulator/step_paths.json
    python benchmarks/step_paths.py --networks go-crazy # these again; the others stay as they are there

Nothing is computed and nothing is timed. Of the paths general and fast, a step of the documented batch is gone through
without a launch: `launches`, and `bytes`, those of the arrays that its launches take, each once a launch. Of the path
one-kernel the plan for an H200: its barriers, what it needs of shared memory, and `bytes`, read and written by all
blocks; or `why_not`. `us` is predicted, and says so. `cards`: which of the described ones hold it.
"""

import argparse
import json
import sys
from pathlib import Path

import machine
import numpy as np

import tinycnn
from tinycnn import architectures, session
from tinycnn.command.planned_step import one_kernel
from tinycnn.devices.gpu import KernelDevice, cards
from tinycnn.devices.gpu.emulator import EmulatorDriver
from tinycnn.fit import data, loop
from tinycnn.utils import to_categorical

PATHS = ("general", "fast")
PREDICTED_FOR = "h200"
FILE = "step_paths.json"
CLASSES = 10


class Counting(EmulatorDriver):
    """Launches nothing, and counts what would be launched."""

    def __init__(self):
        super().__init__()
        self.launches = self.bytes = 0
        self.behind = {}  # id of a table of addresses: (the table, bytes of what it points to)

    def address_table(self, rows):
        table = super().address_table(rows)
        self.behind[id(table)] = table, sum(n.nbytes for row in rows for n in row if isinstance(n, np.ndarray))
        return table

    def launch(self, file, kernel, ctype, grid, block, args, shared, cooperative=False):
        arrays = {id(a): a for a in args if isinstance(a, np.ndarray)}
        self.launches += 1
        self.bytes += sum(a.nbytes + self.behind.get(i, (None, 0))[1] for i, a in arrays.items())


class CountingDevice(KernelDevice):
    name, paths = "emulator", ("general", "fast", "one-kernel")


def count(name, path):
    """{'launches': ..., 'bytes': ...} of a step of a network on a path."""
    driver = Counting()
    device = CountingDevice("float32", driver)
    device.path = path
    with tinycnn.use_device(device):
        session.clear_session()
        model = architectures.build(name)
        model.trained = model.trainable_weights
        model.optimizer.bind(model.trained)
        batch = model.recipe["batch_size"]
        x, y = np.zeros((batch, *model.input.extents), np.float32), to_categorical(np.zeros(batch), CLASSES)
        steps = loop.Steps(model, data.resident(model, x, y, ("x", "y")))
        model.optimizer.before_step()
        driver.launches = driver.bytes = 0
        steps.train(batch)
    return {"launches": driver.launches, "bytes": driver.bytes}


def row_of(name):
    """A network's row, as the results file has it."""
    with tinycnn.use_device("reference"), session.without_initial_weights():
        model = architectures.build(name)
        batch = model.recipe["batch_size"]
        planned = one_kernel(model, batch, cards.get(PREDICTED_FOR))
    row = {"network": name, "batch": batch, "paths": {path: count(name, path) for path in PATHS}}
    if "shared" not in planned:
        return {**row, "one_kernel": {"why_not": planned["why_not"], "cards": []}}
    kept = ("why_not", "shared", "again", "grid_barriers", "block_barriers", "us")
    fits = [card["card"] for card in planned["cards"] if not card["why_not"]]
    return {**row, "one_kernel": {**{k: planned[k] for k in kept}, "bytes": planned["bytes_moved"], "cards": fits}}


def read(results):
    path = Path(results) / "emulator" / FILE
    return json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", metavar="ID", help="these again; the others stay as they are there")
    parser.add_argument(
        "--results", type=Path, default=machine.RESULTS, metavar="DIR", help="where emulator/ is written"
    )
    options = parser.parse_args(arguments)
    names = options.networks or list(architectures.ARCHITECTURES)
    rows = {row["network"]: row for row in read(options.results)}
    for name in names:
        rows[name] = row_of(name)
        print(f"{name}: {json.dumps(rows[name]['one_kernel'])[:100]}", flush=True)
    ordered = [rows[name] for name in architectures.ARCHITECTURES if name in rows]
    path = options.results / "emulator" / FILE
    machine.write_json(path, {"note": "Counted and predicted; nothing was measured.", "rows": ordered})
    print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
