"""The command `tinycnn filters`."""

from __future__ import annotations

import click

from tinycnn.command.options import check_overwrites, check_picture, checkpoint, use


@click.command()
@click.argument("file", metavar="FILE.safetensors")
@click.option("-o", "--output", metavar="PICTURE", required=True, help="The PNG, SVG or PDF to draw to.")
@click.option(
    "--layer", metavar="NAME", help="Which convolution, as `tinycnn summary` calls it; the first if not given."
)
def filters(file: str, output: str, layer: str | None) -> None:
    """Draw the filters of a trained network: blue weights are negative, white ones 0, red ones positive."""
    from tinycnn.pictures import plot_filters

    check_picture(output)
    check_overwrites({"the network": file}, {"--output": output})
    use("reference")  # nothing is computed, so no GPU has to be tried first
    figure = plot_filters(checkpoint(file), output, layer)
    click.echo(f"{output}: {' '.join(figure.axes[0].get_title().split())}")
