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

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from tinycnn.devices.network import Network, Rule
from tinycnn.shapes import Padding, Pair, Shape

Array: TypeAlias = Any  # of a device: what has .shape, .size, .dtype, .reshape and slicing, and belongs to it


# Kernels that take any shape; kernels compiled for one; a training step as one kernel, the rest by the first.
PATHS = ("general", "fast", "one-kernel")


class Slices:
    """A gradient that is not added up yet: the sum of `parts` (slices, ...) over the first axis, in its order.

    Blocks that share a sum leave one part each. The optimiser adds the parts up as it reads them.
    """

    def __init__(self, parts: Array):
        self.parts = parts


class Wanted(NamedTuple):
    """Which gradients of y = act(product(x, w) + b) are asked for."""

    x: bool
    w: bool
    b: bool


Gradients: TypeAlias = (
    "tuple[Array | None, Array | Slices | None, Array | Slices | None]"  # dx, dw, db: None: not asked
)


class Mask(NamedTuple):
    """Which elements a dropout keeps: see Device.dropout_forward, whose arguments these are."""

    rate: float
    seed: int
    stream: int
    step: Array  # int64, of one element; in what is saved for the way back, whatever the device's dropout saved


class StepError(RuntimeError):
    """Training steps that were not computed. Weights and optimiser are as they were before them."""


class WholeStep(ABC):
    """Training steps of a network, forward, back and update, in one launch: see Device.whole_step."""

    batch: int  # images of a step; the last of an epoch may have fewer

    @abstractmethod
    def lay_out(
        self, weights: Sequence[Array], states: Sequence[Sequence[Array]]
    ) -> tuple[list[Array], list[list[Array]]]:
        """The same numbers where `run` reads and changes them: arrays of the same shapes.

        weights: all of the network's, in Keras's order; states: the optimiser's, for those that are learnt.
        """

    @abstractmethod
    def run(
        self, data: tuple[Array, Array, Array, Array], passes: Array, draws: np.ndarray, rates: np.ndarray,
        totals: Array,
    ) -> None:  # fmt: skip
        """One step for each learning rate, an optimiser's corrections included. Waits for the device.

        data: images (M,H,W,C), labels (M,K), order (M,) and start (1,) as gather_batch takes them. passes: training
        passes before these, int64 (1,). draws: seed and stream of each dropout, (n, 2). totals: as of
        softmax_crossentropy. Counters are not moved on. Raises StepError.
        """


