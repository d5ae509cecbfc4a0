"""Max pooling: the largest number of every window, and where it was. See maxpool2d.cu."""

import math

import numpy as np
from numba import cuda
from tinycnn.kernels.numba.common import template, windows_over


@template
def maxpool2d_forward(T, Index, WIDTH):
    """y = the maximum of every window, argmax = r * S + s of it, the first one of several.

    x (N,H,W,C), y and argmax (N,P,Q,C), the latter of Index: bytes, or ints where a window has more than 256 places.
    grid: (blocks over one image's outputs, N). A thread has WIDTH neighbouring channels of one output of every
    gridDim.y-th image; no shared memory. C++ moves WIDTH = 4 as one access.
    """

    def maxpool2d_forward(x, y, argmax, N, H, W, C, R, S, P, Q, stride_h, stride_w, top, left):
        per_pixel, i = C // WIDTH, cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if i >= P * Q * per_pixel:
            return
        c, q, p = i % per_pixel * WIDTH, i // per_pixel % Q, i // per_pixel // Q
        h0, v0 = p * stride_h - top, q * stride_w - left
        best = cuda.local.array(WIDTH, T)
        where = cuda.local.array(WIDTH, np.int32)
        for n in range(cuda.blockIdx.y, N, cuda.gridDim.y):
            first = True
            for j in range(WIDTH):
                best[j], where[j] = T(-math.inf), 0
            for r in range(max(0, -h0), min(R, H - h0)):
                for s in range(max(0, -v0), min(S, W - v0)):
                    at = ((n * H + h0 + r) * W + v0 + s) * C + c
                    for j in range(WIDTH):
                        value = x[at + j]
                        # A NaN is larger than any number and stays: a network that has diverged must show it.
                        larger = value > best[j] or (value != value and best[j] == best[j])
                        if first or larger:
                            best[j], where[j] = value, r * S + s
                    first = False
            to = ((n * P + p) * Q + q) * C + c
            for j in range(WIDTH):
                y[to + j], argmax[to + j] = best[j], Index(where[j])

    return maxpool2d_forward


@template
def maxpool2d_backward(T, Index, WIDTH):
    """dx = the sum of dy over the windows whose argmax is this pixel.

    dy, argmax (N,P,Q,C), the latter of Index; dx (N,H,W,C). grid: (blocks over one image's pixels, N). A thread has
    WIDTH neighbouring channels of one pixel of every gridDim.y-th image; no shared memory. C++ moves WIDTH = 4 as one
    access.
    """

    def maxpool2d_backward(dy, argmax, dx, N, H, W, C, R, S, P, Q, stride_h, stride_w, top, left):
        per_pixel, i = C // WIDTH, cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if i >= H * W * per_pixel:
            return
        c, v, h = i % per_pixel * WIDTH, i // per_pixel % W, i // per_pixel // W
        p_first, p_last = windows_over(h + top, R, stride_h, P)
        q_first, q_last = windows_over(v + left, S, stride_w, Q)
        sum = cuda.local.array(WIDTH, T)
        for n in range(cuda.blockIdx.y, N, cuda.gridDim.y):
            for j in range(WIDTH):
                sum[j] = T(0)
            for p in range(p_first, p_last + 1):
                for q in range(q_first, q_last + 1):
                    here = (h + top - p * stride_h) * S + v + left - q * stride_w
                    at = ((n * P + p) * Q + q) * C + c
                    for j in range(WIDTH):
                        if argmax[at + j] == here:
                            sum[j] += dy[at + j]
            to = ((n * H + h) * W + v) * C + c
            for j in range(WIDTH):
                dx[to + j] = sum[j]

    return maxpool2d_backward
