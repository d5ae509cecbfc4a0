// Weight regularisation: a penalty on the size of a parameter, and what it adds to the parameter's gradient.
//
//     loss = l1 * sum over i of |p[i]| + l2 * sum over i of p[i]^2
//     g[i] += l1 * sign(p[i]) + 2 * l2 * p[i]                         where has_gradient
//     totals[0] += loss * rows          where a running sum over batches is kept, of so many rows: float64
//
// g may be the first of the slices that other blocks have left of a gradient: the optimiser adds them up. The same as
// plain loops: tinycnn/devices/reference/regularize.py.
//
// A thread has four neighbouring numbers, as 16-byte accesses. Each block writes its part of the sum, and the last one to
// arrive adds up the parts in a fixed order. Shared memory (static): one number a thread, joined by halving.
#include "common.cuh"

constexpr int THREADS = 256;

// The sum of a value over the block's threads, known to the first of them. Every thread must take part.
template <typename T>
__device__ __forceinline__ T block_sum(T value) {
    __shared__ T values[THREADS];
    values[threadIdx.x] = value;
    for (int threads = THREADS / 2; threads > 0; threads /= 2) {
        __syncthreads();
        if (int(threadIdx.x) < threads) values[threadIdx.x] = value += values[threadIdx.x + threads];
    }
    return value;
}

// parts: one number a block; loss: (1,); arrivals: one counter of last_to_arrive.
template <typename T>
__global__ void regularize(
    const T* __restrict__ p, T* __restrict__ g, T l1, T l2, T* parts, T* loss, double* totals, int* arrivals,
    long long size, int rows, int has_gradient, int has_totals) {
    const long long i = 4 * ((long long)blockIdx.x * THREADS + threadIdx.x);
    T sum = 0;
    if (i < size) {
        const int count = size - i < 4 ? size - i : 4;
        T v[4], d[4];
        load_some(v, p + i, count, true);
        if (has_gradient) load_some(d, g + i, count, true);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            sum += l1 * (v[j] < 0 ? -v[j] : v[j]) + l2 * v[j] * v[j];
            if (has_gradient) d[j] += l1 * ((v[j] > 0 ? 1 : 0) - (v[j] < 0 ? 1 : 0)) + 2 * l2 * v[j];
        }
        if (has_gradient) store_some(g + i, d, count, true);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
    if (!last_to_arrive(arrivals, gridDim.x)) return;

    sum = 0;
    for (int part = threadIdx.x; part < int(gridDim.x); part += THREADS) sum += parts[part];
    sum = block_sum(sum);
    if (threadIdx.x > 0) return;
    *loss = sum;
    if (has_totals) totals[0] += double(sum) * rows;
}
