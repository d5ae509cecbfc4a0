// Max pooling of an image in shared memory: maxpool2d.cu's, with its rules for equal numbers and for NaN.
//
// `argmax`, a byte for each output (C,P,Q): r * S + s of the maximum. Forward, a thread has an output. Backward, one has a
// pixel of dx and asks every window over it. A maximum is above 0 where the pixel that it was was, so the ReLU of the
// layer below is seen in y, and x may be forgotten.
#pragma once
#include "masks.cuh"

struct Pool {
    Planes x, y;
    int R, S, stride_h, stride_w, top, left, argmax;
};

__device__ __forceinline__ unsigned char* bytes(int at) { return shared_array<unsigned char>(4ll * at); }

__device__ __noinline__ void maxpool2d(Pool of) {
    const int pixels = of.y.H * of.y.W;
    const Divisor by_pixels = divisor(pixels), by_W = divisor(of.y.W);
#pragma unroll 1
    for (int i = thread_index(); i < of.y.C * pixels; i += THREADS) {
        const int c = by_pixels.quotient(i), pixel = i - c * pixels, p = by_W.quotient(pixel), q = pixel - p * of.y.W;
        const int h0 = p * of.stride_h - of.top, w0 = q * of.stride_w - of.left;
        float best = 0;
        int where = -1;
#pragma unroll 1
        for (int r = most(0, -h0); r < least(of.R, of.x.H - h0); r++)
#pragma unroll 1
            for (int s = most(0, -w0); s < least(of.S, of.x.W - w0); s++) {
                const float v = of.x.row(c, h0 + r)[w0 + s];
                if (where < 0 || v > best || (v != v && best == best)) best = v, where = r * of.S + s;
            }
        of.y.row(c, p)[q] = best;
        bytes(of.argmax)[i] = where;
    }
}

// dx: planes of x's shape, through the dropout of the layer below, and its ReLU where below.relu says so.
__device__ __noinline__ void maxpool2d_backward(Pool of, Planes dy, Planes dx, Through below) {
    const int pixels = dx.H * dx.W;
    const Divisor by_pixels = divisor(pixels), by_W = divisor(dx.W);
#pragma unroll 1
    for (int i = thread_index(); i < dx.C * pixels; i += THREADS) {
        const int c = by_pixels.quotient(i), pixel = i - c * pixels, h = by_W.quotient(pixel), w = pixel - h * dx.W;
        const Windows rows = windows_over(h + of.top, of.R, of.stride_h, dy.H);
        const Windows columns = windows_over(w + of.left, of.S, of.stride_w, dy.W);
        float sum = 0;
#pragma unroll 1
        for (int p = rows.first; p <= rows.last; p++)
#pragma unroll 1
            for (int q = columns.first; q <= columns.last; q++) {
                const int here = (h + of.top - p * of.stride_h) * of.S + w + of.left - q * of.stride_w;
                if (bytes(of.argmax)[(c * dy.H + p) * dy.W + q] != here) continue;
                if (!below.relu || of.y.row(c, p)[q] > 0) sum += dy.row(c, p)[q];
            }
        if (below.mask >= 0) sum = below.kept(c, pixel) ? rounded_product(sum, below.scale) : 0.f;
        dx.row(c, h)[w] = sum;
    }
}
