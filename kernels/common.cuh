// What the kernels share: windows, vector loads, sums in a fixed order, random numbers, and one tile of a matrix product.
//
// The kernels of this folder include nothing but this file; the last step of the ladder with its mma.cuh, fast/ and
// step/ have headers of their own beside it. This file includes nothing: NVRTC has no headers of its own.
// `T` is float or double everywhere. Sizes are ints; offsets that may pass 2^31 are `long long`.
#pragma once

constexpr unsigned int ALL_LANES = 0xffffffffu;

// Shared memory whose size the launch chooses. float4, so that every array laid into it can be read 16 bytes at a
// time.
extern __shared__ float4 dynamic_memory[];

template <typename T>
__device__ __forceinline__ T* shared_array(long long offset) {
    return reinterpret_cast<T*>(dynamic_memory) + offset;
}

__host__ __device__ constexpr int least(int a, int b) { return a < b ? a : b; }
__host__ __device__ constexpr int most(int a, int b) { return a > b ? a : b; }

// Those of an axis's `count` windows that lie over a place of it, `at` from where the first one begins:
// p*stride <= at < p*stride + window.
struct Windows {
    int first, last;
};

__device__ __forceinline__ Windows windows_over(int at, int window, int stride, int count) {
    return {most(0, (at - window + stride) / stride), least(count - 1, at / stride)};
}

// max(x, 0) that lets NaN through: a network that has diverged must show it.
template <typename T>
__device__ __forceinline__ T relu_of(T x) {
    return x < 0 ? T(0) : x;
}

// Four neighbours as 16-byte accesses: one for float, two for double. `p` must be a multiple of 16 bytes.
__device__ __forceinline__ void load4(float (&v)[4], const float* p) {
    const float4 t = *reinterpret_cast<const float4*>(p);
    v[0] = t.x, v[1] = t.y, v[2] = t.z, v[3] = t.w;
}

__device__ __forceinline__ void load4(double (&v)[4], const double* p) {
    const double2 low = reinterpret_cast<const double2*>(p)[0], high = reinterpret_cast<const double2*>(p)[1];
    v[0] = low.x, v[1] = low.y, v[2] = high.x, v[3] = high.y;
}

__device__ __forceinline__ void store4(float* p, const float (&v)[4]) {
    *reinterpret_cast<float4*>(p) = make_float4(v[0], v[1], v[2], v[3]);
}

__device__ __forceinline__ void store4(double* p, const double (&v)[4]) {
    reinterpret_cast<double2*>(p)[0] = make_double2(v[0], v[1]);
    reinterpret_cast<double2*>(p)[1] = make_double2(v[2], v[3]);
}

// WIDTH neighbouring numbers: 4 as above, or 1.
template <typename T, int WIDTH>
__device__ __forceinline__ void load(T (&v)[WIDTH], const T* p) {
    if constexpr (WIDTH == 4)
        load4(v, p);
    else
        v[0] = *p;
}

template <typename T, int WIDTH>
__device__ __forceinline__ void store(T* p, const T (&v)[WIDTH]) {
    if constexpr (WIDTH == 4)
        store4(p, v);
    else
        *p = v[0];
}

// The first `count` of four neighbours, 0 for the rest; one vector load where all four are there and `vector` says
// that p is aligned.
template <typename T>
__device__ __forceinline__ void load_some(T (&v)[4], const T* p, int count, bool vector) {
    if (vector && count >= 4) {
        load4(v, p);
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; i++) v[i] = i < count ? p[i] : T(0);
}

template <typename T>
__device__ __forceinline__ void store_some(T* p, const T (&v)[4], int count, bool vector) {
    if (vector && count >= 4) {
        store4(p, v);
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
        if (i < count) p[i] = v[i];
}

// ---------------------------------------------------------------- what a product reads
//
// An operand is an array as it is, or a gradient on its way back through a fused ReLU: dy where the output y was above
// 0, else 0. So the way back needs no pass of its own through the activation, and no array for what comes out of it.
template <typename T>
struct Values {
    const T* values;

    __device__ __forceinline__ T at(long long i) const { return values[i]; }
    __device__ __forceinline__ void four_at(T (&v)[4], long long i) const { load4(v, values + i); }
};

template <typename T>
struct ThroughRelu {
    const T *dy, *y;
    int relu;  // 0: there was none; y is not read

    __device__ __forceinline__ T at(long long i) const {
        const T d = dy[i];
        return relu && !(y[i] > 0) ? T(0) : d;
    }
    __device__ __forceinline__ void four_at(T (&v)[4], long long i) const {
        load4(v, dy + i);
        if (!relu) return;
        T active[4];
        load4(active, y + i);
#pragma unroll
        for (int j = 0; j < 4; j++)
            if (!(active[j] > 0)) v[j] = 0;
    }
};

// The sum (the maximum) of a value over the 32 lanes of a warp, known to all of them. Every lane must take part.
// The order is a fixed tree, so the same numbers give the same bits.
template <typename T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(ALL_LANES, value, distance);
    return value;
}

