// The kernels that courses begin with, each as it stands in them: a launch, a copy back, a line of numbers.
// test_programs.py has the same in NumPy. All inputs are i % 7 - 3, or of another modulus.
#include <cstdio>
#include <cstdlib>
#include <vector>
#include <cuda_runtime.h>

#define CHECK(call)                                                                            \
    do {                                                                                       \
        cudaError_t error = (call);                                                            \
        if (error != cudaSuccess) {                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, cudaGetErrorString(error));     \
            exit(EXIT_FAILURE);                                                                \
        }                                                                                      \
    } while (0)

template <typename T> T* upload(int n, int modulus) {
    std::vector<T> host(n);
    for (int i = 0; i < n; ++i) host[i] = T(i % modulus - modulus / 2);
    T* device;
    CHECK(cudaMalloc(&device, n * sizeof(T)));
    CHECK(cudaMemcpy(device, host.data(), n * sizeof(T), cudaMemcpyHostToDevice));
    return device;
}

template <typename T> T* room(int n) {
    T* device = nullptr;
    CHECK(cudaMalloc((void**)&device, n * sizeof(T)));
    CHECK(cudaMemset(device, 0, n * sizeof(T)));
    return device;
}

template <typename T> void show(const char* name, T* device, int n) {
    CHECK(cudaGetLastError());
    CHECK(cudaDeviceSynchronize());
    T* host = (T*)malloc(n * sizeof(T));
    CHECK(cudaMemcpy(host, device, n * sizeof(T), cudaMemcpyDeviceToHost));
    printf("%s", name);
    for (int i = 0; i < n; ++i) printf(" %.7g", (double)host[i]);
    printf("\n");
    free(host);
    CHECK(cudaFree(device));
}

__global__ void vector_add(const float* a, const float* b, float* c, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) c[i] = a[i] + b[i];
}

constexpr int TILE = 8;
__global__ void matmul(const float* a, const float* b, float* c, int n) {
    __shared__ float as[TILE][TILE], bs[TILE][TILE];
    int row = blockIdx.y * TILE + threadIdx.y, column = blockIdx.x * TILE + threadIdx.x;
    float sum = 0;
    for (int first = 0; first < n; first += TILE) {
        as[threadIdx.y][threadIdx.x] = row < n && first + threadIdx.x < n ? a[row * n + first + threadIdx.x] : 0;
        bs[threadIdx.y][threadIdx.x] = column < n && first + threadIdx.y < n ? b[(first + threadIdx.y) * n + column] : 0;
        __syncthreads();
#pragma unroll
        for (int k = 0; k < TILE; ++k) sum += as[threadIdx.y][k] * bs[k][threadIdx.x];
        __syncthreads();
    }
    if (row < n && column < n) c[row * n + column] = sum;
}

__global__ void transpose(float* out, const float* in, int width, int height) {
    __shared__ float tile[TILE][TILE + 1];
    int x = blockIdx.x * TILE + threadIdx.x, y = blockIdx.y * TILE + threadIdx.y;
    if (x < width && y < height) tile[threadIdx.y][threadIdx.x] = in[y * width + x];
    __syncthreads();
    x = blockIdx.y * TILE + threadIdx.x, y = blockIdx.x * TILE + threadIdx.y;
    if (x < height && y < width) out[y * height + x] = tile[threadIdx.x][threadIdx.y];
}

// The reductions from the interleaved one to the unrolled one.
__global__ void reduce0(const int* in, int* out) {
    extern __shared__ int sums[];
    unsigned t = threadIdx.x;
    sums[t] = in[blockIdx.x * blockDim.x + t];
    __syncthreads();
    for (unsigned s = 1; s < blockDim.x; s *= 2) {
        if (t % (2 * s) == 0) sums[t] += sums[t + s];
        __syncthreads();
    }
    if (t == 0) out[blockIdx.x] = sums[0];
}
__global__ void reduce3(const int* in, int* out) {
    extern __shared__ int sums[];
    unsigned t = threadIdx.x, i = blockIdx.x * blockDim.x * 2 + threadIdx.x;
    sums[t] = in[i] + in[i + blockDim.x];
    __syncthreads();
    for (unsigned s = blockDim.x / 2; s > 0; s >>= 1) {
        if (t < s) sums[t] += sums[t + s];
        __syncthreads();
    }
    if (t == 0) out[blockIdx.x] = sums[0];
}
template <unsigned Size> __global__ void reduce6(const int* in, int* out, unsigned n) {
    extern __shared__ int sums[];
    unsigned t = threadIdx.x;
    int mine = 0;
    for (unsigned i = blockIdx.x * Size + t; i < n; i += Size * gridDim.x) mine += in[i];
    sums[t] = mine;
    __syncthreads();
    if (Size >= 128 && t < 64) sums[t] += sums[t + 64];
    __syncthreads();
    if (t < 32) {
        mine = sums[t] + sums[t + 32];
        for (int offset = 16; offset > 0; offset /= 2) mine += __shfl_down_sync(0xffffffff, mine, offset);
        if (t == 0) out[blockIdx.x] = mine;
    }
}

