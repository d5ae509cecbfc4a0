// What the stages of a step share: images in shared memory, and the way into it and out of it.
//
// An image (H,W,C) lies there as C planes of H rows. Rows are `pitch` apart, an odd number, so that 32 rows lie in 32
// banks. Where a convolution reads beyond the edges of a row, pitch - W numbers behind each row are zeros, and so are as
// many before the first: what is left of a row is what is right of the one before. Whatever is not an image is `at`, an
// offset in 4-byte words from the beginning of shared memory.
//
// Where a network's parameters lie, and a block's partial gradients, is an offset from `parameters` or `partial`: pointers
// to each of them the compiler would compute ahead of the loop over the steps, and have no registers for.
//
// What blocks write for one another goes past the first cache, which is a multiprocessor's own: __ldcg and __stcg.
#pragma once
#include "../common.cuh"

constexpr int THREADS = 512, WARPS = THREADS / 32;  // of a block

// x / n for 0 <= x and x * n < 2^32, by a multiplication.
struct Divisor {
    int n;
    unsigned int by;

    __device__ __forceinline__ int quotient(int x) const { return n == 1 ? x : int(__umulhi(x, by)); }
};

__host__ __device__ constexpr Divisor divisor(int n) { return {n, n == 1 ? 0 : 0xffffffffu / n + 1}; }

struct Planes {
    int at, C, H, W, pitch, plane;

    __device__ __forceinline__ float* row(int c, int h) const {
        return shared_array<float>(at + c * plane + h * pitch);
    }
};

__device__ __forceinline__ float* words(int at) { return shared_array<float>(at); }
__device__ __forceinline__ unsigned int* bits(int at) { return shared_array<unsigned int>(at); }

__device__ __forceinline__ int thread_index() { return threadIdx.x; }
__device__ __forceinline__ int warp_index() { return thread_index() / 32; }
__device__ __forceinline__ int lane_index() { return thread_index() % 32; }

// The zeros around the rows of some planes. pixels: of a row and of a whole plane.
__device__ __noinline__ void clear_edges(Planes x) {
    const int gap = x.pitch - x.W, rest = x.plane - x.H * x.pitch, rows = x.C * x.H;
    const Divisor by_rows = divisor(x.H);
#pragma unroll 1
    for (int i = thread_index(); i < rows; i += THREADS) {
        const int c = by_rows.quotient(i);
        float* end = x.row(c, i - c * x.H) + x.W;
#pragma unroll 1
        for (int j = 0; j < gap; j++) end[j] = 0;
    }
#pragma unroll 1
    for (int i = thread_index(); i < x.C * rest; i += THREADS) words(x.at)[i / rest * x.plane + x.H * x.pitch + i % rest] = 0;
    if (thread_index() < gap) words(x.at)[thread_index() - gap] = 0;
}

// Where the images of an epoch are, and in which order.
struct Batches {
    const float* images;  // (M,H,W,C)
    const float* labels;  // (M,K)
    const long long* order;
    long long left;  // images from the first of this launch to the end of the epoch

    // Which image a block has in a step; one that has none plays with the first, and nobody looks at what it finds.
    __device__ __forceinline__ long long image(int step) const {
        const long long place = (long long)step * gridDim.x + blockIdx.x;
        return order[place < left ? place : 0];
    }
    __device__ __forceinline__ int images_of(int step) const {
        const long long rest = left - (long long)step * gridDim.x;
        return rest < int(gridDim.x) ? int(rest) : int(gridDim.x);
    }
};

// This block's image of a step to planes.
__device__ __noinline__ void gather(Planes x, Batches batches, int step) {
    const float* image = batches.images + batches.image(step) * (x.C * x.H * x.W);
    const Divisor by_C = divisor(x.C), by_W = divisor(x.W);
#pragma unroll 2
    for (int i = thread_index(); i < x.H * x.W * x.C; i += THREADS) {
        const int pixel = by_C.quotient(i), h = by_W.quotient(pixel);
        x.row(i - pixel * x.C, h)[pixel - h * x.W] = image[i];
    }
}

// Weights (rows, K) to shared memory, where rows are padded to a multiple of four; and a bias behind them, -1: zeros.
__device__ __noinline__ void load_filters(int to, const float* parameters, int w, int rows, int K, int bias) {
    const int width = (K + 3) / 4 * 4;
    const Divisor by_K = divisor(K);
#pragma unroll 4
    for (int i = thread_index(); i < rows * K; i += THREADS) {
        const int row = by_K.quotient(i);
        words(to)[row * width + i - row * K] = __ldcg(parameters + w + i);
    }
#pragma unroll 1
    for (int k = thread_index(); k < width; k += THREADS)
        words(to)[rows * width + k] = bias >= 0 && k < K ? __ldcg(parameters + bias + k) : 0.f;
#pragma unroll 1
    for (int i = thread_index(); i < rows * (width - K); i += THREADS)
        words(to)[i / (width - K) * width + K + i % (width - K)] = 0;
}

// Filters (taps, C, K) turned by 180 degrees, C and K exchanged: taps in reverse order, (taps, K, C), rows of C padded.
__device__ __noinline__ void load_turned(int to, const float* parameters, int w, int taps, int C, int K) {
    const int width = (C + 3) / 4 * 4;
    const Divisor by_K = divisor(K), by_C = divisor(C);
#pragma unroll 4
    for (int i = thread_index(); i < taps * C * K; i += THREADS) {
        const int row = by_K.quotient(i), tap = by_C.quotient(row);
        words(to)[((taps - 1 - tap) * K + i - row * K) * width + row - tap * C] = __ldcg(parameters + w + i);
    }
#pragma unroll 1
    for (int i = thread_index(); i < taps * K * (width - C); i += THREADS)
        words(to)[i / (width - C) * width + C + i % (width - C)] = 0;
}

// n numbers from shared memory to this block's row of the partial gradients, in order: for each 4 one access.
__device__ __noinline__ void publish_gradient(float* partial, int gradient, int from, int n) {
    float* to = partial + gradient;
#pragma unroll 1
    for (int i = thread_index(); i < n / 4; i += THREADS)
        __stcg(reinterpret_cast<float4*>(to) + i, reinterpret_cast<float4*>(words(from))[i]);
    if (thread_index() < n % 4) __stcg(to + n / 4 * 4 + thread_index(), words(from)[n / 4 * 4 + thread_index()]);
}
