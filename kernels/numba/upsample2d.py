"""Images made larger, and the way back, which adds up what came of a pixel. See upsample2d.cu."""

from numba import cuda
from tinycnn.kernels.numba.common import template


@template
def upsample2d_forward(T, WIDTH):
    """y[n][p][q][c] = x[n][p / R][q / S][c].

    x (N,H,W,C), y (N,H*R,W*S,C). A thread has WIDTH neighbouring channels of a pixel of y, one after the other (C++
    moves them as one); block.y takes every gridDim.y-th image. No shared memory.
    """

    def upsample2d_forward(x, y, N, H, W, C, R, S):
        P, Q = H * R, W * S
        per_pixel, i = C // WIDTH, cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if i >= P * Q * per_pixel:
            return
        c, q, p = i % per_pixel * WIDTH, i // per_pixel % Q, i // per_pixel // Q
        for n in range(cuda.blockIdx.y, N, cuda.gridDim.y):
            for j in range(WIDTH):
                y[((n * P + p) * Q + q) * C + c + j] = x[((n * H + p // R) * W + q // S) * C + c + j]

    return upsample2d_forward


@template
def upsample2d_backward(T, WIDTH):
    """dx[n][h][v][c] = the sum of dy over the R x S pixels that x[n][h][v][c] became.

    dy (N,H*R,W*S,C), dx (N,H,W,C). A thread has WIDTH neighbouring channels of a pixel of dx; block.y takes every
    gridDim.y-th image. No shared memory.
    """

    def upsample2d_backward(dy, dx, N, H, W, C, R, S):
        P, Q = H * R, W * S
        per_pixel, i = C // WIDTH, cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if i >= H * W * per_pixel:
            return
        c, v, h = i % per_pixel * WIDTH, i // per_pixel % W, i // per_pixel // W
        for n in range(cuda.blockIdx.y, N, cuda.gridDim.y):
            for j in range(WIDTH):
                sum = T(0)
                for r in range(R):
                    for s in range(S):
                        sum += dy[((n * P + h * R + r) * Q + v * S + s) * C + c + j]
                dx[((n * H + h) * W + v) * C + c + j] = sum

    return upsample2d_backward
