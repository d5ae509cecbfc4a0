"""Launches of softmax_crossentropy.cu."""

from tinycnn.devices.gpu.grid import ceil_div

ROWS = 4  # warps of a block, each of which computes one row


def softmax_forward(device, x):
    (N, K), y = x.shape, device.empty(x.shape)
    device.launch("softmax_crossentropy", "softmax_forward<T>", (ceil_div(N, ROWS),), (32, ROWS), x, y, N, K)
    return y


def softmax_backward(device, dy, y):
    (N, K), dx = y.shape, device.empty(y.shape)
    device.launch("softmax_crossentropy", "softmax_backward<T>", (ceil_div(N, ROWS),), (32, ROWS), dy, y, dx, N, K)
    return dx


def softmax_crossentropy(device, logits, labels, weights=None):
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
