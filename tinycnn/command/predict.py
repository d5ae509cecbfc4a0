"""The command `tinycnn predict`."""

from __future__ import annotations

import click
import numpy as np

from tinycnn.command.options import (
    Diverged,
    check_form,
    check_overwrites,
    check_picture,
    checkpoint,
    device_option,
    json_option,
    print_json,
    print_table,
    use,
)


@click.command()
@click.argument("file", metavar="FILE.safetensors")
@click.argument("image", metavar="IMAGE")
@click.option("--index", type=click.IntRange(min=0), help="Which image of an IDX file, from 0; the first if not given.")
@device_option
@click.option("--plot", metavar="FILE", help="Draw the feature maps of the image, layer by layer.")
@json_option
def predict(file: str, image: str, index: int | None, device: str | None, plot: str | None, as_json: bool) -> None:
    """What a trained network sees in IMAGE, a picture file or an IDX file: the probability of every class.

    A picture is scaled to the network's size. For a network of grey images it is made grey, and inverted if it is dark
    on light.
    """
    from tinycnn.datasets.images import read_image
    from tinycnn.functional import softmax
    from tinycnn.losses import takes_logits

    check_picture(plot)
    check_overwrites({"the network": file, "IMAGE": image}, {"--plot": plot})
    use(device)
    model = checkpoint(file)
    check_form(model, file, images=True)
    if len(model.output.extents) != 1:
        raise click.UsageError(f"the network in {file} ends with shape {model.output.extents}, and not in classes")
    check_form(model, file, classes=True)
    x, how = read_image(image, model.input.extents, index)
    outputs = model(x)
    if takes_logits(model.loss):  # its softmax is in its loss
        outputs = softmax(outputs)
    probabilities = outputs.numpy()[0]
    if not np.isfinite(probabilities).all():
        raise Diverged(f"the network in {file} has diverged: its probabilities are no numbers")
    best = int(probabilities.argmax())
    if plot:
        from tinycnn.pictures import plot_feature_maps

        plot_feature_maps(model, x[0], plot)
    if as_json:
        print_json({"class": best, "probabilities": [float(p) for p in probabilities], "image": how})
        return
    print_table(enumerate(probabilities), ("class", "probability"), floatfmt=".4f")
    click.echo(f"{image} ({how}) is a {best}, with probability {probabilities[best]:.4f}")
