"""The host's side of the CUDA kernels: grids, blocks, shared memory and arguments of every launch.

`cuda` and `emulator` share all of it. What differs is the driver, which holds arrays, builds kernels and launches them.
"""

from tinycnn.devices.kernels_host.device import KernelDevice
from tinycnn.devices.kernels_host.driver import Driver

__all__ = ["Driver", "KernelDevice"]
