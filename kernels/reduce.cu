// Sums and maxima over one axis, in an order that depends on the shape alone.
//
//     for o, i:  y[o][i] = sum (or maximum) over l of x[o][l][i]        x (outer, L, inner), y (outer, inner)
//
// The axis is cut into `slices`; one block sums one slice for blockDim.x columns i, and writes one partial result a
// column: y (outer, slices, inner). With more than one slice the host calls the kernel again on the partial results.
// No atomics: threads finish in any order, the numbers are added in one.
//
// Threads: threadIdx.x is a column i, threadIdx.y takes every blockDim.y-th l of the slice. Neighbouring threads read
// neighbouring columns, or, where inner is 1, neighbouring l: in both cases one contiguous run.
// Shared memory: one number a thread (dynamic), joined by halving. The same as plain loops:
// tinycnn/devices/reference/reduce.py.
#include "common.cuh"

// One step of the reduction. Both answer NaN once they have met one.
template <typename T>
__device__ __forceinline__ T joined(int operation, T a, T b) {
    if (operation == 0) return a + b;
    return a > b || a != a ? a : b;
}

// operation: 0 sum, 1 maximum. column_blocks * blockDim.x covers `inner`.
template <typename T>
__global__ void reduce(
    int operation, const T* __restrict__ x, T* __restrict__ y, int L, long long inner, int slice_length,
    int column_blocks) {
    T* values = shared_array<T>(0);
    const long long outer = blockIdx.x / column_blocks;
    const long long column = (long long)(blockIdx.x % column_blocks) * blockDim.x + threadIdx.x;
    const int first = blockIdx.y * slice_length, last = least(first + slice_length, L);
    const int place = threadIdx.y * blockDim.x + threadIdx.x;

    const T* rows = x + outer * L * inner + column;
    const T nothing = operation == 0 ? T(0) : -T(1) / T(0);
    T value = nothing;
    if (column < inner)
        for (int l = first + threadIdx.y; l < last; l += blockDim.y) value = joined(operation, value, rows[l * inner]);
    values[place] = value;

    for (int left = blockDim.y; left > 1;) {
        const int half = (left + 1) / 2;
        __syncthreads();
        if (int(threadIdx.y) < left - half)
            values[place] = joined(operation, values[place], values[place + half * blockDim.x]);
        left = half;
    }
    if (threadIdx.y == 0 && column < inner) y[(outer * gridDim.y + blockIdx.y) * inner + column] = values[place];
}
