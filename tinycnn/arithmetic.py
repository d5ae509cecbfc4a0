"""The arithmetic of tensors: + - * / ** @, sums, maxima, shapes. Importing it puts the operators on Tensor."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

from tinycnn.devices.base import Array, Device
from tinycnn.tensor import Tensor, device_of, output_of

Axis = int | tuple[int, ...] | None

# ---------------------------------------------------------------- two operands


def binary(operation: str, a: Tensor, b: Tensor, gradient_a: Callable, gradient_b: Callable) -> Tensor:
    """An operation on two tensors whose shapes broadcast. gradient_a, gradient_b: (dy, y) -> before broadcasting.

    Raises ValueError for shapes that do not.
    """
    device = device_of(operation, a, b)
    y = broadcast(operation, a, b)

    def backward(dy: Array) -> tuple:
        da = sum_to(device, gradient_a(dy, y), a.shape) if a.requires_grad else None
        db = sum_to(device, gradient_b(dy, y), b.shape) if b.requires_grad else None
        return da, db

    return output_of(operation, (a, b), y, backward)


def broadcast(operation: str, a: Tensor, b: Tensor) -> Array:
    """An operation of the device on two tensors, number by number. Raises ValueError for shapes that do not fit."""
    try:
        np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        raise ValueError(f"{operation}: shapes {a.shape} and {b.shape} do not broadcast") from None
    return device_of(operation, a, b).elementwise(operation, a.data, b.data)


def sum_to(device: Device, gradient: Array, shape: tuple[int, ...]) -> Array:
    """The inverse of broadcasting: sum `gradient` over the axes along which `shape` was stretched."""
    if gradient.shape == shape:
        return gradient
    extra = len(gradient.shape) - len(shape)
    axes = tuple(range(extra)) + tuple(i + extra for i, n in enumerate(shape) if n == 1)
    return device.reduce("sum", gradient, axis=axes, keepdims=True).reshape(shape)


def add(a: Tensor, b: Tensor) -> Tensor:
    return binary("add", a, b, lambda dy, y: dy, lambda dy, y: dy)


def subtract(a: Tensor, b: Tensor) -> Tensor:
    of = a.device.elementwise
    return binary("subtract", a, b, lambda dy, y: dy, lambda dy, y: of("negative", dy))


def multiply(a: Tensor, b: Tensor) -> Tensor:
    of = a.device.elementwise
    return binary(
        "multiply", a, b, lambda dy, y: of("multiply", dy, b.data), lambda dy, y: of("multiply", dy, a.data)
    )  # fmt: skip


def divide(a: Tensor, b: Tensor) -> Tensor:
    of = a.device.elementwise

    def gradient_b(dy: Array, y: Array) -> Array:
        return of("negative", of("divide", of("multiply", dy, y), b.data))

    return binary("divide", a, b, lambda dy, y: of("divide", dy, b.data), gradient_b)


def power(a: Tensor, b: Tensor) -> Tensor:
    """a ** b. Where a is 0, the gradient of a ** 0 to a is 0, and so is that to b: as in Keras and PyTorch."""
    of = a.device.elementwise

    def gradient_a(dy: Array, y: Array) -> Array:
        # b - 1, but 0 where b is 0: 0 * 0 ** -1 would be NaN.
        exponent = of("add", of("subtract", b.data, 1.0), of("equal", b.data, 0.0))
        return of("multiply", dy, of("multiply", b.data, of("power", a.data, exponent)))

    def gradient_b(dy: Array, y: Array) -> Array:
        # The logarithm of 1 where a is 0: 0 * log 0 would be NaN.
        logarithm = of("log", of("add", a.data, of("equal", a.data, 0.0)))
        return of("multiply", dy, of("multiply", y, logarithm))

    return binary("power", a, b, gradient_a, gradient_b)


def keep(a: Tensor, mask: Tensor) -> Tensor:
    """a where the mask is not 0, else 0, also where a is infinite or NaN. No gradient flows to the mask."""
    of = a.device.elementwise
    return output_of(
        "keep", (a,), broadcast("keep", a, mask), lambda dy: (sum_to(a.device, of("keep", dy, mask.data), a.shape),)
    )  # fmt: skip


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """(M, K) @ (K, N). Raises ValueError for other shapes."""
    device = device_of("matmul", a, b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"matmul: shapes {a.shape} and {b.shape} do not fit; it takes (M, K) @ (K, N)")

    def backward(dy: Array) -> tuple:
        da = device.matmul(dy, device.transpose(b.data, (1, 0))) if a.requires_grad else None
        db = device.matmul(device.transpose(a.data, (1, 0)), dy) if b.requires_grad else None
        return da, db

    return output_of("matmul", (a, b), device.matmul(a.data, b.data), backward)


# ---------------------------------------------------------------- comparisons: 1 or 0, and no gradient flows


def compared(operation: str, a: Tensor, b: Tensor) -> Tensor:
    """1 where a is 'equal' to b, or 'greater', else 0. Raises ValueError for shapes that do not broadcast."""
    return Tensor.wrap(broadcast(operation, a, b), a.device)


def greater(a: Tensor, b: Tensor) -> Tensor:
    return compared("greater", a, b)


def less(a: Tensor, b: Tensor) -> Tensor:
    return compared("greater", b, a)


def greater_equal(a: Tensor, b: Tensor) -> Tensor:
    return add(compared("greater", a, b), compared("equal", a, b))


def less_equal(a: Tensor, b: Tensor) -> Tensor:
    return greater_equal(b, a)


# ---------------------------------------------------------------- one operand


def unary(operation: str, x: Tensor, gradient: Callable) -> Tensor:
    """An elementwise operation. gradient: (dy, y) -> dx."""
    y = x.device.elementwise(operation, x.data)
    return output_of(operation, (x,), y, lambda dy: (gradient(dy, y),))


def negative(x: Tensor) -> Tensor:
    return unary("negative", x, lambda dy, y: x.device.elementwise("negative", dy))


def exp(x: Tensor) -> Tensor:
    return unary("exp", x, lambda dy, y: x.device.elementwise("multiply", dy, y))


def log(x: Tensor) -> Tensor:
    return unary("log", x, lambda dy, y: x.device.elementwise("divide", dy, x.data))


def sqrt(x: Tensor) -> Tensor:
    of = x.device.elementwise
    return unary("sqrt", x, lambda dy, y: of("divide", of("multiply", dy, 0.5), y))


# ---------------------------------------------------------------- reductions: `axis` is None, an int or a tuple


def sum(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    device, kept = x.device, kept_shape(x.shape, axis)
    y = device.reduce("sum", x.data, axis=axis, keepdims=keepdims)

    def backward(dy: Array) -> tuple:
        return (device.elementwise("add", device.zeros(x.shape), dy.reshape(kept)),)

    return output_of("sum", (x,), y, backward)


def max(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Among equal maxima the gradient is shared equally."""
    device, kept = x.device, kept_shape(x.shape, axis)
    y = device.reduce("max", x.data, axis=axis, keepdims=keepdims)

    def backward(dy: Array) -> tuple:
        mask = device.elementwise("equal", x.data, y.reshape(kept))
        count = device.reduce("sum", mask, axis=axis, keepdims=True).reshape(kept)
        return (device.elementwise("multiply", mask, device.elementwise("divide", dy.reshape(kept), count)),)

    return output_of("max", (x,), y, backward)


