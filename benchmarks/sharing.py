"""The scripts' switch --workers or --scheduler: a function of a script, called for each of many jobs by workers."""

import importlib
from pathlib import Path

from tinycnn.command.options import cluster_client, shared

FOLDER = str(Path(__file__).resolve().parent)


def add_options(parser):
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--workers", type=int, metavar="N", help="share the work among N processes on this machine")
    group.add_argument("--scheduler", metavar="ADDRESS", help="share it among the workers of the Dask scheduler there")


def results(options, script, function, jobs):
    """Yields (job, what the script's function says of it), as they come in, or in order where nothing is shared.

    The workers import the script, which a function of the program that runs would not have them do.
    """
    with cluster_client(options.workers, options.scheduler, [FOLDER]) as client:
        yield from shared(client, getattr(importlib.import_module(script), function), jobs)
