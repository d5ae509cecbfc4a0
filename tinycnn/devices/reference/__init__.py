"""The oracle: every operation in plain NumPy, written to be read beside the kernels."""

from tinycnn.devices.reference.device import ReferenceDevice

__all__ = ["ReferenceDevice"]
