"""The device `cpu`: which kernel does what."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from tinycnn.devices import DeviceError
from tinycnn.devices.activation_first import ActivationFirst
from tinycnn.devices.base import Array
from tinycnn.devices.cpu import (
    activations,
    add,
    avgpool2d,
    batchnorm,
    conv1x1,
    conv2d,
    dense,
    dropout,
    globalpool2d,
    maxpool2d,
    optimizers,
    regularize,
    relu,
    softmax_crossentropy,
    upsample2d,
    zeropad2d,
)
from tinycnn.devices.cpu.memory import pool
from tinycnn.devices.cpu.processor import settings
from tinycnn.devices.numpy_arrays import NumpyArrays
from tinycnn.shapes import Shape


class CpuDevice(ActivationFirst, NumpyArrays):
    """NumPy arrays in float32, Numba kernels on all cores."""

    name = "cpu"

    def __init__(self, dtype: str = "float32"):
        if np.dtype(dtype) != np.float32:
            raise ValueError(
                f"the cpu device computes in float32 only, not {np.dtype(dtype)}; "
                'for float64 use the reference device: tinycnn.set_device("reference", dtype="float64")'
            )
        if settings.DISABLE_JIT:
            raise DeviceError(
                "the cpu device needs Numba's compiler, which NUMBA_DISABLE_JIT=1 switches off: unset it, or take the "
                "reference device, or the emulator (both compute without Numba)"
            )
        super().__init__(dtype)

    def empty(self, shape: int | Shape, dtype: DTypeLike | None = None) -> Array:
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        return pool.empty(shape, dtype or self.dtype)

    # ---------------------------------------------------------------- convolution and dense

    conv2d_forward = staticmethod(conv2d.conv2d_forward)
    conv2d_backward_data = staticmethod(conv2d.conv2d_backward_data)
    conv2d_backward_filter = staticmethod(conv2d.conv2d_backward_filter)
    conv1x1_forward = staticmethod(conv1x1.conv1x1_forward)
    conv1x1_backward_data = staticmethod(conv1x1.conv1x1_backward_data)
    conv1x1_backward_filter = staticmethod(conv1x1.conv1x1_backward_filter)
    dense_forward = staticmethod(dense.dense_forward)
    dense_backward_data = staticmethod(dense.dense_backward_data)
    dense_backward_filter = staticmethod(dense.dense_backward_filter)
    bias_relu_backward = staticmethod(relu.bias_relu_backward)

    # ---------------------------------------------------------------- the other layers

    add = staticmethod(add.add)
    relu_forward = staticmethod(relu.relu_forward)
    relu_backward = staticmethod(relu.relu_backward)
    activation_forward = staticmethod(activations.activation_forward)
    activation_backward = staticmethod(activations.activation_backward)
    maxpool2d_forward = staticmethod(maxpool2d.maxpool2d_forward)
    maxpool2d_backward = staticmethod(maxpool2d.maxpool2d_backward)
    avgpool2d_forward = staticmethod(avgpool2d.avgpool2d_forward)
    avgpool2d_backward = staticmethod(avgpool2d.avgpool2d_backward)
    globalavgpool2d_forward = staticmethod(globalpool2d.globalavgpool2d_forward)
    globalavgpool2d_backward = staticmethod(globalpool2d.globalavgpool2d_backward)
    globalmaxpool2d_forward = staticmethod(globalpool2d.globalmaxpool2d_forward)
    globalmaxpool2d_backward = staticmethod(globalpool2d.globalmaxpool2d_backward)
    upsample2d_forward = staticmethod(upsample2d.upsample2d_forward)
    upsample2d_backward = staticmethod(upsample2d.upsample2d_backward)
    zeropad2d_forward = staticmethod(zeropad2d.zeropad2d_forward)
    zeropad2d_backward = staticmethod(zeropad2d.zeropad2d_backward)
    batchnorm_forward = staticmethod(batchnorm.batchnorm_forward)
    batchnorm_inference = staticmethod(batchnorm.batchnorm_inference)
    batchnorm_backward = staticmethod(batchnorm.batchnorm_backward)
    dropout_forward = staticmethod(dropout.dropout_forward)
    dropout_backward = staticmethod(dropout.dropout_backward)
    softmax_forward = staticmethod(softmax_crossentropy.softmax_forward)
    softmax_backward = staticmethod(softmax_crossentropy.softmax_backward)
    binary_crossentropy = staticmethod(softmax_crossentropy.binary_crossentropy)
    mean_squared_error = staticmethod(softmax_crossentropy.mean_squared_error)
    softmax_crossentropy = staticmethod(softmax_crossentropy.softmax_crossentropy)

    # ---------------------------------------------------------------- training

    regularize = staticmethod(regularize.regularize)
    sgd_step = staticmethod(optimizers.sgd_step)
    adam_step = staticmethod(optimizers.adam_step)
    adadelta_step = staticmethod(optimizers.adadelta_step)
    rmsprop_step = staticmethod(optimizers.rmsprop_step)

    def gather_batch(self, images: Array, labels: Array, order: Array, start: Array, size: int) -> tuple[Array, Array]:
        rows = order[start[0] : start[0] + size]
        x = self.empty((len(rows), *images.shape[1:]), images.dtype)
        return np.take(images, rows, axis=0, out=x, mode="clip"), labels[rows]
