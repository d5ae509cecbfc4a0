// SGD, Adam, Adadelta and RMSprop: one launch updates all parameters of a network.
//
//     for each parameter tensor, for each i:  p[i], state[i] = update(p[i], gradient[i], state[i])
//
// The rules are Keras's. The same as plain loops: tinycnn/devices/reference/optimizers.py.
//
// A network has dozens of small tensors, and a launch costs more than updating one of them. So the host writes a
// table into device memory, TABLE_COLUMNS numbers a tensor:
//
//     address of p | of its gradient | of its first state | of its second | number of elements | its first block | slices
//
// A block looks up which tensor it belongs to. A gradient of one slice lies there as it is, and the block updates
// blockDim.x * PER_THREAD elements: a thread's are blockDim.x apart, so that a warp's accesses are contiguous and several
// are in flight. Of more slices (slices, elements), which blocks of another kernel left, the gradient is the sum, and
// the block updates 32 elements: each of its warps adds up every blockDim.x / 32-th slice, and the warps' sums are joined
// by halving, in an order that does not depend on anything but the shape. Shared memory (static): one number a thread.
#include "common.cuh"

constexpr int TABLE_COLUMNS = 7;
constexpr int PER_THREAD = 4;
constexpr int MOST_THREADS = 256;

template <typename T>
struct Piece {
    T *p, *first, *second;
    const T* g;
    long long begin, size;  // of the block, of the tensor
    int slices;
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
    piece.slices = int(row[6]);
    piece.begin = ((long long)blockIdx.x - row[5]) * (piece.slices == 1 ? int(blockDim.x) * PER_THREAD : 32);
    return piece;
}

// The sum over the slices of element i of a gradient, known to the first warp.
template <typename T>
__device__ __forceinline__ T sum_of_slices(const Piece<T>& at, long long i) {
    __shared__ T sums[MOST_THREADS];
    T sum = 0;
    if (i < at.size) {
#pragma unroll 8
        for (int slice = threadIdx.x / 32; slice < at.slices; slice += blockDim.x / 32) sum += at.g[slice * at.size + i];
    }
    sums[threadIdx.x] = sum;
    for (int threads = blockDim.x / 2; threads >= 32; threads /= 2) {
        __syncthreads();
        if (int(threadIdx.x) < threads) sums[threadIdx.x] = sum += sums[threadIdx.x + threads];
    }
    return sum;
}

// rule(tensor, i, g) updates element i by its gradient g, for all that this block has of a network's.
template <typename T, typename Rule>
__device__ __forceinline__ void update(const long long* __restrict__ table, int tensors, const Rule& rule) {
    const Piece<T> at = find_piece<T>(table, tensors);
    if (at.slices > 1) {
        const long long i = at.begin + threadIdx.x % 32;
        const T g = sum_of_slices(at, i);
        if (threadIdx.x < 32 && i < at.size) rule(at, i, g);
        return;
    }
#pragma unroll
    for (int k = 0; k < PER_THREAD; k++) {
        const long long i = at.begin + k * blockDim.x + threadIdx.x;
        if (i < at.size) rule(at, i, at.g[i]);
    }
}

// v = momentum*v - lr*g; p += v, or p += momentum*v - lr*g with Nesterov's look-ahead. Without momentum there is no
// v.
template <typename T>
__global__ void sgd(
    const long long* __restrict__ table, int tensors, const T* __restrict__ learning_rate, T momentum, int has_velocity,
    int nesterov) {
    const T rate = *learning_rate;
    update<T>(table, tensors, [&](const Piece<T>& at, long long i, T g) {
        const T step = rate * g;
        if (!has_velocity) {
            at.p[i] -= step;
            return;
        }
        const T v = momentum * at.first[i] - step;
        at.first[i] = v;
        at.p[i] += nesterov ? momentum * v - step : v;
    });
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
    update<T>(table, tensors, [&](const Piece<T>& at, long long i, T g) {
        T m = at.first[i], v = at.second[i];
        m += weight_1 * (g - m);
        v += weight_2 * (g * g - v);
        at.first[i] = m;
        at.second[i] = v;
        at.p[i] -= rate * m / (sqrt(v) + epsilon);
    });
}

// a and d are running means of g^2 and of update^2; update = g * sqrt(d + epsilon) / sqrt(a + epsilon) with the old
// d.
template <typename T>
__global__ void adadelta(
    const long long* __restrict__ table, int tensors, const T* __restrict__ learning_rate, T weight, T epsilon) {
    const T rate = *learning_rate;
    update<T>(table, tensors, [&](const Piece<T>& at, long long i, T g) {
        T a = at.first[i], d = at.second[i];
        a += weight * (g * g - a);
        const T change = g * sqrt(d + epsilon) / sqrt(a + epsilon);
        d += weight * (change * change - d);
        at.first[i] = a;
        at.second[i] = d;
        at.p[i] -= rate * change;
    });
}

// a is a running mean of g^2; p -= lr * g / (sqrt(a) + epsilon). weight is 1 - rho.
template <typename T>
__global__ void rmsprop(
    const long long* __restrict__ table, int tensors, const T* __restrict__ learning_rate, T weight, T epsilon) {
    const T rate = *learning_rate;
    update<T>(table, tensors, [&](const Piece<T>& at, long long i, T g) {
        T a = at.first[i];
        a += weight * (g * g - a);
        at.first[i] = a;
        at.p[i] -= rate * g / (sqrt(a) + epsilon);
    });
}
