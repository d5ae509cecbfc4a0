"""Whether tinycnn and Keras reach the same accuracy with the same recipe, and how large a difference would be seen.

    python benchmarks/accuracy_vs_keras.py                          # go-crazy and vanilla-15k, 3 epochs, 3 seeds
    python benchmarks/accuracy_vs_keras.py --epochs 5 --seeds 5 go-crazy
    python benchmarks/accuracy_vs_keras.py --workers 2              # two at a time; or --scheduler ADDRESS, of Dask's

Both train on all of MNIST with the same layers, distributions of initial weights, optimiser, schedule, batch size
and dropout, each with random numbers of its own: Keras draws its own weights, order and masks. The validation
accuracies after the last epoch are compared by Welch's t-test, which assumes neither equal spreads nor pairs.

Needs keras and jax, and MNIST: TINYCNN_DATA, the cache or a download. Writes results/<device>/accuracy_vs_keras.json
after every training; what is in there already is left out, so an interrupted run goes on.
"""

import argparse
import os
import sys
import time
from functools import lru_cache
from pathlib import Path
from statistics import mean, stdev

os.environ.setdefault("KERAS_BACKEND", "jax")  # before anybody imports keras
os.environ.setdefault("JAX_PLATFORMS", "cpu")  # where tinycnn trains too

import machine
import sharing

import tinycnn
from tinycnn import datasets
from tinycnn.architectures import build, get, schedule_function
from tinycnn.callbacks import LearningRateScheduler
from tinycnn.keras_reference.translation import keras_optimizer
from tinycnn.utils import to_categorical

NETWORKS = ("go-crazy", "vanilla-15k")
DEVICE = "cpu"  # the results are filed under the processor
LEVEL = 0.05  # of the test
PACKAGES = ("tinycnn", "numpy", "numba", "keras", "jax", "scipy")


# ---------------------------------------------------------------- training


def train_tinycnn(name, data, epochs, seed):
    """The history of a training: {"val_acc": a value an epoch, "val_loss": ...}."""
    tinycnn.set_random_seed(seed)
    model = build(name)
    schedule = schedule_function(model.recipe["schedule"])
    history = model.fit(
        data.x_train, to_categorical(data.y_train, data.classes),
        batch_size=model.recipe["batch_size"], epochs=epochs, verbose=2,
        callbacks=[LearningRateScheduler(schedule)] if schedule else [],
        validation_data=(data.x_test, to_categorical(data.y_test, data.classes)),
    ).history  # fmt: skip
    return {figure: history[figure] for figure in ("val_acc", "val_loss")}


def train_keras(name, data, epochs, seed):
    """The same of the same network in Keras."""
    import keras
    import peer_keras

    model = build(name)
    keras.utils.set_random_seed(seed)
    # to_keras copies the weights; the clone draws its own, by the initialisers that its layers name.
    net = keras.models.clone_model(peer_keras.to_keras(model))
    net.compile(optimizer=keras_optimizer(model.optimizer), loss=model.loss.__name__, metrics=["accuracy"])
    schedule = schedule_function(model.recipe["schedule"])
    history = net.fit(
        data.x_train, to_categorical(data.y_train, data.classes),
        batch_size=model.recipe["batch_size"], epochs=epochs, verbose=2,
        callbacks=[keras.callbacks.LearningRateScheduler(schedule)] if schedule else [],
        validation_data=(data.x_test, to_categorical(data.y_test, data.classes)),
    ).history  # fmt: skip
    return {"val_acc": history["val_accuracy"], "val_loss": history["val_loss"]}


FRAMEWORKS = {"tinycnn": train_tinycnn, "Keras": train_keras}


def train(name, framework, data, epochs, seed):
    """One row of the results. seconds: by the clock; cpu_seconds: of all threads, whoever else was computing."""
    about = machine.provenance(machine.device(), DEVICE, PACKAGES)
    clock, processor = time.perf_counter(), time.process_time()
    history = FRAMEWORKS[framework](name, data, epochs, seed)
    return {
        "network": name,
        "framework": framework,
        "seed": seed,
        "epochs": epochs,
        "data": data.name,
        "val_acc": round(history["val_acc"][-1], 6),
        "val_loss": round(history["val_loss"][-1], 6),
        "history": {figure: [round(value, 6) for value in values] for figure, values in history.items()},
        "seconds": round(time.perf_counter() - clock, 1),
        "cpu_seconds": round(time.process_time() - processor, 1),
        **about,
    }


