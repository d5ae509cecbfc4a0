"""Launches of kernels/fast: forward and backward of conv2d, conv1x1 and dense, by kernels made for the layer's shape.

Backward takes dy and, behind a ReLU, its output y, and goes through the ReLU while it reads them. The gradients of
filters and bias come as slices, (slices, *shape), to be added up along their first axis, in its order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinycnn.devices.base import Array
from tinycnn.devices.gpu.fast.choice import choose
from tinycnn.devices.gpu.fast.instances import (
    BACKWARD_DATA,
    BACKWARD_FILTER,
    FORWARD,
    Plan,
    product,
    simplified,
)
from tinycnn.shapes import Geometry, Padding, Pair

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice

Gradients = tuple[Array | None, Array | None, Array | None]  # dx, and in slices dw and db; None for what is not wanted


# ---------------------------------------------------------------- one kernel


def run(device: KernelDevice, plan: Plan, *args: Any) -> None:
    """Launch it."""
    device.launch(plan.file, plan.kernel, plan.grid, plan.block, *args, shared=plan.shared)


def split_sums(device: KernelDevice, plan: Plan) -> tuple[Array | None, Array | None]:
    """(scratch, arrivals) of conv_gemm.cu: what blocks that share a sum leave to the last of them."""
    if plan.slices == 1:
        return None, None
    tiles = plan.grid[0] * plan.grid[1]
    return device.empty((plan.slices * tiles * plan.outputs,)), device.driver.arrivals(tiles)


def forward(
    device: KernelDevice, plan: Plan, layer: Geometry, x: Array, w: Array, b: Array | None, relu: bool
) -> Array:
    """y (N,P,Q,K)"""
    y = device.empty(layer.y_shape)
    to = (y, *split_sums(device, plan), layer.N) if plan.file == "fast/conv_gemm" else (y,)
    run(device, plan, x, w, w if b is None else b, *to, int(b is not None), int(relu))
    return y


def backward_data(device: KernelDevice, plan: Plan, layer: Geometry, dy: Array, y: Array | None, w: Array) -> Array:
    """dx (N,H,W,C). y: the output of the ReLU, if the plan is masked."""
    dx = device.empty(layer.x_shape)
    to = (dx, *split_sums(device, plan), layer.N) if plan.file == "fast/conv_gemm" else (dx,)
    run(device, plan, dy, dy if y is None else y, w, *to)
    return dx


def backward_filter(
    device: KernelDevice, plan: Plan, layer: Geometry, x: Array, dy: Array, y: Array | None, has_bias: bool
) -> tuple[Array, Array | None]:
    """(dw (slices,R,S,C,K), db (slices,K) or None). y: the output of the ReLU, if the plan is masked."""
    dw = device.empty((plan.slices, *layer.w_shape))
    db = device.empty((plan.slices, layer.K)) if has_bias else None
    run(device, plan, x, dy, dy if y is None else y, dw, db, layer.N, int(has_bias))
    return dw, db


# ---------------------------------------------------------------- what a layer asks for


def layer_forward(device: KernelDevice, layer: Geometry, x: Array, w: Array, b: Array | None, relu: bool) -> Array:
    """act(x * w + b) (N,P,Q,K)"""
    return forward(device, choose(layer, FORWARD, False, device.itemsize), layer, x, w, b, relu)


def layer_backward(
    device: KernelDevice,
    layer: Geometry,
    dy: Array,
    y: Array | None,
    x: Array,
    w: Array,
    wanted: tuple[bool, bool, bool],
) -> Gradients:
    """(dx, dw, db) of `layer`, as far as they are wanted."""
    masked, dx, dw, db = y is not None, None, None, None
    if wanted[0]:
        plan = choose(layer, BACKWARD_DATA, masked, device.itemsize)
        dx = backward_data(device, plan, layer, dy, y, w)
    if wanted[1] or wanted[2]:
        plan = choose(layer, BACKWARD_FILTER, masked, device.itemsize)
        dw, db = backward_filter(device, plan, layer, x, dy, y, wanted[2])
    return dx, dw if wanted[1] else None, db


def conv2d_forward(
    device: KernelDevice, x: Array, w: Array, b: Array | None, stride: Pair, padding: Padding, relu: bool
) -> Array:
    layer = Geometry.of(x.shape, w.shape, stride, padding)
    return layer_forward(device, simplified(layer), x, w, b, relu).reshape(layer.y_shape)


def conv2d_backward(
    device: KernelDevice,
    dy: Array,
    y: Array | None,
    x: Array,
    w: Array,
    stride: Pair,
    padding: Padding,
    wanted: tuple[bool, bool, bool],
) -> Gradients:
    layer = Geometry.of(x.shape, w.shape, stride, padding)
    return shaped(layer_backward(device, simplified(layer), dy, y, x, w, wanted), x, w)


def conv1x1_forward(device: KernelDevice, x: Array, w: Array, b: Array | None, relu: bool) -> Array:
    return conv2d_forward(device, x, w, b, (1, 1), ((0, 0), (0, 0)), relu)


def conv1x1_backward(
    device: KernelDevice, dy: Array, y: Array | None, x: Array, w: Array, wanted: tuple[bool, bool, bool]
) -> Gradients:
    return conv2d_backward(device, dy, y, x, w, (1, 1), ((0, 0), (0, 0)), wanted)


def dense_forward(device: KernelDevice, x: Array, w: Array, b: Array | None, relu: bool) -> Array:
    (N, inputs), units = x.shape, w.shape[1]
    return layer_forward(device, product(N, inputs, units), x, w, b, relu).reshape((N, units))


def dense_backward(
    device: KernelDevice, dy: Array, y: Array | None, x: Array, w: Array, wanted: tuple[bool, bool, bool]
) -> Gradients:
    return shaped(layer_backward(device, product(x.shape[0], *w.shape), dy, y, x, w, wanted), x, w)


def shaped(gradients: Gradients, x: Array, w: Array) -> Gradients:
    """The gradients in the shapes of the layer's own arrays."""
    dx, dw, db = gradients
    dx = None if dx is None else dx.reshape(x.shape)
    return dx, None if dw is None else dw.reshape((dw.shape[0], *w.shape)), db