template <typename T>
__device__ __forceinline__ T warp_max(T value) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        const T other = __shfl_xor_sync(ALL_LANES, value, distance);
        value = other > value ? other : value;
    }
    return value;
}

// ---------------------------------------------------------------- sums over blocks
//
// Blocks cannot wait for one another, but one of them is the last. Each writes its part, and then counts itself at
// `arrivals`, which is 0 before the launch and after it. The block that finds all others counted has everything that
// they wrote before it, and adds it up, in an order that does not depend on who was last: the same bits every time, and
// no second launch.
//
// The fences are what makes it right: without the first, another block may see the count before it sees the part.
__device__ __forceinline__ bool last_to_arrive(int* arrivals, int blocks) {
    __shared__ bool is_last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0 && threadIdx.y == 0) {
        is_last = atomicAdd(arrivals, 1) == blocks - 1;
        if (is_last) *arrivals = 0;
    }
    __syncthreads();
    if (is_last) __threadfence();
    return is_last;
}

// ---------------------------------------------------------------- random numbers, and what dropout makes of them
//
// Philox4x32-10 (Salmon et al., SC 2011): four words for the counter (block, stream, step low, step high) under the key
// `seed`. tinycnn/philox.py gives the same bits, and says what the four counter words are.
struct Words {
    unsigned int w[4];
};

