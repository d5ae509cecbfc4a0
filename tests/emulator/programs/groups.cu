// What NVIDIA's other headers have: cooperative groups, half, tensor cores, random numbers, cuda::atomic_ref.
#include <cooperative_groups.h>
#include <cooperative_groups/memcpy_async.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <curand_kernel.h>
#include <mma.h>

#include <cassert>
#include <cstdio>
#include <cuda/atomic>

namespace cg = cooperative_groups;
using namespace nvcuda;

// All blocks write, all wait, each reads what another has written.
__global__ void over_the_grid(int* x, int* y) {
    cg::grid_group grid = cg::this_grid();
    int i = (int)grid.thread_rank(), n = (int)grid.size();
    x[i] = i * i;
    grid.sync();
    y[i] = x[n - 1 - i];
    cg::sync(grid);
    x[i] = y[(i + n / 2) % n];
}

__device__ int sum_of(cg::thread_group group, int* room, int value) {
    int rank = group.thread_rank();
    for (int i = group.size() / 2; i > 0; i /= 2) {
        room[rank] = value;
        group.sync();
        if (rank < i) value += room[rank + i];
        group.sync();
    }
    return value;
}
__global__ void of_any_group(int* out) {
    extern __shared__ int room[];
    auto block = cg::this_thread_block();
    int all = sum_of(block, room, block.thread_rank());
    if (block.thread_rank() == 0) out[0] = all;
    auto tile = cg::tiled_partition(block, 16);
    int part = sum_of(tile, room + block.thread_rank() / 16 * 16, 1);
    if (tile.thread_rank() == 0) out[1 + block.thread_rank() / 16] = part;
}

__global__ void tiles(int* out) {
    auto tile = cg::tiled_partition<8>(cg::this_thread_block());
    int t = threadIdx.x;
    out[t] = cg::reduce(tile, t, cg::plus<int>());
    out[64 + t] = cg::inclusive_scan(tile, t, cg::plus<int>());
    out[128 + t] = cg::exclusive_scan(tile, t);
    out[192 + t] = tile.shfl(t, 3) + 1000 * tile.meta_group_rank();
    out[256 + t] = tile.ballot(t % 3 == 0);
    out[320 + t] = cg::reduce(tile, t ^ 5, cg::greater<int>());
    if (t % 4 == 1) {
        auto some = cg::coalesced_threads();
        out[384 + t] = some.size() * 100 + some.thread_rank();
    } else {
        out[384 + t] = -1;
    }
}

__global__ void staged(const int* in, int* out) {
    __shared__ int room[48];
    auto block = cg::this_thread_block();
    cg::memcpy_async(block, room, in, sizeof room);
    cg::wait(block);
    for (int i = block.thread_rank(); i < 48; i += block.size()) out[i] = room[47 - i];
}

__global__ void small_floats(const float* in, float* as_half, float* as_bfloat, float* sums, float* fused) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    half h = __float2half(in[i]), two = __float2half(2.0f);
    as_half[i] = __half2float(h);
    as_bfloat[i] = __bfloat162float(__float2bfloat16(in[i]));
    half2 pair = __hadd2(__halves2half2(h, two), __half2half2(two));
    sums[i] = __low2float(pair) * (__hlt(h, two) ? 1.0f : -1.0f);
    fused[i] = __half2float(__hfma(h, h, two));
}

// Those of doubles and ints that a float in between would round twice.
__global__ void rounded_once(const double* in, float* as_half, float* as_bfloat) {
    int i = threadIdx.x;
    as_half[i] = half(in[i]);
    as_bfloat[i] = __nv_bfloat16(in[i]);
    if (i == 0) as_bfloat[0] = __bfloat162float(__int2bfloat16_rn((int)in[0]));
}

__global__ void pairs(float2* of_half, float2* of_bfloat) {
    half2 a = __floats2half2_rn(1, 2), b = __floats2half2_rn(3, 4);
    of_half[0] = __half22float2(__lows2half2(a, b));
    of_half[1] = __half22float2(__highs2half2(a, b));
    of_half[2] = __half22float2(__halves2half2(__high2half(a), __low2half(b)));
    __nv_bfloat162 c = __floats2bfloat162_rn(1, 2), d = __floats2bfloat162_rn(3, 4);
    of_bfloat[0] = __bfloat1622float2(__lows2bfloat162(c, d));
    of_bfloat[1] = __bfloat1622float2(__highs2bfloat162(c, d));
    of_bfloat[2] = __bfloat1622float2(__halves2bfloat162(__high2bfloat16(c), __low2bfloat16(d)));
}