__global__ void scan(const int* in, int* out, int n) {
    __shared__ int both[2][64];
    int t = threadIdx.x, now = 0;
    both[0][t] = t < n ? in[t] : 0;
    __syncthreads();
    for (int distance = 1; distance < 64; distance *= 2) {
        now = 1 - now;
        both[now][t] = both[1 - now][t] + (t >= distance ? both[1 - now][t - distance] : 0);
        __syncthreads();
    }
    if (t < n) out[t] = both[now][t];
}

__global__ void histogram(const unsigned char* in, unsigned* bins, int n) {
    __shared__ unsigned own[16];
    if (threadIdx.x < 16) own[threadIdx.x] = 0;
    __syncthreads();
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&own[in[i] % 16], 1);
    __syncthreads();
    if (threadIdx.x < 16) atomicAdd(&bins[threadIdx.x], own[threadIdx.x]);
}

#define RADIUS 3
__global__ void stencil(const int* in, int* out, int n) {
    __shared__ int near[32 + 2 * RADIUS];
    int g = blockIdx.x * blockDim.x + threadIdx.x, l = threadIdx.x + RADIUS;
    near[l] = g < n ? in[g] : 0;
    if (threadIdx.x < RADIUS) {
        near[l - RADIUS] = g >= RADIUS ? in[g - RADIUS] : 0;
        near[l + blockDim.x] = g + blockDim.x < n ? in[g + blockDim.x] : 0;
    }
    __syncthreads();
    if (g >= n) return;
    int sum = 0;
    for (int d = -RADIUS; d <= RADIUS; ++d) sum += near[l + d];
    out[g] = sum;
}

__constant__ float filter[2 * RADIUS + 1];
__global__ void convolve(const float* in, float* out, int width, int height, int dx, int dy) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    float sum = 0;
    for (int k = -RADIUS; k <= RADIUS; ++k) {
        int u = x + k * dx, v = y + k * dy;
        if (u >= 0 && u < width && v >= 0 && v < height) sum += filter[RADIUS + k] * in[v * width + u];
    }
    out[y * width + x] = sum;
}

// A warp a row.
__inline__ __device__ float warp_sum(float value) {
    for (int mask = warpSize / 2; mask > 0; mask >>= 1) value += __shfl_xor_sync(0xffffffffu, value, mask);
    return value;
}
__inline__ __device__ float warp_max(float value) {
    for (int mask = warpSize / 2; mask > 0; mask >>= 1) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, mask));
    return value;
}
__global__ void __launch_bounds__(64) softmax(const float* __restrict__ in, float* __restrict__ out, int columns) {
    int row = blockIdx.x * blockDim.y + threadIdx.y, lane = threadIdx.x;
    float most = -INFINITY, sum = 0;
    for (int i = lane; i < columns; i += warpSize) most = fmaxf(most, in[row * columns + i]);
    most = warp_max(most);
    for (int i = lane; i < columns; i += warpSize) sum += expf(in[row * columns + i] - most);
    sum = warp_sum(sum);
    for (int i = lane; i < columns; i += warpSize) out[row * columns + i] = expf(in[row * columns + i] - most) / sum;
}
__global__ void layernorm(const float* in, float* out, int columns, float epsilon) {
    int row = blockIdx.x * blockDim.y + threadIdx.y, lane = threadIdx.x;
    float sum = 0, squares = 0;
    for (int i = lane; i < columns; i += warpSize) sum += in[row * columns + i];
    float mean = warp_sum(sum) / columns;
    for (int i = lane; i < columns; i += warpSize) {
        float d = in[row * columns + i] - mean;
        squares += d * d;
    }
    float scale = rsqrtf(warp_sum(squares) / columns + epsilon);
    for (int i = lane; i < columns; i += warpSize) out[row * columns + i] = (in[row * columns + i] - mean) * scale;
}

