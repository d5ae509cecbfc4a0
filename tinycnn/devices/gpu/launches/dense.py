"""Launches of dense.cu: matrix products, (N, inputs) x (inputs, units)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tinycnn.devices.base import Array, Gradients, Wanted
from tinycnn.devices.gpu.grid import ceil_div, slices_of
from tinycnn.devices.gpu.launches.products import FILTER, Sum, in_slices

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice


def dense_forward(device: KernelDevice, x: Array, w: Array, b: Array | None, relu: bool) -> Array:
    (N, inputs), units = x.shape, w.shape[1]
    plan, y = Plan.of(N, units, inputs), device.empty((N, units))
    args = (x, w, w if b is None else b, y, *plan.to_finish(device, y))
    plan.launch(device, "forward", *args, N, inputs, units, plan.slice_length, int(b is not None), int(relu))
    return y


def matmul(device: KernelDevice, a: Array, b: Array) -> Array:
    return dense_forward(device, a, b, None, False)


def dense_backward(device: KernelDevice, dy: Array, y: Array | None, x: Array, w: Array, wanted: Wanted) -> Gradients:
    dw, db = filter_gradient(device, x, dy, y, wanted)
    return data_gradient(device, dy, y, w) if wanted.x else None, dw, db


def dense_backward_data(device: KernelDevice, dy: Array, w: Array) -> Array:
    return data_gradient(device, dy, None, w)


def dense_backward_filter(device: KernelDevice, x: Array, dy: Array) -> Array:
    return device.whole(filter_gradient(device, x, dy, None, FILTER)[0])


def data_gradient(device: KernelDevice, dy: Array, y: Array | None, w: Array) -> Array:
    N, (inputs, units) = dy.shape[0], w.shape
    plan, dx = Plan.of(N, inputs, units), device.empty((N, inputs))
    args = (dy, dy if y is None else y, w, dx, *plan.to_finish(device, dx))
    plan.launch(device, "backward_data", *args, N, inputs, units, plan.slice_length, int(y is not None))
    return dx


def filter_gradient(
    device: KernelDevice, x: Array, dy: Array, y: Array | None, wanted: Wanted
) -> tuple[Sum | None, Sum | None]:
    """dw and db."""
    if not (wanted.w or wanted.b):
        return None, None
    (N, inputs), units = x.shape, dy.shape[1]
    plan = Plan.of(inputs, units, N)
    with device.driver.branch():  # nothing but the optimiser waits for it
        partial = device.empty((plan.slices, inputs, units))
        partial_db = device.empty((plan.slices, units if wanted.b else 1))
        args = (x, dy, dy if y is None else y, partial, partial_db, N, inputs, units, plan.slice_length)
        plan.launch(device, "backward_filter", *args, int(wanted.b), int(y is not None))
    return in_slices(partial, wanted.w), in_slices(partial_db, wanted.b)


class Plan(NamedTuple):
    """How blocks share a product of rows x columns numbers, each a sum of `length` terms."""

    tile: int
    tiles: tuple[int, int]
    slices: int
    slice_length: int

    @classmethod
    def of(cls, rows: int, columns: int, length: int) -> Plan:
        tile = 64 if rows > 32 and columns > 32 else 32
        tiles = ceil_div(rows, tile), ceil_div(columns, tile)
        return cls(tile, tiles, *slices_of(length, max(1, tiles[0] * tiles[1])))

    def to_finish(self, device: KernelDevice, y: Array) -> tuple[Array, Array]:
        """What the last block of a tile needs: room for the slices' parts, and a counter for each tile."""
        parts = y if self.slices == 1 else device.empty((self.slices, *y.shape))
        return parts, device.driver.arrivals(max(1, self.tiles[0] * self.tiles[1]))

    def launch(self, device: KernelDevice, direction: str, *args: Any) -> None:
        kernel, threads = f"dense_{direction}<T, {self.tile}>", self.tile**2 // 16
        device.launch("dense", kernel, (self.tiles[0] * self.tiles[1], self.slices), (threads,), *args)
