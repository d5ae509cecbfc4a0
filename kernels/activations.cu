// Activations other than ReLU and softmax, number by number.
//
//     forward:   y = f(x)
//     backward:  dx = dy * f'(x), where f' is known from y alone: x need not be kept
//
//                    y                                       f'(x) by y
//     0 tanh         tanh(x)                                 1 - y^2
//     1 sigmoid      1 / (1 + exp(-x))                       y * (1 - y)
//     2 elu          x where x > 0, else alpha*(exp(x) - 1)  1 where y > 0, else y + alpha
//     3 leaky_relu   x where x > 0, else alpha*x             1 where y > 0, else alpha
//     4 softplus     log(1 + exp(x))                         1 - exp(-y)
//
// alpha >= 0, so that y has the sign of x. expm1(x) is exp(x) - 1, and log1p(x) is log(1 + x), with all their digits near
// 0. softplus is computed as max(x, 0) + log(1 + exp(-|x|)), which does not overflow.
// The activation is an argument, not a template: all threads branch the same way, and memory decides the time anyway.
// The same as plain loops: tinycnn/devices/reference/activations.py.
//
// Four numbers a thread, as 16-byte accesses; the last few of an array one by one. No shared memory.
#include "common.cuh"

template <typename T>
__device__ __forceinline__ T activation_of(int activation, T x, T alpha) {
    switch (activation) {
        case 0: return tanh(x);
        case 1: return T(1) / (T(1) + exp(-x));
        case 2: return x > 0 ? x : alpha * expm1(x);
        case 3: return x > 0 ? x : alpha * x;
        default: return relu_of(x) + log1p(exp(x > 0 ? -x : x));
    }
}

template <typename T>
__device__ __forceinline__ T slope_of(int activation, T y, T alpha) {
    switch (activation) {
        case 0: return T(1) - y * y;
        case 1: return y * (T(1) - y);
        case 2: return y > 0 ? T(1) : y + alpha;
        case 3: return y > 0 ? T(1) : alpha;
        default: return -expm1(-y);
    }
}

template <typename T>
__global__ void activation_forward(
    int activation, const T* __restrict__ x, T* __restrict__ y, T alpha, long long total) {
    const long long i = 4 * ((long long)blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= total) return;
    const int count = total - i < 4 ? total - i : 4;
    T v[4];
    load_some(v, x + i, count, true);
#pragma unroll
    for (int j = 0; j < 4; j++) v[j] = activation_of(activation, v[j], alpha);
    store_some(y + i, v, count, true);
}

template <typename T>
__global__ void activation_backward(
    int activation, const T* __restrict__ dy, const T* __restrict__ y, T* __restrict__ dx, T alpha, long long total) {
    const long long i = 4 * ((long long)blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= total) return;
    const int count = total - i < 4 ? total - i : 4;
    T v[4], d[4];
    load_some(v, y + i, count, true);
    load_some(d, dy + i, count, true);
#pragma unroll
    for (int j = 0; j < 4; j++) d[j] *= slope_of(activation, v[j], alpha);
    store_some(dx + i, d, count, true);
}
