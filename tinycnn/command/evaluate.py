"""The command `tinycnn evaluate`."""

from __future__ import annotations

import math

import click

from tinycnn.command.options import (
    Diverged,
    check_overwrites,
    check_picture,
    checkpoint,
    data_option,
    device_option,
    json_option,
    limit_option,
    path_option,
    print_json,
    print_table,
    use,
)


@click.command()
@click.argument("file", metavar="FILE.safetensors")
@device_option
@path_option
@data_option
@limit_option
@click.option("--batch-size", type=click.IntRange(min=1), default=128, show_default=True)
@click.option("--plot", metavar="FILE", help="Draw the confusion matrix to a PNG, SVG or PDF.")
@json_option
def evaluate(
    file: str,
    device: str | None,
    path: str | None,
    data: str | None,
    limit: int | None,
    batch_size: int,
    plot: str | None,
    as_json: bool,
) -> None:
    """Loss and accuracy of a trained network on the validation images."""
    from tinycnn import datasets
    from tinycnn.fit import loop
    from tinycnn.losses import labels_for

    check_picture(plot)
    check_overwrites({"the network": file}, {"--plot": plot})
    use(device, path)
    model = checkpoint(file)
    found = datasets.load(data, model.seed, limit=limit)
    labels = labels_for(model.loss, found.y_test, found.classes)
    loss, accuracy, *_ = loop.evaluate(model, found.x_test, labels, batch_size)
    if plot:
        from tinycnn.pictures import plot_confusion

        plot_confusion(model, found.x_test, found.y_test, plot)
    facts = {"network": model.name, "loss": loss, "acc": accuracy, "images": len(found.x_test), "data": found.name}
    if as_json:
        print_json(facts)
    else:
        print_table([facts.values()], facts.keys(), floatfmt=".4f")
    if not math.isfinite(loss):
        raise Diverged(f"the network in {file} has diverged: its loss is no number")