def mean(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    total = sum(x, axis, keepdims)
    return multiply(total, as_tensor(total.size / x.size, x.device))


def kept_shape(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """`shape` with every axis that is reduced set to 1."""
    if axis is None:
        return (1,) * len(shape)
    axes = {a % len(shape) for a in (axis if isinstance(axis, tuple) else (axis,))}
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


# ---------------------------------------------------------------- shapes


def reshape(x: Tensor, *shape: Any) -> Tensor:
    """The same elements in row-major order in another shape; one extent may be -1."""
    wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    return output_of("reshape", (x,), x.data.reshape(tuple(wanted)), lambda dy: (dy.reshape(x.shape),))


def transpose(x: Tensor, *axes: int) -> Tensor:
    """The axes in another order; reversed if none is given."""
    device, order = x.device, axes or tuple(reversed(range(x.ndim)))
    inverse = tuple(int(i) for i in np.argsort(order))
    y = device.transpose(x.data, order)
    return output_of("transpose", (x,), y, lambda dy: (device.transpose(dy, inverse),))


def getitem(x: Tensor, index: Any) -> Tensor:
    """x[index] for integers, slices and `...`: a copy. Raises TypeError for what else NumPy takes."""
    for part in index if isinstance(index, tuple) else (index,):
        if not isinstance(part, (int, np.integer, slice, type(Ellipsis))):
            raise TypeError(f"a tensor is indexed by integers, slices and '...', not by {type(part).__name__}")
    device = x.device
    y = device.part(x.data, index)
    return output_of("getitem", (x,), y, lambda dy: (device.embed(dy, x.shape, index),))


# ---------------------------------------------------------------- the operators of Tensor


def as_tensor(value: Any, device: Device) -> Tensor:
    """A number or an array as a constant on `device`; a Tensor as it is. Raises TypeError for anything else."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (numbers.Real, np.ndarray, list, tuple)):
        return Tensor(value, device=device)
    raise TypeError(f"a tensor cannot be combined with {type(value).__name__}; use numbers, arrays or tensors")


def _operator(operation: Callable) -> tuple[Callable, Callable]:
    def method(self: Tensor, other: Any) -> Tensor:
        return operation(self, as_tensor(other, self.device))

    def reflected(self: Tensor, other: Any) -> Tensor:
        return operation(as_tensor(other, self.device), self)

    return method, reflected


OPERATORS = {"add": add, "sub": subtract, "mul": multiply, "truediv": divide, "pow": power, "matmul": matmul}
METHODS = {
    "__neg__": negative, "__getitem__": getitem, "exp": exp, "log": log, "sqrt": sqrt, "sum": sum, "max": max,
    "mean": mean, "reshape": reshape, "transpose": transpose, "T": property(transpose),
    "__array_ufunc__": None,  # so that `ndarray * tensor` comes here and is a tensor
}  # fmt: skip

for name, operation in OPERATORS.items():
    METHODS[f"__{name}__"], METHODS[f"__r{name}__"] = _operator(operation)
for name, operation in {"gt": greater, "lt": less, "ge": greater_equal, "le": less_equal}.items():
    METHODS[f"__{name}__"], _ = _operator(operation)
for name, method in METHODS.items():
    setattr(Tensor, name, method)
