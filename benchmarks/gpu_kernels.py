"""Every kernel once, on a GPU: what compute-sanitizer and Nsight Compute are pointed at by gpu_check.py.

python benchmarks/gpu_kernels.py                       # all kernel files, in float and double
python benchmarks/gpu_kernels.py --file conv2d --dtype float32
"""

import argparse
import sys

import tinycnn
from tinycnn.devices import DeviceError
from tinycnn.devices.checks.cases import CASES, Operations


def run(device_name, files, dtypes):
    """The operations of these kernel files on small odd shapes."""
    for dtype in dtypes:
        for name in files:
            operations = Operations(dtype)
            operations.device = tinycnn.get_device(device_name, dtype)
            for numbers in CASES[name].shapes:
                CASES[name].at(operations, *numbers)
            if CASES[name].more:
                CASES[name].more(operations)
            operations.device.numpy(operations.device.zeros((1,)))  # waits, so that a fault is met here


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "emulator", "numba"])
    parser.add_argument("--file", choices=list(CASES), help="only this kernel file")
    parser.add_argument("--dtype", choices=["float32", "float64"], help="only this precision")
    arguments = parser.parse_args()
    try:
        run(
            arguments.device,
            [arguments.file] if arguments.file else list(CASES),
            [arguments.dtype] if arguments.dtype else ["float32", "float64"],
        )
    except DeviceError as error:
        sys.exit(f"gpu_kernels.py: {error}")


if __name__ == "__main__":
    main()
