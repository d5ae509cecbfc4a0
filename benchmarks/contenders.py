"""Who is measured against whom, and the process in which each of them trains.

Run by train_frameworks.py, one process a contender: `python contenders.py '{"framework": ..., ...}'`. A line on
standard input asks for one round; each answer is one line of JSON.
"""

import json
import math
import os
import sys
import time
from dataclasses import dataclass

import machine

LAYOUTS = ("channels-first", "channels-last")
BACKENDS = (("jax", "JAX"), ("torch", "torch"))  # of Keras: its package, its name
PATHS_BY_IMPORTANCE = ("fast", "one-kernel", "general")  # of the cuda device


@dataclass(frozen=True, eq=False)
class Contender:
    """A way to train. options: of its trainer; packages: what must be installed; variables: of its process."""

    framework: str
    configuration: str
    options: dict
    packages: tuple
    variables: dict

    @property
    def label(self):
        return f"{self.framework}, {self.configuration}"


def contenders(device="cpu"):
    """Everybody who trains on `device`, 'cpu' or 'cuda', whether installed or not."""
    return on_cpu() if device == "cpu" else on_gpu()


def on_cpu():
    """tinycnn, every configuration of PyTorch, and Keras on two backends."""
    all_cores = machine.cores()
    found = [Contender("tinycnn", "cpu", {"device": "cpu"}, (), {})]
    for threads in sorted({1, all_cores}):
        for layout in LAYOUTS:
            text = f"{threads} thread{'s' * (threads > 1)}, {layout}"
            options = {"threads": threads, "layout": layout}
            found.append(Contender("PyTorch", text, options, ("torch",), {"OMP_NUM_THREADS": str(threads)}))
    for backend, name in BACKENDS:
        found.append(Contender(f"Keras on {name}", "fit", {}, ("keras", backend), {"KERAS_BACKEND": backend}))
    return found


def on_gpu():
    """tinycnn on each of its paths; PyTorch launched, compiled and as a CUDA graph; Keras on two backends; JAX by the
    step and the epoch."""
    cuda = {"device": "cuda"}
    found = [Contender("tinycnn", f"cuda, {path}", {**cuda, "path": path}, (), {}) for path in PATHS_BY_IMPORTANCE]
    ways = {"eager": (False, False), "CUDA graph": (False, True)}
    ways |= {"compile": (True, False), "compile, CUDA graph": (True, True)}  # compiled, graph
    for text, (compiled, graph) in ways.items():
        for layout in LAYOUTS:
            options = {**cuda, "layout": layout, "compiled": compiled, "graph": graph}
            found.append(Contender("PyTorch", f"{text}, {layout}", options, ("torch",), {}))
    for backend, name in BACKENDS:
        found.append(Contender(f"Keras on {name}", "fit", cuda, ("keras", backend), {"KERAS_BACKEND": backend}))
    for scan in (False, True):
        found.append(Contender("JAX", "epoch" if scan else "step", {**cuda, "scan": scan}, ("jax",), {}))
    return found


def split_by_presence(found):
    """(those that can run, {framework: the packages that it lacks here})."""
    present, absent = [], {}
    for contender in found:
        missing = [package for package in contender.packages if not machine.installed(package)]
        if missing:
            absent[contender.framework] = missing
        else:
            present.append(contender)
    return present, absent


# ---------------------------------------------------------------- the worker


