// The access patterns of the textbooks; test_trace.py knows what each costs. One access a line.

extern "C" __global__ void copy(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float v = x[i];  // LINE copy load
    y[i] = v;        // LINE copy store
}

extern "C" __global__ void off_by_one(const float* x, float* y) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float v = x[i + 1];  // LINE off_by_one
    y[i] = v;
}

extern "C" __global__ void strided(const float* x, float* y, int stride) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float v = x[i * stride];  // LINE strided
    y[i] = v;
}

extern "C" __global__ void same(const float* x, float* y) {
    float v = x[0];  // LINE same
    y[blockIdx.x * blockDim.x + threadIdx.x] = v;
}

extern "C" __global__ void wide(const float4* x, float4* y) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float4 v = x[i];  // LINE wide load
    v.x += 1.f;
    y[i] = v;         // LINE wide store
}

extern "C" __global__ void wide_cast(const float* x, float* y) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float4 v = __ldg(reinterpret_cast<const float4*>(x) + i);  // LINE wide_cast
    y[i] = v.x + v.y + v.z + v.w;
}

template <typename T, int pitch> __global__ void transpose(const T* x, T* y) {
    __shared__ T tile[32][pitch];
    for (int j = threadIdx.y; j < 32; j += blockDim.y) {
        T in = x[j * 32 + threadIdx.x];
        tile[j][threadIdx.x] = in;  // LINE transpose rows
    }
    __syncthreads();
    for (int j = threadIdx.y; j < 32; j += blockDim.y) {
        T out = tile[threadIdx.x][j];  // LINE transpose columns
        y[j * 32 + threadIdx.x] = out;
    }
}

// Lane l takes the branch in the rounds with k % 4 == l % 4, so that 8 lanes are in it at a time, 64 times.
extern "C" __global__ void lane_dependent(const float* x, float* y) {
    int t = threadIdx.x;
    float sum = 0.f;
    for (int k = 0; k < 64; ++k) {
        if (k % 4 == t % 4) {
            sum += x[t];  // LINE lane_dependent
        }
    }
    float more = x[t];  // LINE together again
    y[t] = sum + more;
}

extern "C" __global__ void histogram(const int* x, int* bins) {
    int bin = x[threadIdx.x];
    atomicAdd(bins + bin, 1);  // LINE histogram
}

extern "C" __global__ void tail(const float* x, float* y, int n) {
    int i = threadIdx.x;
    if (i < n) {
        y[i] = x[i];  // LINE tail
    }
}
