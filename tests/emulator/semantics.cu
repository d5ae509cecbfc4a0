// Kernels that each show one thing that CUDA means; test_semantics.py says what they must give.

template <typename T>
__global__ void __launch_bounds__(256) axpy(const T* __restrict__ x, T* __restrict__ y, T a, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] += a * x[i];
}

extern "C" __global__ void whoami(int* out) {
    int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    int* mine = out + 6 * (block * blockDim.x * blockDim.y * blockDim.z + thread);
    mine[0] = threadIdx.x, mine[1] = threadIdx.y, mine[2] = threadIdx.z;
    mine[3] = blockIdx.x, mine[4] = blockIdx.y, mine[5] = blockIdx.z;
}

// Reverses each block's part through static shared memory.
extern "C" __global__ void reverse_static(const float* x, float* y) {
    __shared__ float tile[256];
    tile[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
    __syncthreads();
    y[blockIdx.x * blockDim.x + threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

// The same through dynamic shared memory, as bytes and as a typed array: both begin at the same address.
template <typename T> __global__ void reverse_bytes(const T* x, T* y) {
    extern __shared__ __align__(16) unsigned char smem[];
    T* tile = reinterpret_cast<T*>(smem);
    tile[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
    __syncthreads();
    y[blockIdx.x * blockDim.x + threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

extern "C" __global__ void two_names(int* out) {
    extern __shared__ float as_floats[];
    extern __shared__ int as_ints[];
    if (threadIdx.x == 0) as_floats[0] = 1.0f;
    __syncthreads();
    out[threadIdx.x] = as_ints[0];
}

// A tree in shared memory: log2(n) barriers in a loop.
template <typename T> __global__ void tree_sum(const T* x, T* out) {
    __shared__ T part[512];
    part[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
    for (int width = blockDim.x / 2; width > 0; width /= 2) {
        __syncthreads();
        if (threadIdx.x < width) part[threadIdx.x] += part[threadIdx.x + width];
    }
    if (threadIdx.x == 0) out[blockIdx.x] = part[0];
}

extern "C" __global__ void barrier_votes(const int* p, int* count, int* all, int* any) {
    count[threadIdx.x] = __syncthreads_count(p[threadIdx.x]);
    all[threadIdx.x] = __syncthreads_and(p[threadIdx.x]);
    any[threadIdx.x] = __syncthreads_or(p[threadIdx.x]);
}

// Threads beyond n leave before the barrier; it does not wait for them.
extern "C" __global__ void early_return(const float* x, float* y, int n) {
    __shared__ float tile[256];
    int t = threadIdx.x;
    if (t >= n) return;
    tile[t] = x[t];
    __syncthreads();
    y[t] = tile[n - 1 - t];
}

template <typename T> __global__ void shuffles(const T* x, T* idx, T* up, T* down, T* xored, int width) {
    int t = threadIdx.x;
    T v = x[t];
    idx[t] = __shfl_sync(0xffffffffu, v, 3, width);
    up[t] = __shfl_up_sync(0xffffffffu, v, 2, width);
    down[t] = __shfl_down_sync(0xffffffffu, v, 2, width);
    xored[t] = __shfl_xor_sync(0xffffffffu, v, 5, width);
}

// The two halves of each warp, apart, in branches of their own.
extern "C" __global__ void half_warps(const int* x, int* out) {
    int t = threadIdx.x, v = x[t];
    if (t % 32 < 16) {
        for (int d = 8; d > 0; d /= 2) v += __shfl_xor_sync(0x0000ffffu, v, d, 16);
    } else {
        for (int d = 8; d > 0; d /= 2) v = max(v, __shfl_xor_sync(0xffff0000u, v, d, 16));
        __syncwarp(0xffff0000u);
    }
    out[t] = v;
}

extern "C" __global__ void votes(const int* p, unsigned* ballot, int* any, int* all) {
    int t = threadIdx.x;
    ballot[t] = __ballot_sync(0xffffffffu, p[t]);
    any[t] = __any_sync(0xffffffffu, p[t]);
    all[t] = __all_sync(0xffffffffu, p[t]);
}

extern "C" __global__ void active(unsigned* out) {
    if (threadIdx.x % 32 < 5) out[threadIdx.x] = __activemask();
}

template <typename T> __global__ void atomics(const T* x, T* sum, T* most, T* least, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    atomicAdd(sum, x[i]);
    atomicMax(most, x[i]);
    atomicMin(least, x[i]);
}

template <typename T> __global__ void atomic_sum(const T* x, T* sum, int n) {  // CUDA has no atomicMax of float or double
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) atomicAdd(sum, x[i]);
}

template <typename T> __global__ void add_all(const T* x, T* sum) { atomicAdd(sum, x[threadIdx.x]); }

extern "C" __global__ void exchange(int* cas, unsigned long long* last, int* old) {
    int before = *cas, assumed;
    do {
        assumed = before;
        before = atomicCAS(cas, assumed, assumed + 2);
    } while (before != assumed);
    old[threadIdx.x] = before;
    atomicExch(last, 7ull);
}

extern "C" __global__ void vectors(const float4* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float4 v = __ldg(x + i);
    float2 pair = make_float2(v.x + v.y, v.z + v.w);
    float4 zero = {}, some = {1.f, 2.f, 3.f, 4.f};
    reinterpret_cast<float4*>(y)[i] = make_float4(pair.x, pair.y, zero.x + some.w, (float)i);
}

extern "C" __global__ void other_vectors(const double2* d, const int4* i, double* sum) {
    double2 a = d[threadIdx.x];
    int4 b = i[threadIdx.x];
    sum[threadIdx.x] = a.x * b.x + a.y * b.w;
}

__constant__ float coefficients[4];
__device__ int plain_counter = 5;

extern "C" __global__ void polynomial(const float* x, float* y) {
    float v = x[threadIdx.x], sum = 0.f;
#pragma unroll
    for (int i = 3; i >= 0; --i) sum = fmaf(sum, v, coefficients[i]);
    y[threadIdx.x] = sum;
}

__forceinline__ __device__ float twice(float x) { return 2.f * x; }
static __device__ __host__ __noinline__ float thrice(float x) { return 3.f * x; }

extern "C" __global__ void mathematics(float* out, unsigned* bits) {
    out[0] = rsqrtf(4.f), out[1] = __expf(1.f), out[2] = fmaxf(-1.f, 2.f), out[3] = fminf(-1.f, 2.f);
    out[4] = __fmaf_rn(2.f, 3.f, 4.f), out[5] = twice(4.f), out[6] = thrice(4.f), out[7] = fmaxf(nanf(""), 1.f);
    out[8] = max(1, 2), out[9] = min(3.f, 2.f), out[10] = (float)rsqrt(16.0), out[11] = exp(1.f);
    bits[0] = __umulhi(0xD2511F53u, 0xCD9E8D57u), bits[1] = __popc(0xf0u), bits[2] = __clz(1), bits[3] = __ffs(8);
    bits[4] = __brev(1u), bits[5] = __float_as_uint(1.f), bits[6] = max(3u, 4), bits[7] = (unsigned)plain_counter;
}

struct Box { int n; float scale; float* out; };
template <int TILE, typename T> __global__ void by_value(Box box, const T* const* tables) {
    if (threadIdx.x < box.n) box.out[threadIdx.x] = box.scale * TILE + tables[1][threadIdx.x];
}

extern "C" __global__ void divergent(int* out) {
    if (threadIdx.x < 16) {
        __syncthreads();
        out[threadIdx.x] = 1;
    } else {
        __syncthreads();
        out[threadIdx.x] = 2;
    }
}

extern "C" __global__ void half_shuffle(int* out) {
    int v = threadIdx.x;
    if (threadIdx.x < 16) v = __shfl_xor_sync(0xffffffffu, v, 1);
    __syncthreads();
    out[threadIdx.x] = v;
}

extern "C" __global__ void not_in_mask(int* out) { out[threadIdx.x] = __shfl_sync(0x0000ffffu, 1, 0); }

extern "C" __global__ void missing_lane(int* out) { out[threadIdx.x] = __shfl_down_sync(0xffffffffu, 1, 8); }

extern "C" __global__ void trapped() { if (threadIdx.x == 3) __trap(); }
