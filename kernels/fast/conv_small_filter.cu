// Convolution of one small shape: the gradients of the filters and of the bias.
//
//     with h = p*stride + r - top and v = q*stride + s - left, the pixel that tap (r, s) of output (p, q) sees:
//     backward filter:  for r, s, c, k:  dw[r][s][c][k] = sum over n, p, q of dz[n][p][q][k] * x[n][h][v][c]
//                       for k:           db[k]          = sum over n, p, q of dz[n][p][q][k]
//                       with dz = dy, or behind a ReLU (MASKED) dz = dy where y > 0, else 0
//
// x (N,H,W,C), dy and y (N,P,Q,K), dw (R,S,C,K), db (K,). The compiler knows the shape but for N (conv.cuh).
//
// A block takes a band of TP rows of dy of one image, with the pixels of x that it saw; then, where there are more
// bands than blocks, the next. All of a band comes in one phase, every copy under way at once (copies.cuh).
//
// A thread's unit is a row r of the filter, four channels and four filters, with all S taps: S * 4 * 4 sums in
// registers. It walks along a row of dy: a step reads four numbers of dy and one new pixel of x (the others slide on in
// registers), for S * 4 * 4 multiply-adds. The band's rows are dealt to SPLIT threads a unit, whose sums meet in shared
// memory at the end, where the block writes its partial dw and db; the optimiser adds the partials of all blocks up, in
// their order, when it reads them.
//
// The bias's gradient needs dy alone, once: up to BIAS_THREADS of the threads of four filters share the band's pixels.
//
// Shared memory: [band of x | rows of dy (TP,Q,K) | the same of y, if MASKED], later [the threads' sums].
#include "../common.cuh"
#include "conv.cuh"
#include "copies.cuh"
#include "tiles.cuh"
#include "bands.cuh"

constexpr int BIAS_THREADS = 32;

template <int TP_, int SPLIT_>
struct SmallFilterTile {
    static constexpr int TP = TP_, SPLIT = SPLIT_;

    // Of a block whose units are of R rows, C channels and K filters.
    __host__ __device__ static constexpr int threads(int R, int C, int K) {
        return R * quotient_up(C, 4) * quotient_up(K, 4) * SPLIT;
    }
};

