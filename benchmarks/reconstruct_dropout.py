"""Looks for the dropout of eip4-2, of which only the log is documented: where it stands, and its rate.

    python benchmarks/reconstruct_dropout.py               # every candidate for 4 epochs on all of MNIST
    python benchmarks/reconstruct_dropout.py --epochs 20 'every batch-norm, 0.1'

Trains the network with dropout in different places by the recipe that it has in tinycnn.architectures. The log's
training accuracy (0.946 at the end) stays far below its validation accuracy (0.993); the candidates are ordered by how
near they come to this gap, epoch by epoch. Writes results/<device>/reconstruct_dropout.json after every candidate;
what is in there already is left out.
"""

import argparse
import sys
from statistics import mean

import machine
from tabulate import tabulate

import tinycnn
from tinycnn import datasets, optimizers
from tinycnn.architectures import get, notation
from tinycnn.utils import to_categorical

BLOCK = "CN(16,3)->BN(){a}->CN(32,3)->BN(){a}->CN(16,1)->MP(2,2){p}"
NETWORK = BLOCK + "->" + BLOCK + "->CN(10,4,activation=none)->BN(){e}->FL()->AC(softmax)"
# Where a dropout layer is put; the letters are places in NETWORK.
PLACES = {
    "no": "",
    "hidden batch-norms": "a",
    "every batch-norm": "ae",
    "max pooling": "p",
    "last batch-norm": "e",
}
CANDIDATES = [
    ("every batch-norm", 0.1),
    ("hidden batch-norms", 0.1),
    ("last batch-norm", 0.1),
    ("every batch-norm", 0.15),
    ("every batch-norm", 0.05),
    ("hidden batch-norms", 0.25),
    ("max pooling", 0.25),
    ("no", 0.0),
]
FIGURES = ("loss", "acc", "val_loss", "val_acc")
PACKAGES = ("tinycnn", "numpy", "numba")


def network(place, rate):
    """The notation of eip4-2 with dropout of this rate after every layer of this kind."""
    return NETWORK.format(**{letter: f"->DP({rate:g})" if letter in PLACES[place] else "" for letter in "ape"})


def train(place, rate, data, epochs, seed=0):
    """One row of the results."""
    recipe = get("eip4-2").recipe
    tinycnn.set_random_seed(seed)
    model = notation.parse(network(place, rate))
    if model.count_params() != get("eip4-2").params.total:
        raise ValueError(f"{network(place, rate)} is not eip4-2: it has {model.count_params():,} parameters")
    optimizer = optimizers.get(recipe.optimizer, learning_rate=recipe.learning_rate)
    model.compile(optimizer, "categorical_crossentropy", ["accuracy"])
    history = model.fit(
        data.x_train, to_categorical(data.y_train, data.classes),
        batch_size=recipe.batch_size, epochs=epochs, verbose=2,
        validation_data=(data.x_test, to_categorical(data.y_test, data.classes)),
    ).history  # fmt: skip
    figures = {name: [round(value, 6) for value in history[name]] for name in FIGURES}
    about = machine.provenance(machine.device(), tinycnn.get_device().name, PACKAGES)
    return {"place": place, "rate": rate, "epochs": epochs, "seed": seed, "data": data.name, **figures, **about}


def distance(row):
    """How far the gap between validation and training accuracy is from the documented one: the mean over the epochs."""
    documented = get("eip4-2").history
    gaps = [
        [of_validation - of_training for of_validation, of_training in zip(log["val_acc"], log["acc"], strict=True)]
        for log in (row, documented)
    ]
    return mean(abs(ours - theirs) for ours, theirs in zip(*gaps, strict=False))


def table(rows):
    lines = []
    for row in sorted(rows, key=lambda row: (-row["epochs"], distance(row))):
        lines.append([row["place"], row["rate"], row["epochs"], *[row[name][-1] for name in FIGURES], distance(row)])
    documented = get("eip4-2").history
    for epochs in sorted({row["epochs"] for row in rows}):
        lines.append(["documented", "", epochs, *[documented[name][epochs - 1] for name in FIGURES], 0])
    return tabulate(lines, ["dropout after", "rate", "epochs", *FIGURES, "gap off by"], floatfmt=".4f")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("candidates", nargs="*", metavar="'PLACE, RATE'", help="those in CANDIDATES if none is named")
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    named = [text.rsplit(",", 1) for text in options.candidates]
    try:
        candidates = [(place.strip(), float(rate)) for place, rate in named] or CANDIDATES
        for place, rate in candidates:
            network(place, rate)
        data = datasets.load()
    except (ValueError, KeyError) as error:
        sys.exit(f"reconstruct_dropout.py: {error}; the places are: {', '.join(PLACES)}")

    path = machine.RESULTS / machine.slug(machine.device()) / "reconstruct_dropout.json"
    rows = machine.rows_before(path)
    for place, rate in candidates:
        if (place, rate, options.epochs, data.name) in {(r["place"], r["rate"], r["epochs"], r["data"]) for r in rows}:
            continue
        print(f"dropout of {rate:g} after {place}, {options.epochs} epochs, {data.name}", flush=True)
        rows.append(train(place, rate, data, options.epochs))
        machine.write_json(path, {"device": machine.device(), "rows": rows})
    print(table(rows))


if __name__ == "__main__":
    tinycnn.set_device("cpu")  # the results are filed under the processor
    main()
