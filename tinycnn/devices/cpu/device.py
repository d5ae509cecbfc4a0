"""The device `cpu`: which kernel does what."""

import numpy as np

from tinycnn.devices.cpu import (
    activation,
    batchnorm,
    conv,
    dense,
    dropout,
    optimizers,
    pooling,
    softmax,
    winograd,
)
from tinycnn.devices.cpu.memory import pool
from tinycnn.devices.numpy_arrays import NumpyArrays


def _rows(array):
    """All axes but the last as one."""
    return array.reshape(-1, array.shape[-1])


def _covers(x_shape, w_shape, padding):
    """Whether a filter is as large as the image, unpadded: then the convolution is a dense layer."""
    return x_shape[1:3] == w_shape[:2] and not any(map(any, padding))


class CpuDevice(NumpyArrays):
    """NumPy arrays in float32, Numba kernels on all cores."""

    name = "cpu"

    def __init__(self, dtype="float32"):
        if np.dtype(dtype) != np.float32:
            raise ValueError(
                f"the cpu device computes in float32 only, not {np.dtype(dtype)}; "
                'for float64 use the reference device: tinycnn.set_device("reference", dtype="float64")'
            )
        super().__init__(dtype)

    def empty(self, shape, dtype=None):
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        return pool.empty(shape, dtype or self.dtype)

    # ---------------------------------------------------------------- convolution and dense

    def conv2d_forward(self, x, w, b, stride, padding, relu):
        if _covers(x.shape, w.shape, padding):
            return dense.forward(x.reshape(len(x), -1), _rows(w), b, relu).reshape(-1, 1, 1, w.shape[3])
        if winograd.pays(x.shape, w.shape, stride, padding):
            return winograd.forward(x, w, b, padding, relu)
        return conv.forward(x, w, b, stride, padding, relu)

    def conv2d_backward_data(self, dy, w, x_shape, stride, padding):
        if _covers(x_shape, w.shape, padding):
            return dense.backward_data(_rows(dy), _rows(w)).reshape(x_shape)
        if winograd.pays(x_shape, w.shape, stride, padding):
            return winograd.backward_data(dy, w, x_shape, padding)
        return conv.backward_data(dy, w, x_shape, stride, padding)

    def conv2d_backward_filter(self, x, dy, w_shape, stride, padding):
        if _covers(x.shape, w_shape, padding):
            return dense.backward_filter(x.reshape(len(x), -1), _rows(dy)).reshape(w_shape)
        if winograd.pays(x.shape, w_shape, stride, padding):
            return winograd.backward_filter(x, dy, w_shape, padding)
        return conv.backward_filter(x, dy, w_shape, stride, padding)

    def conv1x1_forward(self, x, w, b, relu):
        return dense.forward(_rows(x), w[0, 0], b, relu).reshape(*x.shape[:3], w.shape[3])

    def conv1x1_backward_data(self, dy, w):
        return dense.backward_data(_rows(dy), w[0, 0]).reshape(*dy.shape[:3], w.shape[2])

    def conv1x1_backward_filter(self, x, dy):
        return dense.backward_filter(_rows(x), _rows(dy))[None, None]

    def dense_forward(self, x, w, b, relu):
        return dense.forward(x, w, b, relu)

    def dense_backward_data(self, dy, w):
        return dense.backward_data(dy, w)

    def dense_backward_filter(self, x, dy):
        return dense.backward_filter(x, dy)

    def bias_relu_backward(self, dy, y):
        return activation.bias_relu_backward(dy, y)

    # ---------------------------------------------------------------- the other layers

    def relu_forward(self, x):
        return activation.relu_forward(x)

    def relu_backward(self, dy, y):
        return activation.relu_backward(dy, y)

    def maxpool2d_forward(self, x, pool, stride, padding):
        return pooling.forward(x, pool, stride, padding)

    def maxpool2d_backward(self, dy, argmax, x_shape, pool, stride, padding):
        return pooling.backward(dy, argmax, x_shape, pool, stride, padding)

    def batchnorm_forward(self, x, gamma, beta, moving_mean, moving_variance, momentum, epsilon):
        return batchnorm.forward(x, gamma, beta, moving_mean, moving_variance, momentum, epsilon)

    def batchnorm_inference(self, x, gamma, beta, moving_mean, moving_variance, epsilon):
        return batchnorm.inference(x, gamma, beta, moving_mean, moving_variance, epsilon)

    def batchnorm_backward(self, dy, x, gamma, saved):
        return batchnorm.backward(dy, x, gamma, saved)

    def dropout_forward(self, x, rate, seed, stream, step):
        return dropout.forward(x, rate, seed, stream, step)

    def dropout_backward(self, dy, rate, seed, stream, saved):
        return dropout.backward(dy, rate, saved)

    def softmax_forward(self, x):
        return softmax.forward(x)

    def softmax_backward(self, dy, y):
        return softmax.backward(dy, y)

    def softmax_crossentropy(self, logits, labels):
        return softmax.crossentropy(logits, labels)

    # ---------------------------------------------------------------- training

    def sgd_step(self, parameters, gradients, velocities, learning_rate, momentum, nesterov):
        optimizers.sgd_step(parameters, gradients, velocities, learning_rate, momentum, nesterov)

    def adam_step(self, parameters, gradients, m, v, learning_rate, step, beta_1, beta_2, epsilon):
        optimizers.adam_step(parameters, gradients, m, v, learning_rate, step, beta_1, beta_2, epsilon)

    def adadelta_step(self, parameters, gradients, mean_square, mean_delta, learning_rate, rho, epsilon):
        optimizers.adadelta_step(parameters, gradients, mean_square, mean_delta, learning_rate, rho, epsilon)

    def gather_batch(self, images, labels, order, start, size):
        rows = order[start[0] : start[0] + size]
        start += size
        x = self.empty((len(rows), *images.shape[1:]), images.dtype)
        return np.take(images, rows, axis=0, out=x, mode="clip"), labels[rows]
