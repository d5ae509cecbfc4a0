"""Launches of bookkeeping.cu: what a training step needs beside the network."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.devices.gpu.grid import MOST_GRID_Y, PER_BLOCK, THREADS, ceil_div, flat

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice

MOST_COUNTERS = 3  # of one launch


def gather_batch(
    device: KernelDevice, images: Array, labels: Array, order: Array, start: Array, size: int
) -> tuple[Array, Array]:
    x, y = device.empty((size, *images.shape[1:])), device.empty((size, *labels.shape[1:]))
    image, label = prod(images.shape[1:]), prod(labels.shape[1:])
    image_blocks, label_blocks = ceil_div(image, PER_BLOCK), ceil_div(label, PER_BLOCK)
    device.launch(
        "bookkeeping", "gather_batch<T>", (image_blocks + label_blocks, min(size, MOST_GRID_Y)), (THREADS,),
        images, labels, order, start, x, y, images.shape[0], size, image, label, image_blocks,
    )  # fmt: skip
    return x, y


def advance(device: KernelDevice, counters: Sequence[tuple[Array, int]]) -> None:
    counters = list(counters)
    counters += [(counters[0][0], 0)] * (MOST_COUNTERS - len(counters))  # the kernel takes so many
    arrays, amounts = zip(*counters, strict=True)
    device.launch("bookkeeping", "advance<long long>", (1,), (1,), *arrays, *map(np.int64, amounts))


def fill(device: KernelDevice, array: Array, value: float) -> None:
    """array[...] = value, a number that travels with the launch: nothing on the host has to stay as it is."""
    whole = array.dtype == np.int64
    kernel, number = ("fill<long long>", np.int64(value)) if whole else ("fill<T>", float(value))
    device.launch("bookkeeping", kernel, *flat(array.size), array, number, np.int64(array.size))
