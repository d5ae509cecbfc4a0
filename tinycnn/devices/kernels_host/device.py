"""A device whose operations are the CUDA kernels: which launches make up each operation."""

import numpy as np

from tinycnn.devices.base import Device
from tinycnn.devices.kernels_host import arithmetic, conv2d, layers, matrices, training
from tinycnn.devices.kernels_host.shapes import product

CTYPES = {"float32": "float", "float64": "double"}


def covers(x_shape, w_shape, padding):
    """Whether a filter is as large as the image, unpadded: then the convolution is a dense layer."""
    return tuple(x_shape[1:3]) == tuple(w_shape[:2]) and not any(map(any, padding))


class KernelDevice(Device):
    """Everything but where the arrays live and who runs the kernels: `driver` knows that."""

    def __init__(self, dtype, driver):
        super().__init__(dtype)
        self.driver = driver
        self.scalar = np.dtype(dtype).type
        self.itemsize = np.dtype(dtype).itemsize
        self.ctype = CTYPES[np.dtype(dtype).name]

    def launch(self, file, kernel, grid, block, *args, shared=0):
        """Start `kernel` of kernels/`file`.cu, T standing for this device's type.

        args: arrays and numbers. A Python int is the kernel's `int`, a float its `T`; other types are NumPy scalars.
        """
        if 0 in grid:
            return  # nothing to do
        name = kernel.replace("<T", f"<{self.ctype}")
        self.driver.launch(file, name, self.ctype, grid, block, [self._argument(a) for a in args], shared)

    def _argument(self, value):
        if isinstance(value, int):
            return np.int32(value)  # raises OverflowError beyond 2^31
        return self.scalar(value) if type(value) is float else value

    # ---------------------------------------------------------------- arrays

    def asarray(self, host, dtype=None):
        dtype = np.dtype(dtype or self.dtype)
        if not self.driver.holds(host) and np.size(host) == 1 and self._can_fill(dtype):
            array = self.empty(np.shape(host), dtype)  # a number needs no copy, and so may be part of a recorded step
            training.fill(self, array, np.asarray(host).reshape(()).item())
            return array
        return self.driver.asarray(host, dtype)

    def _can_fill(self, dtype):
        return dtype in (np.dtype(self.dtype), np.dtype("int64"))

    def numpy(self, array):
        return self.driver.numpy(array)

    def empty(self, shape, dtype=None):
        return self.driver.empty(shape, dtype or self.dtype)

    def zeros(self, shape, dtype=None):
        return self.driver.zeros(shape, dtype or self.dtype)

    def copy(self, array):
        return self.driver.copy(array)

    def assign(self, destination, source):
        is_number = destination.size == 1 and isinstance(source, (np.ndarray, np.generic)) and source.size == 1
        if is_number and self._can_fill(destination.dtype):
            training.fill(self, destination, source.reshape(()).item())
        else:
            self.driver.assign(destination, source)

    def record(self, step):
        return self.driver.record(step)

    # ---------------------------------------------------------------- tensor arithmetic

    def elementwise(self, operation, *arrays):
        return arithmetic.elementwise(self, operation, *arrays)

    def reduce(self, operation, array, axis=None, keepdims=False):
        return arithmetic.reduce(self, operation, array, axis, keepdims)

    def matmul(self, a, b):
        return matrices.dense_forward(self, a, b, None, False)

    def transpose(self, array, axes):
        return arithmetic.transpose(self, array, axes)

    def concatenate(self, arrays):
        return arithmetic.concatenate(self, arrays)

    def split(self, array, sizes):
        return arithmetic.split(self, array, sizes)

    # ---------------------------------------------------------------- convolution and dense

    def conv2d_forward(self, x, w, b, stride, padding, relu):
        if covers(x.shape, w.shape, padding):
            y = self.dense_forward(x.reshape((x.shape[0], -1)), w.reshape((-1, w.shape[3])), b, relu)
            return y.reshape((x.shape[0], 1, 1, w.shape[3]))
        return conv2d.forward(self, x, w, b, stride, padding, relu)

    def conv2d_backward_data(self, dy, w, x_shape, stride, padding):
        if covers(x_shape, w.shape, padding):
            return self.dense_backward_data(dy.reshape((dy.shape[0], -1)), w.reshape((-1, w.shape[3]))).reshape(x_shape)
        return conv2d.backward_data(self, dy, w, x_shape, stride, padding)

    def conv2d_backward_filter(self, x, dy, w_shape, stride, padding):
        if covers(x.shape, w_shape, padding):
            inputs = product(x.shape[1:])
            return self.dense_backward_filter(x.reshape((-1, inputs)), dy.reshape((-1, w_shape[3]))).reshape(w_shape)
        return conv2d.backward_filter(self, x, dy, w_shape, stride, padding)

    def conv1x1_forward(self, x, w, b, relu):
        return matrices.conv1x1_forward(self, x, w, b, relu)

    def conv1x1_backward_data(self, dy, w):
        return matrices.conv1x1_backward_data(self, dy, w)

    def conv1x1_backward_filter(self, x, dy):
        return matrices.conv1x1_backward_filter(self, x, dy)

    def dense_forward(self, x, w, b, relu):
        return matrices.dense_forward(self, x, w, b, relu)

    def dense_backward_data(self, dy, w):
        return matrices.dense_backward_data(self, dy, w)

    def dense_backward_filter(self, x, dy):
        return matrices.dense_backward_filter(self, x, dy)

    def bias_relu_backward(self, dy, y):
        return layers.bias_relu_backward(self, dy, y)

    # ---------------------------------------------------------------- the other layers

    def relu_forward(self, x):
        return layers.relu_forward(self, x)

    def relu_backward(self, dy, y):
        return layers.relu_backward(self, dy, y)

    def maxpool2d_forward(self, x, pool, stride, padding):
        return layers.maxpool2d_forward(self, x, pool, stride, padding)

    def maxpool2d_backward(self, dy, argmax, x_shape, pool, stride, padding):
        return layers.maxpool2d_backward(self, dy, argmax, x_shape, pool, stride, padding)

    def batchnorm_forward(self, x, gamma, beta, moving_mean, moving_variance, momentum, epsilon):
        return layers.batchnorm_forward(self, x, gamma, beta, moving_mean, moving_variance, momentum, epsilon)

    def batchnorm_inference(self, x, gamma, beta, moving_mean, moving_variance, epsilon):
        return layers.batchnorm_inference(self, x, gamma, beta, moving_mean, moving_variance, epsilon)

    def batchnorm_backward(self, dy, x, gamma, saved):
        return layers.batchnorm_backward(self, dy, x, gamma, saved)

    def dropout_forward(self, x, rate, seed, stream, step):
        saved = self.empty((1,), "int64")
        return layers.dropout(self, x, rate, seed, stream, step, saved), saved

    def dropout_backward(self, dy, rate, seed, stream, saved):
        return layers.dropout(self, dy, rate, seed, stream, saved, None)

    def softmax_forward(self, x):
        return layers.softmax_forward(self, x)

    def softmax_backward(self, dy, y):
        return layers.softmax_backward(self, dy, y)

    def softmax_crossentropy(self, logits, labels):
        return layers.softmax_crossentropy(self, logits, labels)

    # ---------------------------------------------------------------- training

    def sgd_step(self, parameters, gradients, velocities, learning_rate, momentum, nesterov):
        training.sgd_step(self, parameters, gradients, velocities, learning_rate, momentum, nesterov)

    def adam_step(self, parameters, gradients, m, v, learning_rate, step, beta_1, beta_2, epsilon):
        training.adam_step(self, parameters, gradients, m, v, learning_rate, step, beta_1, beta_2, epsilon)

    def adadelta_step(self, parameters, gradients, mean_square, mean_delta, learning_rate, rho, epsilon):
        training.adadelta_step(self, parameters, gradients, mean_square, mean_delta, learning_rate, rho, epsilon)

    def gather_batch(self, images, labels, order, start, size):
        return training.gather_batch(self, images, labels, order, start, size)

    def increment(self, counter):
        training.advance(self, counter, 1)

    def accumulate(self, totals, loss, correct, size):
        training.accumulate(self, totals, loss, correct, size)