CPU_ALONE = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
# Float32 without TF32 for everybody, and no process takes memory before it needs it.
GPU = {
    "NVIDIA_TF32_OVERRIDE": "0", "JAX_DEFAULT_MATMUL_PRECISION": "highest", "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}  # fmt: skip


def environment(contender):
    """The variables of a worker's process: no GPU unless it is asked for, no thread counts but its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    fixed = GPU if contender.options.get("device") == "cuda" else CPU_ALONE
    return {**inherited, **fixed, "PYTHONUNBUFFERED": "1", **contender.variables}


def make_trainer(framework, network, x, y, batch, options):
    """(the Trainer, the documented schedule of the learning rate or None)."""
    import tinycnn
    from tinycnn import architectures

    ours = framework == "tinycnn"
    tinycnn.set_device(options["device"] if ours else "reference")  # peers read the description and the weights alone
    if "path" in options:
        tinycnn.get_device().path = options["path"]
    model = architectures.build(network)
    schedule = (model.recipe or {}).get("schedule")
    schedule = architectures.schedule_function(schedule) if schedule else None
    if ours:
        return tinycnn_trainer(model, x, y, batch), schedule
    if framework == "PyTorch":
        import peer_torch as peer
    elif framework == "JAX":
        import peer_jax as peer
    else:
        import peer_keras as peer
    return peer.trainer(model, x, y, batch, **options), schedule


def tinycnn_trainer(model, x, y, batch):
    """What `fit` does, an epoch at a time, the data staying where they are."""
    from trainer import Trainer

    from tinycnn.fit import data, loop
    from tinycnn.fit.progress import Progress
    from tinycnn.fit.whole_steps import whole_steps
    from tinycnn.utils import to_categorical

    classes = model.output.extents[0]

    def steps_over(x, y):
        return loop.Steps(model, data.resident(model, x, to_categorical(y, classes), ("x", "y")))

    steps, nobody = steps_over(x, y), loop.Listeners([], model, {})
    plan = loop.Plan.of(batch, 1, 0, True, 0, None)
    model.optimizer.bind(model.trained)
    whole = whole_steps(model, steps.data, batch, nobody)

    def epoch():
        loss = loop.run_epoch(model, steps, plan, Progress(0, 0, 1, len(x)), nobody, whole)["loss"]
        model.epochs_trained += 1
        return loss

    def validation(x, y):
        steps = steps_over(x, y)
        return lambda: steps.evaluate(batch, nobody)[1]

    def set_rate(rate):
        model.optimizer.learning_rate = rate

    return Trainer(epoch, validation, set_rate, model.count_params())


def timed(trainer):
    """{"seconds", "loss"} of one epoch. Raises RuntimeError where the loss is no number."""
    began = time.perf_counter()
    loss = trainer.epoch()
    seconds = time.perf_counter() - began
    if not math.isfinite(loss):
        raise RuntimeError(f"the training loss became {loss}: what was timed was no training")
    return {"seconds": seconds, "loss": loss}


def reach(trainer, schedule, x, y, accuracy, epochs, seconds):
    """Train by the documented schedule until the validation accuracy is reached, or for so many epochs or seconds.

    {"reached", "epochs": [{"seconds", "accuracy"}, ...]}: an epoch's seconds are its training and its validation.
    """
    done, validation = [], trainer.validation(x, y)
    for number in range(epochs):
        if schedule:
            trainer.set_rate(schedule(number))
        began = time.perf_counter()
        timed(trainer)
        found = validation()
        done.append({"seconds": time.perf_counter() - began, "accuracy": found})
        if found >= accuracy or sum(epoch["seconds"] for epoch in done) > seconds:
            break
    return {"reached": done[-1]["accuracy"] >= accuracy, "epochs": done}


def work(specification, requests, answer):
    """Prepare, report the number of parameters, then do what every line of `requests` asks for: a round, or JSON with
    the arguments of `reach`."""
    import numpy as np

    with np.load(specification["data"]) as data:
        x, y, x_val, y_val = (data[name] for name in ("x", "y", "x_val", "y_val"))
    framework, network, batch, options = (specification[n] for n in ("framework", "network", "batch", "options"))
    trainer, schedule = make_trainer(framework, network, x, y, batch, options)
    answer({"parameters": int(trainer.parameters)})
    for line in requests:
        if line.strip() == "round":
            answer(timed(trainer))
        else:
            answer(reach(trainer, schedule, x_val, y_val, **json.loads(line)))


def main():
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints goes to the log, not into the answers
    try:
        work(json.loads(sys.argv[1]), sys.stdin, lambda answer: print(json.dumps(answer), file=answers))
    except BrokenPipeError:  # nobody listens any more
        pass


if __name__ == "__main__":
    main()
