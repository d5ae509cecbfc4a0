// Faults, each marked on its line, with their correct twins (template argument true). test_check.py finds them.

template <bool right> __global__ void barrier_missing(const float* x, float* y) {
    __shared__ float tile[64];
    int t = threadIdx.x;
    tile[t] = x[blockIdx.x * 64 + t];
    if (right) __syncthreads();
    y[blockIdx.x * 64 + t] = tile[63 - t];  // FAULT barrier_missing
}

// The second barrier of a loop over tiles: without it the next tile overwrites what slower threads still read.
template <bool right> __global__ void second_barrier(const float* x, float* y) {
    __shared__ float tile[64];
    float sum = 0.f;
    for (int i = 0; i < 4; ++i) {
        tile[threadIdx.x] = x[i * 64 + threadIdx.x];  // FAULT second_barrier
        __syncthreads();
        for (int j = 0; j < 64; ++j) sum += tile[j];
        if (right) __syncthreads();
    }
    y[blockIdx.x * 64 + threadIdx.x] = sum;
}

template <bool right> __global__ void guard_missing(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (!right || i < n) {
        y[i] = 2.f * x[i];  // FAULT guard_missing
    }
}

template <bool right> __global__ void atomic_missing(const int* x, int* histogram) {
    int* bin = histogram + x[blockIdx.x * blockDim.x + threadIdx.x] % 8;
    if (right) atomicAdd(bin, 1);
    else *bin += 1;  // FAULT atomic_missing
}

// A 1-D stencil of radius 1 with its halo in shared memory.
template <bool right> __global__ void halo(const float* x, float* y, int n) {
    __shared__ float tile[34];
    int t = threadIdx.x, i = blockIdx.x * 32 + t;
    tile[t + 1] = i < n ? x[i] : 0.f;
    if (t == 0) tile[0] = i > 0 ? x[i - 1] : 0.f;
    if (t == 31) {
        bool inside = right ? i + 1 < n : i < n;
        tile[33] = inside ? x[i + 1] : 0.f;  // FAULT halo
    }
    __syncthreads();
    if (i < n) y[i] = tile[t] + tile[t + 1] + tile[t + 2];
}

template <bool right> __global__ void shuffle_mask(const float* x, float* y) {
    int t = threadIdx.x;
    float v = x[t];
    if (t < 16) {
        unsigned mask = right ? 0x0000ffffu : 0xffffffffu;
        v += __shfl_xor_sync(mask, v, 8);  // FAULT shuffle_mask
    }
    __syncthreads();
    y[t] = v;
}

template <bool right> __global__ void shuffle_lane(const float* x, float* y) {
    int t = threadIdx.x;
    float v = x[t];
    v += __shfl_down_sync(0xffffffffu, v, 16, right ? 16 : 32);  // FAULT shuffle_lane
    if (t == 0) y[0] = v;
}

template <bool right> __global__ void intrinsics_differ(const float* x, float* y) {
    int t = threadIdx.x;
    float v = x[t];
    if (right || t < 16) v = __shfl_xor_sync(0xffffffffu, v, 1);  // FAULT intrinsics_differ
    else v = __shfl_down_sync(0xffffffffu, v, 1);
    y[t] = v;
}

template <bool right> __global__ void barrier_in_branch(const float* x, float* y) {
    __shared__ float tile[64];
    int t = threadIdx.x;
    tile[t] = x[t];
    if (right) __syncthreads();
    else if (t < 32) {
        __syncthreads();  // FAULT barrier_in_branch
    }
    y[t] = tile[t];
}

template <bool right> __global__ void barriers_differ(const float* x, float* y) {
    int t = threadIdx.x;
    if (right || t < 32) {
        __syncthreads();
        y[t] = x[t];
    } else {
        __syncthreads();  // FAULT barriers_differ
    }
}

template <bool right> __global__ void uninitialised(const float* x, float* y) {
    __shared__ float tile[64];
    int t = threadIdx.x;
    if (right || t < 60) tile[t] = x[t];
    __syncthreads();
    y[t] = tile[t];  // FAULT uninitialised
}

