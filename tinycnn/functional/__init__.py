"""The differentiable operations of a network, each with its way back, in terms of a device's kernels.

Every function checks shapes before a kernel sees them and raises ShapeError (a ValueError) that names them. It computes
its output, and says beside it what its gradient is: the `backward` that it hands to `output_of`.
Images are NHWC, filters HWIO (R, S, C, K), as in Keras.
"""

from __future__ import annotations

from collections.abc import Callable

from tinycnn.functional.activations import ACTIVATIONS, elu, leaky_relu, relu, sigmoid, softmax, softplus, tanh
from tinycnn.functional.joining import add, concatenate, flatten
from tinycnn.functional.losses import binary_crossentropy, mean_squared_error, regularize, softmax_crossentropy
from tinycnn.functional.normalization import batchnorm, dropout
from tinycnn.functional.pooling import avgpool2d, globalavgpool2d, globalmaxpool2d, maxpool2d
from tinycnn.functional.products import conv1x1, conv2d, conv2d_transpose, dense
from tinycnn.functional.resizing import upsample2d, zeropad2d

__all__ = [
    "ACTIVATIONS", "add", "avgpool2d", "batchnorm", "binary_crossentropy", "concatenate", "conv1x1", "conv2d",
    "conv2d_transpose", "dense", "dropout", "elu", "flatten", "globalavgpool2d", "globalmaxpool2d", "leaky_relu",
    "maxpool2d", "mean_squared_error", "regularize", "relu", "sigmoid", "softmax", "softmax_crossentropy",
    "softplus", "tanh", "upsample2d", "zeropad2d",
]  # fmt: skip


def __getattr__(name: str) -> Callable:
    if name == "Conv2D":
        from tinycnn.moved import convolution_of_0_1_0

        return convolution_of_0_1_0
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
