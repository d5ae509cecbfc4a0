"""Launches of kernels/fast: forward and backward of conv2d, conv1x1 and dense, by kernels made for the layer's shape.

Backward takes dy and, behind a ReLU, its output y, and goes through the ReLU while it reads them. Of a large layer
backward data is a forward pass (instances.TURNED): over dz, which a launch makes of dy and y, and over filters that
another has turned. The gradients of filters and bias come as Slices, which the optimiser adds up. What no kernel of
kernels/fast takes, the general ones compute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinycnn.devices.base import Array, Gradients, Wanted
from tinycnn.devices.gpu.fast.instances import BACKWARD_DATA, BACKWARD_FILTER, FORWARD, Plan, turned
from tinycnn.devices.gpu.fast.plan import plan
from tinycnn.devices.gpu.launches import conv1x1, conv2d, dense, layout
from tinycnn.devices.gpu.launches.products import in_slices
from tinycnn.shapes import UNPADDED, Geometry, Padding, Pair

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice

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
    """dx (N,H,W,C). y: the output of the ReLU, if there is one."""
    if plan.is_forward:
        dz = dy if y is None else device.relu_backward(dy, y)
        form, (R, S, C, K) = turned(layer), layer.w_shape
        return forward(device, plan, form, dz, layout.turned(device, w, R * S, C, K), None, False)
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


def choose(device: KernelDevice, layer: Geometry, direction: str, masked: bool) -> tuple[Geometry, Plan] | None:
    """(the form that is computed, the launch), or None where no kernel of kernels/fast takes the layer."""
    try:
        return plan(layer, direction, device.driver.card, masked, device.itemsize, device.full_batch)
    except ValueError:
        return None


def layer_forward(
    device: KernelDevice, layer: Geometry, x: Array, w: Array, b: Array | None, relu: bool
) -> Array | None:
    """act(x * w + b) (N,P,Q,K), or None where no kernel takes the layer."""
    chosen = choose(device, layer, FORWARD, False)
    if chosen is None:
        return None
    form, launch = chosen
    return forward(device, launch, form, x, w, b, relu).reshape(layer.y_shape)


def layer_backward(
    device: KernelDevice, layer: Geometry, dy: Array, y: Array | None, x: Array, w: Array, wanted: Wanted
) -> Gradients | None:
    """(dx, dw, db) as far as they are wanted, or None where no kernel takes the layer."""
    masked = y is not None
    data = choose(device, layer, BACKWARD_DATA, masked) if wanted.x else None
    if data and data[1].is_forward and y is not None:  # what is made for it serves the filters too
        dy, y, masked = device.relu_backward(dy, y), None, False
    filters = choose(device, layer, BACKWARD_FILTER, masked) if wanted.w or wanted.b else None
    if (wanted.x and data is None) or ((wanted.w or wanted.b) and filters is None):
        return None
    dx = dw = db = None
    if filters:
        with device.driver.branch():  # nothing but the optimiser waits for it
            dw, db = backward_filter(device, filters[1], filters[0], x, dy, y, wanted.b)
        dw = dw.reshape((dw.shape[0], *w.shape))
    if data:
        dx = backward_data(device, data[1], data[0], dy, y, w).reshape(x.shape)
    return dx, in_slices(dw, wanted.w), in_slices(db, wanted.b)


def conv2d_forward(
    device: KernelDevice, x: Array, w: Array, b: Array | None, stride: Pair, padding: Padding, relu: bool
) -> Array:
    y = layer_forward(device, Geometry.of(x.shape, w.shape, stride, padding), x, w, b, relu)
    return conv2d.conv2d_forward(device, x, w, b, stride, padding, relu) if y is None else y


def conv2d_backward(
    device: KernelDevice, dy: Array, y: Array | None, x: Array, w: Array, stride: Pair, padding: Padding, wanted: Wanted
) -> Gradients:
    found = layer_backward(device, Geometry.of(x.shape, w.shape, stride, padding), dy, y, x, w, wanted)
    return found or conv2d.conv2d_backward(device, dy, y, x, w, stride, padding, wanted)


def conv1x1_forward(device: KernelDevice, x: Array, w: Array, b: Array | None, relu: bool) -> Array:
    y = layer_forward(device, Geometry.of(x.shape, w.shape, (1, 1), UNPADDED), x, w, b, relu)
    return conv1x1.conv1x1_forward(device, x, w, b, relu) if y is None else y


def conv1x1_backward(device: KernelDevice, dy: Array, y: Array | None, x: Array, w: Array, wanted: Wanted) -> Gradients:
    found = layer_backward(device, Geometry.of(x.shape, w.shape, (1, 1), UNPADDED), dy, y, x, w, wanted)
    return found or conv1x1.conv1x1_backward(device, dy, y, x, w, wanted)


def dense_forward(device: KernelDevice, x: Array, w: Array, b: Array | None, relu: bool) -> Array:
    (N, inputs), units = x.shape, w.shape[1]
    y = layer_forward(device, Geometry.of_product(N, inputs, units), x, w, b, relu)
    return dense.dense_forward(device, x, w, b, relu) if y is None else y.reshape((N, units))


def dense_backward(device: KernelDevice, dy: Array, y: Array | None, x: Array, w: Array, wanted: Wanted) -> Gradients:
    found = layer_backward(device, Geometry.of_product(x.shape[0], *w.shape), dy, y, x, w, wanted)
    return found or dense.dense_backward(device, dy, y, x, w, wanted)


# What a KernelDevice computes in this way on its path 'fast'.
OPERATIONS = (conv2d_forward, conv2d_backward, conv1x1_forward, conv1x1_backward, dense_forward, dense_backward)
