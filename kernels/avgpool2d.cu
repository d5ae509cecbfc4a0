// Average pooling: the mean of the pixels under every window. Pixels outside the image are not looked at, and do not
// count.
//
//     forward:   for n, p, q, c:  y[n][p][q][c] = mean over r, s of x[n][p*stride + r - top][q*stride + s - left][c]
//     backward:  for n, h, v, c:  dx[n][h][v][c] = sum over the windows on this pixel of dy / how many pixels each has
//
// x (N,H,W,C), y (N,P,Q,C), window R x S. The same as plain loops: tinycnn/devices/reference/avgpool2d.py.
//
// A thread computes WIDTH neighbouring channels of one output (4 where C is a multiple of 4, as 16-byte accesses), and on
// the way back of one pixel: it gathers from every window on it, so that no two threads add to one number. Neighbouring
// threads take neighbouring channels, then pixels. grid: (blocks over one image, at most N: each block takes every
// gridDim.y-th image). No shared memory.
#include "common.cuh"

// How many of the `window` places from `first` on lie in an image with `size` of them.
__device__ __forceinline__ int inside(int first, int window, int size) {
    return least(window, size - first) - most(0, -first);
}

template <typename T, int WIDTH>
__global__ void avgpool2d_forward(
    const T* __restrict__ x, T* __restrict__ y, int N, int H, int W, int C, int R, int S, int P, int Q, int stride_h,
    int stride_w, int top, int left) {
    const int per_pixel = C / WIDTH, i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= P * Q * per_pixel) return;
    const int c = i % per_pixel * WIDTH, q = i / per_pixel % Q, p = i / per_pixel / Q;
    const int h0 = p * stride_h - top, v0 = q * stride_w - left;
    const int count = inside(h0, R, H) * inside(v0, S, W);
    for (int n = blockIdx.y; n < N; n += gridDim.y) {
        T sum[WIDTH] = {};
        for (int r = most(0, -h0); r < least(R, H - h0); r++)
            for (int s = most(0, -v0); s < least(S, W - v0); s++) {
                T value[WIDTH];
                load(value, x + (((long long)n * H + h0 + r) * W + v0 + s) * C + c);
#pragma unroll
                for (int j = 0; j < WIDTH; j++) sum[j] += value[j];
            }
#pragma unroll
        for (int j = 0; j < WIDTH; j++) sum[j] /= count;
        store(y + (((long long)n * P + p) * Q + q) * C + c, sum);
    }
}

template <typename T, int WIDTH>
__global__ void avgpool2d_backward(
    const T* __restrict__ dy, T* __restrict__ dx, int N, int H, int W, int C, int R, int S, int P, int Q, int stride_h,
    int stride_w, int top, int left) {
    const int per_pixel = C / WIDTH, i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= H * W * per_pixel) return;
    const int c = i % per_pixel * WIDTH, v = i / per_pixel % W, h = i / per_pixel / W;
    const Windows rows = windows_over(h + top, R, stride_h, P), columns = windows_over(v + left, S, stride_w, Q);
    for (int n = blockIdx.y; n < N; n += gridDim.y) {
        T sum[WIDTH] = {};
        for (int p = rows.first; p <= rows.last; p++)
            for (int q = columns.first; q <= columns.last; q++) {
                const int count = inside(p * stride_h - top, R, H) * inside(q * stride_w - left, S, W);
                T d[WIDTH];
                load(d, dy + (((long long)n * P + p) * Q + q) * C + c);
#pragma unroll
                for (int j = 0; j < WIDTH; j++) sum[j] += d[j] / count;
            }
        store(dx + (((long long)n * H + h) * W + v) * C + c, sum);
    }
}
