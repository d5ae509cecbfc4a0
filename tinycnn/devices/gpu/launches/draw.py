"""Launches of draw.cu: random numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.devices.gpu.grid import PER_BLOCK, flat

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice


def draw(device: KernelDevice, array: Array, normal: bool, seed: int, stream: int, step: Array) -> None:
    device.launch(
        "draw", "draw<T>", *flat(array.size, PER_BLOCK),
        array, step, np.int64(array.size), np.uint64(seed), np.uint32(stream), int(normal),
    )  # fmt: skip
