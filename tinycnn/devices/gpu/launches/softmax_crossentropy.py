"""Launches of softmax_crossentropy.cu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinycnn.devices.base import Array
from tinycnn.devices.gpu.grid import ceil_div

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice

ROWS = 4  # warps of a block, each of which computes one row


def softmax_forward(device: KernelDevice, x: Array) -> Array:
    (N, K), y = x.shape, device.empty(x.shape)
    device.launch("softmax_crossentropy", "softmax_forward<T>", (ceil_div(N, ROWS),), (32, ROWS), x, y, N, K)
    return y


def softmax_backward(device: KernelDevice, dy: Array, y: Array) -> Array:
    (N, K), dx = y.shape, device.empty(y.shape)
    device.launch("softmax_crossentropy", "softmax_backward<T>", (ceil_div(N, ROWS),), (32, ROWS), dy, y, dx, N, K)
    return dx


def softmax_crossentropy(
    device: KernelDevice, logits: Array, labels: Array, weights: Array | None = None
) -> tuple[Array, Array, Array]:
    N, K = logits.shape
    dlogits, row_loss, row_correct = device.empty((N, K)), device.empty((N,)), device.empty((N,))
    device.launch(
        "softmax_crossentropy", "softmax_crossentropy<T>", (ceil_div(N, ROWS),), (32, ROWS),
        logits, labels, labels if weights is None else weights, dlogits, row_loss, row_correct, N, K,
        int(weights is not None),
    )  # fmt: skip
    loss, correct = device.empty((1,)), device.empty((1,))
    args = (row_loss, row_correct, loss, correct, N)
    device.launch("softmax_crossentropy", "softmax_crossentropy_finish<T>", (1,), (256,), *args)
    return loss, correct, dlogits
