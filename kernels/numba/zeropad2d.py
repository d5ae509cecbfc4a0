"""Zeros around images; and the way back, which cuts them off again. See zeropad2d.cu."""

from numba import cuda
from tinycnn.kernels.numba.common import template


@template
def zeropad2d(T, WIDTH):
    """y[n][p][q][c] = x[n][p - top][q - left][c] where that is a pixel of x, else 0.

    x (N,H,W,C), y (N,P,Q,C). A thread has WIDTH neighbouring channels of a pixel of y, one after the other (C++ moves
    them as one); block.y takes every gridDim.y-th image. No shared memory.
    """

    def zeropad2d(x, y, N, H, W, C, P, Q, top, left):
        per_pixel, i = C // WIDTH, cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if i >= P * Q * per_pixel:
            return
        c, q, p = i % per_pixel * WIDTH, i // per_pixel % Q, i // per_pixel // Q
        h, v = p - top, q - left
        inside = h >= 0 and h < H and v >= 0 and v < W
        for n in range(cuda.blockIdx.y, N, cuda.gridDim.y):
            for j in range(WIDTH):
                value = x[((n * H + h) * W + v) * C + c + j] if inside else T(0)
                y[((n * P + p) * Q + q) * C + c + j] = value

    return zeropad2d
