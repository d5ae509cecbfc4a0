"""The command `tinycnn summary`."""

from __future__ import annotations

import click

from tinycnn.command.options import find_network, json_option, print_json, use


@click.command()
@click.argument("network", metavar="ARCH|NOTATION|FILE.py:NAME|FILE")
@json_option
def summary(network: str, as_json: bool) -> None:
    """The layers of a network: shapes, parameters and how they come about, receptive fields."""
    from tinycnn import session
    from tinycnn.fit.summary import as_json as summary_json

    use("reference")  # nothing is computed, so no GPU has to be tried first
    with session.without_initial_weights():
        model = find_network(network)
    if as_json:
        print_json(summary_json(model))
    else:
        model.summary(print_fn=click.echo)