class Device(ABC):
    """One place to compute. `name` is what the user types; `dtype` is that of every float array."""

    name: str
    remark = ""  # what a user has to know before reading its times
    ranks = 1  # processes that compute a batch together (ranks.py)
    paths: tuple[str, ...] = ("general",)  # the ways in which it can compute the same, to rounding
    usual_path = "general"  # where nobody names one

    def __init__(self, dtype: str = "float32"):
        self.dtype = dtype
        asked = os.environ.get("TINYCNN_PATH") or self.usual_path
        if asked not in PATHS:
            raise ValueError(f"TINYCNN_PATH is {' or '.join(PATHS)}, not {asked!r}")
        self.path = asked if asked in self.paths else self.usual_path
        self.path_is_forced = False  # TINYCNN_PATH is a wish: what that path cannot do, another does

    def __str__(self) -> str:
        return f"{self.name} ({self.dtype})"

    @property
    def path(self) -> str:
        """The way that it takes, one of `paths`. Raises ValueError when it is set to another.

        The same path gives the same bits. What was recorded before it was set goes on as it was. Who sets it forces
        it: what that path cannot do is an error.
        """
        return self._path

    @path.setter
    def path(self, path: str) -> None:
        if path not in self.paths:
            raise ValueError(f"the {self.name} device has no path {path!r}; it has: {', '.join(self.paths)}")
        self._path, self.path_is_forced = path, True
        self._take(path)

    @contextmanager
    def taking(self, path: str) -> Iterator[None]:
        """`with device.taking("fast"):` that way for a while. Raises as setting `path` does."""
        before = self._path, self.path_is_forced
        self.path = path
        try:
            yield
        finally:
            self.path, self.path_is_forced = before

    def _take(self, path: str) -> None:  # noqa: B027
        """Go that way from here on."""

    # ---------------------------------------------------------------- arrays

    @abstractmethod
    def asarray(self, host: ArrayLike | Array, dtype: DTypeLike | None = None) -> Array:
        """A device array with the values of a NumPy array (a copy, unless it is one of this device already)."""

    @abstractmethod
    def numpy(self, array: Array) -> np.ndarray:
        """The values of a device array as a NumPy array. Waits for the device."""

    @abstractmethod
    def empty(self, shape: int | Shape, dtype: DTypeLike | None = None) -> Array:
        """An array of any content."""

    @abstractmethod
    def zeros(self, shape: int | Shape, dtype: DTypeLike | None = None) -> Array:
        """An array of zeros."""

    @abstractmethod
    def copy(self, array: Array) -> Array:
        """A new array with the same values."""

    @abstractmethod
    def assign(self, destination: Array, source: Array) -> None:
        """Copy the values of `source`, an array of this device or of NumPy, into `destination`, in place."""

    def part(self, array: Array, index: Any) -> Array:
        """A new array with the values of array[index], index being of integers, slices and `...`."""
        return self.copy(array[index])

    def embed(self, part: Array, shape: Shape, index: Any) -> Array:
        """The inverse: zeros of `shape`, but for `part` at [index]."""
        whole = self.zeros(shape)
        whole[index] = part
        return whole

    # ---------------------------------------------------------------- tensor arithmetic

    @abstractmethod
    def elementwise(self, operation: str, *arrays: Array | float) -> Array:
        """One of add, subtract, multiply, divide, power, negative, exp, log, sqrt, equal, greater, keep
        on arrays or Python floats, broadcast like NumPy's. Comparisons give 0 and 1 in `dtype`; keep gives a where b is
        not 0, and there 0."""

    @abstractmethod
    def reduce(
        self, operation: str, array: Array, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
    ) -> Array:
        """`sum` or `max` over `axis` (None, an int or a tuple)."""

    @abstractmethod
    def matmul(self, a: Array, b: Array) -> Array:
        """(M, K) @ (K, N) -> (M, N)."""

    @abstractmethod
    def transpose(self, array: Array, axes: tuple[int, ...]) -> Array:
        """The axes in another order, as a contiguous array."""

    # ---------------------------------------------------------------- convolution and dense

    @abstractmethod
    def conv2d_forward(self, x: Array, w: Array, b: Array | None, stride: Pair, padding: Padding, relu: bool) -> Array:
        """y[n,p,q,k] = act(b[k] + sum_rsc x[n, p*stride+r-top, q*stride+s-left, c] * w[r,s,c,k]).

        x (N,H,W,C), w (R,S,C,K), b (K,) or None -> y (N,P,Q,K). `relu` fuses max(., 0).
        """

    @abstractmethod
    def conv2d_backward_data(self, dy: Array, w: Array, x_shape: Shape, stride: Pair, padding: Padding) -> Array:
        """dy (N,P,Q,K), w (R,S,C,K) -> dx of `x_shape` (N,H,W,C)."""

    @abstractmethod
    def conv2d_backward_filter(self, x: Array, dy: Array, w_shape: Shape, stride: Pair, padding: Padding) -> Array:
        """x (N,H,W,C), dy (N,P,Q,K) -> dw of `w_shape` (R,S,C,K). Summed in a fixed order."""

    @abstractmethod
    def conv1x1_forward(self, x: Array, w: Array, b: Array | None, relu: bool) -> Array:
        """conv2d_forward for R = S = 1, stride 1, no padding: (N*H*W, C) @ (C, K)."""

    @abstractmethod
    def conv1x1_backward_data(self, dy: Array, w: Array) -> Array:
        """dy (N,H,W,K), w (1,1,C,K) -> dx (N,H,W,C)."""

    @abstractmethod
    def conv1x1_backward_filter(self, x: Array, dy: Array) -> Array:
        """x (N,H,W,C), dy (N,H,W,K) -> dw (1,1,C,K)."""

    @abstractmethod
    def dense_forward(self, x: Array, w: Array, b: Array | None, relu: bool) -> Array:
        """act(x @ w + b): x (N,I), w (I,O), b (O,) or None -> y (N,O)."""

    @abstractmethod
    def dense_backward_data(self, dy: Array, w: Array) -> Array:
        """dy (N,O), w (I,O) -> dx (N,I)."""

    @abstractmethod
    def dense_backward_filter(self, x: Array, dy: Array) -> Array:
        """x (N,I), dy (N,O) -> dw (I,O)."""

    @abstractmethod
    def conv2d_backward(
        self, dy: Array, y: Array | None, x: Array, w: Array, stride: Pair, padding: Padding, wanted: Wanted
    ) -> Gradients:
        """The way back of y = act(conv2d(x, w) + b), through activation and bias to the product.

        dy (N,P,Q,K); y the fused ReLU's output, or None where there was no ReLU. With dz = dy where y > 0, else 0 (dy
        itself without ReLU): dx is conv2d_backward_data of dz, dw conv2d_backward_filter, and db (K,) the sum of dz
        over all axes but the last. All sums in a fixed order.
        """

    @abstractmethod
    def conv1x1_backward(self, dy: Array, y: Array | None, x: Array, w: Array, wanted: Wanted) -> Gradients:
        """The same for conv1x1_forward."""

    @abstractmethod
    def dense_backward(self, dy: Array, y: Array | None, x: Array, w: Array, wanted: Wanted) -> Gradients:
        """The same for dense_forward: dy, y (N,O)."""

    def whole(self, gradient: Array | Slices) -> Array:
        """A gradient that can be computed with: what came of *_backward is not to be read in any other way, but by
        the steps of the optimisers below."""
        return gradient

    def summed(self, gradients: Sequence[Array | Slices]) -> Sequence[Array | Slices]:
        """The gradients of a step over all processes that train together (ranks.py): as they are in one alone."""
        return gradients

    # ---------------------------------------------------------------- the other layers

    @abstractmethod
    def relu_forward(self, x: Array) -> Array:
        """max(x, 0)."""

    @abstractmethod
    def relu_backward(self, dy: Array, y: Array) -> Array:
        """dy where y > 0, else 0. The gradient at exactly 0 is 0, as in Keras."""

    @abstractmethod
    def activation_forward(self, activation: str, x: Array, alpha: float) -> Array:
        """tanh, sigmoid, elu, leaky_relu or softplus of x, number by number.

        sigmoid 1 / (1 + exp(-x)); elu x where x > 0, else alpha * (exp(x) - 1); leaky_relu x where x > 0, else
        alpha * x; softplus log(1 + exp(x)). The others do not look at alpha, which is not negative.
        """

    @abstractmethod
    def activation_backward(self, activation: str, dy: Array, y: Array, alpha: float) -> Array:
        """dy times the derivative, which is known by the result y. At x = 0 that of elu and leaky_relu is alpha."""

    @abstractmethod
    def maxpool2d_forward(self, x: Array, pool: Pair, stride: Pair, padding: Padding) -> tuple[Array, Array]:
        """x (N,H,W,C) -> y (N,P,Q,C) and `argmax` of y's shape: r * pool[1] + s of the maximum.

        `argmax` is of whole numbers, of a type that the device chooses: who needs it is maxpool2d_backward. Padding
        counts as minus infinity. Of equal values the first in row-major order wins.
        """

    @abstractmethod
    def maxpool2d_backward(
        self, dy: Array, argmax: Array, x_shape: Shape, pool: Pair, stride: Pair, padding: Padding
    ) -> Array:
        """dx of `x_shape`: each dy added where its maximum was. Windows may overlap."""

    @abstractmethod
    def avgpool2d_forward(self, x: Array, pool: Pair, stride: Pair, padding: Padding) -> Array:
        """x (N,H,W,C) -> y (N,P,Q,C), the mean of those pixels under each window that lie in the image."""

    @abstractmethod
    def avgpool2d_backward(self, dy: Array, x_shape: Shape, pool: Pair, stride: Pair, padding: Padding) -> Array:
        """dx of `x_shape`: each dy shared equally by the pixels that it is the mean of. Windows may overlap."""

    @abstractmethod
    def globalavgpool2d_forward(self, x: Array) -> Array:
        """x (N,H,W,C) -> y (N,C), the mean of each channel."""

    @abstractmethod
    def globalavgpool2d_backward(self, dy: Array, x_shape: Shape) -> Array:
        """dy (N,C) -> dx of `x_shape`: dy / (H*W) at every pixel."""

    @abstractmethod
    def globalmaxpool2d_forward(self, x: Array) -> Array:
        """x (N,H,W,C) -> y (N,C), the maximum of each channel. A NaN is larger than any number."""

    @abstractmethod
    def globalmaxpool2d_backward(self, dy: Array, x: Array, y: Array) -> Array:
        """dx: dy at the pixel that has the maximum; where several have it, they share it equally, as in Keras."""

    @abstractmethod
    def upsample2d_forward(self, x: Array, size: Pair) -> Array:
        """x (N,H,W,C) -> y (N, H*size[0], W*size[1], C): every pixel so many times in both directions."""

    @abstractmethod
    def upsample2d_backward(self, dy: Array, size: Pair) -> Array:
        """dx: at every pixel the sum of dy over those that it became."""

    @abstractmethod
    def zeropad2d_forward(self, x: Array, padding: Padding) -> Array:
        """x (N,H,W,C) -> y (N, top + H + bottom, left + W + right, C), zero outside x."""

    @abstractmethod
    def zeropad2d_backward(self, dy: Array, padding: Padding) -> Array:
        """dx: dy without what lies in the padding."""

    @abstractmethod
    def batchnorm_forward(
        self, x: Array, gamma: Array, beta: Array, moving_mean: Array, moving_variance: Array, momentum: float,
        epsilon: float, mask: Mask | None = None,
    ) -> tuple[Array, Any]:  # fmt: skip
        """Training mode, over all axes but the last: (x - mean) / sqrt(variance + epsilon) * gamma + beta.

        The variance is the biased one. moving = moving * momentum + batch * (1 - momentum), in place.
        x (...,C), the rest (C,). Returns (y, saved), `saved` being what batchnorm_backward needs.
        With a mask the result goes through dropout: y has the bits that dropout_forward would make of it.
        """

    @abstractmethod
    def batchnorm_inference(
        self, x: Array, gamma: Array, beta: Array, moving_mean: Array, moving_variance: Array, epsilon: float
    ) -> Array:
        """The same with the moving statistics."""

    @abstractmethod
    def batchnorm_backward(self, dy: Array, x: Array, gamma: Array, saved: Any) -> tuple[Array, Array, Array]:
        """Returns (dx, dgamma, dbeta). Where forward had a mask, dy comes back through it first."""

    @abstractmethod
    def dropout_forward(self, x: Array, rate: float, seed: int, stream: int, step: Array) -> tuple[Array, Any]:
        """Element i of x is kept, and divided by 1 - rate, where Philox word i >= round(rate * 2**32).

        `step` is an int64 array of one element. Returns (y, saved): `saved` is what the backward pass
        needs, a mask or the step number that makes the mask again.
        """

    @abstractmethod
    def dropout_backward(self, dy: Array, rate: float, seed: int, stream: int, saved: Any) -> Array:
        """dy through the same mask."""

    @abstractmethod
    def softmax_forward(self, x: Array) -> Array:
        """x (N,K) -> exp(x - max) / sum, by rows."""

    @abstractmethod
    def softmax_backward(self, dy: Array, y: Array) -> Array:
        """dx = y * (dy - sum(dy * y)), by rows."""

    @abstractmethod
    def softmax_crossentropy(
        self, logits: Array, labels: Array, weights: Array | None = None, totals: Array | None = None
    ) -> tuple[Array, Array, Array]:
        """Both passes at once: logits and labels (N,K), the labels' rows summing to 1; weights of the rows (N,1), all 1
        if None.

        Returns (loss, correct, dlogits): the mean of the rows' losses times their weights (1,), how many rows have
        their largest logit where their largest label is (1,), and d loss / d logits (N,K) = weight * (softmax - labels)
        / N. To `totals`, a float64 array of two elements, loss * N and correct are added in place.
        """

    @abstractmethod
    def binary_crossentropy(
        self, outputs: Array, labels: Array, from_logits: bool, weights: Array | None = None,
        totals: Array | None = None,
    ) -> tuple[Array, Array, Array]:  # fmt: skip
        """-label * log p - (1 - label) * log(1 - p), the mean over all of (N,K), and its gradient to `outputs`.

        p is sigmoid(outputs) with from_logits, else outputs clipped to [1e-7, 1 - 1e-7], where the gradient is 0. The
        rest as in softmax_crossentropy, but `correct` is the sum over rows of the share of their p that round to the
        label.
        """

    @abstractmethod
    def mean_squared_error(
        self, outputs: Array, labels: Array, weights: Array | None = None, totals: Array | None = None
    ) -> tuple[Array, Array, Array]:
        """(outputs - labels)^2, the mean over all of (N,K), and its gradient to `outputs`. The rest as in
        softmax_crossentropy; of rows of one number, those are right that round to the label."""

    @abstractmethod
    def add(self, arrays: Sequence[Array]) -> Array:
        """The sum of at least two arrays of one shape, added in their order."""

    @abstractmethod
    def concatenate(self, arrays: Sequence[Array]) -> Array:
        """Along the last axis."""

    @abstractmethod
    def split(self, array: Array, sizes: Sequence[int]) -> list[Array]:
        """The inverse of concatenate: a list of arrays with `sizes` as their last axes."""

    # ---------------------------------------------------------------- training

    @abstractmethod
    def regularize(
        self, parameter: Array, gradient: Array | Slices | None, l1: float, l2: float, rows: int = 1,
        totals: Array | None = None,
    ) -> Array:  # fmt: skip
        """l1 * sum |p| + l2 * sum p^2 of a parameter, (1,).

        In place, l1 * sign(p) + 2 * l2 * p is added to its gradient, and the penalty times `rows` to totals[0], as
        softmax_crossentropy does with its loss.
        """

    @abstractmethod
    def sgd_step(
        self, parameters: Sequence[Array], gradients: Sequence[Array], velocities: Sequence[Array],
        learning_rate: Array, momentum: float, nesterov: bool,
    ) -> None:  # fmt: skip
        """v = momentum*v - lr*g; p += v, or p += momentum*v - lr*g with Nesterov's look-ahead. In place.

        Lists of arrays, one update over all of them; a gradient may be in Slices. `learning_rate` is a float array of
        one element. With momentum 0 `velocities` is empty and p -= lr*g.
        """

    @abstractmethod
    def adam_step(
        self, parameters: Sequence[Array], gradients: Sequence[Array], m: Sequence[Array], v: Sequence[Array],
        learning_rate: Array, step: Array, betas: tuple[float, float], epsilon: float,
    ) -> None:  # fmt: skip
        """Adam in Keras's form (epsilon outside the root). `step` is an int64 array of one element, t from 1."""

    @abstractmethod
    def adadelta_step(
        self, parameters: Sequence[Array], gradients: Sequence[Array], mean_square: Sequence[Array],
        mean_delta: Sequence[Array], learning_rate: Array, rho: float, epsilon: float,
    ) -> None:  # fmt: skip
        """Adadelta in Keras's form (epsilon inside both roots)."""

    @abstractmethod
    def rmsprop_step(
        self, parameters: Sequence[Array], gradients: Sequence[Array], mean_square: Sequence[Array],
        learning_rate: Array, rho: float, epsilon: float,
    ) -> None:  # fmt: skip
        """a = rho*a + (1 - rho)*g^2; p -= lr * g / (sqrt(a) + epsilon), as in Keras 2: epsilon outside the root."""

    @abstractmethod
    def draw(self, array: Array, normal: bool, seed: int, stream: int, step: Array) -> None:
        """Fill an array with random numbers, in place: standard normal ones, or uniform in [0, 1).

        Element i depends on nothing but seed, stream, `step`, an int64 array of one element, and i: see draw.cu.
        """

    @abstractmethod
    def gather_batch(self, images: Array, labels: Array, order: Array, start: Array, size: int) -> tuple[Array, Array]:
        """Rows order[start : start + size] of the images (M,...) and the labels (M,...).

        order: int64 (M,). start: an int64 array of one element. Returns (x, y).
        """

    @abstractmethod
    def advance(self, counters: Sequence[tuple[Array, int]]) -> None:
        """counter += amount, in place, for up to three pairs (int64 array of one element, whole number)."""

    def batches_of(self, size: int) -> AbstractContextManager[None]:
        """Inside, what is chosen by the size of a batch is chosen for `size` images, for smaller batches too.

        So the last batch of an epoch, which is smaller than the others, takes the kernels that are there.
        """
        return nullcontext()

    @abstractmethod
    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        """Take `step`, a function without arguments, and return one that does the same, as fast as this
        device can: on a GPU a recorded graph, elsewhere the function itself."""

    def whole_step(self, network: Network, rule: Rule, batch: int) -> WholeStep | str:
        """Training steps of a network for so many images at a time in one launch; or, in a clause, why there are
        none."""
        return f"the {self.name} device has no path one-kernel"
