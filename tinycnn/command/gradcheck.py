"""The command `tinycnn gradcheck`: is every gradient right?"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from tinycnn.command.options import device_option, json_option, print_json
from tinycnn.command.targets import with_errors

if TYPE_CHECKING:
    from tinycnn.devices.base import Device
    from tinycnn.gradcheck.check import Report


@click.command()
@click.argument("target", metavar="[OP|ARCH|NOTATION]", required=False)
@device_option
@json_option
@with_errors
def gradcheck(target: str | None, device: str | None, as_json: bool) -> None:
    """Check gradients against finite differences, in float64 where the device computes in it.

    OP is an operation (conv2d), ARCH a documented network and NOTATION one of your own, whose loss is followed to every
    parameter. All operations if nothing is given. The exit status is 1 if a gradient is wrong.
    """
    from tinycnn.gradcheck.check import PASSED, checked_device, describe

    on = checked_device(device)
    rows: list[dict[str, Any]] = []
    failed: list[str] = []
    for report in reports(target, on):
        rows += report.as_json()
        failed += [f"{report.operation} {report.case}: {row}" for row in report.rows if row.verdict != PASSED]
    if as_json:
        print_json(rows)
    else:
        print_rows(rows)
        click.echo()
        for line in failed:
            click.echo(line)
        click.echo(f"{len(rows)} gradients on {describe(on)}: {f'{len(failed)} failed' if failed else 'all passed'}")
    if failed:
        raise click.exceptions.Exit(1)


def reports(target: str | None, device: Device) -> Iterable[Report]:
    """The Reports of what TARGET stands for, one after the other. Raises ValueError that names the nearest names."""
    from tinycnn.architectures import ARCHITECTURES
    from tinycnn.gradcheck.cases import OPERATIONS, cases
    from tinycnn.gradcheck.networks import check_network

    if target is None or target in OPERATIONS:
        return (case.check(device) for case in cases(target))
    if "(" in target or target in ARCHITECTURES:
        return [check_network(target, device=device)]
    close = difflib.get_close_matches(target, [*OPERATIONS, *ARCHITECTURES], cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"the operations are: {', '.join(OPERATIONS)}"
    raise ValueError(f"no operation and no network is called {target!r}; {hint}")


def print_rows(rows: list[dict[str, Any]]) -> None:
    """A line for each gradient."""
    from tabulate import tabulate

    headers = ("operation", "argument", "shape", "worst error", "tolerance", "verdict")
    table = [
        (f"{r['operation']} {r['case']}", r["argument"], "x".join(map(str, r["shape"])))
        + (r["error"], r["tolerance"], r["verdict"])
        for r in rows
    ]
    click.echo(tabulate(table, headers, floatfmt=".1e", missingval="nan"))
