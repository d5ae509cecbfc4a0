// SGD, Adam and Adadelta: one launch updates all parameters of a network.
//
//     for each parameter tensor, for each i:  p[i], state[i] = update(p[i], gradient[i], state[i])
//
// The rules are Keras's. The same as plain loops: tinycnn/devices/reference/optimizers.py.
//
// A network has dozens of small tensors, and a launch costs more than updating one of them. So the host writes a
// table into device memory, TABLE_COLUMNS numbers a tensor:
//
//     address of p | of its gradient | of its first state | of its second | number of elements | its first block
//
// A block looks up which tensor it belongs to and updates blockDim.x * PER_THREAD elements of it. A thread's are
// blockDim.x apart, so that a warp's accesses are contiguous and several are in flight. No shared memory but one number
// of Adam's.
#include "common.cuh"

constexpr int TABLE_COLUMNS = 6;
constexpr int PER_THREAD = 4;

template <typename T>
struct Piece {
    T *p, *first, *second;
    const T* g;
    long long begin, size;
};

// The tensor of this block, and where in it the block begins. The tensors' first blocks ascend: search by halving.
template <typename T>
__device__ __forceinline__ Piece<T> find_piece(const long long* __restrict__ table, int tensors) {
    int low = 0, high = tensors;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (table[middle * TABLE_COLUMNS + 5] <= (long long)blockIdx.x)
            low = middle;
        else
            high = middle;
    }
    const long long* row = table + low * TABLE_COLUMNS;
    Piece<T> piece;
    piece.p = reinterpret_cast<T*>(row[0]);
    piece.g = reinterpret_cast<const T*>(row[1]);
    piece.first = reinterpret_cast<T*>(row[2]);
    piece.second = reinterpret_cast<T*>(row[3]);
    piece.size = row[4];
    piece.begin = ((long long)blockIdx.x - row[5]) * blockDim.x * PER_THREAD + threadIdx.x;
    return piece;
}

// v = momentum*v - lr*g; p += v, or p += momentum*v - lr*g with Nesterov's look-ahead. Without momentum there is no
// v.
template <typename T>
__global__ void sgd(
    const long long* __restrict__ table, int tensors, const T* __restrict__ learning_rate, T momentum, int has_velocity,
    int nesterov) {
    const Piece<T> at = find_piece<T>(table, tensors);
    const T rate = *learning_rate;
#pragma unroll
    for (int k = 0; k < PER_THREAD; k++) {
        const long long i = at.begin + k * blockDim.x;
        if (i >= at.size) break;
        const T step = rate * at.g[i];
        if (!has_velocity) {
            at.p[i] -= step;
            continue;
        }
        const T v = momentum * at.first[i] - step;
        at.first[i] = v;
        at.p[i] += nesterov ? momentum * v - step : v;
    }
}

// m and v are running means of g and g^2; p -= lr * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon).
// The powers are taken once a block, in double: 1 - 0.999^1 loses half of float's digits. weight_1 is 1 - beta_1,
// subtracted by the host for the same reason.
template <typename T>
__global__ void adam(
    const long long* __restrict__ table, int tensors, const T* __restrict__ learning_rate,
    const long long* __restrict__ step, double beta_1, double beta_2, T weight_1, T weight_2, T epsilon) {
    __shared__ T corrected_rate;
    if (threadIdx.x == 0) {
        const double t = double(*step);
        corrected_rate = T(double(*learning_rate) * sqrt(1.0 - pow(beta_2, t)) / (1.0 - pow(beta_1, t)));
    }
    __syncthreads();
    const T rate = corrected_rate;
    const Piece<T> at = find_piece<T>(table, tensors);
#pragma unroll
    for (int k = 0; k < PER_THREAD; k++) {
        const long long i = at.begin + k * blockDim.x;
        if (i >= at.size) break;
        const T g = at.g[i];
        T m = at.first[i], v = at.second[i];
        m += weight_1 * (g - m);
        v += weight_2 * (g * g - v);
        at.first[i] = m;
        at.second[i] = v;
        at.p[i] -= rate * m / (sqrt(v) + epsilon);
    }
}

// a and d are running means of g^2 and of update^2; update = g * sqrt(d + epsilon) / sqrt(a + epsilon) with the old
// d.
template <typename T>
__global__ void adadelta(
    const long long* __restrict__ table, int tensors, const T* __restrict__ learning_rate, T weight, T epsilon) {
    const Piece<T> at = find_piece<T>(table, tensors);
    const T rate = *learning_rate;
#pragma unroll
    for (int k = 0; k < PER_THREAD; k++) {
        const long long i = at.begin + k * blockDim.x;
        if (i >= at.size) break;
        const T g = at.g[i];
        T a = at.first[i], d = at.second[i];
        a += weight * (g * g - a);
        const T update = g * sqrt(d + epsilon) / sqrt(a + epsilon);
        d += weight * (update * update - d);
        at.first[i] = a;
        at.second[i] = d;
        at.p[i] -= rate * update;
    }
}
