"""Global pooling: the mean, or the maximum, of each channel over all pixels of an image. See globalpool2d.cu."""
# ruff: noqa: E741  (l is the C file's name)

import math

from numba import cuda
from tinycnn.kernels.numba.common import template


@cuda.jit(device=True)
def larger(a, b):
    return a if a > b or a != a else b


@cuda.jit(device=True)
def plus(a, b):
    return a + b


@cuda.jit(device=True)
def same(a, b):
    return a == b or (a != a and b != b)


def join_rows(join):
    """What the threads of each column have, joined: known to all of them. Every thread of the block must take part."""

    def join_rows(value, values):
        place = cuda.threadIdx.y * cuda.blockDim.x + cuda.threadIdx.x
        values[place] = value
        left = cuda.blockDim.y
        while left > 1:
            half = (left + 1) // 2
            cuda.syncthreads()
            if cuda.threadIdx.y < left - half:
                values[place] = join(values[place], values[place + half * cuda.blockDim.x])
            left = half
        cuda.syncthreads()
        return values[cuda.threadIdx.x]

    return cuda.jit(device=True)(join_rows)


sum_rows, largest_row = join_rows(plus), join_rows(larger)


@template
def globalavgpool2d_forward(T):
    """y[n][c] = the mean over l of x[n][l][c].

    x (N, pixels, C), y (N, C). grid: N * column_blocks. A block has one image and blockDim.x channels; thread (column,
    row) walks down every blockDim.y-th pixel. Shared memory (dynamic): one number a thread.
    """

    def globalavgpool2d_forward(x, y, pixels, C, column_blocks):
        values = cuda.shared.array(0, T)
        n = cuda.blockIdx.x // column_blocks
        c = cuda.blockIdx.x % column_blocks * cuda.blockDim.x + cuda.threadIdx.x
        sum = T(0)
        if c < C:
            for l in range(cuda.threadIdx.y, pixels, cuda.blockDim.y):
                sum += x[(n * pixels + l) * C + c]
        sum = sum_rows(sum, values)
        if c < C and cuda.threadIdx.y == 0:
            y[n * C + c] = sum / T(pixels)

    return globalavgpool2d_forward


@template
def globalavgpool2d_backward(T):
    """dx[n][l][c] = dy[n][c] / pixels.

    dy (N, C), dx (total,), which is (N, pixels, C). One number a thread; no shared memory.
    """

    def globalavgpool2d_backward(dy, dx, total, pixels, C):
        i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if i < total:
            dx[i] = dy[i // C // pixels * C + i % C] / T(pixels)

    return globalavgpool2d_backward


@template
def globalmaxpool2d_forward(T):
    """y[n][c] = the maximum over l of x[n][l][c].

    x (N, pixels, C), y (N, C). Threads and shared memory (dynamic) as in globalavgpool2d_forward.
    """

    def globalmaxpool2d_forward(x, y, pixels, C, column_blocks):
        values = cuda.shared.array(0, T)
        n = cuda.blockIdx.x // column_blocks
        c = cuda.blockIdx.x % column_blocks * cuda.blockDim.x + cuda.threadIdx.x
        best = T(-math.inf)
        if c < C:
            for l in range(cuda.threadIdx.y, pixels, cuda.blockDim.y):
                best = larger(best, x[(n * pixels + l) * C + c])
        best = largest_row(best, values)
        if c < C and cuda.threadIdx.y == 0:
            y[n * C + c] = best

    return globalmaxpool2d_forward


@template
def globalmaxpool2d_backward(T):
    """dx[n][l][c] = dy[n][c] / ties where x[n][l][c] is the maximum y[n][c], which so many pixels have; else 0.

    x, dx (N, pixels, C), dy, y (N, C). Threads and shared memory (dynamic) as in globalavgpool2d_forward.
    """

    def globalmaxpool2d_backward(dy, x, y, dx, pixels, C, column_blocks):
        values = cuda.shared.array(0, T)
        n = cuda.blockIdx.x // column_blocks
        c = cuda.blockIdx.x % column_blocks * cuda.blockDim.x + cuda.threadIdx.x
        best = y[n * C + c] if c < C else T(0)
        ties = T(0)
        if c < C:
            for l in range(cuda.threadIdx.y, pixels, cuda.blockDim.y):
                ties += T(1) if same(x[(n * pixels + l) * C + c], best) else T(0)
        ties = sum_rows(ties, values)
        if c < C:
            share = dy[n * C + c] / ties
            for l in range(cuda.threadIdx.y, pixels, cuda.blockDim.y):
                i = (n * pixels + l) * C + c
                dx[i] = share if same(x[i], best) else T(0)

    return globalmaxpool2d_backward