@lru_cache(maxsize=1)
def load():
    return datasets.load()


def train_job(job):
    """The row of a training. job: (network, framework, epochs, seed)."""
    name, framework, epochs, seed = job
    with tinycnn.use_device(DEVICE):
        return train(name, framework, load(), epochs, seed)


# ---------------------------------------------------------------- comparing


def welch(ours, theirs):
    """Welch's t-test of two samples with at least two values each, as plain data.

    difference: of the means, ours less theirs. p: how probable a difference at least as large is where there is
    none. visible: the smallest difference that the test would have called one at the level of 5 %, with these
    spreads. p is None where neither sample has any spread: then there is nothing to test with.
    """
    from scipy import stats

    difference = mean(ours) - mean(theirs)
    if stdev(ours) == stdev(theirs) == 0:
        return {"difference": difference, "p": None, "visible": None}
    test = stats.ttest_ind(ours, theirs, equal_var=False)
    interval = test.confidence_interval(1 - LEVEL)
    return {"difference": difference, "p": float(test.pvalue), "visible": float(interval.high - interval.low) / 2}


def conclusion(test):
    """What the test says, in words."""
    if test["p"] is None:
        return "not tested: no spread"
    if test["p"] < LEVEL:
        return f"they differ (p = {test['p']:.2g})"
    return f"no difference can be seen (p = {test['p']:.2f})"


def compare(rows):
    """[a network with as many epochs on the same data: mean and spread in both frameworks, and the test]."""
    groups = {}
    for row in rows:
        group = groups.setdefault((row["network"], row["epochs"], row["data"]), {name: [] for name in FRAMEWORKS})
        group[row["framework"]].append(row["val_acc"])
    comparisons = []
    for (network, epochs, data), group in groups.items():
        if min(len(values) for values in group.values()) < 2:
            continue  # of one value there is no spread
        test = welch(*group.values())
        sides = {
            name: {"seeds": len(values), "mean": mean(values), "standard_deviation": stdev(values)}
            for name, values in group.items()
        }
        facts = {"network": network, "epochs": epochs, "data": data}
        comparisons.append({**facts, **sides, "test": test, "conclusion": conclusion(test)})
    return comparisons


# ---------------------------------------------------------------- the script


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", default=list(NETWORKS))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3, metavar="K", help="0 to K - 1; at least 2, for a spread")
    parser.add_argument("--results", default=machine.RESULTS, type=Path, metavar="DIR")
    sharing.add_options(parser)
    options = parser.parse_args(arguments)
    if options.seeds < 2 or options.epochs < 1:
        parser.error("it takes at least 2 seeds and 1 epoch")
    try:
        for name in options.networks:
            get(name)
        data = load()
    except ValueError as error:
        sys.exit(f"accuracy_vs_keras.py: {error}")

    path = options.results / machine.slug(machine.device()) / "accuracy_vs_keras.json"
    rows = machine.rows_before(path)
    done = {(row["network"], row["framework"], row["seed"], row["epochs"], row["data"]) for row in rows}
    jobs = [
        (name, framework, options.epochs, seed)
        for seed in range(options.seeds)
        for name in options.networks
        for framework in FRAMEWORKS
        if (name, framework, seed, options.epochs, data.name) not in done
    ]
    for job, row in sharing.results(options, "accuracy_vs_keras", "train_job", jobs):
        print(f"{job[0]} in {job[1]}, {job[2]} epochs, seed {job[3]}: {row['val_acc']:.4f}", flush=True)
        rows.append(row)
        machine.write_json(path, {"device": machine.device(), "rows": rows, "comparisons": compare(rows)})
    for row in compare(rows):
        ours, theirs = row["tinycnn"], row["Keras"]
        print(
            f"{row['network']}: tinycnn {ours['mean']:.4f} ± {ours['standard_deviation']:.4f}, "
            f"Keras {theirs['mean']:.4f} ± {theirs['standard_deviation']:.4f}: {row['conclusion']}"
        )


if __name__ == "__main__":
    import accuracy_vs_keras  # the module whose function the jobs are for, so that the data are read once

    accuracy_vs_keras.main()
