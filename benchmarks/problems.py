"""The operations that the GPU benchmarks measure: their shapes, what they cost at least, and how tinycnn computes them.

Floating-point operations and bytes are counted, not measured. Bytes are the fewest that an operation can move:
every input read once, every output written once, in float32. A multiply-add is two operations; a convolution's
count includes its padding, as everybody counts it.
"""

from dataclasses import asdict, dataclass
from math import prod

import numpy as np

import tinycnn
from tinycnn.devices.base import Wanted
from tinycnn.shapes import UNPADDED, Geometry

FLOAT = 4  # bytes
PASSES = ("forward", "backward_data", "backward_filter")


class Problem:
    """An operation at one shape, in one or more directions.

    A subclass has `operation`, `directions`, `name`, and by direction: `flop`; `elements`, the numbers read and
    written; `length`, how many numbers the longest sum has; `inputs`, random arrays by name; and `bind`, which puts
    the inputs on a device and returns a function of no arguments whose result is a tuple of float arrays.
    """

    def bytes(self, direction):
        return FLOAT * self.elements(direction)

    def facts(self):
        return asdict(self)

    def oracle(self, direction, inputs):
        """The result in float64, by the reference device."""
        device = tinycnn.get_device("reference", "float64")
        return [np.array(device.numpy(array)) for array in self.bind(device, direction, inputs)()]

    def errors(self, direction, inputs, outputs, wanted):
        """||output - wanted|| / ||wanted|| of each output; NaN where there is one."""
        return [relative_error(output, right) for output, right in zip(outputs, wanted, strict=True)]


def relative_error(output, wanted):
    output, wanted = np.asarray(output, np.float64), np.asarray(wanted, np.float64)
    if output.shape != wanted.shape:
        raise ValueError(f"a result of shape {output.shape} where {wanted.shape} is right")
    difference, size = np.linalg.norm(output - wanted), np.linalg.norm(wanted)
    return float(difference / size if size else difference)


