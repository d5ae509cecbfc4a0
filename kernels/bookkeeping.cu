// What a training step needs beside the network: the next batch, and counters. All of it on the device, so that a step
// has nothing to ask of the host and can be recorded once and replayed.
//
//     gather_batch:  x[i] = images[order[start + i]],  y[i] = labels[order[start + i]]      for i < size
//     advance:       counter += amount, for up to three counters: a launch costs more than many additions
//     fill:          y[i] = value
//
// gather_batch: blockIdx.y walks over the rows of the batch, blockIdx.x over a row, four numbers a thread; the blocks
// behind the image's copy the label. Images are contiguous, so a warp reads and writes 512 contiguous bytes where
// rows are a multiple of four long. No shared memory. The same as plain loops:
// tinycnn/devices/reference/bookkeeping.py (fill: assign_loops).
#include "common.cuh"

// Row `from` of `source` to row `to` of `target`: the four numbers from `at` on.
template <typename T>
__device__ __forceinline__ void copy_four(
    const T* __restrict__ source, T* __restrict__ target, long long from, long long to, int at, int length) {
    if (at >= length) return;
    T v[4];
    load_some(v, source + from * length + at, length - at, length % 4 == 0);
    store_some(target + to * length + at, v, length - at, length % 4 == 0);
}

template <typename T>
__global__ void gather_batch(
    const T* __restrict__ images, const T* __restrict__ labels, const long long* __restrict__ order,
    const long long* __restrict__ start, T* __restrict__ x, T* __restrict__ y, int count, int size, int image_length,
    int label_length, int image_blocks) {
    for (int i = blockIdx.y; i < size; i += gridDim.y) {
        if (*start + i >= count) return;
        const long long row = order[*start + i];
        if (row < 0 || row >= count) return;
        if (int(blockIdx.x) < image_blocks)
            copy_four(images, x, row, i, 4 * (blockIdx.x * blockDim.x + threadIdx.x), image_length);
        else
            copy_four(labels, y, row, i, 4 * ((blockIdx.x - image_blocks) * blockDim.x + threadIdx.x), label_length);
    }
}

// T is the counter's type, or that of a one-element array that the host sets to a value (`fill`).
template <typename T>
__global__ void advance(T* a, T* b, T* c, T a_amount, T b_amount, T c_amount) {
    if (threadIdx.x == 0 && blockIdx.x == 0) {
        *a += a_amount;
        *b += b_amount;  // a launch for fewer than three names one of them again, with amount 0
        *c += c_amount;
    }
}

template <typename T>
__global__ void fill(T* __restrict__ y, T value, long long total) {
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < total) y[i] = value;
}
