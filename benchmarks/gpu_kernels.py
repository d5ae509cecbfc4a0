"""Every kernel once, on a GPU: what compute-sanitizer and Nsight Compute are pointed at by gpu_check.py.

python benchmarks/gpu_kernels.py                       # all kernel files, in float and double
python benchmarks/gpu_kernels.py --file conv2d --dtype float32
python benchmarks/gpu_kernels.py --file step           # a small network's training steps as one kernel, in float
"""

import argparse
import sys

from sides import GENERAL

import tinycnn
from tinycnn.devices import DeviceError
from tinycnn.devices.checks import fast_cases, step_cases
from tinycnn.devices.checks.cases import CASES, Operations

STEP = "step"
FILES = (*CASES, *fast_cases.CASES, STEP)


def run(device_name, files, dtypes):
    """The operations of these kernel files on small odd shapes."""
    for dtype in dtypes:
        device = tinycnn.get_device(device_name, dtype)
        for name in files:
            if name in CASES:
                general(device, CASES[name])
            elif name in fast_cases.CASES:
                fast_cases.run_all(device, name)
            elif dtype == "float32":
                step_cases.run(device)
            device.numpy(device.zeros((1,)))  # waits, so that a fault is met here


def general(device, case):
    """A kernel file whose kernels take any shape; cuda takes others where it may."""
    operations = Operations(device.dtype)
    operations.device = device
    with device.taking(GENERAL):
        for numbers in case.shapes:
            case.at(operations, *numbers)
        if case.more:
            case.more(operations)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "emulator", "numba"])
    parser.add_argument("--file", choices=FILES, help="only this kernel file")
    parser.add_argument("--dtype", choices=["float32", "float64"], help="only this precision")
    arguments = parser.parse_args()
    try:
        run(
            arguments.device,
            [arguments.file] if arguments.file else FILES,
            [arguments.dtype] if arguments.dtype else ["float32", "float64"],
        )
    except DeviceError as error:
        sys.exit(f"gpu_kernels.py: {error}")


if __name__ == "__main__":
    main()
