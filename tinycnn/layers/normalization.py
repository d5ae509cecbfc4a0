"""Normalisation as a layer."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from tinycnn import functional as F
from tinycnn import refusals
from tinycnn.careful import checked
from tinycnn.devices.base import Mask
from tinycnn.layers.base import Layer
from tinycnn.shapes import Shape
from tinycnn.tensor import Tensor


class BatchNormalization(Layer):
    """Batch normalisation over all axes but the last (Ioffe and Szegedy, 2015), with Keras's defaults.

    The moving variance follows that of the batch, as in Keras 3. Keras 2 on TensorFlow takes the unbiased one,
    M / (M - 1) times as large for M numbers of a channel.

    Args:
        axis: -1, the channels. momentum: of the moving statistics. epsilon: added to the variance.

    Shapes:
        x (...,C) -> (...,C). Weights: gamma, beta, moving_mean, moving_variance, (C,) each.

    >>> from tinycnn.layers import Input
    >>> [w.shape for w in BatchNormalization(input_shape=(8, 8, 3))(Input((8, 8, 3))).layer.weights]
    [(3,), (3,), (3,), (3,)]
    """

    kind = "batch_normalization"

    def __init__(
        self, axis: int = -1, momentum: float = 0.99, epsilon: float = 1e-3, name: str | None = None,
        input_shape: Sequence[int] | None = None,
    ):  # fmt: skip
        super().__init__(name, input_shape)
        if axis not in (-1, 3):
            raise ValueError(f"{self.name}: images are NHWC, so the channel axis is -1, not {axis!r}")
        self.momentum = checked(momentum, f"{self.name}: momentum", "[0, 1]")
        self.epsilon = checked(epsilon, f"{self.name}: epsilon", "(0, inf)")
        self.compiled_to_learn: bool | None = None  # said by a network while it trains

    def make_weights(self, shape: Shape) -> None:
        channels = shape[-1:]
        self.gamma = self.add_weight("gamma", channels, "ones")
        self.beta = self.add_weight("beta", channels, "zeros")
        self.moving_mean = self.add_weight("moving_mean", channels, "zeros", trainable=False)
        self.moving_variance = self.add_weight("moving_variance", channels, "ones", trainable=False)

    def call(self, x: Tensor, training: bool, mask: Mask | None = None) -> Tensor:
        """mask: of a Dropout behind this layer, which is computed in one with it."""
        return F.batchnorm(
            x, self.gamma, self.beta, self.moving_mean, self.moving_variance, training and self.is_learning,
            self.momentum, self.epsilon, mask,
        )  # fmt: skip

    @property
    def is_learning(self) -> bool:
        """Whether it normalises by a batch's statistics while training: not where it is frozen, as in tf.keras."""
        return self.trainable if self.compiled_to_learn is None else self.compiled_to_learn

    def options(self) -> dict[str, Any]:
        return {"momentum": self.momentum, "epsilon": self.epsilon}

    def formula(self) -> str:
        return f"4x{self.gamma.size} = {4 * self.gamma.size}"


def __getattr__(name: str) -> Any:
    return refusals.attribute(sys.modules[__name__], name)
