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


def softmax_crossentropy(
    device: KernelDevice, logits: Array, labels: Array, weights: Array | None = None, totals: Array | None = None
) -> tuple[Array, Array, Array]:
    N, K = logits.shape
    dlogits, row_loss, row_correct = device.empty((N, K)), device.empty((N,)), device.empty((N,))
    loss, correct = device.empty((1,)), device.empty((1,))
    blocks = max(1, ceil_div(N, ROWS))  # the mean of no rows is NaN, and somebody has to write it
    device.launch(
        "softmax_crossentropy", "softmax_crossentropy<T>", (blocks,), (32, ROWS),
        logits, labels, labels if weights is None else weights, dlogits, row_loss, row_correct, loss, correct,
        device.empty((2,), "float64") if totals is None else totals, device.driver.arrivals(1), N, K,
        int(weights is not None), int(totals is not None),
    )  # fmt: skip
    return loss, correct, dlogits