// grid: slices. partial (slices,R,S,C,K), partial_bias (slices,K), which is not written unless has_bias; y is not read
// unless MASKED.
template <typename T, bool MASKED, class CONV, class TILE>
__global__ void __launch_bounds__(TILE::threads(CONV::R, CONV::C, CONV::K), 1) conv_small_backward_filter(
    const T* __restrict__ x, const T* __restrict__ dy, const T* __restrict__ y, T* __restrict__ partial,
    T* __restrict__ partial_bias, int N, int has_bias) {
    constexpr int H = CONV::H, W = CONV::W, C = CONV::C, P = CONV::P, Q = CONV::Q, K = CONV::K;
    constexpr int R = CONV::R, S = CONV::S, STRIDE_H = CONV::STRIDE_H, STRIDE_W = CONV::STRIDE_W;
    constexpr int TP = TILE::TP, SPLIT = TILE::SPLIT;
    constexpr int DEPTH = least(C, 4), GROUPS_C = quotient_up(C, 4), GROUPS_K = quotient_up(K, 4), KP = GROUPS_K * 4;
    constexpr int UNITS = R * GROUPS_C * GROUPS_K, THREADS = UNITS * SPLIT, SUMS = S * DEPTH * 4;
    constexpr int BIAS_ROWS = least(THREADS / GROUPS_K, BIAS_THREADS);
    constexpr int WIDTH_K = width_of(K), BANDS = quotient_up(P, TP), GRADIENT = TP * Q * KP;
    using XBand = Band<H, W, C, (TP - 1) * STRIDE_H + R, (Q - 1) * STRIDE_W + S, THREADS, 1>;
    T* const band = shared_array<T>(0);
    T* const gradient = band + XBand::SIZE;  // [TP][Q][KP]
    const int unit = threadIdx.x % UNITS, split = threadIdx.x / UNITS;
    const int k_group = unit % GROUPS_K, c_group = unit / GROUPS_K % GROUPS_C, r = unit / GROUPS_K / GROUPS_C;
    const int bias_row = threadIdx.x / GROUPS_K;  // THREADS is a multiple of GROUPS_K: k_group is also its rest
    const bool sums_bias = has_bias && bias_row < BIAS_ROWS;
    T sum[S][DEPTH][4] = {}, bias_sum[4] = {};

    for (int item = blockIdx.x; item < N * BANDS; item += gridDim.x) {
        const int p0 = item % BANDS * TP, n = item / BANDS;
        const long long first = ((long long)n * P + p0) * Q * K;
        XBand::start(band, x + (long long)n * H * W * C, p0 * STRIDE_H - CONV::TOP, -CONV::LEFT);
#pragma unroll 1
        for (int i = threadIdx.x; i < TP * Q * (KP / WIDTH_K); i += THREADS) {
            const int k = i % (KP / WIDTH_K) * WIDTH_K, pixel = i / (KP / WIDTH_K);
            const bool inside = k < K && p0 + pixel / Q < P;
            T* const to = gradient + pixel * KP + k;
            start_copy<WIDTH_K>(to, dy + first + pixel * K + k, inside);
            if (MASKED) start_copy<WIDTH_K>(to + GRADIENT, y + first + pixel * K + k, inside);
        }
        close_group();
        wait_for_groups<0>();
        if (MASKED)
#pragma unroll 1
            for (int i = threadIdx.x; i < GRADIENT / WIDTH_K; i += THREADS)
                mask_chunk<WIDTH_K>(gradient + i * WIDTH_K, gradient + GRADIENT + i * WIDTH_K);
        __syncthreads();
        if (sums_bias)
#pragma unroll 4
            for (int pixel = bias_row; pixel < TP * Q; pixel += BIAS_ROWS) {
                T d[4];
                load4(d, gradient + pixel * KP + k_group * 4);
#pragma unroll
                for (int k = 0; k < 4; k++) bias_sum[k] += d[k];
            }
        for (int p = split; p < TP; p += SPLIT) {
            const T* const row = band + (p * STRIDE_H + r) * XBand::ROW + c_group * 4;
            const T* const g = gradient + p * Q * KP + k_group * 4;
            T a[S][DEPTH];  // the S pixels under the filter's row
#pragma unroll
            for (int s = 0; s < S - STRIDE_W; s++)
                load_chunk(a[s + STRIDE_W], row + s * XBand::PIXEL);  // slides on at once
#pragma unroll 4
            for (int q = 0; q < Q; q++) {
#pragma unroll
                for (int s = 0; s < S - STRIDE_W; s++)
#pragma unroll
                    for (int c = 0; c < DEPTH; c++) a[s][c] = a[s + STRIDE_W][c];
#pragma unroll
                for (int s = most(0, S - STRIDE_W); s < S; s++)
                    load_chunk(a[s], row + (q * STRIDE_W + s) * XBand::PIXEL);
                T d[4];
                load4(d, g + q * KP);
#pragma unroll
                for (int s = 0; s < S; s++)
#pragma unroll
                    for (int c = 0; c < DEPTH; c++)
#pragma unroll
                        for (int k = 0; k < 4; k++) sum[s][c][k] += a[s][c] * d[k];
            }
        }
        __syncthreads();  // before the next band overwrites this one
    }

    T* const sums = band;                              // (SPLIT, SUMS, UNITS)
    T* const bias_sums = sums + SPLIT * SUMS * UNITS;  // (BIAS_ROWS, KP)
#pragma unroll
    for (int i = 0; i < SUMS; i++) sums[(split * SUMS + i) * UNITS + unit] = sum[i / 4 / DEPTH][i / 4 % DEPTH][i % 4];
    if (sums_bias) store4(bias_sums + bias_row * KP + k_group * 4, bias_sum);
    __syncthreads();
    partial += (long long)blockIdx.x * R * S * C * K;
    for (int i = threadIdx.x; i < R * S * C * K; i += THREADS) {
        const int k = i % K, c = i / K % C, tap = i / K / C, to_r = tap / S, s = tap % S;
        const int from = ((s * DEPTH + c % 4) * 4 + k % 4) * UNITS + (to_r * GROUPS_C + c / 4) * GROUPS_K + k / 4;
        T total = 0;
#pragma unroll
        for (int z = 0; z < SPLIT; z++) total += sums[z * SUMS * UNITS + from];
        partial[i] = total;
    }
    if (has_bias)
        for (int k = threadIdx.x; k < K; k += THREADS) {
            T total = 0;
#pragma unroll 4
            for (int row = 0; row < BIAS_ROWS; row++) total += bias_sums[row * KP + k];
            partial_bias[(long long)blockIdx.x * K + k] = total;
        }
}
