"""The command `tinycnn list`."""

from __future__ import annotations

import click

from tinycnn.command.options import json_option, print_json, print_table


@click.command("list")
@json_option
def list_networks(as_json: bool) -> None:
    """The documented networks."""
    from tinycnn.architectures import ARCHITECTURES

    rows = [
        {"id": a.id, "title": a.title, "params": a.params.total, "documented_accuracy": a.accuracy}
        for a in ARCHITECTURES.values()
    ]
    if as_json:
        print_json(rows)
        return
    table = [(r["id"], r["title"], f"{r['params']:,}", r["documented_accuracy"]) for r in rows]
    headers = ("network", "title", "parameters", "documented accuracy")
    print_table(table, headers, colalign=("left", "left", "right", "right"), floatfmt=".4f", missingval="-")
