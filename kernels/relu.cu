// ReLU, and what convolution and dense share on the way back: through the activation to the bias.
//
//     relu_forward:        y = max(x, 0)
//     relu_backward:       dx = dy where y > 0, else 0            (the gradient at exactly 0 is 0)
//     bias_relu_backward:  dz = dy where y > 0, else 0;  db[k] = sum over rows of dz[row][k]
//
// The same as plain loops: tinycnn/devices/reference/relu.py.
//
// relu_forward, relu_backward: four numbers a thread, as 16-byte accesses; the last few of an array one by one.
// bias_relu_backward: dy, y (rows, K). A block takes rows_per_block rows and blockDim.x columns; thread (column, row)
// walks down every blockDim.y-th row. blockDim.x is K where K <= 256, so a block reads one contiguous run. It writes
// one partial db, and reduce.cu adds the blocks' partials up in their order. Shared memory (dynamic): one number a
// thread.
#include "common.cuh"

template <typename T>
__global__ void relu_forward(const T* __restrict__ x, T* __restrict__ y, long long total) {
    const long long i = 4 * ((long long)blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= total) return;
    const int count = total - i < 4 ? total - i : 4;
    T v[4];
    load_some(v, x + i, count, true);
#pragma unroll
    for (int j = 0; j < 4; j++) v[j] = relu_of(v[j]);
    store_some(y + i, v, count, true);
}

template <typename T>
__global__ void relu_backward(const T* __restrict__ dy, const T* __restrict__ y, T* __restrict__ dx, long long total) {
    const long long i = 4 * ((long long)blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= total) return;
    const int count = total - i < 4 ? total - i : 4;
    T v[4], d[4];
    load_some(v, y + i, count, true);
    load_some(d, dy + i, count, true);
#pragma unroll
    for (int j = 0; j < 4; j++) d[j] = v[j] > 0 ? d[j] : T(0);
    store_some(dx + i, d, count, true);
}

// grid: (blocks of rows, blocks of columns). partial: (blocks of rows, K).
template <typename T>
__global__ void bias_relu_backward(
    const T* __restrict__ dy, const T* __restrict__ y, T* __restrict__ dz, T* __restrict__ partial, int rows, int K,
    int rows_per_block) {
    T* values = shared_array<T>(0);
    const int k = blockIdx.y * blockDim.x + threadIdx.x;
    const int first = blockIdx.x * rows_per_block, last = least(first + rows_per_block, rows);
    T sum = 0;
    if (k < K) {
#pragma unroll 4
        for (int row = first + threadIdx.y; row < last; row += blockDim.y) {
            const long long i = (long long)row * K + k;
            const T d = y[i] > 0 ? dy[i] : T(0);
            dz[i] = d;
            sum += d;
        }
    }
    values[threadIdx.y * blockDim.x + threadIdx.x] = sum;
    sum_over_block_rows(values);
    if (threadIdx.y == 0 && k < K) partial[(long long)blockIdx.x * K + k] = values[threadIdx.x];
}
