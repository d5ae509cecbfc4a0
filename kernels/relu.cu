// ReLU as an operation of its own. (Convolution and dense have it built in, both ways: common.cuh, ThroughRelu.)
//
//     relu_forward:   y = max(x, 0)
//     relu_backward:  dx = dy where y > 0, else 0            (the gradient at exactly 0 is 0)
//
// The same as plain loops: tinycnn/devices/reference/relu.py.
//
// Four numbers a thread, as 16-byte accesses; the last few of an array one by one. No shared memory.
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
