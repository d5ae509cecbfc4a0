"""Compares all documented networks with Keras, as `tinycnn compare` does, and keeps how near they came.

    python benchmarks/compare_all.py                # all 27: about ten minutes on two cores
    python benchmarks/compare_all.py go-crazy       # these again; the others stay as they are in the file
    python benchmarks/compare_all.py --workers 4    # four at a time; --scheduler ADDRESS: by the workers of Dask's

Needs Keras and JAX. Writes results/<device>/compare.json after every network: per network, device and precision the
number of arrays, how many missed their tolerance, and the largest share of a tolerance that an error took up, with the
array, its error and its tolerance. The exit status is 1 where a tolerance was missed.
"""

import argparse
import sys
import time

import machine
import sharing

from tinycnn.architectures import ARCHITECTURES
from tinycnn.command.compare import comparisons

PACKAGES = ("tinycnn", "numpy", "numba", "keras", "jax")


def summary(result, seconds):
    """One row of the results file."""
    rows = result.pop("rows")
    worst = max(rows, key=lambda row: row["share"])
    missed = sum(not row["passed"] for row in rows)
    about = machine.provenance(machine.device(), result["device"], PACKAGES)
    return {**result, "arrays": len(rows), "missed": missed, "worst": worst, "seconds": round(seconds, 1), **about}


def compared(job):
    """The rows of a network, one a precision. job: (network, device, steps)."""
    rows, began = [], time.perf_counter()
    for result in comparisons(*job):
        rows.append(summary(result, time.perf_counter() - began))
        began = time.perf_counter()
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=20)
    sharing.add_options(parser)
    arguments = parser.parse_args()
    path = machine.RESULTS / machine.slug(machine.device()) / "compare.json"
    rows = machine.rows_before(path)
    missed = 0
    jobs = [(name, arguments.device, arguments.steps) for name in arguments.networks or ARCHITECTURES]
    for _, found in sharing.results(arguments, "compare_all", "compared", jobs):
        for row in found:
            key = row["network"], row["device"], row["dtype"]
            rows = [r for r in rows if (r["network"], r["device"], r["dtype"]) != key] + [row]
            missed += row["missed"]
            worst = f"the worst error {row['worst']['share']:.2f} of its tolerance"
            print(f"{' '.join(key)}: {row['missed']} missed, {worst}, {row['seconds']} s", flush=True)
        rows.sort(key=lambda row: list(ARCHITECTURES).index(row["network"]))
        machine.write_json(path, {"device": machine.device(), "rows": rows})
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
