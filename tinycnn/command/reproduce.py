"""The command `tinycnn reproduce`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

import click

from tinycnn.command.options import (
    Diverged,
    Interrupted,
    cluster_client,
    cluster_options,
    data_option,
    device_option,
    limit_option,
    print_table,
    use,
)

if TYPE_CHECKING:
    from tinycnn.architectures.reproduction import Run
    from tinycnn.datasets import Dataset

EXPLANATIONS = "explanations"


@click.command()
@click.argument("networks", metavar="[ARCH]...", nargs=-1)
@click.option("--epochs", type=click.IntRange(min=1), help="The documented number if not given.")
@click.option(
    "--seeds", type=click.IntRange(min=1), default=1, show_default=True, metavar="K", help="Train with seeds 0 to K-1."
)
@click.option(
    "--out", type=click.Path(file_okay=False), default="reproduction", show_default=True, metavar="DIR",
    help="Where the results go: results.json, table.md, and a picture for every network.",
)  # fmt: skip
@click.option(
    "--explain",
    is_flag=True,
    help="Train with one thing changed at a time that the document leaves open, and say what explains a difference.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be trained, and train nothing.")
@device_option
@data_option
@limit_option
@cluster_options
def reproduce(
    networks: tuple[str, ...],
    epochs: int | None,
    seeds: int,
    out: str,
    explain: bool,
    dry_run: bool,
    device: str | None,
    data: str | None,
    limit: int | None,
    workers: int | None,
    scheduler: str | None,
) -> None:
    """Train documented networks by their documented recipe, and write what they reached into one table.

    Without ARCH all 27, the smallest first, which takes days on a CPU. What DIR holds already is not trained again,
    and an interrupted training goes on from its last whole epoch.

    With --workers or --scheduler several are trained at a time, with the same figures; the workers of a scheduler need
    DIR and the data at the same place. --explain keeps what it trains in DIR/explanations, in the same way.
    """
    from tinycnn import datasets
    from tinycnn.architectures import explanation_report, reproduction, reproduction_report

    if explain and not networks:
        raise click.UsageError("--explain trains each network many times: name those that it is for")
    names = list(dict.fromkeys(networks))
    runs = (reproduction.plan_to_explain if explain else reproduction.plan)(names, epochs, seeds)
    folder = Path(out) / EXPLANATIONS if explain else Path(out)
    cluster = cluster_client(workers, scheduler)
    use(device)
    found = datasets.load(data, limit=limit)
    if dry_run:
        print_plan(runs, folder, found)
        return
    try:
        with cluster as client:
            results = reproduction.Results(folder)
            if explain:
                results.borrow(Path(out) / "results.json", names)
            if client is None:
                reproduction.reproduce(runs, found, results)
            else:
                from tinycnn.architectures import reproduction_jobs

                reproduction_jobs.reproduce(client, runs, found, results, data, limit)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; the same command goes on, {folder} holds what is finished") from None
    if explain:
        rows = reproduction.all_seeds([results.row(run, found) for run in runs], results.rows)
        for name in names:
            click.echo(f"\n{explanation_report.report(name, rows)}")
        click.echo(f"\n{folder}: results.json and table.md")
    else:
        click.echo(f"\n{reproduction_report.table(results.rows)}\n\n{folder}: results.json, table.md and the curves")
    if lost := [str(run) for run in runs if reproduction_report.diverged(results.row(run, found))]:
        raise Diverged(f"{'; '.join(lost)}: diverged, the loss is no number any more")


def print_plan(runs: Sequence[Run], folder: Path, data: Dataset) -> None:
    """A line for each training: what of it is finished, and the rest, in minutes where some of it is known."""
    from tinycnn.architectures import reproduction

    path = folder / "results.json"
    rows = reproduction.read(path) if path.exists() else []
    lines, epochs, minutes = [], 0, [0.0]
    for run in runs:
        row = reproduction.row_of(run, data, rows)
        left = run.epochs - len(row["history"]["loss"])
        seconds = [s for r in rows if r["network"] == run.network for s in r["history"]["seconds"]]
        expected = left * mean(seconds) / 60 if seconds else None
        lines.append((run.network, run.seed, run.explanation or "-", f"{run.epochs - left} of {run.epochs}", expected))
        epochs += left
        minutes += [] if expected is None else [expected]
    print_table(lines, ("network", "seed", "changed", "epochs", "minutes left"), floatfmt=".1f", missingval="?")
    known = f", {sum(minutes):.0f} minutes by the finished epochs here" if len(minutes) == 1 + len(runs) else ""
    click.echo(f"\n{len(runs)} trainings on {len(data.x_train):,} images of {data.name}, {epochs} epochs left{known}")
