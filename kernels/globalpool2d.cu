// Global pooling: the mean, or the maximum, of each channel over all pixels of an image.
//
//     average:  y[n][c] = mean over l of x[n][l][c]        dx[n][l][c] = dy[n][c] / pixels
//     maximum:  y[n][c] = max over l of x[n][l][c]         dx[n][l][c] = dy[n][c] / ties where x[n][l][c] is y[n][c],
//                                                                        else 0
//
// x (N, pixels, C), y (N, C); `ties` is how many pixels have the maximum: as in Keras they share its gradient, where in
// max pooling the first one takes it. A NaN is larger than any number. The same as plain loops:
// tinycnn/devices/reference/globalpool2d.py.
//
// A block has one image and blockDim.x channels: thread (column, row) walks down every blockDim.y-th pixel, and the
// threads of a column are joined by halving, in an order that depends on the shape alone. Neighbouring threads read
// neighbouring channels. grid: N * column_blocks, and for the gradient of the mean, where nothing is joined, a thread
// for each number. Shared memory (dynamic): one number a thread.
#include "common.cuh"

template <typename T>
__device__ __forceinline__ T larger(T a, T b) {
    return a > b || a != a ? a : b;
}

template <typename T>
__device__ __forceinline__ bool same(T a, T b) {
    return a == b || (a != a && b != b);
}

// What the threads of each column have, joined: known to all of them. Every thread of the block must take part.
template <typename T, typename Join>
__device__ __forceinline__ T join_rows(T value, const Join& join) {
    T* values = shared_array<T>(0);
    const int place = threadIdx.y * blockDim.x + threadIdx.x;
    values[place] = value;
    for (int left = blockDim.y; left > 1;) {
        const int half = (left + 1) / 2;
        __syncthreads();
        if (int(threadIdx.y) < left - half) values[place] = join(values[place], values[place + half * blockDim.x]);
        left = half;
    }
    __syncthreads();
    return values[threadIdx.x];
}

template <typename T>
__global__ void globalavgpool2d_forward(
    const T* __restrict__ x, T* __restrict__ y, int pixels, int C, int column_blocks) {
    const int n = blockIdx.x / column_blocks, c = blockIdx.x % column_blocks * blockDim.x + threadIdx.x;
    const T* image = x + (long long)n * pixels * C + c;
    T sum = 0;
    if (c < C)
        for (int l = threadIdx.y; l < pixels; l += blockDim.y) sum += image[(long long)l * C];
    sum = join_rows(sum, [](T a, T b) { return a + b; });
    if (c < C && threadIdx.y == 0) y[(long long)n * C + c] = sum / pixels;
}

template <typename T>
__global__ void globalavgpool2d_backward(
    const T* __restrict__ dy, T* __restrict__ dx, long long total, int pixels, int C) {
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < total) dx[i] = dy[i / C / pixels * C + i % C] / pixels;
}

template <typename T>
__global__ void globalmaxpool2d_forward(
    const T* __restrict__ x, T* __restrict__ y, int pixels, int C, int column_blocks) {
    const int n = blockIdx.x / column_blocks, c = blockIdx.x % column_blocks * blockDim.x + threadIdx.x;
    const T* image = x + (long long)n * pixels * C + c;
    T best = -T(1) / T(0);
    if (c < C)
        for (int l = threadIdx.y; l < pixels; l += blockDim.y) best = larger(best, image[(long long)l * C]);
    best = join_rows(best, [](T a, T b) { return larger(a, b); });
    if (c < C && threadIdx.y == 0) y[(long long)n * C + c] = best;
}

template <typename T>
__global__ void globalmaxpool2d_backward(
    const T* __restrict__ dy, const T* __restrict__ x, const T* __restrict__ y, T* __restrict__ dx, int pixels, int C,
    int column_blocks) {
    const int n = blockIdx.x / column_blocks, c = blockIdx.x % column_blocks * blockDim.x + threadIdx.x;
    const long long first = (long long)n * pixels * C + c, place = (long long)n * C + c;
    const T best = c < C ? y[place] : T(0);
    T ties = 0;
    if (c < C)
        for (int l = threadIdx.y; l < pixels; l += blockDim.y) ties += same(x[first + (long long)l * C], best) ? 1 : 0;
    ties = join_rows(ties, [](T a, T b) { return a + b; });
    if (c >= C) return;
    const T share = dy[place] / ties;
    for (int l = threadIdx.y; l < pixels; l += blockDim.y) {
        const long long i = first + (long long)l * C;
        dx[i] = same(x[i], best) ? share : T(0);
    }
}
