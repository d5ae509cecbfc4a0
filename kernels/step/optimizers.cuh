// The sum of all blocks' gradients, and the optimiser's rule, in one: optimizers.cu's rules.
//
// partials (blocks, row): a row holds a block's gradients, in the order of the parameters, and behind them its loss, and 1
// where it was right. Each block has as many columns as any other, 4 neighbours at a time, adds them up over the blocks
// that had an image, and updates what they belong to. A warp adds up every WARPS-th block's; their sums are added in the
// order of the warps. scratch: 128 numbers a warp.
#pragma once
#include "planes.cuh"

struct Sgd {
    float momentum;
    bool nesterov;
    static constexpr int STATES = 1;

    __device__ __forceinline__ void operator()(float& p, float& v, float&, float g, float rate) const {
        const float step = rate * g;
        v = momentum * v - step;
        p += nesterov ? momentum * v - step : v;
    }
};

struct PlainSgd {
    static constexpr int STATES = 0;

    __device__ __forceinline__ void operator()(float& p, float&, float&, float g, float rate) const { p -= rate * g; }
};

// rate: with both corrections for the bias.
struct Adam {
    float weight_1, weight_2, epsilon;
    static constexpr int STATES = 2;

    __device__ __forceinline__ void operator()(float& p, float& m, float& v, float g, float rate) const {
        m += weight_1 * (g - m);
        v += weight_2 * (g * g - v);
        p -= rate * m / (sqrtf(v) + epsilon);
    }
};

struct Adadelta {
    float weight, epsilon;
    static constexpr int STATES = 2;

    __device__ __forceinline__ void operator()(float& p, float& a, float& d, float g, float rate) const {
        a += weight * (g * g - a);
        const float change = g * sqrtf(d + epsilon) / sqrtf(a + epsilon);
        d += weight * (change * change - d);
        p -= rate * change;
    }
};

// parameters, first, second: (row,) each, as many of the states as the rule has. row: a multiple of four, its last four
// numbers being those behind the gradients. totals: (2,), loss and right answers since the epoch began.
template <class Rule>
__device__ __noinline__ void update(
    Rule rule, const float* partials, float* parameters, float* first, float* second, double* totals, int row,
    int images, float rate, int scratch) {
    const int fours = row / 4, each = (fours + gridDim.x - 1) / gridDim.x, begin = blockIdx.x * each;
    const int end = least(begin + each, fours), warp = warp_index(), lane = lane_index();
#pragma unroll 1
    for (int base = begin; base < end; base += 32) {
        const int wide = least(32, end - base), own = 4 * base + thread_index();
        const bool mine = thread_index() < 4 * wide, is_parameter = own < row - 4;
        float p = 0, a = 0, b = 0;
        if (mine && is_parameter) {
            p = __ldcg(parameters + own);
            if (Rule::STATES > 0) a = __ldcg(first + own);
            if (Rule::STATES > 1) b = __ldcg(second + own);
        }
        float4 sum = make_float4(0, 0, 0, 0);
        if (lane < wide) {
            const float4* from = reinterpret_cast<const float4*>(partials) + base + lane;
#pragma unroll 8
            for (int block = warp; block < images; block += WARPS) {
                const float4 g = __ldcg(from + (long long)block * fours);
                sum.x += g.x, sum.y += g.y, sum.z += g.z, sum.w += g.w;
            }
        }
        reinterpret_cast<float4*>(words(scratch))[warp * 32 + lane] = sum;
        __syncthreads();
        if (mine) {
            float g = 0;
#pragma unroll
            for (int w = 0; w < WARPS; w++) g += words(scratch)[w * 128 + thread_index()];
            if (is_parameter) {
                rule(p, a, b, g, rate);
                __stcg(parameters + own, p);
                if (Rule::STATES > 0) __stcg(first + own, a);
                if (Rule::STATES > 1) __stcg(second + own, b);
            } else if (own < row - 2) {
                totals[own - (row - 4)] += double(g);
            }
        }
        __syncthreads();
    }
}
