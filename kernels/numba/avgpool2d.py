"""Average pooling. See avgpool2d.cu."""

from numba import cuda
from tinycnn.kernels.numba.common import template, windows_over


@cuda.jit(device=True)
def inside(first, window, size):
    """How many of the `window` places from `first` on lie in an image with `size` of them."""
    return min(window, size - first) - max(0, -first)


@template
def avgpool2d_forward(T, WIDTH):
    """y[n][p][q][c] = the mean of the pixels under the window that lie in the image.

    x (N,H,W,C), y (N,P,Q,C). A thread has WIDTH neighbouring channels of an output, one after the other (C++ loads them
    as one); block.y takes every gridDim.y-th image. No shared memory.
    """

    def avgpool2d_forward(x, y, N, H, W, C, R, S, P, Q, stride_h, stride_w, top, left):
        per_pixel, i = C // WIDTH, cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if i >= P * Q * per_pixel:
            return
        c, q, p = i % per_pixel * WIDTH, i // per_pixel % Q, i // per_pixel // Q
        h0, v0 = p * stride_h - top, q * stride_w - left
        count = T(inside(h0, R, H) * inside(v0, S, W))
        for n in range(cuda.blockIdx.y, N, cuda.gridDim.y):
            for j in range(WIDTH):
                sum = T(0)
                for r in range(max(0, -h0), min(R, H - h0)):
                    for s in range(max(0, -v0), min(S, W - v0)):
                        sum += x[((n * H + h0 + r) * W + v0 + s) * C + c + j]
                y[((n * P + p) * Q + q) * C + c + j] = sum / count

    return avgpool2d_forward


@template
def avgpool2d_backward(T, WIDTH):
    """dx[n][h][v][c] = the sum over the windows on this pixel of dy / how many pixels each has.

    dy (N,P,Q,C), dx (N,H,W,C). A thread has WIDTH neighbouring channels of one pixel and asks every window over it;
    block.y takes every gridDim.y-th image. No shared memory.
    """

    def avgpool2d_backward(dy, dx, N, H, W, C, R, S, P, Q, stride_h, stride_w, top, left):
        per_pixel, i = C // WIDTH, cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if i >= H * W * per_pixel:
            return
        c, v, h = i % per_pixel * WIDTH, i // per_pixel % W, i // per_pixel // W
        p_first, p_last = windows_over(h + top, R, stride_h, P)
        q_first, q_last = windows_over(v + left, S, stride_w, Q)
        for n in range(cuda.blockIdx.y, N, cuda.gridDim.y):
            for j in range(WIDTH):
                sum = T(0)
                for p in range(p_first, p_last + 1):
                    for q in range(q_first, q_last + 1):
                        count = inside(p * stride_h - top, R, H) * inside(q * stride_w - left, S, W)
                        sum += dy[((n * P + p) * Q + q) * C + c + j] / T(count)
                dx[((n * H + h) * W + v) * C + c + j] = sum

    return avgpool2d_backward
