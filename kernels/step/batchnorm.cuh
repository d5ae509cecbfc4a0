// Batch normalisation of an image whose batch is spread over the blocks, with the ReLU and the dropout behind it.
//
// The formulas are batchnorm.cu's. Forward, each block leaves the mean of each channel of its image, and the sum of the
// squares of the distances from it; all blocks wait for all, and each computes the statistics of the batch from what all
// have left, in the order of the blocks: all get the same bits. Backward, what they leave are the sums of dy * x_hat and
// of dy. `exchange` is where: (2, C, blocks), so that a warp reads a channel's numbers of 32 blocks in one access.
//
// In a block, a channel's pixels are dealt to `parts` warps, whose results (2, C, parts) lie at `scratch`. What is kept
// for the way back are mean, 1 / deviation, gamma / deviation and beta, (4, C) at `statistics`. The next rows (2, C) are
// the sums of dy * x_hat and of dy over the batch, once they are known.
#pragma once
#include "masks.cuh"

struct Norm {
    Planes x;
    int statistics, scratch, parts;
    Divisor columns;  // x's W

    __device__ __forceinline__ int begin(int part) const { return x.H * x.W * part / parts; }
    __device__ __forceinline__ float at(int c, int pixel) const {
        const int h = columns.quotient(pixel);
        return x.row(c, h)[pixel - h * x.W];
    }
    __device__ __forceinline__ float* of(int which, int c) const { return words(statistics) + which * x.C + c; }
};
enum { MEAN, INVERSE, SCALE, SHIFT, DGAMMA, DBETA };

__device__ __noinline__ void find_moments(Norm norm) {
    const int lane = lane_index(), tasks = norm.x.C * norm.parts;
#pragma unroll 1
    for (int task = warp_index(); task < tasks; task += WARPS) {
        const int c = task / norm.parts, part = task - c * norm.parts, begin = norm.begin(part), end = norm.begin(part + 1);
        float sum = 0, squares = 0;
#pragma unroll 4
        for (int i = begin + lane; i < end; i += 32) sum += norm.at(c, i);
        const float mean = warp_sum(sum) / (end - begin);
#pragma unroll 4
        for (int i = begin + lane; i < end; i += 32) {
            const float apart = norm.at(c, i) - mean;
            squares += apart * apart;
        }
        squares = warp_sum(squares);
        if (lane == 0) words(norm.scratch)[task] = mean, words(norm.scratch)[tasks + task] = squares;
    }
}

__device__ __noinline__ void publish_moments(Norm norm, float* exchange) {
#pragma unroll 1
    for (int c = thread_index(); c < norm.x.C; c += THREADS) {
        const float *means = words(norm.scratch) + c * norm.parts, *squares = means + norm.x.C * norm.parts;
        float mean = 0, sum = 0;
#pragma unroll 1
        for (int part = 0; part < norm.parts; part++) mean += means[part] * (norm.begin(part + 1) - norm.begin(part));
        mean /= norm.x.H * norm.x.W;
#pragma unroll 1
        for (int part = 0; part < norm.parts; part++) {
            const float apart = means[part] - mean;
            sum += squares[part] + apart * apart * (norm.begin(part + 1) - norm.begin(part));
        }
        __stcg(exchange + c * gridDim.x + blockIdx.x, mean);
        __stcg(exchange + (norm.x.C + c) * gridDim.x + blockIdx.x, sum);
    }
}

// A lane's share of what the blocks have left, EACH numbers: enough for all blocks.
template <int EACH>
__device__ __forceinline__ void read_blocks(float (&v)[EACH], const float* from, int images) {
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        const int block = lane_index() + 32 * i;
        v[i] = block < images ? __ldcg(from + block) : 0.f;
    }
}

// After the grid's barrier. weight is 1 - momentum.
template <int EACH>
__device__ __noinline__ void read_moments(
    Norm norm, const float* exchange, int images, float* parameters, int gamma, int beta, int moving_mean,
    int moving_variance, float weight, float epsilon) {
    const int pixels = norm.x.H * norm.x.W;
#pragma unroll 1
    for (int c = warp_index(); c < norm.x.C; c += WARPS) {
        float means[EACH], squares[EACH], sum = 0, all = 0;
        read_blocks(means, exchange + c * gridDim.x, images);
        read_blocks(squares, exchange + (norm.x.C + c) * gridDim.x, images);
#pragma unroll
        for (int i = 0; i < EACH; i++) sum += means[i];
        const float mean = warp_sum(sum) / images;
#pragma unroll
        for (int i = 0; i < EACH; i++)
            if (lane_index() + 32 * i < images) all += squares[i] + pixels * ((means[i] - mean) * (means[i] - mean));
        const float variance = warp_sum(all) / ((float)images * pixels);
        if (lane_index() == 0) {
            const float inverse = 1.f / sqrtf(variance + epsilon);
            *norm.of(MEAN, c) = mean, *norm.of(INVERSE, c) = inverse;
            *norm.of(SCALE, c) = inverse * __ldcg(parameters + gamma + c);
            *norm.of(SHIFT, c) = __ldcg(parameters + beta + c);
            if (blockIdx.x == 0) {
                float *of_mean = parameters + moving_mean + c, *of_variance = parameters + moving_variance + c;
                *of_mean += (mean - *of_mean) * weight;
                *of_variance += (variance - *of_variance) * weight;
            }
        }
    }
}

