"""Trains documented networks by their documented recipe and keeps what they reached.

    python benchmarks/reproduce.py go-crazy vanilla-15k     # all with fewer than 50,000 parameters if none is named
    python benchmarks/reproduce.py --epochs 3               # fewer epochs than documented; the result says so

A network that is in the results file already, with as many epochs, is left out, so an interrupted run goes on.
Needs MNIST: TINYCNN_DATA, the cache or a download. Writes results/<device>/reproduction.json after every network.
"""

import argparse
import json
import sys
import time

import machine

import tinycnn
from tinycnn import datasets
from tinycnn.architectures import ARCHITECTURES, build, get, schedule_function
from tinycnn.callbacks import LearningRateScheduler
from tinycnn.utils import to_categorical

SMALL = 50_000  # parameters


def train(name, data, epochs, seed):
    """One row of the results: the network trained by its recipe with this seed."""
    tinycnn.set_random_seed(seed)
    model = build(name)
    schedule = schedule_function(model.recipe["schedule"])
    epochs = epochs or model.recipe["epochs"]
    began = time.perf_counter()
    history = model.fit(
        data.x_train,
        to_categorical(data.y_train, data.classes),
        batch_size=model.recipe["batch_size"],
        epochs=epochs,
        verbose=2,
        callbacks=[LearningRateScheduler(schedule)] if schedule else [],
        validation_data=(data.x_test, to_categorical(data.y_test, data.classes)),
    ).history
    return {
        "id": name,
        "epochs": epochs,
        "documented_epochs": get(name).recipe.epochs,
        "documented_recipe": get(name).recipe.documented,
        "seed": seed,
        "data": data.name,
        "val_acc": history["val_acc"][-1],
        "val_loss": history["val_loss"][-1],
        "best_val_acc": max(history["val_acc"]),
        "seconds": round(time.perf_counter() - began, 1),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK")
    parser.add_argument("--epochs", type=int, help="the documented number if not given")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    names = arguments.networks or [a.id for a in ARCHITECTURES.values() if a.params.total < SMALL]
    try:
        data = datasets.load()
        recipes = {name: get(name).recipe for name in names}
    except ValueError as error:
        sys.exit(f"reproduce.py: {error}")

    path = machine.RESULTS / machine.slug(machine.device()) / "reproduction.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    for name in names:
        key = name, arguments.epochs or recipes[name].epochs, arguments.seed, data.name
        if key in {(row["id"], row["epochs"], row["seed"], row["data"]) for row in rows}:
            continue
        print(f"{name}, {key[1]} epochs, seed {arguments.seed}, {data.name}", flush=True)
        rows.append(train(name, data, arguments.epochs, arguments.seed))
        facts = {
            "device": machine.device(),
            "tinycnn_device": tinycnn.get_device().name,
            "versions": machine.versions(["tinycnn", "numpy", "numba"]),
            "rows": rows,
        }
        machine.write_atomically(path, json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