__global__ void product(const half* a, const half* b, float* c, int n) {
    int row = blockIdx.y * 16, column = blockIdx.x * 16;
    wmma::fragment<wmma::matrix_a, 16, 16, 16, half, wmma::row_major> fa;
    wmma::fragment<wmma::matrix_b, 16, 16, 16, half, wmma::row_major> fb;
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> fc;
    wmma::fill_fragment(fc, 0.0f);
    for (int k = 0; k < n; k += 16) {
        wmma::load_matrix_sync(fa, a + row * n + k, n);
        wmma::load_matrix_sync(fb, b + k * n + column, n);
        wmma::mma_sync(fc, fa, fb, fc);
    }
    wmma::store_matrix_sync(c + row * n + column, fc, n, wmma::mem_row_major);
}

__global__ void random(unsigned* bits, float* uniform, float* normal) {
    int i = threadIdx.x;
    curandStatePhilox4_32_10_t state;
    curand_init(1234ULL, i, 5, &state);
    for (int k = 0; k < 6; ++k) bits[i * 6 + k] = curand(&state);
    curand_init(1234ULL, i, 0, &state);
    uniform[i] = curand_uniform(&state);
    curand_init(1234ULL, i, 0, &state);
    normal[2 * i] = curand_normal(&state);
    normal[2 * i + 1] = curand_normal(&state);
}

__global__ void counted(int* x) {
    assert(blockDim.x == 64);
    cuda::atomic_ref<int, cuda::thread_scope_device> total(x[0]), most(x[1]);
    total.fetch_add(threadIdx.x, cuda::memory_order_relaxed);
    most.fetch_max(threadIdx.x);
}

template <typename T> T* managed(int n) {
    T* p;
    cudaMallocManaged(&p, n * sizeof(T));
    memset(p, 0, n * sizeof(T));
    return p;
}
template <typename T> void show(const char* name, const T* x, int n) {
    cudaError_t error = cudaDeviceSynchronize();
    if (error) printf("%s failed: %s\n", name, cudaGetErrorString(error));
    printf("%s", name);
    for (int i = 0; i < n; ++i) printf(" %.17g", (double)x[i]);
    printf("\n");
}

int main() {
    int *x = managed<int>(512), *y = managed<int>(512);
    void* arguments[] = {&x, &y};
    int most = 0;
    cudaOccupancyMaxActiveBlocksPerMultiprocessor(&most, over_the_grid, 32, 0);
    if (most < 1 || cudaLaunchCooperativeKernel((void*)over_the_grid, dim3(4), dim3(32), arguments, 0, 0)) return 2;
    show("grid", x, 128);
    of_any_group<<<1, 64, 64 * sizeof(int)>>>(y);
    show("any_group", y, 5);
    tiles<<<1, 64>>>(x);
    show("tiles", x, 448);
    for (int i = 0; i < 48; ++i) x[i] = 3 * i;
    staged<<<1, 32>>>(x, y);
    show("staged", y, 48);

    float* in = managed<float>(64 * 5);
    for (int i = 0; i < 64; ++i) in[i] = (i - 20) * (i % 3 ? 0.3f : 1234.567f);
    in[0] = 70000.0f, in[1] = 1e-7f, in[2] = 2049.0f, in[3] = 0.0f;
    small_floats<<<2, 32>>>(in, in + 64, in + 128, in + 192, in + 256);
    show("small_floats", in, 64 * 5);
    double* exact = managed<double>(4);
    exact[0] = 16842753, exact[1] = 1 + ldexp(1, -11) + ldexp(1, -40), exact[2] = -exact[1];
    exact[3] = 1 + ldexp(1, -8) - ldexp(1, -40);
    rounded_once<<<1, 4>>>(exact, in, in + 4);
    show("rounded_once", in, 8);
    pairs<<<1, 1>>>((float2*)in, (float2*)in + 3);
    show("pairs", in, 12);

    half *a = managed<half>(32 * 32), *b = managed<half>(32 * 32);
    for (int i = 0; i < 32 * 32; ++i) a[i] = half(i % 9 - 4), b[i] = half((i % 5 - 2) * 0.5f);
    float* c = managed<float>(32 * 32);
    product<<<dim3(2, 2), 32>>>(a, b, c, 32);
    show("product", c, 32 * 32);

    unsigned* bits = managed<unsigned>(24);
    random<<<1, 4>>>(bits, c, c + 4);
    show("random", bits, 24);
    show("uniform", c, 4);
    show("normal", c + 4, 8);

    x[0] = x[1] = 0;
    counted<<<1, 64>>>(x);
    show("atomic", x, 2);
    cudaFree(x), cudaFree(y), cudaFree(in), cudaFree(exact), cudaFree(a), cudaFree(b), cudaFree(c), cudaFree(bits);
}
