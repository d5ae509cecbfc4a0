"""What the launches of convolution and dense share on the way back."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, TypeAlias

from tinycnn.devices.base import Array, Slices, Wanted
from tinycnn.devices.gpu.launches.reduce import reduce_middle

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice

Sum: TypeAlias = "Array | Slices"

FILTER = Wanted(x=False, w=True, b=False)


def in_slices(partial: Array | None, wanted: bool) -> Sum | None:
    """The sum over the first axis of `partial` (slices, ...), if it is wanted. The optimiser adds up what is to add."""
    if not wanted or partial is None:
        return None
    return Slices(partial) if partial.shape[0] > 1 else partial.reshape(partial.shape[1:])


def whole(device: KernelDevice, gradient: Sum) -> Array:
    """A gradient that can be read."""
    device.driver.join()
    if not isinstance(gradient, Slices):
        return gradient
    slices, *shape = gradient.parts.shape
    return reduce_middle(device, "sum", gradient.parts, 1, slices, prod(shape)).reshape(tuple(shape))