def normal(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def one_pass(device, direction, forward, backward):
    """A product's function of no arguments for one of PASSES. backward: what it is for `Wanted` gradients."""
    if direction == "forward":
        return lambda: (forward(),)
    if direction == "backward_data":
        return lambda: (backward(Wanted(x=True, w=False, b=False))[0],)
    return lambda: (device.whole(backward(Wanted(x=False, w=True, b=False))[1]),)


@dataclass(frozen=True)
class Convolution(Problem):
    """x (N,H,W,C), w (R,S,C,K) -> y (N,P,Q,K), without bias. A 1x1 filter at stride 1 takes the kernels of conv1x1."""

    N: int
    H: int
    W: int
    C: int
    K: int
    R: int
    S: int
    stride: tuple = (1, 1)
    padding: tuple = UNPADDED

    operation = "conv2d"
    directions = PASSES

    @property
    def x_shape(self):
        return self.N, self.H, self.W, self.C

    @property
    def w_shape(self):
        return self.R, self.S, self.C, self.K

    @property
    def y_shape(self):
        return Geometry.of(self.x_shape, self.w_shape, self.stride, self.padding).y_shape

    @property
    def name(self):
        strided = "" if self.stride == (1, 1) else f", stride {self.stride[0]}x{self.stride[1]}"
        padded = "" if self.padding == UNPADDED else f", padding {'/'.join(str(n) for p in self.padding for n in p)}"
        return f"{self.H}x{self.W}x{self.C} * {self.R}x{self.S} -> {self.K}{strided}{padded}"

    def flop(self, direction):
        return 2 * prod(self.y_shape) * self.R * self.S * self.C

    def elements(self, direction):
        return prod(self.x_shape) + prod(self.w_shape) + prod(self.y_shape)

    def length(self, direction):
        lengths = self.R * self.S * self.C, self.R * self.S * self.K, prod(self.y_shape[:3])
        return dict(zip(PASSES, lengths, strict=True))[direction]

    def inputs(self, direction, rng):
        shapes = {"x": self.x_shape, "w": self.w_shape, "dy": self.y_shape}
        names = {"forward": "x w", "backward_data": "dy w", "backward_filter": "x dy"}[direction].split()
        return {name: normal(rng, *shapes[name]) for name in names}

    def bind(self, device, direction, inputs):
        on = {name: device.asarray(array) for name, array in inputs.items()}
        x, w, dy = (on.get(name) for name in ("x", "w", "dy"))
        x, w = device.empty(self.x_shape) if x is None else x, device.empty(self.w_shape) if w is None else w
        if (self.R, self.S, *self.stride) == (1, 1, 1, 1) and self.padding == UNPADDED:
            forward = lambda: device.conv1x1_forward(x, w, None, False)  # noqa: E731
            backward = lambda wanted: device.conv1x1_backward(dy, None, x, w, wanted)  # noqa: E731
        else:
            at = self.stride, self.padding
            forward = lambda: device.conv2d_forward(x, w, None, *at, False)  # noqa: E731
            backward = lambda wanted: device.conv2d_backward(dy, None, x, w, *at, wanted)  # noqa: E731
        return one_pass(device, direction, forward, backward)


@dataclass(frozen=True)
class Dense(Problem):
    """x (N,inputs) @ w (inputs,units), without bias."""

    N: int
    fan_in: int
    units: int

    operation = "dense"
    directions = PASSES

    @property
    def name(self):
        return f"{self.fan_in} -> {self.units}"

    def flop(self, direction):
        return 2 * self.N * self.fan_in * self.units

    def elements(self, direction):
        return self.N * self.fan_in + self.fan_in * self.units + self.N * self.units

    def length(self, direction):
        return dict(zip(PASSES, (self.fan_in, self.units, self.N), strict=True))[direction]

    def inputs(self, direction, rng):
        shapes = {"x": (self.N, self.fan_in), "w": (self.fan_in, self.units), "dy": (self.N, self.units)}
        names = {"forward": "x w", "backward_data": "dy w", "backward_filter": "x dy"}[direction].split()
        return {name: normal(rng, *shapes[name]) for name in names}

    def bind(self, device, direction, inputs):
        on = {name: device.asarray(array) for name, array in inputs.items()}
        x, w, dy = (on.get(name) for name in ("x", "w", "dy"))
        x = device.empty((self.N, self.fan_in)) if x is None else x
        w = device.empty((self.fan_in, self.units)) if w is None else w
        forward = lambda: device.dense_forward(x, w, None, False)  # noqa: E731
        backward = lambda wanted: device.dense_backward(dy, None, x, w, wanted)  # noqa: E731
        return one_pass(device, direction, forward, backward)


@dataclass(frozen=True)
class MaxPool(Problem):
    """x (N,H,W,C) -> y (N,P,Q,C) and where each maximum was. A comparison counts as an operation."""

    N: int
    H: int
    W: int
    C: int
    pool: tuple
    stride: tuple
    padding: tuple = UNPADDED

    operation = "maxpool2d"
    directions = ("forward", "backward")

    @property
    def x_shape(self):
        return self.N, self.H, self.W, self.C

    @property
    def y_shape(self):
        return Geometry.of_pool(self.x_shape, self.pool, self.stride, self.padding).y_shape

    @property
    def name(self):
        padded = "" if self.padding == UNPADDED else f", padding {'/'.join(str(n) for p in self.padding for n in p)}"
        window, stride = ("x".join(map(str, pair)) for pair in (self.pool, self.stride))
        return f"{self.H}x{self.W}x{self.C}, {window}, stride {stride}{padded}"

    def flop(self, direction):
        return prod(self.y_shape) * (prod(self.pool) if direction == "forward" else 1)

    def elements(self, direction):
        return prod(self.x_shape) + prod(self.y_shape)  # y or dy

    def bytes(self, direction):
        return super().bytes(direction) + prod(self.y_shape)  # and argmax, a byte each: no window has over 256 places

    def length(self, direction):
        return prod(self.pool)

    def inputs(self, direction, rng):
        x = {"x": normal(rng, *self.x_shape)}
        return x if direction == "forward" else {**x, "dy": normal(rng, *self.y_shape)}

    def bind(self, device, direction, inputs):
        x, at = device.asarray(inputs["x"]), (self.pool, self.stride, self.padding)
        if direction == "forward":
            return lambda: (device.maxpool2d_forward(x, *at)[0],)
        dy, argmax = device.asarray(inputs["dy"]), device.maxpool2d_forward(x, *at)[1]
        return lambda: (device.maxpool2d_backward(dy, argmax, self.x_shape, *at),)


@dataclass(frozen=True)
class BatchNorm(Problem):
    """Training mode, over all axes but the last. Counted: six operations an element forward, ten backward."""

    shape: tuple

    operation = "batchnorm"
    directions = ("forward", "backward")
    momentum, epsilon = 0.99, 1e-3

    @property
    def name(self):
        return "x".join(map(str, self.shape[1:]))

    def flop(self, direction):
        return prod(self.shape) * (6 if direction == "forward" else 10)

    def elements(self, direction):
        # Vectors: gamma, beta, the moving statistics read and written; gamma, two saved ones, dgamma, dbeta.
        vectors = 6 if direction == "forward" else 5
        return prod(self.shape) * (2 if direction == "forward" else 3) + vectors * self.shape[-1]

    def length(self, direction):
        return prod(self.shape[:-1])

    def inputs(self, direction, rng):
        C = self.shape[-1]
        drawn = {"x": normal(rng, *self.shape) + 1, "gamma": normal(rng, C) + 2, "beta": normal(rng, C)}
        return drawn if direction == "forward" else {**drawn, "dy": normal(rng, *self.shape)}

    def bind(self, device, direction, inputs):
        x, gamma, beta = (device.asarray(inputs[name]) for name in ("x", "gamma", "beta"))
        mean, variance = device.zeros((self.shape[-1],)), device.zeros((self.shape[-1],))
        args = x, gamma, beta, mean, variance, self.momentum, self.epsilon
        if direction == "forward":
            return lambda: (device.batchnorm_forward(*args)[0],)
        dy, saved = device.asarray(inputs["dy"]), device.batchnorm_forward(*args)[1]
        return lambda: device.batchnorm_backward(dy, x, gamma, saved)


@dataclass(frozen=True)
class Dropout(Problem):
    """Every element kept with probability 1 - rate, and then divided by it. The random numbers' integers are not
    counted."""

    shape: tuple
    rate: float

    operation = "dropout"
    directions = ("forward", "backward")
    seed, stream = 1, 2

    @property
    def name(self):
        return f"{'x'.join(map(str, self.shape[1:]))}, rate {self.rate:g}"

    def flop(self, direction):
        return prod(self.shape)

    def elements(self, direction):
        return 2 * prod(self.shape)

    def length(self, direction):
        return 1

    def inputs(self, direction, rng):
        return {"x" if direction == "forward" else "dy": normal(rng, *self.shape)}

    def bind(self, device, direction, inputs):
        step = device.asarray(np.array([3]), "int64")
        if direction == "forward":
            x = device.asarray(inputs["x"])
            return lambda: (device.dropout_forward(x, self.rate, self.seed, self.stream, step)[0],)
        dy = device.asarray(inputs["dy"])
        saved = device.dropout_forward(dy, self.rate, self.seed, self.stream, step)[1]
        return lambda: (device.dropout_backward(dy, self.rate, self.seed, self.stream, saved),)

    def errors(self, direction, inputs, outputs, wanted):
        """Everybody draws numbers of their own: right are the values that are kept, and how many these are."""
        (before,), (after,) = inputs.values(), outputs
        if np.isnan(after).any():
            return [float("nan")]
        kept = after != 0
        six_sigma = 6 * (self.rate * (1 - self.rate) / before.size) ** 0.5
        if abs(kept.mean() - (1 - self.rate)) > six_sigma:
            return [float("inf")]
        return [relative_error(after[kept], before[kept].astype(np.float64) / (1 - self.rate))]


@dataclass(frozen=True)
class SoftmaxCrossEntropy(Problem):
    """logits and one-hot labels (N,K) -> the mean loss and its gradient, which tinycnn computes in one pass.

    Counted: five operations a logit, exp and log being one each."""

    N: int
    K: int

    operation = "softmax_crossentropy"
    directions = ("forward and backward",)

    @property
    def name(self):
        return f"{self.K} classes"

    def flop(self, direction):
        return 5 * self.N * self.K

    def elements(self, direction):
        return 3 * self.N * self.K + 1

    def length(self, direction):
        return self.N

    def inputs(self, direction, rng):
        labels = np.eye(self.K, dtype=np.float32)[rng.integers(0, self.K, self.N)]
        return {"logits": 3 * normal(rng, self.N, self.K), "labels": labels}

    def bind(self, device, direction, inputs):
        logits, labels = device.asarray(inputs["logits"]), device.asarray(inputs["labels"])
        return lambda: device.softmax_crossentropy(logits, labels)[::2]
