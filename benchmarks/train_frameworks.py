"""How fast networks train on this machine's processor: tinycnn, PyTorch and Keras, images a second.

    python benchmarks/train_frameworks.py             # several minutes; writes benchmarks/results/<device>/
    python benchmarks/train_frameworks.py --dry-run   # what would be measured

Everyone trains the same network from the same weights on the same images, batch 128, as a user would: shuffling,
dropout, batch normalisation, the documented optimiser, loss and accuracy included. Each contender lives in a
process of its own and trains short epochs, called rounds, in turn with the others; while one works, the others wait.
The first round is not counted. PyTorch is measured with one thread and with all, channels first and last, and
its best stands for it.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path

import machine
import report
from contenders import contenders, environment, split_by_presence

from tinycnn import datasets

BATCH = 128
WARM_UP_ROUNDS = 1
SETTLE_S = 0.5  # between rounds: threads that wait actively for more work go to sleep
PACKAGES = ("tinycnn", "numpy", "numba", "torch", "keras", "jax")
SHAPE, CLASSES = (28, 28, 1), 10


class ContenderError(RuntimeError):
    """A contender that could not train: says which, and shows the end of its log."""


class Worker:
    """A contender's process, which does nothing until it is asked. Ends with the `with` block."""

    def __init__(self, contender, network, data, folder):
        self.contender = contender
        self.log = Path(folder) / f"{machine.slug(network + ' ' + contender.label)}.log"
        specification = {"framework": contender.framework, "network": network, "batch": BATCH, "data": str(data)}
        script = Path(__file__).with_name("contenders.py")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(script), json.dumps({**specification, "options": contender.options})],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                env=environment(contender), start_new_session=True,
            )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass

    def train(self):
        """One round: {"seconds", "loss"}."""
        try:
            print("round", file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass  # it has ended; answer() says why
        return self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
            end = "\n".join(f"  {text}" for text in lines[-20:])
            status = self.process.wait()
            raise ContenderError(f"{self.contender.label} ended with status {status}. The end of its log:\n{end}")
        return json.loads(line)


# ---------------------------------------------------------------- measuring


def training_data(count):
    """(x, y, what they are): MNIST where it is on this machine, else noise; the speed does not depend on it."""
    import numpy as np

    cache = datasets.download.cache_folder()
    cached = all((cache / name).exists() for name in datasets.download.SHA256)
    if os.environ.get("TINYCNN_DATA") or cached:
        data = datasets.load(None if os.environ.get("TINYCNN_DATA") else cache)
        if data.x_train.shape[1:] != SHAPE:
            raise datasets.DataError(f"{data.source} has images of shape {data.x_train.shape[1:]}, not {SHAPE}")
        if len(data.x_train) < count:
            few = f"{len(data.x_train)} images, and a round takes {count}"
            raise datasets.DataError(f"{data.source} has {few}; lower --steps")
        return data.x_train[:count], data.y_train[:count], data.name
    rng = np.random.default_rng(0)
    return rng.random((count, *SHAPE), np.float32), rng.integers(0, CLASSES, count), "random images of MNIST's shape"


def measure(network, parameters, present, rounds, data, folder):
    """{contender: [{"seconds", "loss"}, ...]}, one for each counted round. Raises ContenderError."""
    measured = {contender: [] for contender in present}
    with ExitStack() as running:
        workers = [running.enter_context(Worker(contender, network, data, folder)) for contender in present]
        for worker in workers:
            counted = worker.answer()["parameters"]
            if counted != parameters:
                label = worker.contender.label
                raise ContenderError(f"{label} has {counted} parameters in {network}, not {parameters}")
        for number in range(1 - WARM_UP_ROUNDS, rounds + 1):
            first = number % len(workers)  # nobody always follows the same one
            for worker in workers[first:] + workers[:first]:
                time.sleep(SETTLE_S)
                answer = worker.train()
                progress = f"round {number} of {rounds}" if number > 0 else "warm-up"
                print(f"{network}, {progress}: {worker.contender.label}, {answer['seconds']:.2f} s", file=sys.stderr)
                if number > 0:
                    measured[worker.contender].append(answer)
    return measured


# ---------------------------------------------------------------- the command


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--networks", nargs="+", default=["go-crazy", "models-1"], metavar="ID", help="as `tinycnn list` has them")
    add("--rounds", type=int, default=7, help="counted rounds (%(default)s)")
    add("--steps", type=int, default=60, help=f"training steps of {BATCH} images in a round (%(default)s)")
    add("--results", type=Path, default=machine.RESULTS, metavar="DIR", help="where <device>/ is written")
    add("--dry-run", action="store_true", help="print what would be measured")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.steps < 1:
        parser.error("--rounds and --steps must be at least 1")
    return options


def main(arguments=None):
    options = parse(arguments)
    try:
        return run(options)
    except KeyboardInterrupt:
        print("interrupted: all contenders are stopped, nothing is written", file=sys.stderr)
        return 130
    except (ContenderError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def run(options):
    described = report.describe(dict.fromkeys(options.networks))
    present, absent = split_by_presence(contenders())
    print(report.describe_text(described, present, absent), flush=True)
    if options.dry_run:
        return 0
    x, y, data_name = training_data(options.steps * BATCH)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    print(f"\n{machine.device()}; data: {data_name}", flush=True)
    if load is not None and load > 0.5:
        print(f"warning: the load is {load:.1f}; other programs are using this machine", file=sys.stderr)
    rows, ratios = [], []
    with tempfile.TemporaryDirectory(prefix="tinycnn-benchmark-") as folder:
        import numpy as np

        data = Path(folder) / "data.npz"
        np.savez(data, x=x, y=y)
        for d in described:
            measured = measure(d["network"], d["parameters"], present, options.rounds, data, folder)
            network_rows = report.rows_of(d["network"], measured, len(x), d["flop"])
            rows += network_rows
            ratios += report.ratios_of(network_rows)
    print("\n" + report.table(rows, ratios))
    for line in report.absence_lines(absent):
        print(f"absent: {line}")
    result = {
        "device": machine.device(),
        "versions": machine.versions(PACKAGES),
        "settings": {
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "data": data_name, "batch": BATCH, "steps": options.steps, "rounds": options.rounds,
            "warm_up_rounds": WARM_UP_ROUNDS, "epoch_images": report.EPOCH_IMAGES, "load_before": load,
        },
        "absent": absent,
        "networks": described,
        "rows": rows,
        "ratios": ratios,
    }  # fmt: skip
    path = options.results / machine.slug(machine.device()) / "train_frameworks.json"
    machine.write_atomically(path, json.dumps(result, indent=1) + "\n")
    print(f"written: {path}")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended by another program: clean up as after Ctrl-C
    sys.exit(main())
