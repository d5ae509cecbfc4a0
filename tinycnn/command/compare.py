"""The command `tinycnn compare`: does Keras compute the same?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import click

from tinycnn.command.options import check_form, device_option, find_network, json_option, path_option, print_json

if TYPE_CHECKING:
    from tinycnn.keras_reference.compare import Answers, Trial
    from tinycnn.models import Model


@click.command()
@click.argument("network", metavar="ARCH|NOTATION|FILE|FILE.py:NAME")
@device_option
@path_option
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="How many steps the longer training takes; the other takes one.",
)
@json_option
def compare(network: str, device: str | None, path: str | None, steps: int, as_json: bool) -> None:
    """Compare a network with the same one in Keras: outputs, loss, gradients, statistics, weights after steps.

    In every precision of the device, and in float64 at least on `reference`, where no rounding hides a wrong rule. With
    a --path the device's steps go that way; one-kernel computes in float32, and
    is compared with the optimisers that it has.
    `every-layer` is two small networks, with layers of every kind and for the optimisers' rules (every-rule), whose
    answers come with tinycnn and need no Keras.
    The exit status is 1 where something is farther from Keras than the tolerance.
    """
    results = []
    for result in comparisons(network, device, steps, path):
        results.append(result)
        if not as_json:
            print_result(result)
    missed = [row for result in results for row in result["rows"] if not row["passed"]]
    if as_json:
        print_json({"passed": not missed, "comparisons": results})
    else:
        print_verdict(network, results, missed)
    if missed:
        raise click.exceptions.Exit(1)


def comparisons(text: str, device: str | None, steps: int, path: str | None = None) -> Iterator[dict[str, Any]]:
    """Yields a comparison of the network that `text` stands for, as plain data, for each precision of the device; of
    `every-layer`, for both of its networks."""
    import tinycnn
    from tinycnn.devices import DEVICES, current_device, use_device
    from tinycnn.keras_reference.compare import WITH_ANSWERS, ours, prepare, rows, trial_for

    device = device or current_device().name
    kinds = [(device, dtype) for dtype in DEVICES[device][2] if path != "one-kernel" or dtype == "float32"]
    if "float64" not in [dtype for _, dtype in kinds]:
        kinds.append(("reference", "float64"))
    networks = WITH_ANSWERS if text == "every-layer" else {text: text}
    for network, (name, dtype) in product(networks, kinds):
        with use_device(name, dtype) as used, used.taking(path) if path and name == device else nullcontext():
            tinycnn.set_random_seed(0)
            model = find_network(networks[network])
            check_form(model, network, classes=True)
            trial = trial_for(model, steps)
            if path == "one-kernel" and name == device:
                trial = as_one_kernel(trial, model)
            prepare(model)
            answers = answers_for(network, model, trial)
            found = rows(ours(model, trial), answers)
        yield {
            "network": network,
            "parameters": model.count_params(),
            "device": name,
            "dtype": dtype,
            "reference": answers.source,
            "batch": trial.x.shape[1],
            "steps": steps,
            "optimizers": list(trial.optimizers),
            "rows": [
                {
                    "what": row.what,
                    "where": row.where,
                    "error": row.error,
                    "tolerance": row.tolerance,
                    "share": row.share,
                    "passed": row.passed,
                }
                for row in found
            ],
        }


def as_one_kernel(trial: Trial, model: Model) -> Trial:
    """The Trial with those optimisers that the path has stages for. The model's own stays, and may be refused."""
    from tinycnn.devices.network import Rule
    from tinycnn.fit.description import rule_of
    from tinycnn.keras_reference.compare import kind

    assert model.optimizer is not None  # a compiled model has one
    own = kind(model.optimizer)
    makers = {name: make for name, make in trial.optimizers.items() if name == own or isinstance(rule_of(make()), Rule)}
    return replace(trial, optimizers=makers)


def answers_for(network: str, model: Model, trial: Trial) -> Answers:
    """Keras's answers, or, where there is no Keras, those that come with tinycnn."""
    from tinycnn.keras_reference import twin as keras_reference
    from tinycnn.keras_reference.compare import STORED_STEPS, WITH_ANSWERS, stored_answers

    try:
        return keras_reference.answers(model, trial)
    except keras_reference.KerasMissing as missing:
        if network in WITH_ANSWERS and trial.steps == STORED_STEPS:
            return stored_answers(network, model.device.dtype)
        raise ValueError(
            f"{missing}. Without it, `tinycnn compare every-layer --steps {STORED_STEPS}` compares with stored answers"
        ) from None


# ---------------------------------------------------------------- the table


def print_result(result: dict[str, Any]) -> None:
    """A line for each array, but of the weights after steps only for the worst."""
    from tabulate import tabulate

    from tinycnn.keras_reference.compare import WEIGHTS

    click.echo(
        f"{result['network']}, {result['parameters']:,} parameters, on {result['device']} in {result['dtype']} "
        f"beside {result['reference']}; batches of {result['batch']}\n"
    )
    lines = []
    for what in dict.fromkeys(row["what"] for row in result["rows"]):
        group = [row for row in result["rows"] if row["what"] == what]
        if what.startswith(WEIGHTS):
            worst = max(group, key=lambda row: row["share"])
            group = [{**worst, "where": f"{worst['where']}, the worst of {len(group)}"}]
        lines += [
            (row["what"], row["where"], row["error"], row["tolerance"], "passed" if row["passed"] else "MISSED")
            for row in group
        ]
    headers = ("what", "where", "error", "tolerance", "verdict")
    click.echo(tabulate(lines, headers, floatfmt=".1e", colalign=("left", "left", "right", "right", "left")))
    click.echo()


def print_verdict(network: str, results: list[dict[str, Any]], missed: list[dict[str, Any]]) -> None:
    """What is farther away than its tolerance, and the sum of it all."""
    for row in missed:
        click.echo(f"MISSED: {row['what']} {row['where']}: {row['error']:.2e}, more than {row['tolerance']:.2e}")
    total = sum(len(result["rows"]) for result in results)
    click.echo(
        "An error is the largest difference of an array, and of weights after steps its root mean square. A tolerance "
        "is what rounding can do,\nmeasured in Keras (tinycnn/keras_reference). Dropout is off."
    )
    click.echo(f"{network}: {total} arrays compared: {f'{len(missed)} missed' if missed else 'all passed'}")
