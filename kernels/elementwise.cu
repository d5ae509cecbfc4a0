// Arithmetic on tensors, number by number: y[i] = a[i] (+ - * / ...) b[i], and y[i] = f(a[i]).
//
//     for each place in y's shape:  y[place] = operation(a[place], b[place])
//
// Broadcasting: y is seen as an array of at most four axes, (n0, n1, n2, n3), and each operand has a step for each
// axis, 0 along those axes it is stretched over. A thread computes one number; neighbouring threads take neighbouring
// numbers of y, so the stores (and the loads, where nothing is stretched) of a warp are one contiguous run.
// The operation is an argument, not a template: all threads branch the same way, and memory decides the time anyway.
// No shared memory. The same as plain loops: tinycnn/devices/reference/elementwise.py.
#include "common.cuh"

template <typename T>
__device__ __forceinline__ T combine(int operation, T a, T b) {
    switch (operation) {
        case 0: return a + b;
        case 1: return a - b;
        case 2: return a * b;
        case 3: return a / b;
        case 4: return pow(a, b);
        case 5: return a == b ? T(1) : T(0);
        case 6: return a > b ? T(1) : T(0);
        default: return b != 0 ? a : T(0);  // unlike a * b, also where a is infinite
    }
}

template <typename T>
__device__ __forceinline__ T apply(int operation, T a) {
    switch (operation) {
        case 0: return -a;
        case 1: return exp(a);
        case 2: return log(a);
        default: return sqrt(a);
    }
}

// a and b step through memory by a0..a3 and b0..b3; y is contiguous, `total` = n0 * n1 * n2 * n3 numbers.
// The operands begin at a_first and b_first: what more than four axes need, one launch for each place along the rest.
template <typename T>
__global__ void binary(
    int operation, const T* __restrict__ a, const T* __restrict__ b, T* __restrict__ y, long long total, int n1, int n2,
    int n3, long long a0, long long a1, long long a2, long long a3, long long b0, long long b1, long long b2,
    long long b3, long long a_first, long long b_first, long long y_first) {
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= total) return;
    long long rest = i;
    const long long i3 = rest % n3;
    rest /= n3;
    const long long i2 = rest % n2;
    rest /= n2;
    const long long i1 = rest % n1, i0 = rest / n1;
    const T left = a[a_first + i0 * a0 + i1 * a1 + i2 * a2 + i3 * a3];
    const T right = b[b_first + i0 * b0 + i1 * b1 + i2 * b2 + i3 * b3];
    y[y_first + i] = combine(operation, left, right);
}

// The common case, where both operands have y's shape: no division at all.
template <typename T>
__global__ void binary_flat(
    int operation, const T* __restrict__ a, const T* __restrict__ b, T* __restrict__ y, long long total) {
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < total) y[i] = combine(operation, a[i], b[i]);
}

// An array and a number of the host's; number_first: number - a instead of a - number.
template <typename T>
__global__ void binary_number(
    int operation, const T* __restrict__ a, T number, T* __restrict__ y, long long total, int number_first) {
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < total) y[i] = number_first ? combine(operation, number, a[i]) : combine(operation, a[i], number);
}

template <typename T>
__global__ void unary(int operation, const T* __restrict__ a, T* __restrict__ y, long long total) {
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < total) y[i] = apply(operation, a[i]);
}
