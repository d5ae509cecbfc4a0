"""The command `tinycnn gradcheck`: is every gradient right?"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from tinycnn.command.options import cluster_client, cluster_options, device_option, json_option, print_json, shared
from tinycnn.command.targets import with_errors

if TYPE_CHECKING:
    from tinycnn.gradcheck.check import Report

NETWORKS = "networks"


@click.command()
@click.argument("target", metavar="[OP|ARCH|NOTATION|networks]", required=False)
@device_option
@json_option
@cluster_options
@with_errors
def gradcheck(
    target: str | None, device: str | None, as_json: bool, workers: int | None, scheduler: str | None
) -> None:
    """Check gradients against finite differences, in float64 where the device computes in it.

    OP is an operation (conv2d), ARCH a documented network and NOTATION one of your own, whose loss is followed to every
    parameter; `networks` are all documented ones. All operations if nothing is given. The exit status is 1 if a
    gradient is wrong.
    """
    from tinycnn.gradcheck.check import PASSED, checked_device, describe

    on = checked_device(device)
    rows: list[dict[str, Any]] = []
    failed: list[str] = []
    jobs = [Check(name, on.name, on.dtype) for name in targets(target)]
    with cluster_client(workers, scheduler) as client:
        found = dict(shared(client, reports, jobs))
    for report in (report for job in jobs for report in found[job]):
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


class Check(NamedTuple):
    """An operation or a network that is to be checked, and the device to check."""

    target: str
    device: str
    dtype: str


def targets(target: str | None) -> list[str]:
    """The operations or networks that TARGET stands for. Raises ValueError that names the nearest names."""
    from tinycnn.architectures import ARCHITECTURES
    from tinycnn.gradcheck.cases import OPERATIONS

    if target is None:
        return list(OPERATIONS)
    if target == NETWORKS:
        return list(ARCHITECTURES)
    if "(" in target or target in OPERATIONS or target in ARCHITECTURES:
        return [target]
    close = difflib.get_close_matches(target, [*OPERATIONS, *ARCHITECTURES], cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"the operations are: {', '.join(OPERATIONS)}"
    raise ValueError(f"no operation and no network is called {target!r}; {hint}")


def reports(check: Check) -> list[Report]:
    """The Reports of an operation, one a case, or of a network."""
    from tinycnn.devices import get_device
    from tinycnn.gradcheck.cases import OPERATIONS, cases
    from tinycnn.gradcheck.networks import check_network

    device = get_device(check.device, check.dtype)
    if check.target in OPERATIONS:
        return [case.check(device) for case in cases(check.target)]
    return [check_network(check.target, device=device)]


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
