"""Does a device train as the reference does? Three small steps that say so before a GPU is taken for the default.

They go through a kernel of every kind that a network's training launches: convolutions of one channel and of several,
with their bias and ReLU, batch normalisation, dropout, pooling, dense, the loss and an optimiser, forward and backward.
Three, because a GPU launches the first one, records the second as a graph and replays the third from it.
"""

from __future__ import annotations

from contextvars import Context

import numpy as np

from tinycnn import functional as F
from tinycnn.devices import get_device
from tinycnn.devices.base import Device
from tinycnn.optimizers import SGD
from tinycnn.tensor import Tensor

STEPS, BATCH = 3, 2
LARGEST_ERROR = 1e-4  # of an array's largest number; the rounding of float32 comes to a hundredth of it

WEIGHTS = {
    "conv2d": (3, 3, 1, 4), "conv2d's bias": (4,), "gamma": (4,), "beta": (4,), "deeper conv2d": (3, 3, 4, 8),
    "conv1x1": (1, 1, 8, 4), "dense": (36, 3), "dense's bias": (3,),
}  # fmt: skip


def fault_of(device: Device) -> str | None:
    """What is wrong with training on a device, in words; None where it gives what the reference gives."""
    oracle = get_device("reference", "float64")
    try:
        # In a context of its own: neither the caller's device nor its no_grad is any matter here.
        found = Context().run(trained, device)
    except Exception as error:  # of a compiler, a driver or a library that has classes of its own
        return f"it ends in {type(error).__name__}: {' '.join(str(error).split())}"
    for name, right in Context().run(trained, oracle).items():
        off = np.abs(found[name] - right).max() / np.abs(right).max()
        if not off <= LARGEST_ERROR:  # NaN is not either
            return f"after {STEPS} steps of training, {name} is off by {off:.1g} of its size"
    return None


def trained(device: Device) -> dict[str, np.ndarray]:
    """{name: values} of all that the steps have changed: weights, moving statistics, the sums of loss and accuracy."""
    rng = np.random.default_rng(0)
    weights = {name: Tensor(rng.uniform(0.1, 0.5, s), requires_grad=True, device=device) for name, s in WEIGHTS.items()}
    mean, variance = (Tensor(np.full(4, value), device=device) for value in (0.0, 1.0))
    images = device.asarray(rng.standard_normal((STEPS * BATCH, 10, 10, 1)))
    labels = device.asarray(np.eye(3)[np.arange(STEPS * BATCH) % 3])
    order = device.asarray(rng.permutation(STEPS * BATCH), "int64")
    start, totals = device.zeros((1,), "int64"), device.zeros((2,), "float64")
    conv, conv_bias, gamma, beta, deeper, one, dense, dense_bias = weights.values()
    optimizer = SGD(0.1, momentum=0.9)
    optimizer.bind(list(weights.values()))

    def step() -> None:
        x, y = device.gather_batch(images, labels, order, start, BATCH)
        device.advance([(start, BATCH), (optimizer.step_on_device, 1)])
        h = F.conv2d(Tensor.wrap(x, device), conv, conv_bias, activation="relu")
        h = F.batchnorm(h, gamma, beta, mean, variance, training=True)
        h = F.dropout(h, 0.25, 1, 2, optimizer.step_on_device)
        h = F.maxpool2d(F.conv2d(h, deeper, activation="relu"), 2)
        logits = F.dense(F.flatten(F.conv2d(h, one)), dense, dense_bias)
        _, _, dlogits = device.softmax_crossentropy(logits.data, y, None, totals)
        logits.backward(Tensor.wrap(dlogits, device))
        optimizer.step(list(weights.values()))
        for weight in weights.values():
            weight.zero_grad()

    recorded = device.record(step)
    for _ in range(STEPS):
        optimizer.before_step()
        recorded()
    statistics = {"the moving mean": mean, "the moving variance": variance}
    found = {name: np.array(tensor.numpy()) for name, tensor in (weights | statistics).items()}
    return found | {"the sum of loss and right answers": np.array(device.numpy(totals))}
