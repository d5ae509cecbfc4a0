"""Launches of add.cu."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.devices.gpu.grid import PER_BLOCK, flat

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice

AT_ONCE = 4  # arrays of one launch


def add(device: KernelDevice, arrays: Sequence[Array]) -> Array:
    y = device.empty(arrays[0].shape)
    first, rest = arrays[0], list(arrays[1:])
    while rest:
        some = [first, *rest[: AT_ONCE - 1]]
        given = some + [first] * (AT_ONCE - len(some))  # the kernel takes so many, and reads the first `count`
        device.launch("add", "add<T>", *flat(y.size, PER_BLOCK), *given, y, len(some), np.int64(y.size))
        first, rest = y, rest[AT_ONCE - 1 :]
    return y
