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


def contenders():
    """tinycnn, every configuration of PyTorch, and Keras on two backends; whether they are installed or not."""
    all_cores = machine.cores()
    found = [Contender("tinycnn", "cpu", {"device": "cpu"}, (), {})]
    for threads in sorted({1, all_cores}):
        for layout in ("channels-first", "channels-last"):
            text = f"{threads} thread{'s' * (threads > 1)}, {layout}"
            options = {"threads": threads, "layout": layout}
            found.append(Contender("PyTorch", text, options, ("torch",), {"OMP_NUM_THREADS": str(threads)}))
    for backend, name in (("jax", "JAX"), ("torch", "torch")):
        found.append(Contender(f"Keras on {name}", "fit", {}, ("keras", backend), {"KERAS_BACKEND": backend}))
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


def environment(contender):
    """The variables of a worker's process: no GPU, no thread counts but its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    fixed = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu", "PYTHONUNBUFFERED": "1"}
    return {**inherited, **fixed, **contender.variables}


def make_trainer(framework, network, x, y, batch, options):
    """(a function that trains for one epoch and returns its mean loss, the number of parameters)."""
    import tinycnn
    from tinycnn import architectures

    tinycnn.set_device(options.pop("device", "reference"))  # peers only read the description and the weights
    model = architectures.build(network)
    if framework == "tinycnn":
        return tinycnn_trainer(model, x, y, batch)
    if framework == "PyTorch":
        import peer_torch

        return peer_torch.trainer(model, x, y, batch, **options)
    import peer_keras

    return peer_keras.trainer(model, x, y, batch)


def tinycnn_trainer(model, x, y, batch):
    from tinycnn.utils import to_categorical

    labels = to_categorical(y, model.output.shape[0])

    def epoch():
        done = model.epoch
        model.fit(x, labels, batch_size=batch, initial_epoch=done, epochs=done + 1, verbose=0)
        return model.history.history["loss"][-1]

    return epoch, model.count_params()


def work(specification, requests, answer):
    """Prepare, report the number of parameters, then train one epoch for every line of `requests`."""
    import numpy as np

    with np.load(specification["data"]) as data:
        x, y = data["x"], data["y"]
    names = ("framework", "network", "batch", "options")
    framework, network, batch, options = (specification[name] for name in names)
    epoch, parameters = make_trainer(framework, network, x, y, batch, options)
    answer({"parameters": int(parameters)})
    for _ in requests:
        began = time.perf_counter()
        loss = epoch()
        seconds = time.perf_counter() - began
        if not math.isfinite(loss):
            raise RuntimeError(f"the training loss became {loss}: what was timed was no training")
        answer({"seconds": seconds, "loss": loss})


def main():
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints goes to the log, not into the answers
    try:
        work(json.loads(sys.argv[1]), sys.stdin, lambda answer: print(json.dumps(answer), file=answers))
    except BrokenPipeError:  # nobody listens any more
        pass


if __name__ == "__main__":
    main()
