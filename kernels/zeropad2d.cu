// Zeros around images; and the way back, which cuts them off again.
//
//     for n, p, q, c:  y[n][p][q][c] = x[n][p - top][q - left][c] where that is a pixel of x, else 0
//
// x (N,H,W,C), y (N,P,Q,C). Forward P = top + H + bottom, Q = left + W + right. Backward x is dy and y is dx, with -top
// and -left: every pixel asked for is there. The same as plain loops: tinycnn/devices/reference/zeropad2d.py.
//
// A thread computes WIDTH neighbouring channels of one pixel of y (4 where C is a multiple of 4, as 16-byte accesses);
// neighbouring threads take neighbouring channels, then pixels. grid: (blocks over one image of y, at most N: each block
// takes every gridDim.y-th image). No shared memory.
#include "common.cuh"

template <typename T, int WIDTH>
__global__ void zeropad2d(
    const T* __restrict__ x, T* __restrict__ y, int N, int H, int W, int C, int P, int Q, int top, int left) {
    const int per_pixel = C / WIDTH, i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= P * Q * per_pixel) return;
    const int c = i % per_pixel * WIDTH, q = i / per_pixel % Q, p = i / per_pixel / Q;
    const int h = p - top, v = q - left;
    const bool inside = h >= 0 && h < H && v >= 0 && v < W;
    for (int n = blockIdx.y; n < N; n += gridDim.y) {
        T value[WIDTH] = {};
        if (inside) load(value, x + (((long long)n * H + h) * W + v) * C + c);
        store(y + (((long long)n * P + p) * Q + q) * C + c, value);
    }
}
