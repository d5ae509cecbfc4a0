"""Arithmetic on tensors, number by number, with broadcasting. See elementwise.cu."""

from numba import cuda
from tinycnn.kernels.numba.common import device_template, exp, log, sqrt, template


@device_template
def combine(T):
    """a (operation) b: + - * / power equal greater keep."""

    def combine(operation, a, b):
        if operation == 0:
            return a + b
        if operation == 1:
            return a - b
        if operation == 2:
            return a * b
        if operation == 3:
            return a / b
        if operation == 4:
            return a**b
        if operation == 5:
            return T(1) if a == b else T(0)
        if operation == 6:
            return T(1) if a > b else T(0)
        return a if b != 0 else T(0)  # unlike a * b, also where a is infinite

    return combine


@cuda.jit(device=True)
def apply(operation, a):
    """operation(a): negative exp log sqrt."""
    if operation == 0:
        return -a
    if operation == 1:
        return exp(a)
    if operation == 2:
        return log(a)
    return sqrt(a)


@template
def binary(T):
    """y[place] = operation(a[place], b[place]), the operands stretched to y's shape, (n0, n1, n2, n3).

    y: total = n0 * n1 * n2 * n3 numbers from y_first on; a and b step through memory by a0..a3 and b0..b3 from a_first
    and b_first on. One number a thread; no shared memory.
    """
    combine_T = combine(T)

    def binary(
        operation, a, b, y, total, n1, n2, n3, a0, a1, a2, a3, b0, b1, b2, b3, a_first, b_first, y_first
    ):  # fmt: skip
        i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if i >= total:
            return
        i3, rest = i % n3, i // n3
        i2, rest = rest % n2, rest // n2
        i1, i0 = rest % n1, rest // n1
        left = a[a_first + i0 * a0 + i1 * a1 + i2 * a2 + i3 * a3]
        right = b[b_first + i0 * b0 + i1 * b1 + i2 * b2 + i3 * b3]
        y[y_first + i] = combine_T(operation, left, right)

    return binary


@template
def binary_flat(T):
    """y = operation(a, b), where both have y's shape.

    a, b, y: (total,). One number a thread; no shared memory.
    """
    combine_T = combine(T)

    def binary_flat(operation, a, b, y, total):
        i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if i < total:
            y[i] = combine_T(operation, a[i], b[i])

    return binary_flat


@template
def binary_number(T):
    """y = operation(a, number), or operation(number, a) where number_first says so.

    a, y: (total,); number: T. One number a thread; no shared memory.
    """
    combine_T = combine(T)

    def binary_number(operation, a, number, y, total, number_first):
        i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if i < total:
            y[i] = combine_T(operation, number, a[i]) if number_first else combine_T(operation, a[i], number)

    return binary_number


@template
def unary(T):
    """y = operation(a).

    a, y: (total,). One number a thread; no shared memory.
    """

    def unary(operation, a, y, total):
        i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if i < total:
            y[i] = apply(operation, a[i])

    return unary
