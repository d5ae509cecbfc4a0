"""The oracle: every operation in plain NumPy, written to be read beside the kernels.

In float64 it is what the other devices are compared with. Nothing here is fast.
"""

import numpy as np

from tinycnn import philox
from tinycnn.devices.numpy_arrays import NumpyArrays


def pad_images(x, padding, value=0.0):
    """x (N,H,W,C) with `padding` = ((top, bottom), (left, right)) more rows and columns."""
    return np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=value)


def tap(x, r, s, stride, P, Q):
    """The (N,P,Q,C) view of the padded images that filter tap (r, s) meets, one pixel per output."""
    return x[:, r : r + stride[0] * (P - 1) + 1 : stride[0], s : s + stride[1] * (Q - 1) + 1 : stride[1]]


def output_size(x_shape, window, stride, padding):
    """(P, Q): how many places a window (R, S) fits into, rows and columns."""
    return tuple(
        (extent + sum(pads) - size) // step + 1
        for extent, size, step, pads in zip(x_shape[1:3], window, stride, padding, strict=True)
    )


class ReferenceDevice(NumpyArrays):
    """Plain NumPy in float32 or float64."""

    name = "reference"

    # ---------------------------------------------------------------- convolution and dense

    def conv2d_forward(self, x, w, b, stride, padding, relu):
        R, S, _, K = w.shape
        P, Q = output_size(x.shape, (R, S), stride, padding)
        x = pad_images(x, padding)
        y = np.zeros((x.shape[0], P, Q, K), dtype=x.dtype)
        for r in range(R):
            for s in range(S):
                y += np.tensordot(tap(x, r, s, stride, P, Q), w[r, s], axes=1)
        if b is not None:
            y += b
        return np.maximum(y, 0) if relu else y

    def conv2d_backward_data(self, dy, w, x_shape, stride, padding):
        R, S, _, _ = w.shape
        P, Q = dy.shape[1:3]
        (top, _), (left, _) = padding
        dx = pad_images(np.zeros(x_shape, dtype=dy.dtype), padding)
        for r in range(R):
            for s in range(S):
                tap(dx, r, s, stride, P, Q)[...] += np.tensordot(dy, w[r, s].T, axes=1)
        return np.ascontiguousarray(dx[:, top : top + x_shape[1], left : left + x_shape[2]])

    def conv2d_backward_filter(self, x, dy, w_shape, stride, padding):
        R, S, C, K = w_shape
        P, Q = dy.shape[1:3]
        x = pad_images(x, padding)
        dw = np.empty(w_shape, dtype=dy.dtype)
        for r in range(R):
            for s in range(S):
                dw[r, s] = tap(x, r, s, stride, P, Q).reshape(-1, C).T @ dy.reshape(-1, K)
        return dw

    def conv1x1_forward(self, x, w, b, relu):
        return self.dense_forward(x, w[0, 0], b, relu)

    def conv1x1_backward_data(self, dy, w):
        return self.dense_backward_data(dy, w[0, 0])

    def conv1x1_backward_filter(self, x, dy):
        return self.dense_backward_filter(x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1]))[None, None]

    def dense_forward(self, x, w, b, relu):
        y = x @ w
        if b is not None:
            y = y + b
        return np.maximum(y, 0) if relu else y

    def dense_backward_data(self, dy, w):
        return dy @ w.T

    def dense_backward_filter(self, x, dy):
        return x.T @ dy

    def bias_relu_backward(self, dy, y):
        dz = dy if y is None else self.relu_backward(dy, y)
        return dz, dz.reshape(-1, dz.shape[-1]).sum(axis=0)

    # ---------------------------------------------------------------- the other layers

    def relu_forward(self, x):
        return np.maximum(x, 0)

    def relu_backward(self, dy, y):
        return np.where(y > 0, dy, dy.dtype.type(0))

    def maxpool2d_forward(self, x, pool, stride, padding):
        P, Q = output_size(x.shape, pool, stride, padding)
        x = pad_images(x, padding, value=-np.inf)
        windows = np.stack([tap(x, r, s, stride, P, Q) for r in range(pool[0]) for s in range(pool[1])])
        argmax = windows.argmax(axis=0)  # NumPy returns the first of equal maxima
        y = np.take_along_axis(windows, argmax[None], axis=0)[0]
        return y, argmax.astype(np.int32)

    def maxpool2d_backward(self, dy, argmax, x_shape, pool, stride, padding):
        P, Q = dy.shape[1:3]
        (top, _), (left, _) = padding
        dx = pad_images(np.zeros(x_shape, dtype=dy.dtype), padding)
        for r in range(pool[0]):
            for s in range(pool[1]):
                tap(dx, r, s, stride, P, Q)[...] += np.where(argmax == r * pool[1] + s, dy, dy.dtype.type(0))
        return np.ascontiguousarray(dx[:, top : top + x_shape[1], left : left + x_shape[2]])

    def batchnorm_forward(self, x, gamma, beta, moving_mean, moving_variance, momentum, epsilon):
        axes = tuple(range(x.ndim - 1))
        mean = x.mean(axis=axes)
        variance = ((x - mean) ** 2).mean(axis=axes)
        inverse_std = 1 / np.sqrt(variance + epsilon)
        moving_mean += (mean - moving_mean) * (1 - momentum)
        moving_variance += (variance - moving_variance) * (1 - momentum)
        return (x - mean) * (inverse_std * gamma) + beta, (mean, inverse_std)

    def batchnorm_inference(self, x, gamma, beta, moving_mean, moving_variance, epsilon):
        return (x - moving_mean) * (gamma / np.sqrt(moving_variance + epsilon)) + beta

    def batchnorm_backward(self, dy, x, gamma, saved):
        mean, inverse_std = saved
        axes = tuple(range(x.ndim - 1))
        x_hat = (x - mean) * inverse_std
        dbeta = dy.sum(axis=axes)
        dgamma = (dy * x_hat).sum(axis=axes)
        count = x.size // x.shape[-1]
        dx = (gamma * inverse_std) * (dy - dbeta / count - x_hat * (dgamma / count))
        return dx, dgamma, dbeta

    def dropout_forward(self, x, rate, seed, stream, step):
        bits = philox.random_bits(x.size, seed, stream, int(step[0])).reshape(x.shape)
        mask = bits >= round(rate * 2**32)
        return self.dropout_backward(x, rate, seed, stream, mask), mask

    def dropout_backward(self, dy, rate, seed, stream, saved):
        return dy * (saved * dy.dtype.type(1 / (1 - rate)))

    def softmax_forward(self, x):
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    def softmax_backward(self, dy, y):
        return y * (dy - (dy * y).sum(axis=-1, keepdims=True))

    def softmax_crossentropy(self, logits, labels, weights=None):
        shifted = logits - logits.max(axis=-1, keepdims=True)
        log_sum = np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        log_p = shifted - log_sum
        n = logits.shape[0]
        weights = np.ones((n, 1), logits.dtype) if weights is None else weights
        loss = -(weights * labels * log_p).sum(axis=-1).mean(keepdims=True)
        correct = (logits.argmax(axis=-1) == labels.argmax(axis=-1)).sum(keepdims=True).astype(logits.dtype)
        return loss, correct, weights * ((np.exp(log_p) - labels) / n)

    # ---------------------------------------------------------------- optimisers

    def sgd_step(self, parameters, gradients, velocities, learning_rate, momentum, nesterov):
        lr = learning_rate[0]
        if not velocities:
            for p, g in zip(parameters, gradients, strict=True):
                p -= lr * g
            return
        for p, g, v in zip(parameters, gradients, velocities, strict=True):
            v *= momentum
            v -= lr * g
            p += momentum * v - lr * g if nesterov else v

    def adam_step(self, parameters, gradients, m, v, learning_rate, step, betas, epsilon):
        (beta_1, beta_2), t = betas, int(step[0])
        lr = learning_rate[0] * (np.sqrt(1 - beta_2**t) / (1 - beta_1**t))
        for p, g, m_i, v_i in zip(parameters, gradients, m, v, strict=True):
            m_i += (1 - beta_1) * (g - m_i)
            v_i += (1 - beta_2) * (g * g - v_i)
            p -= lr * m_i / (np.sqrt(v_i) + epsilon)

    def adadelta_step(self, parameters, gradients, mean_square, mean_delta, learning_rate, rho, epsilon):
        for p, g, a, d in zip(parameters, gradients, mean_square, mean_delta, strict=True):
            a += (1 - rho) * (g * g - a)
            update = g * np.sqrt(d + epsilon) / np.sqrt(a + epsilon)
            p -= learning_rate[0] * update
            d += (1 - rho) * (update * update - d)
