"""The devices that compute with the CUDA kernels: grids, blocks, shared memory and arguments of every launch.

`cuda`, `emulator` and `numba` share device.py and launches/. What differs is the driver, which holds arrays, builds
kernels and launches them.
"""

from tinycnn.devices.gpu.device import KernelDevice
from tinycnn.devices.gpu.driver import Driver

__all__ = ["Driver", "KernelDevice"]
