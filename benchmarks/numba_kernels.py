"""Each kernel in Python (kernels/numba) beside its twin in CUDA C, at shapes of go-crazy with a batch of 128, on a GPU.

    python benchmarks/numba_kernels.py                 # writes benchmarks/results/<GPU>/numba_kernels.json and .md
    python benchmarks/numba_kernels.py --only conv2d   # one file, and writes nothing
    python benchmarks/numba_kernels.py --dry-run       # anywhere: which files, at which shapes

The operations of every kernel file run once on `cuda` and once on `numba`. Both start the same launches, with the same
grids and blocks, and each launch is then timed by events around calls in a row. A large product goes before them: while
the GPU is busy with it the calls queue up behind, so that the time is the kernel's and not that of starting it from
Python. Without a GPU it says so, exit status 2.
"""

import argparse
import statistics
import sys
from contextlib import contextmanager
from pathlib import Path

import machine
import numpy as np
from gpu_timing import CupyMarks, NumbaMarks
from tabulate import tabulate

import tinycnn
from tinycnn.devices import DeviceError
from tinycnn.devices.checks.cases import CASES, Operations

# The numbers that CASES[file].at takes. Of optimizers.cu the launches are those of `tinycnn check`.
SHAPES = {
    "relu": [(128, 24, 24, 20), (128, 10, 10, 16)],
    "regularize": [(3, 3, 64, 64)],
    "activations": [(128, 24, 24, 20)],
    "zeropad2d": [(128, 24, 24, 10)],
    "upsample2d": [(128, 12, 12, 16)],
    "add": [(128, 24, 24, 20)],
    "avgpool2d": [(128, 24, 24, 10)],
    "globalpool2d": [(128, 7, 7, 64)],
    "batchnorm": [(128, 26, 26, 12), (128, 10, 10, 16)],
    "conv1x1": [(128, 24, 24, 20, 10)],
    "conv2d": [(128, 28, 28, 1, 12, 3, 3), (128, 26, 26, 12, 20, 3, 3), (128, 10, 10, 16, 16, 3, 3)],
    "dense": [(128, 256, 10), (128, 1024, 512)],
    "draw": [(128, 24, 24, 20)],
    "dropout": [(128, 24, 24, 20)],
    "elementwise": [(128, 24, 24, 20)],
    "layout": [(128, 24, 24, 20)],
    "optimizers": [()],
    "maxpool2d": [(128, 24, 24, 10)],
    "reduce": [(128, 24, 24, 20)],
    "softmax_crossentropy": [(128, 10)],
    "bookkeeping": [(128, 28, 28, 1)],
}
CALLS, ROUNDS = 10, 7
BUSY = 4096  # rows and columns of the product that keeps the GPU busy: tens of milliseconds


@contextmanager
def kept(driver):
    """([the arguments of a launch], [what their tables of addresses point to]) of all launches from here on."""
    launches, behind_tables = [], []
    launch, address_table = driver.launch, driver.address_table

    def keep(*arguments):
        launches.append(arguments)
        launch(*arguments)

    def keep_behind(rows):
        behind_tables.append(rows)
        return address_table(rows)

    driver.launch, driver.address_table = keep, keep_behind
    try:
        yield launches, behind_tables
    finally:
        del driver.launch, driver.address_table


def launches(device, file, shape):
    """([what the file's own kernels are launched with on `device` for its operations at this shape], what to keep)."""
    on = Operations(device.dtype)
    on.device = device
    with kept(device.driver) as (found, behind_tables):
        (CASES[file].at or CASES[file].more)(on, *(shape if CASES[file].at else ()))
    return [arguments for arguments in found if arguments[0] == file], behind_tables


def seconds_of(device, marks, arguments, busy):
    """The median time of this launch, in seconds. busy: the side of the product that goes before."""
    square = device.empty((busy, busy))
    measured = []
    for _ in range(ROUNDS):
        device.matmul(square, square)
        begin = marks.now()
        for _ in range(CALLS):
            device.driver.launch(*arguments)
        measured.append(marks.between(begin, marks.now()) / CALLS)
    return statistics.median(measured)


def rows(cuda, numba, files=tuple(SHAPES), shapes=SHAPES, marks=None, busy=BUSY):
    """[{kernel, shape, threads, seconds in C, seconds in Python}] for every launch, both devices in float32."""
    marks = marks or {"cuda": CupyMarks(), "numba": NumbaMarks()}
    found = []
    for file in files:
        for shape in shapes[file]:
            (all_c, _behind_c), (all_python, _behind) = launches(cuda, file, shape), launches(numba, file, shape)
            for in_c, in_python in zip(all_c, all_python, strict=True):
                if in_c[:5] != in_python[:5]:
                    raise ValueError(f"{file} {shape}: {in_c[:5]} in C is {in_python[:5]} in Python")
                found.append(
                    {
                        "kernel": in_c[1],
                        "shape": list(shape),
                        "threads": int(np.prod(in_c[3]) * np.prod(in_c[4])),
                        "cuda": seconds_of(cuda, marks["cuda"], in_c, busy),
                        "numba": seconds_of(numba, marks["numba"], in_python, busy),
                    }
                )
    return found


def times(shape):
    """'128x24x24x20'"""
    return "x".join(map(str, shape))


def table(found):
    lines = [
        [
            f"`{row['kernel']}`",
            times(row["shape"]),
            1e6 * row["cuda"],
            1e6 * row["numba"],
            row["numba"] / row["cuda"],
        ]
        for row in found
    ]
    headers = ["kernel", "shape", "CUDA C, µs", "Numba, µs", "ratio"]
    return tabulate(lines, headers, tablefmt="github", floatfmt=("", "", ".1f", ".1f", ".2f"))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(SHAPES), help="the kernels of this file alone; writes nothing")
    parser.add_argument("--dry-run", action="store_true", help="say what would be timed, and time nothing")
    parser.add_argument("--results", type=Path, default=machine.RESULTS)
    arguments = parser.parse_args(arguments)
    files = (arguments.only,) if arguments.only else tuple(SHAPES)
    if arguments.dry_run:
        lines = [[file, CASES[file].takes, ", ".join(map(times, SHAPES[file]))] for file in files]
        print(tabulate(lines, ["file", "takes", "shapes"]))
        return 0
    try:
        cuda, numba = tinycnn.get_device("cuda"), tinycnn.get_device("numba")
        if numba.remark:
            raise DeviceError(numba.remark)
    except DeviceError as error:
        print(f"numba_kernels.py: {error}", file=sys.stderr)
        return 2
    found = rows(cuda, numba, files)
    print(table(found))
    if arguments.only:
        return 0
    facts = {
        "device": machine.gpu(),
        "versions": machine.versions(["tinycnn", "numba", "numba-cuda", "cupy-cuda13x", "cupy-cuda12x"]),
        "batch": 128,
        "kernels": found,
    }
    folder = arguments.results / machine.slug(facts["device"])
    machine.write_json(folder / "numba_kernels.json", facts)
    machine.write_atomically(folder / "numba_kernels.md", table(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
