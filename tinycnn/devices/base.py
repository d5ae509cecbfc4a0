"""The interface of a device: who holds the arrays and who computes on them.

Everything above this folder calls these methods and never asks which device it is on.

Conventions of every method
---------------------------
* Images are NHWC, filters HWIO (R, S, C, K), a dense kernel is (inputs, units).
* `padding` is explicit, ((top, bottom), (left, right)), and `stride` is (rows, columns).
* Arrays are C-contiguous and of the device's `dtype`, except where a method says otherwise.
  They have .shape, .size, .dtype, .reshape and basic slicing like NumPy's; nothing more is assumed.
* Shapes have been checked by the caller (functional.py); a kernel never sees bad input.
* What changes from one training step to the next (the step number, the learning rate, where the
  batch starts) lives in one-element device arrays. A step therefore has no host arguments, so that
  a GPU can record it once and replay it.
* No method waits for the device except `numpy`.
"""

from abc import ABC, abstractmethod


class Device(ABC):
    """One place to compute. `name` is what the user types; `dtype` is that of every float array."""

    name: str
    remark = ""  # what a user has to know before reading its times

    def __init__(self, dtype="float32"):
        self.dtype = dtype

    def __str__(self):
        return f"{self.name} ({self.dtype})"

    # ---------------------------------------------------------------- arrays

    @abstractmethod
    def asarray(self, host, dtype=None):
        """A device array with the values of a NumPy array (a copy, unless it is one of this device already)."""

    @abstractmethod
    def numpy(self, array):
        """The values of a device array as a NumPy array. Waits for the device."""

    @abstractmethod
    def empty(self, shape, dtype=None):
        """An array of any content."""

    @abstractmethod
    def zeros(self, shape, dtype=None):
        """An array of zeros."""

    @abstractmethod
    def copy(self, array):
        """A new array with the same values."""

    @abstractmethod
    def assign(self, destination, source):
        """Copy the values of `source`, an array of this device or of NumPy, into `destination`, in place."""

    # ---------------------------------------------------------------- tensor arithmetic

    @abstractmethod
    def elementwise(self, operation, *arrays):
        """One of add, subtract, multiply, divide, power, negative, exp, log, sqrt, equal, greater
        on arrays or Python floats, broadcast like NumPy's. Comparisons give 0 and 1 in `dtype`."""

    @abstractmethod
    def reduce(self, operation, array, axis=None, keepdims=False):
        """`sum` or `max` over `axis` (None, an int or a tuple)."""

    @abstractmethod
    def matmul(self, a, b):
        """(M, K) @ (K, N) -> (M, N)."""

    @abstractmethod
    def transpose(self, array, axes):
        """The axes in another order, as a contiguous array."""

    # ---------------------------------------------------------------- convolution and dense

    @abstractmethod
    def conv2d_forward(self, x, w, b, stride, padding, relu):
        """y[n,p,q,k] = act(b[k] + sum_rsc x[n, p*stride+r-top, q*stride+s-left, c] * w[r,s,c,k]).

        x (N,H,W,C), w (R,S,C,K), b (K,) or None -> y (N,P,Q,K). `relu` fuses max(., 0).
        """

    @abstractmethod
    def conv2d_backward_data(self, dy, w, x_shape, stride, padding):
        """dy (N,P,Q,K), w (R,S,C,K) -> dx of `x_shape` (N,H,W,C)."""

    @abstractmethod
    def conv2d_backward_filter(self, x, dy, w_shape, stride, padding):
        """x (N,H,W,C), dy (N,P,Q,K) -> dw of `w_shape` (R,S,C,K). Summed in a fixed order."""

    @abstractmethod
    def conv1x1_forward(self, x, w, b, relu):
        """conv2d_forward for R = S = 1, stride 1, no padding: (N*H*W, C) @ (C, K)."""

    @abstractmethod
    def conv1x1_backward_data(self, dy, w):
        """dy (N,H,W,K), w (1,1,C,K) -> dx (N,H,W,C)."""

    @abstractmethod
    def conv1x1_backward_filter(self, x, dy):
        """x (N,H,W,C), dy (N,H,W,K) -> dw (1,1,C,K)."""

    @abstractmethod
    def dense_forward(self, x, w, b, relu):
        """act(x @ w + b): x (N,I), w (I,O), b (O,) or None -> y (N,O)."""

    @abstractmethod
    def dense_backward_data(self, dy, w):
        """dy (N,O), w (I,O) -> dx (N,I)."""

    @abstractmethod
    def dense_backward_filter(self, x, dy):
        """x (N,I), dy (N,O) -> dw (I,O)."""

    @abstractmethod
    def bias_relu_backward(self, dy, y):
        """The part of a backward pass that convolution and dense share: through the activation to the bias.

        dy (...,K); y the fused ReLU's output of the same shape, or None where there was no ReLU.
        Returns (dz, db): dz = dy where y > 0 else 0 (dy itself without ReLU), db (K,) = dz summed over
        all axes but the last, in a fixed order.
        """

    # ---------------------------------------------------------------- the other layers

    @abstractmethod
    def relu_forward(self, x):
        """max(x, 0)."""

    @abstractmethod
    def relu_backward(self, dy, y):
        """dy where y > 0, else 0. The gradient at exactly 0 is 0, as in Keras."""

    @abstractmethod
    def maxpool2d_forward(self, x, pool, stride, padding):
        """x (N,H,W,C) -> y (N,P,Q,C) and `argmax`, int32 of y's shape: r * pool[1] + s of the maximum.

        Padding counts as minus infinity. Of equal values the first in row-major order wins.
        """

    @abstractmethod
    def maxpool2d_backward(self, dy, argmax, x_shape, pool, stride, padding):
        """dx of `x_shape`: each dy added where its maximum was. Windows may overlap."""

    @abstractmethod
    def batchnorm_forward(self, x, gamma, beta, moving_mean, moving_variance, momentum, epsilon):
        """Training mode, over all axes but the last: (x - mean) / sqrt(variance + epsilon) * gamma + beta.

        The variance is the biased one. moving = moving * momentum + batch * (1 - momentum), in place.
        x (...,C), the rest (C,). Returns (y, saved), `saved` being what batchnorm_backward needs.
        """

    @abstractmethod
    def batchnorm_inference(self, x, gamma, beta, moving_mean, moving_variance, epsilon):
        """The same with the moving statistics."""

    @abstractmethod
    def batchnorm_backward(self, dy, x, gamma, saved):
        """Returns (dx, dgamma, dbeta)."""

    @abstractmethod
    def dropout_forward(self, x, rate, seed, stream, step):
        """Element i of x is kept, and divided by 1 - rate, where Philox word i >= round(rate * 2**32).

        `step` is an int64 array of one element. Returns (y, saved): `saved` is what the backward pass
        needs, a mask or the step number that makes the mask again.
        """

    @abstractmethod
    def dropout_backward(self, dy, rate, seed, stream, saved):
        """dy through the same mask."""

    @abstractmethod
    def softmax_forward(self, x):
        """x (N,K) -> exp(x - max) / sum, by rows."""

    @abstractmethod
    def softmax_backward(self, dy, y):
        """dx = y * (dy - sum(dy * y)), by rows."""

    @abstractmethod
    def softmax_crossentropy(self, logits, labels):
        """Both passes at once: logits and labels (N,K), the labels' rows summing to 1.

        Returns (loss, correct, dlogits): the mean loss (1,), how many rows have their largest logit
        where their largest label is (1,), and d loss / d logits (N,K) = (softmax - labels) / N.
        """

    @abstractmethod
    def concatenate(self, arrays):
        """Along the last axis."""

    @abstractmethod
    def split(self, array, sizes):
        """The inverse of concatenate: a list of arrays with `sizes` as their last axes."""

    # ---------------------------------------------------------------- training

    @abstractmethod
    def sgd_step(self, parameters, gradients, velocities, learning_rate, momentum, nesterov):
        """v = momentum*v - lr*g; p += v, or p += momentum*v - lr*g with Nesterov's look-ahead. In place.

        Lists of arrays, one update over all of them. `learning_rate` is a float array of one element.
        With momentum 0 `velocities` is empty and p -= lr*g.
        """

    @abstractmethod
    def adam_step(self, parameters, gradients, m, v, learning_rate, step, beta_1, beta_2, epsilon):
        """Adam in Keras's form (epsilon outside the root). `step` is an int64 array of one element, t from 1."""

    @abstractmethod
    def adadelta_step(self, parameters, gradients, mean_square, mean_delta, learning_rate, rho, epsilon):
        """Adadelta in Keras's form (epsilon inside both roots)."""

    @abstractmethod
    def gather_batch(self, images, labels, order, start, size):
        """Rows order[start : start + size] of the images (M,...) and the labels (M,K).

        order: int64 (M,). start: an int64 array of one element, moved on by `size` in place.
        Returns (x, y).
        """

    @abstractmethod
    def increment(self, counter):
        """counter += 1, an int64 array of one element, in place."""

    @abstractmethod
    def accumulate(self, totals, loss, correct, size):
        """totals[0] += loss * size; totals[1] += correct. `totals` is a float64 array of two elements."""

    @abstractmethod
    def record(self, step):
        """Take `step`, a function without arguments, and return one that does the same, as fast as this
        device can: on a GPU a recorded graph, elsewhere the function itself."""
