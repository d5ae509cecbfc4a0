"""The arithmetic of tensors: + - * / ** @, sums, maxima, shapes. Importing it puts the operators on Tensor."""

import numbers

import numpy as np

from tinycnn.tensor import Function, Tensor


def sum_to(device, gradient, shape):
    """The inverse of broadcasting: sum `gradient` over the axes along which `shape` was stretched."""
    if gradient.shape == shape:
        return gradient
    extra = len(gradient.shape) - len(shape)
    axes = tuple(range(extra)) + tuple(i + extra for i, n in enumerate(shape) if n == 1)
    return device.reduce("sum", gradient, axis=axes, keepdims=True).reshape(shape)


class Binary(Function):
    """An operation on two tensors whose shapes broadcast."""

    operation = None

    def forward(self, a, b):
        try:
            np.broadcast_shapes(a.shape, b.shape)
        except ValueError:
            raise ValueError(f"{self.operation}: shapes {a.shape} and {b.shape} do not broadcast") from None
        self.a, self.b = a, b
        self.y = self.device.elementwise(self.operation, a, b)
        return self.y

    def backward(self, dy):
        da = sum_to(self.device, self.gradient_a(dy), self.a.shape) if self.needs(0) else None
        db = sum_to(self.device, self.gradient_b(dy), self.b.shape) if self.needs(1) else None
        return da, db

    def of(self, operation, *arrays):
        return self.device.elementwise(operation, *arrays)


class Add(Binary):
    operation = "add"

    def gradient_a(self, dy):
        return dy

    def gradient_b(self, dy):
        return dy


class Subtract(Binary):
    operation = "subtract"

    def gradient_a(self, dy):
        return dy

    def gradient_b(self, dy):
        return self.of("negative", dy)


class Multiply(Binary):
    operation = "multiply"

    def gradient_a(self, dy):
        return self.of("multiply", dy, self.b)

    def gradient_b(self, dy):
        return self.of("multiply", dy, self.a)


class Divide(Binary):
    operation = "divide"

    def gradient_a(self, dy):
        return self.of("divide", dy, self.b)

    def gradient_b(self, dy):
        return self.of("negative", self.of("divide", self.of("multiply", dy, self.y), self.b))


class Power(Binary):
    """a ** b. Where a is 0, the gradient of a ** 0 to a is 0, and so is that to b: as in Keras and PyTorch."""

    operation = "power"

    def gradient_a(self, dy):
        # b - 1, but 0 where b is 0: 0 * 0 ** -1 would be NaN.
        exponent = self.of("add", self.of("subtract", self.b, 1.0), self.of("equal", self.b, 0.0))
        return self.of("multiply", dy, self.of("multiply", self.b, self.of("power", self.a, exponent)))

    def gradient_b(self, dy):
        # The logarithm of 1 where a is 0: 0 * log 0 would be NaN.
        logarithm = self.of("log", self.of("add", self.a, self.of("equal", self.a, 0.0)))
        return self.of("multiply", dy, self.of("multiply", self.y, logarithm))


class Unary(Function):
    """An elementwise operation whose gradient is known from its input x and its output y."""

    operation = None

    def forward(self, x):
        self.x = x
        self.y = self.device.elementwise(self.operation, x)
        return self.y


class Negative(Unary):
    operation = "negative"

    def backward(self, dy):
        return self.device.elementwise("negative", dy)


class Exp(Unary):
    operation = "exp"

    def backward(self, dy):
        return self.device.elementwise("multiply", dy, self.y)


class Log(Unary):
    operation = "log"

    def backward(self, dy):
        return self.device.elementwise("divide", dy, self.x)


class Sqrt(Unary):
    operation = "sqrt"

    def backward(self, dy):
        return self.device.elementwise("divide", self.device.elementwise("multiply", dy, 0.5), self.y)


class MatMul(Function):
    """(M, K) @ (K, N)."""

    def forward(self, a, b):
        if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[1] != b.shape[0]:
            raise ValueError(f"matmul: shapes {a.shape} and {b.shape} do not fit; it takes (M, K) @ (K, N)")
        self.a, self.b = a, b
        return self.device.matmul(a, b)

    def backward(self, dy):
        device = self.device
        da = device.matmul(dy, device.transpose(self.b, (1, 0))) if self.needs(0) else None
        db = device.matmul(device.transpose(self.a, (1, 0)), dy) if self.needs(1) else None
        return da, db


