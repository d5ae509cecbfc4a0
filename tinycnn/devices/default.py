"""Which device computes where none is named.

A GPU that is there and trains rightly is the default, else the CPU is. That is found out when a device is first asked
for, once a process, and not at `import tinycnn`: CuPy takes a second to import, and the GPU's kernels are compiled, or
found in CuPy's cache. They are those that a network's training needs next.
"""

from __future__ import annotations

import os
import threading
import warnings
from functools import cache
from typing import NamedTuple

from tinycnn.devices import DeviceError, get_device
from tinycnn.devices.gpu.cuda import cuda_extra, gpu_count

_asking = threading.RLock()


class Choice(NamedTuple):
    """A device's name, why it is the default, and what brings the GPU where there is one that cannot be used."""

    device: str
    why: str
    remedy: str | None = None


def choice() -> Choice:
    """The default device: TINYCNN_DEVICE, else `cuda` where a GPU is found and trains rightly, else `cpu`."""
    named = os.environ.get("TINYCNN_DEVICE")
    if named:
        return Choice(named, "TINYCNN_DEVICE names it")
    with _asking:  # threads that ask at the same time wait for one answer
        return _by_what_is_there()


@cache
def _by_what_is_there() -> Choice:
    if gpu_count() == 0:
        return Choice("cpu", "no NVIDIA GPU is found")
    try:
        device = get_device("cuda")
    except DeviceError as error:
        return Choice("cpu", "a GPU is found, and what the cuda device needs beside it is not", str(error))
    from tinycnn.gradcheck.smoke import fault_of  # here, for gradients stand above the devices

    fault = fault_of(device)
    if fault is None:
        return Choice("cuda", "a GPU is found, and trains as the reference does")
    warnings.warn(f"the GPU is left alone, for its test failed: {fault}; `tinycnn doctor` says more", stacklevel=2)
    remedy = f"a newer driver, and pip install --upgrade '{cuda_extra()}'; --device cuda takes the GPU all the same"
    return Choice("cpu", f"a GPU is found, and its test failed: {fault}", remedy)
