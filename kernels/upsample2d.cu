// Images made larger: every pixel becomes R x S equal ones. And the way back, which adds up what came of a pixel.
//
//     forward:   for n, p, q, c:  y[n][p][q][c] = x[n][p / R][q / S][c]
//     backward:  for n, h, v, c:  dx[n][h][v][c] = sum over r < R, s < S of dy[n][h*R + r][v*S + s][c]
//
// x (N,H,W,C), y (N,H*R,W*S,C). The same as plain loops: tinycnn/devices/reference/upsample2d.py.
//
// A thread computes WIDTH neighbouring channels of one pixel of what is written (4 where C is a multiple of 4, as 16-byte
// accesses); neighbouring threads take neighbouring channels, then pixels. On the way there R x S threads read the same
// pixel, which the caches keep: spread over x instead, the threads would write in strides. grid: (blocks over one image
// of what is written, at most N: each block takes every gridDim.y-th image). No shared memory.
#include "common.cuh"

template <typename T, int WIDTH>
__global__ void upsample2d_forward(
    const T* __restrict__ x, T* __restrict__ y, int N, int H, int W, int C, int R, int S) {
    const int P = H * R, Q = W * S;
    const int per_pixel = C / WIDTH, i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= P * Q * per_pixel) return;
    const int c = i % per_pixel * WIDTH, q = i / per_pixel % Q, p = i / per_pixel / Q;
    for (int n = blockIdx.y; n < N; n += gridDim.y) {
        T value[WIDTH];
        load(value, x + (((long long)n * H + p / R) * W + q / S) * C + c);
        store(y + (((long long)n * P + p) * Q + q) * C + c, value);
    }
}

template <typename T, int WIDTH>
__global__ void upsample2d_backward(
    const T* __restrict__ dy, T* __restrict__ dx, int N, int H, int W, int C, int R, int S) {
    const int P = H * R, Q = W * S;
    const int per_pixel = C / WIDTH, i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= H * W * per_pixel) return;
    const int c = i % per_pixel * WIDTH, v = i / per_pixel % W, h = i / per_pixel / W;
    for (int n = blockIdx.y; n < N; n += gridDim.y) {
        T sum[WIDTH] = {};
        for (int r = 0; r < R; r++)
            for (int s = 0; s < S; s++) {
                T d[WIDTH];
                load(d, dy + (((long long)n * P + h * R + r) * Q + v * S + s) * C + c);
#pragma unroll
                for (int j = 0; j < WIDTH; j++) sum[j] += d[j];
            }
        store(dx + (((long long)n * H + h) * W + v) * C + c, sum);
    }
}
