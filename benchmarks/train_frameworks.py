"""How fast networks train: tinycnn, PyTorch, Keras and JAX, images a second, and on a GPU seconds to an accuracy.

    python benchmarks/train_frameworks.py                  # on the processor; writes benchmarks/results/<device>/
    python benchmarks/train_frameworks.py --device cuda    # on an NVIDIA GPU
    python benchmarks/train_frameworks.py --dry-run        # what would be measured

Everyone trains the same network from the same weights on the same images, batch 128, as a user would: shuffling,
dropout, batch normalisation, the documented optimiser, loss and accuracy included, in float32 without TF32. Each
contender lives in a process of its own and trains short epochs, called rounds, in turn with the others; while one
works, the others wait. The first rounds, in which things are compiled, are not counted. PyTorch is measured in several
configurations, and its best stands for it. On a GPU a round is an epoch of all of MNIST.

Seconds to an accuracy: a fresh process of each framework's fastest configuration trains by the documented schedule
until the validation accuracy is reached. The seconds are those of training and validation, once with what the first
epoch took longer than the others, which is compiling, and once without.
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
from typing import Any, NamedTuple

import machine
import numpy as np
import report
from contenders import contenders, environment, split_by_presence

import tinycnn
from tinycnn import datasets
from tinycnn.devices import DeviceError

BATCH = 128
NETWORKS = {
    "cpu": ("go-crazy", "models-1", "models-9", "cn-1"),
    "cuda": ("go-crazy", "models-1", "models-9", "cn-3"),
}
REACH = {"accuracy": 0.994, "epochs": 40, "seconds": 300}  # an accuracy, and when to give up
WARM_UP_ROUNDS = {"cpu": 1, "cuda": 5}  # PyTorch records an epoch's last, smaller batch at its fourth
SETTLE_S = 0.5  # between rounds: threads that wait actively for more work go to sleep
PACKAGES = ("tinycnn", "numpy", "numba", "cupy-cuda13x", "cupy-cuda12x", "torch", "keras", "jax")
SHAPE, CLASSES = (28, 28, 1), 10
NOISE = "random images of MNIST's shape"


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
        return self.ask("round")

    def reach(self):
        """{"reached", "epochs": [{"seconds", "accuracy"}, ...]}"""
        return self.ask(json.dumps(REACH))

    def ask(self, request):
        try:
            print(request, file=self.process.stdin, flush=True)
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


class Data(NamedTuple):
    """Arrays x (N, H, W, C) and y (N,) for training and for validation, and what they are."""

    x: Any
    y: Any
    x_val: Any
    y_val: Any
    name: str

    def save(self, path):
        np.savez(path, x=self.x, y=self.y, x_val=self.x_val, y_val=self.y_val)


def training_data(count):
    """Data with `count` images (all if None): MNIST where it is on this machine, else noise, on which the speed does
    not depend but no accuracy is reached."""
    cache = datasets.download.cache_folder()
    cached = all((cache / name).exists() for name in datasets.download.SHA256)
    if os.environ.get("TINYCNN_DATA") or cached:
        data = datasets.load(None if os.environ.get("TINYCNN_DATA") else cache)
        if data.x_train.shape[1:] != SHAPE:
            raise datasets.DataError(f"{data.source} has images of shape {data.x_train.shape[1:]}, not {SHAPE}")
        if len(data.x_train) < (count or 1):
            few = f"{len(data.x_train)} images, and a round takes {count}"
            raise datasets.DataError(f"{data.source} has {few}; lower --steps")
        return Data(data.x_train[:count], data.y_train[:count], data.x_test, data.y_test, data.name)
    rng, count = np.random.default_rng(0), count or report.EPOCH_IMAGES
    x, y = rng.random((count, *SHAPE), np.float32), rng.integers(0, CLASSES, count)
    return Data(x, y, x[:10_000], y[:10_000], NOISE)


def measure(network, parameters, present, warm_up, rounds, data, folder):
    """({contender: [{"seconds", "loss"}, ...] of each counted round}, {contender: why it could not start}).

    A peer that cannot start, or not finish its first round, is left out. Raises ContenderError for tinycnn, and for a
    failure later.
    """
    measured, failed = {}, {}
    with ExitStack() as running:
        workers = [running.enter_context(Worker(contender, network, data, folder)) for contender in present]
        for worker in list(workers):
            try:
                counted = worker.answer()["parameters"]
                if counted != parameters:
                    label = worker.contender.label
                    raise ContenderError(f"{label} has {counted} parameters in {network}, not {parameters}")
                for _ in range(warm_up):
                    time.sleep(SETTLE_S)
                    say(network, "warm-up", worker, worker.train())
                measured[worker.contender] = []
            except ContenderError as error:
                if worker.contender.framework == "tinycnn":
                    raise
                failed[worker.contender] = str(error).splitlines()[-1].strip()
                print(f"left out: {error}", file=sys.stderr)
                workers.remove(worker)
        for number in range(1, rounds + 1):
            first = number % len(workers)  # nobody always follows the same one
            for worker in workers[first:] + workers[:first]:
                time.sleep(SETTLE_S)
                answer = worker.train()
                say(network, f"round {number} of {rounds}", worker, answer)
                measured[worker.contender].append(answer)
    return measured, failed


def say(network, what, worker, answer):
    print(f"{network}, {what}: {worker.contender.label}, {answer['seconds']:.2f} s", file=sys.stderr)


def measure_reach(network, fastest, data, folder):
    """{contender: what it answered}: one after the other, each alone in a fresh process. Raises ContenderError."""
    answers = {}
    for contender in fastest:
        with Worker(contender, network, data, folder) as worker:
            worker.answer()
            answers[contender] = worker.reach()
        last = answers[contender]["epochs"][-1]["accuracy"]
        print(f"{network}, {contender.label}: accuracy {last:.4f}", file=sys.stderr)
    return answers


# ---------------------------------------------------------------- the command


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--device", choices=list(NETWORKS), default="cpu", help="who computes (%(default)s)")
    add("--networks", nargs="+", metavar="ID", help="as `tinycnn list` has them; four of them if not given")
    add("--rounds", type=int, default=7, help="counted rounds (%(default)s)")
    add("--steps", type=int, help=f"training steps of {BATCH} images in a round (cpu: 60; cuda: an epoch)")
    add("--results", type=Path, default=machine.RESULTS, metavar="DIR", help="where <device>/ is written")
    add("--dry-run", action="store_true", help="print what would be measured")
    options = parser.parse_args(arguments)
    if options.steps is None and options.device == "cpu":
        options.steps = 60
    if options.rounds < 1 or (options.steps is not None and options.steps < 1):
        parser.error("--rounds and --steps must be at least 1")
    options.networks = options.networks or NETWORKS[options.device]
    return options


def main(arguments=None):
    options = parse(arguments)
    try:
        return run(options)
    except KeyboardInterrupt:
        print("interrupted: all contenders are stopped, nothing is written", file=sys.stderr)
        return 130
    except DeviceError as error:
        print(f"train_frameworks.py: {error}", file=sys.stderr)
        return 2
    except (ContenderError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def run(options):
    described = report.describe(dict.fromkeys(options.networks))
    present, absent = split_by_presence(contenders(options.device))
    print(report.describe_text(described, present, absent), flush=True)
    if options.dry_run:
        return 0
    gpu = options.device == "cuda"
    if gpu:
        tinycnn.get_device("cuda")  # says what is missing
    device, warm_up = machine.gpu() if gpu else machine.device(), WARM_UP_ROUNDS[options.device]
    training = training_data(options.steps and options.steps * BATCH)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    print(f"\n{device}; data: {training.name}", flush=True)
    if load is not None and load > 0.5:
        print(f"warning: the load is {load:.1f}; other programs are using this machine", file=sys.stderr)
    rows, ratios, reached, failed = [], [], [], {}
    with tempfile.TemporaryDirectory(prefix="tinycnn-benchmark-") as folder:
        data = Path(folder) / "data.npz"
        training.save(data)
        for d in described:
            measured, out = measure(d["network"], d["parameters"], present, warm_up, options.rounds, data, folder)
            failed |= {f"{contender.label}, {d['network']}": why for contender, why in out.items()}
            network_rows = report.rows_of(d["network"], measured, len(training.x), d["flop"])
            rows += network_rows
            ratios += report.ratios_of(network_rows)
            if gpu and options.steps is None and training.name != NOISE:
                fastest = [c for c, row in zip(measured, network_rows, strict=True) if row["best"]]
                reached += report.reach_rows(d["network"], measure_reach(d["network"], fastest, data, folder))
    print("\n" + report.table(rows, ratios))
    if reached:
        print("\n" + report.reach_table(reached, REACH["accuracy"]))
    for line in [*report.absence_lines(absent), *(f"{label}: {why}" for label, why in failed.items())]:
        print(f"absent: {line}")
    result = {
        "device": device,
        "versions": machine.versions(PACKAGES),
        "settings": {
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "data": training.name, "batch": BATCH, "steps": -(-len(training.x) // BATCH), "rounds": options.rounds,
            "warm_up_rounds": warm_up, "epoch_images": report.EPOCH_IMAGES, "load_before": load, "reach": REACH,
        },
        "absent": absent,
        "failed": failed,
        "networks": described,
        "rows": rows,
        "ratios": ratios,
        "reached": reached,
    }  # fmt: skip
    path = options.results / machine.slug(device) / "train_frameworks.json"
    machine.write_json(path, result)
    print(f"written: {path}")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended by another program: clean up as after Ctrl-C
    sys.exit(main())
