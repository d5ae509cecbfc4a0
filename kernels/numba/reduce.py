"""Sums and maxima over one axis, in an order that depends on the shape alone. See reduce.cu."""
# ruff: noqa: E741  (l is the C file's name)

import math

from numba import cuda
from tinycnn.kernels.numba.common import template


@cuda.jit(device=True)
def joined(operation, a, b):
    """One step of the reduction. Both answer NaN once they have met one."""
    if operation == 0:
        return a + b
    return a if a > b or a != a else b


@template
def reduce(T):
    """y[o][slice][i] = the sum (operation 0) or maximum (1) over the slice's l of x[o][l][i].

    x (outer, L, inner), y (outer, slices, inner). grid: (outer * column_blocks, slices). threadIdx.x is a column i,
    threadIdx.y takes every blockDim.y-th l of the slice. Shared memory (dynamic): one number a thread.
    """

    def reduce(operation, x, y, L, inner, slice_length, column_blocks):
        values = cuda.shared.array(0, T)
        outer = cuda.blockIdx.x // column_blocks
        column = cuda.blockIdx.x % column_blocks * cuda.blockDim.x + cuda.threadIdx.x
        first = cuda.blockIdx.y * slice_length
        last = min(first + slice_length, L)
        place = cuda.threadIdx.y * cuda.blockDim.x + cuda.threadIdx.x

        value = T(0) if operation == 0 else T(-math.inf)
        if column < inner:
            for l in range(first + cuda.threadIdx.y, last, cuda.blockDim.y):
                value = joined(operation, value, x[(outer * L + l) * inner + column])
        values[place] = value

        left = cuda.blockDim.y
        while left > 1:
            half = (left + 1) // 2
            cuda.syncthreads()
            if cuda.threadIdx.y < left - half:
                values[place] = joined(operation, values[place], values[place + half * cuda.blockDim.x])
            left = half
        if cuda.threadIdx.y == 0 and column < inner:
            y[(outer * cuda.gridDim.y + cuda.blockIdx.y) * inner + column] = values[place]

    return reduce