// y = dropout(relu(batchnorm(x))), mask -1: no dropout.
__device__ __noinline__ void normalize(Norm norm, Planes y, int relu, int mask, float scale) {
    const Through of = {y, relu, mask, scale};
    const int quads = (y.C + 3) / 4, pixels = y.H * y.W;
    const Divisor by_pixels = divisor(pixels);
#pragma unroll 2
    for (int i = thread_index(); i < pixels * quads; i += THREADS) {
        const int quad = by_pixels.quotient(i), pixel = i - quad * pixels, h = norm.columns.quotient(pixel);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int c = 4 * quad + j;
            if (c >= y.C) break;
            float v = (norm.x.row(c, h)[pixel - h * y.W] - *norm.of(MEAN, c)) * *norm.of(SCALE, c) + *norm.of(SHIFT, c);
            if (relu) v = relu_of(v);
            if (mask >= 0) v = of.kept(c, pixel) ? rounded_product(v, scale) : 0.f;
            y.row(c, h)[pixel - h * y.W] = v;
        }
    }
}

// dy: of the normalised numbers, through ReLU and dropout.
__device__ __noinline__ void find_sums(Norm norm, Planes dy) {
    const int lane = lane_index(), tasks = norm.x.C * norm.parts;
#pragma unroll 1
    for (int task = warp_index(); task < tasks; task += WARPS) {
        const int c = task / norm.parts, part = task - c * norm.parts, end = norm.begin(part + 1);
        const float mean = *norm.of(MEAN, c), inverse = *norm.of(INVERSE, c);
        float dgamma = 0, dbeta = 0;
#pragma unroll 2
        for (int i = norm.begin(part) + lane; i < end; i += 32) {
            const int h = norm.columns.quotient(i);
            const float g = dy.row(c, h)[i - h * dy.W];
            dgamma += g * ((norm.at(c, i) - mean) * inverse);
            dbeta += g;
        }
        dgamma = warp_sum(dgamma), dbeta = warp_sum(dbeta);
        if (lane == 0) words(norm.scratch)[task] = dgamma, words(norm.scratch)[tasks + task] = dbeta;
    }
}

// To the exchange, and to this block's partial gradients.
__device__ __noinline__ void publish_sums(Norm norm, float* exchange, float* partial, int dgamma, int dbeta) {
#pragma unroll 1
    for (int c = thread_index(); c < norm.x.C; c += THREADS) {
        const float *gammas = words(norm.scratch) + c * norm.parts, *betas = gammas + norm.x.C * norm.parts;
        float of_gamma = 0, of_beta = 0;
#pragma unroll 1
        for (int part = 0; part < norm.parts; part++) of_gamma += gammas[part], of_beta += betas[part];
        __stcg(exchange + c * gridDim.x + blockIdx.x, of_gamma);
        __stcg(exchange + (norm.x.C + c) * gridDim.x + blockIdx.x, of_beta);
        __stcg(partial + dgamma + c, of_gamma);
        __stcg(partial + dbeta + c, of_beta);
    }
}

// After the grid's barrier.
template <int EACH>
__device__ __noinline__ void read_sums(Norm norm, const float* exchange, int images) {
#pragma unroll 1
    for (int c = warp_index(); c < norm.x.C; c += WARPS) {
        float gammas[EACH], betas[EACH], dgamma = 0, dbeta = 0;
        read_blocks(gammas, exchange + c * gridDim.x, images);
        read_blocks(betas, exchange + (norm.x.C + c) * gridDim.x, images);
#pragma unroll
        for (int i = 0; i < EACH; i++) dgamma += gammas[i], dbeta += betas[i];
        dgamma = warp_sum(dgamma), dbeta = warp_sum(dbeta);
        if (lane_index() == 0) *norm.of(DGAMMA, c) = dgamma, *norm.of(DBETA, c) = dbeta;
    }
}

// dy becomes dx, in place, and goes on through the ReLU and the dropout of the layer below.
__device__ __noinline__ void normalize_backward(Norm norm, Planes dy, Through below, int images) {
    const int quads = (dy.C + 3) / 4, pixels = dy.H * dy.W;
    const float share = 1.f / ((float)images * pixels);
    const Divisor by_pixels = divisor(pixels);
#pragma unroll 2
    for (int i = thread_index(); i < pixels * quads; i += THREADS) {
        const int quad = by_pixels.quotient(i), pixel = i - quad * pixels, h = norm.columns.quotient(pixel);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int c = 4 * quad + j;
            if (c >= dy.C) break;
            float* d = dy.row(c, h) + pixel - h * dy.W;
            const float x_hat = (norm.x.row(c, h)[pixel - h * dy.W] - *norm.of(MEAN, c)) * *norm.of(INVERSE, c);
            const float g = *norm.of(SCALE, c) * (*d - *norm.of(DBETA, c) * share - x_hat * *norm.of(DGAMMA, c) * share);
            *d = below.back(g, c, h, pixel - h * dy.W);
        }
    }
}
