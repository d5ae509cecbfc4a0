// A dense layer of one image: a vector times a matrix. Each weight is used once, so they come straight from L2.
//
//     forward:          y[k]  = relu(b[k] + sum over i of x[i] * w[i][k])
//     backward data:    dx[i] = sum over k of dy[k] * w[i][k]
//     backward filter:  dw[i][k] = x[i] * dy[k], db = dy: straight to the partial gradients
//
// x may be an image: i counts its numbers as (H,W,C), as Flatten does.
#pragma once
#include "masks.cuh"

struct Dense {
    Planes x, y;  // y: K planes of one number
    int relu;
    Divisor channels, columns;  // of x

    __device__ __forceinline__ int place(int i) const {
        const int pixel = channels.quotient(i), h = columns.quotient(pixel);
        return (i - pixel * x.C) * x.plane + h * x.pitch + pixel - h * x.W;
    }
};

// Thread t begins with number t of w, so that a warp reads neighbours: it has one k, and every THREADS / K-th i. scratch:
// THREADS numbers. bias -1: there is none.
__device__ __noinline__ void dense(Dense of, const float* parameters, int w, int bias, int scratch) {
    const int K = of.y.C, I = of.x.C * of.x.H * of.x.W, t = thread_index();
#pragma unroll 1
    for (int first = 0; first < K; first += THREADS) {
        const int width = least(K - first, THREADS), rows = THREADS / width, k = first + t % width, row = t / width;
        float sum = 0;
        if (row < rows) {
#pragma unroll 4
            for (int i = row; i < I; i += rows) sum += words(of.x.at)[of.place(i)] * __ldcg(parameters + w + i * K + k);
        }
        words(scratch)[t] = sum;
        __syncthreads();
        if (t < width) {
#pragma unroll 1
            for (int other = 1; other < rows; other++) sum += words(scratch)[other * width + t];
            if (bias >= 0) sum += __ldcg(parameters + bias + k);
            words(of.y.at)[k * of.y.plane] = of.relu ? relu_of(sum) : sum;
        }
        __syncthreads();
    }
}

__device__ __noinline__ void dense_backward(
    Dense of, const float* parameters, int w, Planes dy, Planes dx, Through below) {
#pragma unroll 1
    for (int i = thread_index(); i < dx.C * dx.H * dx.W; i += THREADS) {
        float sum = 0;
#pragma unroll 8
        for (int k = 0; k < dy.C; k++) sum += words(dy.at)[k * dy.plane] * __ldcg(parameters + w + i * dy.C + k);
        const int pixel = of.channels.quotient(i), c = i - pixel * dx.C, h = of.columns.quotient(pixel);
        dx.row(c, h)[pixel - h * dx.W] = below.back(sum, c, h, pixel - h * dx.W);
    }
}

// db -1: there is no bias.
__device__ __noinline__ void dense_gradient(Dense of, Planes dy, float* partial, int dw, int db) {
#pragma unroll 1
    for (int n = thread_index(); n < of.x.C * of.x.H * of.x.W * dy.C; n += THREADS) {
        const int i = n / dy.C;  // there may be more of them than a Divisor takes
        __stcg(partial + dw + n, words(of.x.at)[of.place(i)] * words(dy.at)[(n - i * dy.C) * dy.plane]);
    }
    if (db >= 0)
#pragma unroll 1
        for (int k = thread_index(); k < dy.C; k += THREADS) __stcg(partial + db + k, words(dy.at)[k * dy.plane]);
}
