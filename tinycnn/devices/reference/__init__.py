"""The oracle: every operation in plain NumPy, to be read beside the kernels.

There is one file for each file of kernels/, of the same name. A function NAME_loops computes with plain loops over
indices, as the head of the .cu file writes the formula: what all threads of the kernel do, one number after the other.
The function NAME, the device's own, says the same in whole arrays. tests/test_reference.py holds the two together.
"""

from tinycnn.devices.reference.device import ReferenceDevice

__all__ = ["ReferenceDevice"]