template <bool right> __global__ void dynamic_too_small(const float* x, float* y) {
    extern __shared__ float ws[];
    int t = threadIdx.x;
    ws[t] = x[t];  // FAULT dynamic_too_small
    __syncthreads();
    y[t] = ws[t ^ 1];
}

// Right by luck on a machine that runs warps in lockstep. A shuffle in between would not order memory either.
template <bool right> __global__ void warp_unsynchronised(const float* x, float* y) {
    __shared__ float tile[32];
    int t = threadIdx.x;
    tile[t] = x[t];
    if (right) __syncwarp();
    y[t] = tile[t ^ 1];  // FAULT warp_unsynchronised
}

// The two halves synchronise by themselves, which does not order one with the other.
template <bool right> __global__ void partial_syncwarp(const float* x, float* y) {
    __shared__ float tile[32];
    int t = threadIdx.x;
    tile[t] = x[t];
    __syncwarp(t < 16 ? 0x0000ffffu : 0xffff0000u);
    y[t] = tile[right ? t ^ 1 : 31 - t];  // FAULT partial_syncwarp
}

template <bool right> __global__ void misaligned(const float* x, float* y) {
    float4 v = reinterpret_cast<const float4*>(x + (right ? 4 : 1))[threadIdx.x];  // FAULT misaligned
    y[threadIdx.x] = v.x + v.y + v.z + v.w;
}

template <bool right> __global__ void blocks_collide(const unsigned char* x, unsigned char* y) {
    int i = blockIdx.x * (right ? 32 : 31) + threadIdx.x;
    y[i] = x[i];  // FAULT blocks_collide
}

// Local arrays are not in memory that anyone watches: the compiler looks at the index.
template <bool right> __global__ void local_array(const float* x, float* y) {
    float r[4];
    for (int i = 0; i < (right ? 4 : 5); ++i) {
        r[i] = x[threadIdx.x + i];  // FAULT local_array
    }
    y[threadIdx.x] = r[0] + r[3];
}

__constant__ float weights[9];
__device__ float scratch[9];

template <bool right> __global__ void constant_array(const float* x, float* y, int n) {
    float sum = 0.f;
    for (int i = 0; right ? i < n : i <= n; ++i) {
        sum += weights[i] * x[i];  // FAULT constant_array
    }
    y[threadIdx.x] = sum;
}

template <bool right> __global__ void device_array(const float* x, float* y, int n) {
    const float* by_pointer = scratch;
    y[threadIdx.x] = x[threadIdx.x] + by_pointer[right ? n - 1 : n];  // FAULT device_array
}

template <bool right> __global__ void row_of_an_array(const float* x, float* y) {
    __shared__ float tile[2][32], more[32];
    int t = threadIdx.x;
    tile[0][t] = tile[1][t] = more[t] = x[t];
    __syncthreads();
    y[t] = tile[1][right ? 31 - t : 32 - t] + more[t];  // FAULT row_of_an_array
}

// Half of the block goes around the barrier, and nothing comes behind it.
template <bool right> __global__ void skipped_barrier(const float* x, float* y) {
    __shared__ float tile[64];
    int t = threadIdx.x;
    tile[t] = x[t];
    if (right || t < 32) {
        y[t] = tile[t];
        __syncthreads();  // FAULT skipped_barrier
    }
}

template <bool right> __global__ void lanes_returned(const float* x, float* y) {
    int t = threadIdx.x;
    if (t >= 16) return;
    float v = x[t];
    v += __shfl_xor_sync(right ? 0x0000ffffu : 0xffffffffu, v, right ? 8 : 16);  // FAULT lanes_returned
    y[t] = v;
}

template <bool right> __global__ void asserted(const float* x, float* y) {
    assert(right || x[threadIdx.x] < 0.1f);  // FAULT asserted
    y[threadIdx.x] = x[threadIdx.x];
}

template <bool right> __global__ void crashed(const float* x, float* y) {
    y[threadIdx.x] = 7 / (right ? 1 : (int)threadIdx.x - 3);  // FAULT crashed
}
