// Dropout's masks: bits in shared memory, made once a step and used on both ways.
//
// The same bits as dropout.cu's: element i of (N,H,W,C) takes word i % 4 of Philox's counter (i / 4, stream, step). A
// pixel has ceil(C / 32) words, bit c % 32 of word c / 32 being channel c's.
#pragma once
#include "planes.cuh"

// What a gradient comes back through on its way to the layer below, whose output `y` is: that layer's ReLU (where y is
// above 0), and its dropout.
struct Through {
    Planes y;
    int relu;
    int mask;  // -1: no dropout
    float scale;

    __device__ __forceinline__ bool kept(int c, int pixel) const {
        return bits(mask)[pixel * ((y.C + 31) / 32) + c / 32] >> (c % 32) & 1;
    }
    __device__ __forceinline__ float back(float gradient, int c, int h, int w) const {
        if (relu && !(y.row(c, h)[w] > 0)) return 0.f;
        if (mask < 0) return gradient;
        return kept(c, h * y.W + w) ? rounded_product(gradient, scale) : 0.f;
    }
};

__device__ __noinline__ void make_mask(
    int to, int pixels, int C, unsigned long long threshold, const long long* draw, long long step) {
    const unsigned long long seed = draw[0];
    const unsigned int stream = draw[1];
    const int of_pixel = (C + 31) / 32;
#pragma unroll 1
    for (int i = thread_index(); i < pixels * of_pixel; i += THREADS) {
        const int pixel = i / of_pixel, from = i % of_pixel * 32, count = least(32, C - from);
        const long long first = ((long long)blockIdx.x * pixels + pixel) * C + from;
        unsigned int found = 0;
#pragma unroll 1
        for (long long four = first / 4 * 4; four < first + count; four += 4) {
            const Words random = philox4x32((unsigned int)(four >> 2), stream, step, seed);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const int c = int(four - first) + j;
                if (c >= 0 && c < count && random.w[j] >= threshold) found |= 1u << c;
            }
        }
        bits(to)[i] = found;
    }
}

// ReLU and dropout of an image, in place.
__device__ __noinline__ void activate(Planes y, int relu, int mask, float scale) {
    const Through of = {y, relu, mask, scale};
    const Divisor by_C = divisor(y.C), by_W = divisor(y.W);
#pragma unroll 1
    for (int i = thread_index(); i < y.C * y.H * y.W; i += THREADS) {
        const int pixel = by_C.quotient(i), c = i - pixel * y.C, h = by_W.quotient(pixel);
        float* at = y.row(c, h) + pixel - h * y.W;
        const float v = relu ? relu_of(*at) : *at;
        *at = mask < 0 ? v : of.kept(c, pixel) ? rounded_product(v, scale) : 0.f;
    }
}

// A gradient through the ReLU and the dropout of what it is the gradient of, in place.
__device__ __noinline__ void pass_back(Planes dy, Through below) {
    const Divisor by_C = divisor(dy.C), by_W = divisor(dy.W);
#pragma unroll 1
    for (int i = thread_index(); i < dy.C * dy.H * dy.W; i += THREADS) {
        const int pixel = by_C.quotient(i), c = i - pixel * dy.C, h = by_W.quotient(pixel), w = pixel - h * dy.W;
        dy.row(c, h)[w] = below.back(dy.row(c, h)[w], c, h, w);
    }
}