__device__ __forceinline__ Words
philox4x32(unsigned int block, unsigned int stream, unsigned long long step, unsigned long long seed) {
    unsigned int c0 = block, c1 = stream, c2 = (unsigned int)step, c3 = (unsigned int)(step >> 32);
    unsigned int k0 = (unsigned int)seed, k1 = (unsigned int)(seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const unsigned long long p0 = (unsigned long long)c0 * 0xD2511F53u, p1 = (unsigned long long)c2 * 0xCD9E8D57u;
        c0 = (unsigned int)(p1 >> 32) ^ c1 ^ k0;
        c1 = (unsigned int)p1;
        c2 = (unsigned int)(p0 >> 32) ^ c3 ^ k1;
        c3 = (unsigned int)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

// What decides which elements are kept, and what they are multiplied by: element i of an array where word i % 4 of the
// counter (i / 4, stream, step) reaches the threshold.
template <typename T>
struct Mask {
    unsigned long long seed;
    unsigned int stream;
    unsigned long long step, threshold;
    T scale;
};

// a * b rounded, which the compiler may not join to a sum that follows: dropout gives the same bits wherever it stands.
__device__ __forceinline__ float rounded_product(float a, float b) { return __fmul_rn(a, b); }
__device__ __forceinline__ double rounded_product(double a, double b) { return __dmul_rn(a, b); }

// WIDTH neighbours through the mask, `first` being the place of v[0] in the array, a multiple of WIDTH. One call gives
// four words, so four neighbours need one; a single one takes its word of the four.
template <typename T, int WIDTH>
__device__ __forceinline__ void drop(T (&v)[WIDTH], long long first, const Mask<T>& mask) {
    const Words bits = philox4x32((unsigned int)(first >> 2), mask.stream, mask.step, mask.seed);
#pragma unroll
    for (int j = 0; j < WIDTH; j++) {
        const int word = WIDTH == 4 ? j : int(first & 3);
        const unsigned int low = word & 1 ? bits.w[1] : bits.w[0], high = word & 1 ? bits.w[3] : bits.w[2];
        v[j] = (word & 2 ? high : low) >= mask.threshold ? rounded_product(v[j], mask.scale) : T(0);
    }
}

// ---------------------------------------------------------------- one tile of a matrix product
//
//     for m, n:  C[m][n] = sum over l of A[m][l] * B[l][n]          A (M,L), B (L,N)
//
// A block of BM * BN / 16 threads computes a tile of BM x BN outputs, each thread 4 x 4 of them in registers. The
// tile walks along l, 16 at a time: the block copies 16 columns of A and 16 rows of B to shared memory, and every
// number there is used 4 times by each thread that reads it. A is kept with m fastest, so that a thread reads its
// four rows, and its four columns of B, with one 16-byte load each: 16 multiply-adds for two loads.
//
// A_TRANSPOSED means that A lies in memory as (L,M), B_TRANSPOSED that B lies as (N,L): the product of a transposed
// matrix without transposing it. Whichever way a matrix lies, neighbouring threads read neighbouring numbers of it.
//
// column_sum: where sum_columns is set, what the walk adds to the sum over l of B[l][n0 + threadIdx.x], of the first BN
// threads. A filter's gradient is a product with dy, and the bias's is the sum of dy's rows: they lie in shared memory.
constexpr int TILE_L = 16;

template <typename T, int BM, int BN, bool A_TRANSPOSED, bool B_TRANSPOSED, typename A, typename B>
__device__ __forceinline__ void multiply_tile(
    T (&sum)[4][4], const A a_matrix, const B b_matrix, int M, int N, int L, int m0, int n0, int first, int last,
    T& column_sum, bool sum_columns) {
    constexpr int THREADS = BM * BN / 16;
    // Rows of 4 more: still multiples of 16 bytes, and of floats 8 neighbouring l lie in different banks, so that a
    // warp that stores 16 of them takes two passes and not 16.
    __shared__ __align__(16) T a_tile[TILE_L][BM + 4];
    __shared__ __align__(16) T b_tile[TILE_L][BN + 4];
    const int column = 4 * (threadIdx.x % (BN / 4)), row = 4 * (threadIdx.x / (BN / 4));
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) sum[i][j] = 0;
    column_sum = 0;

    for (int l0 = first; l0 < last; l0 += TILE_L) {
        for (int i = threadIdx.x; i < BM * TILE_L; i += THREADS) {
            const int m = A_TRANSPOSED ? i % BM : i / TILE_L, l = A_TRANSPOSED ? i / BM : i % TILE_L;
            const bool inside = m0 + m < M && l0 + l < last;
            const long long place = A_TRANSPOSED ? (long long)(l0 + l) * M + m0 + m : (long long)(m0 + m) * L + l0 + l;
            a_tile[l][m] = inside ? a_matrix.at(place) : T(0);
        }
        for (int i = threadIdx.x; i < BN * TILE_L; i += THREADS) {
            const int n = B_TRANSPOSED ? i / TILE_L : i % BN, l = B_TRANSPOSED ? i % TILE_L : i / BN;
            const bool inside = n0 + n < N && l0 + l < last;
            const long long place = B_TRANSPOSED ? (long long)(n0 + n) * L + l0 + l : (long long)(l0 + l) * N + n0 + n;
            b_tile[l][n] = inside ? b_matrix.at(place) : T(0);
        }
        __syncthreads();
        if (sum_columns && threadIdx.x < BN) {
            T of_tile = 0;  // apart, so that a long sum keeps its digits
            for (int l = 0; l < TILE_L; l++) of_tile += b_tile[l][threadIdx.x];
            column_sum += of_tile;
        }
#pragma unroll 4
        for (int l = 0; l < TILE_L; l++) {
            T a[4], b[4];
            load4(a, &a_tile[l][row]);
            load4(b, &b_tile[l][column]);
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) sum[i][j] += a[i] * b[j];
        }
        __syncthreads();  // before the next 16 overwrite these
    }
}

template <typename T, int BM, int BN, bool A_TRANSPOSED, bool B_TRANSPOSED, typename A, typename B>
__device__ __forceinline__ void multiply_tile(
    T (&sum)[4][4], const A a_matrix, const B b_matrix, int M, int N, int L, int m0, int n0, int first, int last) {
    T column_sum;
    multiply_tile<T, BM, BN, A_TRANSPOSED, B_TRANSPOSED>(
        sum, a_matrix, b_matrix, M, N, L, m0, n0, first, last, column_sum, false);
}

// The tile's outputs to `out` (M,N), through bias and ReLU where they are wanted.
template <typename T, int BN>
__device__ __forceinline__ void store_tile(
    const T (&sum)[4][4], T* __restrict__ out, int M, int N, int m0, int n0, const T* __restrict__ bias, bool has_bias,
    bool relu) {
    const int n = n0 + 4 * (threadIdx.x % (BN / 4)), m = m0 + 4 * (threadIdx.x / (BN / 4));
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (m + i >= M || n >= N) return;
        T y[4];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            y[j] = sum[i][j] + (has_bias && n + j < N ? bias[n + j] : T(0));
            if (relu) y[j] = relu_of(y[j]);
        }
        store_some(out + (long long)(m + i) * N + n, y, N - n, N % 4 == 0);
    }
}

// What the first BN threads have in column_sum to `out` (N,).
template <typename T, int BN>
__device__ __forceinline__ void store_column_sum(T column_sum, T* __restrict__ out, int N, int n0) {
    if (threadIdx.x < BN && n0 + int(threadIdx.x) < N) out[n0 + threadIdx.x] = column_sum;
}
