"""Launches of softmax_crossentropy.cu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinycnn.devices.base import Array
from tinycnn.devices.gpu.grid import ceil_div

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice

ROWS = 4  # of softmax_crossentropy.cu: warps of a block, each of which computes one row


def softmax_forward(device: KernelDevice, x: Array) -> Array:
    (N, K), y = x.shape, device.empty(x.shape)
    device.launch("softmax_crossentropy", "softmax_forward<T>", (ceil_div(N, ROWS),), (32, ROWS), x, y, N, K)
    return y


def softmax_backward(device: KernelDevice, dy: Array, y: Array) -> Array:
    (N, K), dx = y.shape, device.empty(y.shape)
    device.launch("softmax_crossentropy", "softmax_backward<T>", (ceil_div(N, ROWS),), (32, ROWS), dy, y, dx, N, K)
    return dx


def loss(
    device: KernelDevice, kernel: str, outputs: Array, labels: Array, weights: Array | None, totals: Array | None,
    *options: int,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """One launch that gives (loss, correct, the gradient of `outputs`). options: what the kernel takes behind K."""
    N, K = outputs.shape
    gradient, row_loss, row_correct = device.empty((N, K)), device.empty((N,)), device.empty((N,))
    loss, correct = device.empty((1,)), device.empty((1,))
    blocks = max(1, ceil_div(N, ROWS))  # the mean of no rows is NaN, and somebody has to write it
    device.launch(
        "softmax_crossentropy", f"{kernel}<T>", (blocks,), (32, ROWS),
        outputs, labels, labels if weights is None else weights, gradient, row_loss, row_correct, loss, correct,
        device.empty((2,), "float64") if totals is None else totals, device.driver.arrivals(1), N, K, *options,
        int(weights is not None), int(totals is not None),
    )  # fmt: skip
    return loss, correct, gradient


def softmax_crossentropy(
    device: KernelDevice, logits: Array, labels: Array, weights: Array | None = None, totals: Array | None = None
) -> tuple[Array, Array, Array]:
    return loss(device, "softmax_crossentropy", logits, labels, weights, totals)


def binary_crossentropy(
    device: KernelDevice, outputs: Array, labels: Array, from_logits: bool, weights: Array | None = None,
    totals: Array | None = None,
) -> tuple[Array, Array, Array]:  # fmt: skip
    return loss(device, "binary_crossentropy", outputs, labels, weights, totals, int(from_logits))


def mean_squared_error(
    device: KernelDevice, outputs: Array, labels: Array, weights: Array | None = None, totals: Array | None = None
) -> tuple[Array, Array, Array]:
    return loss(device, "mean_squared_error", outputs, labels, weights, totals)
