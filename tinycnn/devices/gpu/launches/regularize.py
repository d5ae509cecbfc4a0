"""Launches of regularize.cu."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinycnn.devices.base import Array, Slices
from tinycnn.devices.gpu.grid import PER_BLOCK, THREADS, ceil_div

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice


def regularize(
    device: KernelDevice, parameter: Array, gradient: Array | Slices | None, l1: float, l2: float, rows: int = 1,
    totals: Array | None = None,
) -> Array:  # fmt: skip
    blocks = max(1, ceil_div(parameter.size, PER_BLOCK))
    g = gradient.parts if isinstance(gradient, Slices) else gradient  # to the first slice: it is the sum that counts
    if g is not None:
        device.driver.join()  # the gradients of filters come from a branch of their own
    parts, loss = device.empty((blocks,)), device.empty((1,))
    device.launch(
        "regularize", "regularize<T>", (blocks,), (THREADS,),
        parameter, parts if g is None else g, float(l1), float(l2), parts, loss,
        device.empty((2,), "float64") if totals is None else totals, device.driver.arrivals(1),
        np.int64(parameter.size), rows, int(g is not None), int(totals is not None),
    )  # fmt: skip
    return loss
