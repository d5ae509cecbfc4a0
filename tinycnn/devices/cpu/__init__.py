"""The fast CPU device: Numba kernels on explicit SIMD vectors, two threads or more."""

from tinycnn.devices.cpu.device import CpuDevice

__all__ = ["CpuDevice"]