__global__ void im2col(const float* in, float* out, int width, int height, int size) {
    int rows = height - size + 1, columns = width - size + 1;
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= rows * columns * size * size) return;
    int k = i % (size * size), p = i / (size * size);
    out[i] = in[(p / columns + k / size) * width + p % columns + k % size];
}
__global__ void maxpool(const float* in, float* out, int width, int height) {
    int x = threadIdx.x, y = threadIdx.y;
    float a = fmaxf(in[2 * y * width + 2 * x], in[2 * y * width + 2 * x + 1]);
    float b = fmaxf(in[(2 * y + 1) * width + 2 * x], in[(2 * y + 1) * width + 2 * x + 1]);
    out[y * (width / 2) + x] = fmaxf(a, b);
}

// What templates and macros make of a launch.
template <typename T> struct Scale {
    T factor;
    __host__ __device__ T operator()(T x) const { return factor * x; }
};
template <typename T, typename F> __global__ void map(T* x, int n, F f) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x) x[i] = f(x[i]);
}
__global__ void set(float* x, float value, const float* unused) { x[threadIdx.x] = unused ? 0 : value; }
#define LAUNCH(kernel, blocks, threads, ...) \
    kernel<<<(blocks), (threads)>>>(__VA_ARGS__); \
    CHECK(cudaGetLastError())

int main() {
    float *a = upload<float>(100, 7), *b = upload<float>(100, 5), *c = room<float>(100);
    vector_add<<<(100 + 31) / 32, 32>>>(a, b, c, 100);
    show("vector_add", c, 100);

    dim3 block(TILE, TILE), grid((10 + TILE - 1) / TILE, (10 + TILE - 1) / TILE);
    c = room<float>(100);
    matmul<<<grid, block>>>(a, b, c, 10);
    show("matmul", c, 100);
    c = room<float>(100);
    transpose<<<dim3(3, 1), dim3(TILE, TILE)>>>(c, a, 20, 5);
    show("transpose", c, 100);

    int *x = upload<int>(256, 11), *y = room<int>(4);
    reduce0<<<4, 64, 64 * sizeof(int)>>>(x, y);
    show("reduce0", y, 4);
    y = room<int>(2);
    reduce3<<<2, 64, 64 * sizeof(int)>>>(x, y);
    show("reduce3", y, 2);
    y = room<int>(2);
    switch (128) {
        case 128: reduce6<128><<<2, 128, 128 * sizeof(int)>>>(x, y, 256u); break;
        case 64: reduce6<64><<<2, 64, 64 * sizeof(int)>>>(x, y, 256u); break;
    }
    show("reduce6", y, 2);
    y = room<int>(50);
    scan<<<1, 64>>>(x, y, 50);
    show("scan", y, 50);

    unsigned char* bytes = upload<unsigned char>(300, 23);
    unsigned* bins = room<unsigned>(16);
    histogram<<<3, 32>>>(bytes, bins, 300);
    show("histogram", bins, 16);
    cudaFree(bytes);
    y = room<int>(100);
    stencil<<<4, 32>>>(x, y, 100);
    show("stencil", y, 100);

    float weights[2 * RADIUS + 1] = {1, 2, 3, 4, 3, 2, 1}, *rows = room<float>(100);
    CHECK(cudaMemcpyToSymbol(filter, weights, sizeof(weights)));
    c = room<float>(100);
    convolve<<<dim3(2, 2), dim3(8, 8)>>>(a, rows, 10, 10, 1, 0);
    convolve<<<dim3(2, 2), dim3(8, 8)>>>(rows, c, 10, 10, 0, 1);
    show("convolve", c, 100);
    cudaFree(rows);

    c = room<float>(100);
    softmax<<<1, dim3(32, 2)>>>(a, c, 50);
    show("softmax", c, 100);
    c = room<float>(100);
    layernorm<<<1, dim3(32, 2)>>>(a, c, 50, 1e-5f);
    show("layernorm", c, 100);
    c = room<float>(7 * 7 * 9);
    im2col<<<14, 32>>>(a, c, 9, 9, 3);
    show("im2col", c, 7 * 7 * 9);
    c = room<float>(25);
    maxpool<<<1, {5, 5}>>>(a, c, 10, 10);
    show("maxpool", c, 25);

    map<<<2, 32>>>(a, 100, Scale<float>{2.5f});
    show("map", a, 100);
    double* d = upload<double>(40, 9);
    LAUNCH(map, 2, 8, d, 40, [=] __device__ (double v) { return v * v; });
    show("map_lambda", d, 40);
    c = room<float>(8);
    LAUNCH(set, 1, 8, c, 3, NULL);
    show("null", c, 8);
    cudaFree(b), cudaFree(x);
    return 0;
}
