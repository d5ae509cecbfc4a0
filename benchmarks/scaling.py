"""How fast one network trains by several processes: images a second, and the bytes that they add up a step.

    python benchmarks/scaling.py                          # two networks, in about two minutes
    python benchmarks/scaling.py go-crazy --ranks 1 2 4

Batches stay at 128 whatever the number of ranks. The cores are shared among the ranks, as `mpirun tinycnn train` shares
them; one process on one core stands beside them. Every configuration is started anew for every round, in turn with the
others, and trains short epochs on random images of MNIST's shape, of which the first, that compiles, is not counted.

Needs mpi4py and mpirun (the extra `mpi`). Writes results/<device>/scaling.json.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median

import machine
import numpy as np

import tinycnn
from tinycnn.architectures import build, get
from tinycnn.devices.ranks import STATISTICS, of

NETWORKS = ("go-crazy", "models-1")
BATCH, STEPS, EPOCHS, ROUNDS = 128, 12, 3, 3  # epochs of a round that are counted
PACKAGES = ("tinycnn", "numpy", "numba", "mpi4py", "mpich")
OVER = {"part": "a rank's part", "whole": "the whole batch"}


# ---------------------------------------------------------------- one rank


def work(network, statistics, steps, epochs):
    """Train in this process, which is a rank where mpirun started several; rank 0 prints what it measured as JSON."""
    from tinycnn.command.ranks import launched

    device, rank = tinycnn.get_device("cpu"), 0
    if launched():
        from mpi4py import MPI

        rank = MPI.COMM_WORLD.rank
        device = of(device, MPI.COMM_WORLD, statistics)
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (BATCH * steps, 28, 28, 1)).astype(np.float32)
    y = np.eye(10, dtype=np.float32)[rng.integers(0, 10, len(x))]
    with tinycnn.use_device(device):
        tinycnn.set_random_seed(0)
        history = build(network).fit(x, y, batch_size=BATCH, epochs=1 + epochs, verbose=0)
    if rank == 0:
        summed = getattr(device, "bytes_summed", 0)
        seconds = [logs["seconds"] for _, logs in history.rows()]
        facts = {"seconds": seconds[1:], "loss": history.history["loss"][-1]}
        print(json.dumps({**facts, "bytes_summed": summed / steps / (1 + epochs)}))


# ---------------------------------------------------------------- all of them


def configurations(most):
    """[(ranks, threads of each, statistics)], one core first. most: the numbers of ranks."""
    cores = machine.cores()
    found = [(1, 1, "part")]
    for ranks in most:
        found += [(ranks, max(1, cores // ranks), name) for name in (STATISTICS if ranks > 1 else STATISTICS[:1])]
    return list(dict.fromkeys(found))


def measure(network, ranks, threads, statistics, steps=STEPS, epochs=EPOCHS):
    """What `work` printed in so many processes. Raises RuntimeError where it failed."""
    words = [sys.executable, __file__, "--work", network, statistics, str(steps), str(epochs)]
    if ranks > 1:
        words = [mpirun(), "-n", str(ranks), *words]
    environment = {**os.environ, "NUMBA_NUM_THREADS": str(threads)}
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{network} by {ranks} ranks failed:\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def mpirun():
    """mpirun, of this environment if it has one. Raises RuntimeError where there is none."""
    beside = Path(sys.executable).with_name("mpirun")
    found = str(beside) if beside.exists() else shutil.which("mpirun")
    if found is None:
        raise RuntimeError("there is no mpirun: pip install 'tinycnn[mpi]'")
    return found


def row_of(network, configuration, answers):
    """One row of the results."""
    ranks, threads, statistics = configuration
    speeds = [BATCH * STEPS / seconds for answer in answers for seconds in answer["seconds"]]
    return {
        "network": network,
        "parameters": get(network).params.total,
        "ranks": ranks,
        "threads": threads,
        "statistics": statistics if ranks > 1 else None,
        "images_per_s": {"median": median(speeds), "min": min(speeds), "max": max(speeds)},
        "bytes_summed": answers[0]["bytes_summed"],
        "loss": answers[0]["loss"],
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", default=list(NETWORKS))
    parser.add_argument("--ranks", nargs="+", type=int, default=[1, 2], metavar="N")
    parser.add_argument("--results", default=machine.RESULTS, type=Path, metavar="DIR")
    options = parser.parse_args(arguments)
    path = options.results / machine.slug(machine.device()) / "scaling.json"
    kinds = [(network, kind) for network in options.networks for kind in configurations(options.ranks)]
    answers = {kind: [] for kind in kinds}
    for round_ in range(ROUNDS):
        for network, kind in kinds:
            answers[network, kind].append(measure(network, *kind))
            row = row_of(network, kind, answers[network, kind])
            over = f", statistics over {OVER[kind[2]]}" if row["statistics"] else ""
            print(
                f"round {round_ + 1}: {network}, ranks: {kind[0]}, threads of each: {kind[1]}{over}: "
                f"{row['images_per_s']['median']:,.0f} images/s, {row['bytes_summed']:,.0f} bytes summed a step",
                flush=True,
            )
    facts = {
        **machine.provenance(machine.device(), "cpu", PACKAGES),
        "device": machine.device(),
        "batch": BATCH,
        "epochs": EPOCHS * ROUNDS,
        "steps": STEPS,
        "rows": [row_of(*kind, found) for kind, found in answers.items()],
    }
    machine.write_json(path, facts)
    print(path)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(*sys.argv[2:4], *map(int, sys.argv[4:]))
    else:
        main()
