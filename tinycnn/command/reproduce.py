"""The command `tinycnn reproduce`."""

from __future__ import annotations

import click

from tinycnn.command.options import (
    Interrupted,
    cluster_client,
    cluster_options,
    data_option,
    device_option,
    limit_option,
    use,
)


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
@device_option
@data_option
@limit_option
@cluster_options
def reproduce(
    networks: tuple[str, ...],
    epochs: int | None,
    seeds: int,
    out: str,
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
    DIR and the data at the same place.
    """
    from tinycnn import datasets
    from tinycnn.architectures import reproduction, reproduction_report

    runs = reproduction.plan(networks, epochs, seeds)
    use(device)
    try:
        with cluster_client(workers, scheduler) as client:
            results = reproduction.Results(out)
            if client is None:
                reproduction.reproduce(runs, datasets.load(data, limit=limit), results)
            else:
                from tinycnn.architectures import reproduction_jobs

                reproduction_jobs.reproduce(client, runs, results, data, limit)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; the same command goes on, {out} holds what is finished") from None
    click.echo(f"\n{reproduction_report.table(results.rows)}\n\n{out}: results.json, table.md and the curves")
