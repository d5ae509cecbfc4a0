// Max pooling: the largest number of every window, and where it was.
//
//     forward:   for n, p, q, c:  y[n][p][q][c] = max over r, s of x[n][p*stride + r - top][q*stride + s - left][c]
//                                 argmax[n][p][q][c] = r * S + s of that maximum, the first one of several
//     backward:  for n, h, v, c:  dx[n][h][v][c] = sum of dy over the windows whose argmax is this pixel
//
// x (N,H,W,C), y (N,P,Q,C), window R x S. Pixels outside the image are not looked at. The same as plain loops:
// tinycnn/devices/reference/maxpool2d.py.
//
// `Index` is what argmax is kept in: a byte where a window has at most 256 places, as nearly every one has, and an int
// where it has more. A byte is a quarter of what has to be written and read again.
//
// Forward: a thread computes WIDTH neighbouring channels of one output (4 where C is a multiple of 4, as one access:
// 16 bytes of floats, 4 of bytes). Backward gathers: a thread owns WIDTH channels of one pixel of dx and asks every
// window over it whether the maximum was here. Scattering dy instead would need atomics where windows overlap, and zeros
// before; this needs neither. Neighbouring threads take neighbouring channels, then pixels. grid: (blocks over one
// image, at most N: each block takes every gridDim.y-th image). No shared memory.
#include "common.cuh"

__device__ __forceinline__ void load_indices(int (&v)[4], const int* p) {
    const int4 t = *reinterpret_cast<const int4*>(p);
    v[0] = t.x, v[1] = t.y, v[2] = t.z, v[3] = t.w;
}
__device__ __forceinline__ void load_indices(int (&v)[4], const unsigned char* p) {
    const uchar4 t = *reinterpret_cast<const uchar4*>(p);
    v[0] = t.x, v[1] = t.y, v[2] = t.z, v[3] = t.w;
}
template <typename Index>
__device__ __forceinline__ void load_indices(int (&v)[1], const Index* p) {
    v[0] = *p;
}

__device__ __forceinline__ void store_indices(int* p, const int (&v)[4]) {
    *reinterpret_cast<int4*>(p) = make_int4(v[0], v[1], v[2], v[3]);
}
__device__ __forceinline__ void store_indices(unsigned char* p, const int (&v)[4]) {
    *reinterpret_cast<uchar4*>(p) = make_uchar4(v[0], v[1], v[2], v[3]);
}
template <typename Index>
__device__ __forceinline__ void store_indices(Index* p, const int (&v)[1]) {
    *p = Index(v[0]);
}

template <typename T, typename Index, int WIDTH>
__global__ void maxpool2d_forward(
    const T* __restrict__ x, T* __restrict__ y, Index* __restrict__ argmax, int N, int H, int W, int C, int R, int S,
    int P, int Q, int stride_h, int stride_w, int top, int left) {
    const int per_pixel = C / WIDTH, i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= P * Q * per_pixel) return;
    const int c = i % per_pixel * WIDTH, q = i / per_pixel % Q, p = i / per_pixel / Q;
    const int h0 = p * stride_h - top, v0 = q * stride_w - left;
    for (int n = blockIdx.y; n < N; n += gridDim.y) {
        T best[WIDTH];
        int where[WIDTH];
        bool first = true;
#pragma unroll
        for (int j = 0; j < WIDTH; j++) best[j] = -T(1) / T(0), where[j] = 0;
        for (int r = most(0, -h0); r < least(R, H - h0); r++)
            for (int s = most(0, -v0); s < least(S, W - v0); s++) {
                T value[WIDTH];
                load(value, x + (((long long)n * H + h0 + r) * W + v0 + s) * C + c);
#pragma unroll
                for (int j = 0; j < WIDTH; j++) {
                    // A NaN is larger than any number and stays: a network that has diverged must show it.
                    const bool larger = value[j] > best[j] || (value[j] != value[j] && best[j] == best[j]);
                    if (first || larger) best[j] = value[j], where[j] = r * S + s;
                }
                first = false;
            }
        const long long to = (((long long)n * P + p) * Q + q) * C + c;
        store(y + to, best);
        store_indices(argmax + to, where);
    }
}

template <typename T, typename Index, int WIDTH>
__global__ void maxpool2d_backward(
    const T* __restrict__ dy, const Index* __restrict__ argmax, T* __restrict__ dx, int N, int H, int W, int C, int R,
    int S, int P, int Q, int stride_h, int stride_w, int top, int left) {
    const int per_pixel = C / WIDTH, i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= H * W * per_pixel) return;
    const int c = i % per_pixel * WIDTH, v = i / per_pixel % W, h = i / per_pixel / W;
    const Windows rows = windows_over(h + top, R, stride_h, P), columns = windows_over(v + left, S, stride_w, Q);
    for (int n = blockIdx.y; n < N; n += gridDim.y) {
        T sum[WIDTH] = {};
        for (int p = rows.first; p <= rows.last; p++)
            for (int q = columns.first; q <= columns.last; q++) {
                const int here = (h + top - p * stride_h) * S + v + left - q * stride_w;
                const long long from = (((long long)n * P + p) * Q + q) * C + c;
                T d[WIDTH];
                int where[WIDTH];
                load(d, dy + from);
                load_indices(where, argmax + from);
#pragma unroll
                for (int j = 0; j < WIDTH; j++)
                    if (where[j] == here) sum[j] += d[j];
            }
        store(dx + (((long long)n * H + h) * W + v) * C + c, sum);
    }
}
