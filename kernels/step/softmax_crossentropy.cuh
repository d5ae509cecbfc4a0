// Softmax and the cross-entropy loss of one image, by its first warp: softmax_crossentropy.cu's row.
//
// gradient: of the mean loss of the batch, (softmax - labels) / images. found: where
// this block's loss goes, and 1 where it was right.
#pragma once
#include "planes.cuh"

// Whether `value` takes the place of the maximum `best`: a NaN is larger than any number.
__device__ __forceinline__ bool is_larger(float value, float best) {
    return value > best || (value != value && best == best);
}

// Where the first of the largest numbers is. A warp.
__device__ __forceinline__ int argmax_of(const float* row, int apart, int K) {
    float best = 0;
    int where = K;
#pragma unroll 1
    for (int k = lane_index(); k < K; k += 32)
        if (where == K || is_larger(row[k * apart], best)) best = row[k * apart], where = k;
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        const float other = __shfl_xor_sync(ALL_LANES, best, distance);
        const int there = __shfl_xor_sync(ALL_LANES, where, distance);
        if (there == K) continue;
        if (where == K || is_larger(other, best) || (there < where && !is_larger(best, other))) best = other, where = there;
    }
    return where;
}

__device__ __noinline__ void softmax_crossentropy(
    Planes logits, Planes gradient, const float* labels, int images, float* partial, int found) {
    if (warp_index() > 0) return;
    const int K = logits.C, lane = lane_index();
    const float* row = words(logits.at);
    float largest = -1.f / 0.f, sum = 0, loss = 0;
#pragma unroll 1
    for (int k = lane; k < K; k += 32) largest = row[k * logits.plane] > largest ? row[k * logits.plane] : largest;
    largest = warp_max(largest);
#pragma unroll 1
    for (int k = lane; k < K; k += 32) sum += expf(row[k * logits.plane] - largest);
    const float log_sum = logf(warp_sum(sum));
    const int answer = argmax_of(row, logits.plane, K), truth = argmax_of(labels, 1, K);
#pragma unroll 1
    for (int k = lane; k < K; k += 32) {
        const float log_p = row[k * logits.plane] - largest - log_sum;
        loss -= labels[k] * log_p;
        words(gradient.at)[k * gradient.plane] = (expf(log_p) - labels[k]) / images;
    }
    loss = warp_sum(loss);
    if (lane == 0) __stcg(partial + found, loss), __stcg(partial + found + 1, answer == truth ? 1.f : 0.f);
}
