// The sum of several arrays of one shape: where the branches of a network meet, as around a residual block.
//
//     y[i] = a[i] + b[i] + c[i] + d[i]        (the first `count` of them, 2 to 4; added from left to right)
//
// The gradient of each is dy itself, and needs no kernel. More than four arrays are added up by further launches, each of
// the sum so far and of three more. The same as plain loops: tinycnn/devices/reference/add.py.
//
// Four numbers a thread, as 16-byte accesses; the last few of an array one by one. No shared memory. `y` may be `a`.
#include "common.cuh"

template <typename T>
__global__ void add(const T* a, const T* __restrict__ b, const T* __restrict__ c, const T* __restrict__ d, T* y,
                    int count, long long total) {
    const long long i = 4 * ((long long)blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= total) return;
    const int here = total - i < 4 ? total - i : 4;
    const T* const others[3] = {b, c, d};
    T sum[4], v[4];
    load_some(sum, a + i, here, true);
#pragma unroll
    for (int k = 0; k < 3; k++) {
        if (k + 1 >= count) break;
        load_some(v, others[k] + i, here, true);
#pragma unroll
        for (int j = 0; j < 4; j++) sum[j] += v[j];
    }
    store_some(y + i, sum, here, true);
}
