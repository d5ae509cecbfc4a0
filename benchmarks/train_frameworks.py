"""How fast networks train: tinycnn, PyTorch, Keras and JAX, images a second, and on a GPU seconds to an accuracy.

    python benchmarks/train_frameworks.py                  # on the processor; writes benchmarks/results/<device>/
    python benchmarks/train_frameworks.py --device cuda    # on an NVIDIA GPU
    python benchmarks/train_frameworks.py --dry-run        # what would be measured
    python benchmarks/train_frameworks.py --device cuda --budget 170    # within so many seconds

Everyone trains the same network from the same weights on the same images, batch 128, as a user would: shuffling,
dropout, batch normalisation, the documented optimiser, loss and accuracy included, in float32 without TF32. Each
contender lives in a process of its own and trains short epochs, called rounds, in turn with the others; while one
works, the others wait. The first rounds, in which things are compiled, are not counted. PyTorch is measured in several
configurations, and its best stands for it. On a GPU a round is an epoch of all of MNIST.

Seconds to an accuracy: a fresh process of each framework's fastest configuration trains by the documented schedule
until the validation accuracy is reached. The seconds are those of training and validation, once with what the first
epoch took longer than the others, which is compiling, and once without.

The file is written anew after every round. Within a budget, every network has its share of it, those contenders start
that are expected to fit, the important ones first, and rounds end early; seconds to an accuracy come last.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import budget as budgets
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
    "cuda": ("go-crazy", "models-9", "cn-3", "models-7", "cn-1", "models-1"),
}
REACH = {"accuracy": 0.994, "epochs": 40, "seconds": 300}  # an accuracy, and when to give up
WARM_UP_ROUNDS = {"cpu": 1, "cuda": 2}
WARM_UP_ROUNDS_OF = {"PyTorch": 5}  # on a GPU: it records an epoch's last, smaller batch at its fourth
SETTLE_S, SETTLE_ON_GPU_S = 0.5, 0.1  # between rounds: threads that wait actively for more work go to sleep
PACKAGES = ("tinycnn", "numpy", "numba", "cupy-cuda13x", "cupy-cuda12x", "torch", "keras", "jax")
# Whom to start first where there is not time for all of them; then the others, in their order.
FOREMOST = ("tinycnn, cpu", "tinycnn, cuda, fast", "PyTorch, CUDA graph, channels-last", "JAX, epoch")
FOREMOST += ("tinycnn, cuda, one-kernel", "tinycnn, cuda, general", "Keras on JAX")
# Roughly: seconds that starting and compiling takes, and floating-point operations a second afterwards.
STARTS = {"tinycnn": 8, "PyTorch": 8, "JAX": 15, "Keras on JAX": 20, "Keras on torch": 25}
COMPILES = 45  # torch.compile
FLOPS = {"cpu": 2e10, "cuda": 2e13}
SIDE_BY_SIDE = 4  # so many start at a time, where there are cores for them
FEWEST_ROUNDS = 3  # that are planned with; there are more while time is left
REACH_EPOCHS = 25
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

    def train(self, limit=None):
        """One round: {"seconds", "loss"}. limit: seconds, after which it is ended."""
        return self.ask("round", limit)

    def reach(self):
        """{"reached", "epochs": [{"seconds", "accuracy"}, ...]}"""
        return self.ask(json.dumps(REACH))

    def ask(self, request, limit=None):
        try:
            print(request, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass  # it has ended; answer() says why
        return self.answer(limit)

    def answer(self, limit=None):
        """What it has answered. Raises ContenderError where it has ended, or is ended after `limit` seconds."""
        clock = threading.Timer(limit or 0, self.process.kill)
        if limit:
            clock.start()
        line = self.process.stdout.readline()
        clock.cancel()
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
    published = datasets.download.MNIST
    cache = datasets.download.cache_folder() / published.folder
    cached = all((cache / name).exists() for name in published.sha256)
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


def order_of(present):
    """Contenders in order of importance."""

    def place(contender):
        return next((n for n, text in enumerate(FOREMOST) if contender.label.startswith(text)), len(FOREMOST))

    return sorted(present, key=place)


def seconds_for(contender, flop, images, device, rounds):
    """What a contender takes, roughly: its start and so many rounds of this many images."""
    compiles = COMPILES if contender.options.get("compiled") else 0
    starts = STARTS[contender.framework] / max(1, min(SIDE_BY_SIDE, machine.cores() // 2))
    return starts + compiles + rounds * (settling(contender) + images * flop / FLOPS[device])


def is_on_gpu(contender):
    return contender.options.get("device") == "cuda"


def settling(contender):
    """Seconds before a round of a contender."""
    return SETTLE_ON_GPU_S if is_on_gpu(contender) else SETTLE_S


def warm_up_of(contender, rounds):
    """How many rounds of a contender are not counted, where most take so many."""
    return max(rounds, WARM_UP_ROUNDS_OF.get(contender.framework, 0)) if is_on_gpu(contender) else rounds


def chosen(present, described, images, device, warm_up, seconds):
    """(the contenders of a network that fit into so many seconds, the labels of the others, the seconds they take).

    Nobody where tinycnn and its foremost peer do not: there would be nobody to compare with."""
    plan = budgets.Budget(seconds, rehearsal=True)

    def estimate(contender):
        rounds = warm_up_of(contender, warm_up) + FEWEST_ROUNDS
        return seconds_for(contender, described["flop"], images, device, rounds)

    if not plan.fits(sum(map(estimate, order_of(present)[:2]))):
        return [], [f"{described['network']}, everybody"], 0
    found = list(plan.within(order_of(present), lambda c: f"{described['network']}, {c.label}", estimate))
    return found, plan.left_out, plan.elapsed()


def measure(network, parameters, present, warm_up, rounds, data, folder, budget=None, on_round=lambda measured: None):
    """({contender: [{"seconds", "loss"}, ...] of each counted round}, {contender: why it failed}).

    A peer that cannot start, or fails later, is left out. Within a budget there is one round at least, and no further
    one that would not fit. on_round is called with what was measured after each. Raises ContenderError for tinycnn.
    """
    budget = budget or budgets.Budget()
    measured, failed = {}, {}

    def limit():
        return max(20, budget.left()) if budget.limited else None

    def leave_out(worker, error):
        failed[worker.contender] = str(error).splitlines()[-1].strip()
        print(f"left out: {error}", file=sys.stderr)
        workers.remove(worker)
        measured.pop(worker.contender, None)
        if not any(other.contender.framework == "tinycnn" for other in workers):
            raise error

    with ExitStack() as running:
        workers = [running.enter_context(Worker(contender, network, data, folder)) for contender in present]
        for worker in list(workers):
            try:
                counted = worker.answer(limit())["parameters"]
                if counted != parameters:
                    label = worker.contender.label
                    raise ContenderError(f"{label} has {counted} parameters in {network}, not {parameters}")
                for _ in range(warm_up_of(worker.contender, warm_up)):
                    time.sleep(settling(worker.contender))
                    say(network, "warm-up", worker, worker.train(limit()))
                measured[worker.contender] = []
            except ContenderError as error:
                leave_out(worker, error)
        longest = 0
        for number in range(1, rounds + 1):
            if not workers or (number > 1 and not budget.fits(longest)):
                break
            began = time.perf_counter()
            first = number % len(workers)  # nobody always follows the same one
            for worker in workers[first:] + workers[:first]:
                time.sleep(settling(worker.contender))
                try:
                    answer = worker.train(limit())
                except ContenderError as error:
                    leave_out(worker, error)
                    continue
                say(network, f"round {number} of {rounds}", worker, answer)
                measured[worker.contender].append(answer)
            longest = max(longest, time.perf_counter() - began)
            on_round(measured)
    return measured, failed


def say(network, what, worker, answer):
    print(f"{network}, {what}: {worker.contender.label}, {answer['seconds']:.2f} s", file=sys.stderr, flush=True)


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
    add("--networks", nargs="+", metavar="ID", help="as `tinycnn list` has them; some of them if not given")
    add("--rounds", type=int, default=7, help="counted rounds (%(default)s)")
    add("--steps", type=int, help=f"training steps of {BATCH} images in a round (cpu: 60; cuda: an epoch)")
    add("--results", type=Path, default=machine.RESULTS, metavar="DIR", help="where <device>/ is written")
    add("--dry-run", action="store_true", help="print what would be measured")
    budgets.add_option(parser, "contenders")
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
        print("interrupted: all contenders are stopped, an unfinished round is lost", file=sys.stderr)
        return 130
    except DeviceError as error:
        print(f"train_frameworks.py: {error}", file=sys.stderr)
        return 2
    except (ContenderError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def run(options):
    budget = budgets.Budget(options.budget, rehearsal=options.dry_run)
    described = report.describe(dict.fromkeys(options.networks))
    present, absent = split_by_presence(contenders(options.device))
    print(report.describe_text(described, present, absent), flush=True)
    gpu, warm_up = options.device == "cuda", WARM_UP_ROUNDS[options.device]
    if options.dry_run:
        if budget.limited:
            images = options.steps * BATCH if options.steps else report.EPOCH_IMAGES
            rehearse(described, present, images, options.device, warm_up, budget)
        return 0
    if gpu:
        tinycnn.get_device("cuda")  # says what is missing
    device = machine.gpu() if gpu else machine.device()
    training = training_data(options.steps and options.steps * BATCH)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    print(f"\n{device}; data: {training.name}", flush=True)
    if load is not None and load > 0.5:
        print(f"warning: the load is {load:.1f}; other programs are using this machine", file=sys.stderr)
    result = {
        "device": device,
        "settings": {
            "date": machine.now(), "data": training.name, "batch": BATCH, "steps": -(-len(training.x) // BATCH),
            "rounds": options.rounds, "warm_up_rounds": warm_up, "epoch_images": report.EPOCH_IMAGES,
            "load_before": load, "reach": REACH,
        },
        "absent": absent, "failed": {}, "left_out": [], "networks": described, "rows": [], "ratios": [], "reached": [],
    }  # fmt: skip
    path = options.results / machine.slug(device) / "train_frameworks.json"
    provenance = machine.provenance(device, options.device, PACKAGES)
    with tempfile.TemporaryDirectory(prefix="tinycnn-benchmark-") as folder:
        data, fastest = Path(folder) / "data.npz", []
        training.save(data)
        for number, d in enumerate(described):
            seconds = budget.left() / (len(described) - number) if budget.limited else None
            taken, left_out, _ = chosen(present, d, len(training.x), options.device, warm_up, seconds)
            result["left_out"] += left_out
            if not taken:
                continue
            before = result["rows"], result["ratios"]
            later = [f"{other['network']}, everybody" for other in described[number + 1 :]]

            def keep(measured, d=d, before=before, later=later):
                rows = report.rows_of(d["network"], measured, len(training.x), d["flop"])
                for row, contender in zip(rows, measured, strict=True):
                    row |= {**provenance, "path": contender.options.get("path"), "steps": result["settings"]["steps"]}
                result.update(rows=before[0] + rows, ratios=before[1] + report.ratios_of(rows))
                machine.write_json(path, {**result, "left_out": result["left_out"] + later})
                return rows

            arguments = taken, warm_up, options.rounds, data, folder, budgets.Budget(seconds), keep
            measured, failed = measure(d["network"], d["parameters"], *arguments)
            result["failed"] |= {f"{contender.label}, {d['network']}": why for contender, why in failed.items()}
            rows = keep(measured)
            fastest += [(d["network"], c, row) for c, row in zip(measured, rows, strict=True) if row["best"]]
        if gpu and options.steps is None and training.name != NOISE:
            reach_all(fastest, budget, data, folder, result, path)
    print("\n" + report.table(result["rows"], result["ratios"]))
    if result["reached"]:
        print("\n" + report.reach_table(result["reached"], REACH["accuracy"]))
    for line in [*report.absence_lines(absent), *(f"{label}: {why}" for label, why in result["failed"].items())]:
        print(f"absent: {line}")
    say_left_out(result["left_out"], budget)
    machine.write_json(path, result)
    print(f"written: {path}")
    return 0


def reach_all(fastest, budget, data, folder, result, path):
    """Train to an accuracy as long as the budget lasts, and write the file after each.

    fastest: [(network, contender, its row), ...]
    """

    def name(place):
        return f"{place[0]}, {place[1].label}: seconds to {REACH['accuracy']:.1%}"

    def estimate(place):
        return STARTS[place[1].framework] + REACH_EPOCHS * place[2]["seconds_per_epoch"]

    for network, contender, _ in budget.within(fastest, name, estimate):
        try:
            answers = measure_reach(network, [contender], data, folder)
        except ContenderError as error:
            if contender.framework == "tinycnn":
                raise
            result["failed"][f"{contender.label}, {network}, to an accuracy"] = str(error).splitlines()[-1].strip()
            continue
        result["reached"] += report.reach_rows(network, answers)
        machine.write_json(path, result)
    result["left_out"] += budget.left_out


def rehearse(described, present, images, device, warm_up, budget):
    """Print who would be measured within the budget, network by network, and who would be left out."""
    left_out = []
    for number, d in enumerate(described):
        seconds = budget.left() / (len(described) - number)
        taken, others, takes = chosen(present, d, images, device, warm_up, seconds)
        labels = "; ".join(contender.label for contender in taken) or "nobody"
        print(f"\n{d['network']}, about {takes:.0f} of {seconds:.0f} s: {labels}")
        budget.spend(takes)
        left_out += others
    say_left_out(left_out, budget)


def say_left_out(left_out, budget):
    for line in left_out:
        print(f"left out, for {budget.seconds:g} s are too short: {line}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended by another program: clean up as after Ctrl-C
    sys.exit(main())
