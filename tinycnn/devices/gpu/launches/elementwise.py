"""Launches of elementwise.cu: arithmetic, number by number, with broadcasting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinycnn.devices.base import Array
from tinycnn.devices.gpu.grid import flat
from tinycnn.devices.gpu.launches.strides import broadcast_steps, strided_launches

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice

BINARY = ("add", "subtract", "multiply", "divide", "power", "equal", "greater", "keep")  # the numbers of elementwise.cu
UNARY = ("negative", "exp", "log", "sqrt")


def is_number(value: object) -> bool:
    """Whether it is one of the host's numbers, which travel with the launch, and no array of the device."""
    return isinstance(value, (int, float, np.generic))


def elementwise(device: KernelDevice, operation: str, *operands: Array | float) -> Array:
    a: Any
    b: Any
    if operation in UNARY:
        (a,) = operands
        y = device.empty(a.shape)
        device.launch("elementwise", "unary<T>", *flat(y.size), UNARY.index(operation), a, y, np.int64(y.size))
        return y
    number, (a, b) = BINARY.index(operation), operands
    if is_number(a) or is_number(b):
        number_first = is_number(a)
        array, value = (b, a) if number_first else (a, b)
        y = device.empty(array.shape)
        args = (number, array, float(value), y, np.int64(y.size), int(number_first))
        device.launch("elementwise", "binary_number<T>", *flat(y.size), *args)
        return y
    y = device.empty(np.broadcast_shapes(a.shape, b.shape))
    if a.shape == b.shape:
        device.launch("elementwise", "binary_flat<T>", *flat(y.size), number, a, b, y, np.int64(y.size))
        return y
    walks = [broadcast_steps(array.shape, y.shape) for array in (a, b)]
    for total, extents, (a_steps, b_steps), (a_first, b_first), y_first in strided_launches(y.shape, walks):
        steps = [np.int64(n) for n in (*a_steps, *b_steps, a_first, b_first, y_first)]
        device.launch("elementwise", "binary<T>", *flat(total), number, a, b, y, np.int64(total), *extents[1:], *steps)
    return y