class Reduction(Function):
    """`axis` is None, an int or a tuple, as in NumPy."""

    operation = None

    def __init__(self, axis=None, keepdims=False):
        self.axis, self.keepdims = axis, keepdims

    def forward(self, x):
        self.x = x
        self.kept_shape = kept_shape(x.shape, self.axis)
        self.y = self.device.reduce(self.operation, x, axis=self.axis, keepdims=self.keepdims)
        return self.y


def kept_shape(shape, axis):
    """`shape` with every axis that is reduced set to 1."""
    if axis is None:
        return (1,) * len(shape)
    axes = {a % len(shape) for a in (axis if isinstance(axis, tuple) else (axis,))}
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


class Sum(Reduction):
    operation = "sum"

    def backward(self, dy):
        return self.device.elementwise("add", self.device.zeros(self.x.shape), dy.reshape(self.kept_shape))


class Max(Reduction):
    """Among equal maxima the gradient is shared equally."""

    operation = "max"

    def backward(self, dy):
        device = self.device
        mask = device.elementwise("equal", self.x, self.y.reshape(self.kept_shape))
        count = device.reduce("sum", mask, axis=self.axis, keepdims=True).reshape(self.kept_shape)
        return device.elementwise("multiply", mask, device.elementwise("divide", dy.reshape(self.kept_shape), count))


class Reshape(Function):
    def __init__(self, shape):
        self.shape = shape

    def forward(self, x):
        self.x_shape = x.shape
        return x.reshape(self.shape)

    def backward(self, dy):
        return dy.reshape(self.x_shape)


class Transpose(Function):
    def __init__(self, axes):
        self.axes = axes

    def forward(self, x):
        return self.device.transpose(x, self.axes)

    def backward(self, dy):
        return self.device.transpose(dy, tuple(np.argsort(self.axes)))


class Slice(Function):
    """x[index] for integers, slices and `...`."""

    def __init__(self, index):
        self.index = index

    def forward(self, x):
        self.x_shape = x.shape
        return self.device.copy(x[self.index])

    def backward(self, dy):
        dx = self.device.zeros(self.x_shape)
        dx[self.index] = dy
        return dx


def as_tensor(value, device):
    """A number or an array as a constant on `device`; a Tensor as it is."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (numbers.Real, np.ndarray, list, tuple)):
        return Tensor(value, device=device)
    raise TypeError(f"a tensor cannot be combined with {type(value).__name__}; use numbers, arrays or tensors")


def _operator(function):
    def method(self, other):
        return function()(self, as_tensor(other, self.device))

    def reflected(self, other):
        return function()(as_tensor(other, self.device), self)

    return method, reflected


def _getitem(self, index):
    for part in index if isinstance(index, tuple) else (index,):
        if not isinstance(part, (int, np.integer, slice, type(Ellipsis))):
            raise TypeError(f"a tensor is indexed by integers, slices and '...', not by {type(part).__name__}")
    return Slice(index)(self)


def _mean(self, axis=None, keepdims=False):
    """The mean over `axis`."""
    total = Sum(axis, keepdims)(self)
    return total * (total.size / self.size)


def _reshape(self, *shape):
    """The same elements in row-major order in another shape; one extent may be -1."""
    shape = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    return Reshape(tuple(shape))(self)


def _transpose(self, *axes):
    """The axes in another order; reversed if none is given."""
    return Transpose(axes or tuple(reversed(range(self.ndim))))(self)


Tensor.__add__, Tensor.__radd__ = _operator(Add)
Tensor.__sub__, Tensor.__rsub__ = _operator(Subtract)
Tensor.__mul__, Tensor.__rmul__ = _operator(Multiply)
Tensor.__truediv__, Tensor.__rtruediv__ = _operator(Divide)
Tensor.__pow__, Tensor.__rpow__ = _operator(Power)
Tensor.__matmul__, Tensor.__rmatmul__ = _operator(MatMul)
Tensor.__array_ufunc__ = None  # so that `ndarray * tensor` comes here and is a tensor
Tensor.__neg__ = lambda self: Negative()(self)
Tensor.__getitem__ = _getitem
Tensor.exp = lambda self: Exp()(self)
Tensor.log = lambda self: Log()(self)
Tensor.sqrt = lambda self: Sqrt()(self)
Tensor.sum = lambda self, axis=None, keepdims=False: Sum(axis, keepdims)(self)
Tensor.max = lambda self, axis=None, keepdims=False: Max(axis, keepdims)(self)
Tensor.mean = _mean
Tensor.reshape = _reshape
Tensor.transpose = _transpose
Tensor.T = property(_transpose)
