// Convolution of one small shape: forward, and the gradient of the images.
//
//     with h = p*stride + r - top and v = q*stride + s - left, the pixel that tap (r, s) of output (p, q) sees:
//     forward:          for n, p, q, k:  y[n][p][q][k]  = act(b[k] + sum over r, s, c of x[n][h][v][c] * w[r][s][c][k])
//     backward data:    for n, h, v, c:  dx[n][h][v][c] = sum over p, q, k, r, s of dz[n][p][q][k] * w[r][s][c][k]
//                       with dz = dy, or behind a ReLU (MASKED) dz = dy where y > 0, else 0
//
// x (N,H,W,C), w (R,S,C,K), b (K,), y (N,P,Q,K). The compiler knows the shape but for N (conv.cuh). Backward data is
// that of stride 1; of other strides conv_gemm.cu has it.
//
// Where a layer takes a few microseconds, it is waiting that costs, and not multiplying. So a block computes a band of
// TP output rows of one image for all filters, and everything that it needs (the pixels that the band sees, and all
// filters) comes in one phase, every copy under way at once (copies.cuh); then one barrier; then registers.
//
// A thread owns PX neighbouring pixels of a row and TK filters. For a row of the filter and four channels (a unit) it
// reads the PX + S - 1 pixels that its outputs see, once for all S taps, and then the S * 4 rows of filters one by one,
// each used for PX pixels. Neighbouring threads have neighbouring filters, then neighbouring rows (bands.cuh: without
// bank conflicts). The units are dealt to SPLIT groups of threads, whose sums meet in shared memory at the end.
//
// Shared memory: [band of the image | band of the ReLU's output, if MASKED | filters (R,S,C,K), C and K filled up with
// zeros], later [the groups' sums].
#include "../common.cuh"
#include "conv.cuh"
#include "copies.cuh"
#include "tiles.cuh"
#include "bands.cuh"

template <int TP_, int PX_, int TK_, int SPLIT_>
struct SmallTile {
    static constexpr int TP = TP_, PX = PX_, TK = TK_, SPLIT = SPLIT_;
    static_assert(TK % 4 == 0, "filters in fours");

    // Of a block that computes outputs of Q columns and K filters.
    __host__ __device__ static constexpr int threads(int Q, int K) {
        return TP * quotient_up(Q, PX) * quotient_up(K, TK) * SPLIT;
    }
};

// VIEW says which direction this is (conv.cuh), and x, w and y are what it calls the image, the filter and the output.
template <typename T, class VIEW, class TILE, bool MASKED>
__device__ __forceinline__ void convolve_band(
    const T* __restrict__ x, const T* __restrict__ mask, const T* __restrict__ w, const T* __restrict__ bias,
    T* __restrict__ y, bool has_bias, bool relu) {
    constexpr int H = VIEW::H, W = VIEW::W, C = VIEW::C, P = VIEW::P, Q = VIEW::Q, K = VIEW::K;
    constexpr int R = VIEW::R, S = VIEW::S, WIDTH_K = width_of(K);
    constexpr int STRIDE_H = VIEW::STRIDE_H, STRIDE_W = VIEW::STRIDE_W, TP = TILE::TP, PX = TILE::PX, TK = TILE::TK;
    constexpr int SPLIT = TILE::SPLIT, GROUPS_Q = quotient_up(Q, PX), GROUPS_K = quotient_up(K, TK), KP = GROUPS_K * TK;
    constexpr int TASKS = TP * GROUPS_Q * GROUPS_K, THREADS = TASKS * SPLIT;
    constexpr Axis rows = VIEW::rows(0), columns = VIEW::columns(0);
    static_assert(VIEW::PHASES_H == 1 && VIEW::PHASES_W == 1, "backward data of stride 1");
    using XBand = Band<H, W, C, (TP - 1) * STRIDE_H + R, (GROUPS_Q * PX - 1) * STRIDE_W + S, THREADS, 4>;
    constexpr int PIXEL = XBand::PIXEL, ROW = XBand::ROW, DEPTH = XBand::FOURS ? 4 : 1;  // channels read at a time
    constexpr int UNITS_C = PIXEL / DEPTH, UNITS = R * UNITS_C;
    constexpr int SPAN = (PX - 1) * STRIDE_W + S;  // pixels of a row that a thread's outputs see
    T* const band = shared_array<T>(0);
    T* const filters = band + (MASKED ? 2 : 1) * XBand::SIZE;  // [R*S*PIXEL][KP]
    const int p0 = blockIdx.x % quotient_up(P, TP) * TP, n = blockIdx.x / quotient_up(P, TP);
    const int h0 = p0 * STRIDE_H - rows.pad, v0 = -columns.pad;

    XBand::start(band, x + (long long)n * H * W * C, h0, v0);
    if (MASKED) XBand::start(band + XBand::SIZE, mask + (long long)n * H * W * C, h0, v0);
    // Of the filters a chunk is what is together in memory and here: filters, or in backward data one number.
    constexpr int WIDTH = VIEW::TURNED ? 1 : WIDTH_K;
    for (int i = threadIdx.x; i < R * S * PIXEL * (KP / WIDTH); i += THREADS) {
        // Neighbouring threads read neighbouring numbers: along k, or in backward data along c.
        const int c = VIEW::TURNED ? i % PIXEL : i / (KP / WIDTH) % PIXEL;
        const int k = VIEW::TURNED ? i / PIXEL % KP : i % (KP / WIDTH) * WIDTH, there = i / (PIXEL * (KP / WIDTH));
        const bool inside = c < C && k < K;
        const int tap = rows.tap(there / S) * S + columns.tap(there % S);
        const T* const from = w + (VIEW::TURNED ? (tap * K + k) * C + c : (tap * C + c) * K + k);
        start_copy<WIDTH>(filters + (there * PIXEL + c) * KP + k, from, inside);
    }
    close_group();
    const int task = threadIdx.x % TASKS, split = threadIdx.x / TASKS;
    const int k_mine = task % GROUPS_K * TK, p = task / GROUPS_K % TP, q = task / GROUPS_K / TP * PX;
    T sum[PX][TK] = {};
    wait_for_groups<0>();
    if (MASKED) XBand::mask(band, band + XBand::SIZE);
    __syncthreads();

#pragma unroll 1
    for (int unit = split; unit < UNITS; unit += SPLIT) {
        const int r = unit / UNITS_C, c = unit % UNITS_C * DEPTH;
        const T* const from = band + (p * STRIDE_H + r) * ROW + q * STRIDE_W * PIXEL + c;
        const T* const f = filters + (r * S * PIXEL + c) * KP + k_mine;
        T a[SPAN][DEPTH];
#pragma unroll
        for (int i = 0; i < SPAN; i++) load_chunk(a[i], from + i * PIXEL);
#pragma unroll
        for (int s = 0; s < S; s++)
#pragma unroll
            for (int d = 0; d < DEPTH; d++)
#pragma unroll
                for (int j = 0; j < TK; j += 4) {
                    T b[4];
                    load4(b, f + (s * PIXEL + d) * KP + j);
#pragma unroll
                    for (int i = 0; i < PX; i++)
#pragma unroll
                        for (int e = 0; e < 4; e++) sum[i][j + e] += a[i * STRIDE_W + s][d] * b[e];
                }
    }
    if constexpr (SPLIT > 1) {  // the sums of all groups but the first: (groups, sums of a thread, tasks)
        T* const sums = band + task;
        __syncthreads();  // all are done with the band
        if (split > 0)
#pragma unroll
            for (int i = 0; i < PX * TK; i++) sums[((split - 1) * PX * TK + i) * TASKS] = sum[i / TK][i % TK];
        __syncthreads();
        if (split > 0) return;
        for (int z = 0; z < SPLIT - 1; z++)
#pragma unroll
            for (int i = 0; i < PX * TK; i++) sum[i / TK][i % TK] += sums[(z * PX * TK + i) * TASKS];
    }
    if (p0 + p >= P) return;
    y += (long long)n * P * Q * K;
#pragma unroll
    for (int j = 0; j < TK; j += 4) {
        const int k = k_mine + j;
        T four[4];
        load_some(four, bias + k, has_bias ? K - k : 0, false);
#pragma unroll
        for (int i = 0; i < PX; i++) {
            if (q + i >= Q || k >= K) continue;
            T out[4];
#pragma unroll
            for (int e = 0; e < 4; e++) {
                out[e] = sum[i][j + e] + four[e];
                if (relu) out[e] = relu_of(out[e]);
            }
            store_quad<WIDTH_K>(y + ((p0 + p) * Q + q + i) * K + k, out, K - k);
        }
    }
}

// "At least one block on a multiprocessor" says that all registers may be used: without it the compiler may save some,
// and put numbers into memory.

// grid: N * bands of TP rows of y.
template <typename T, class CONV, class TILE>
__global__ void __launch_bounds__(TILE::threads(CONV::Q, CONV::K), 1) conv_small_forward(
    const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ b, T* __restrict__ y, int has_bias,
    int relu) {
    convolve_band<T, Forward<CONV>, TILE, false>(x, x, w, b, y, has_bias, relu);
}

// grid: N * bands of TP rows of dx. y is not read unless MASKED.
template <typename T, bool MASKED, class CONV, class TILE>
__global__ void __launch_bounds__(TILE::threads(CONV::W, CONV::C), 1) conv_small_backward_data(
    const T* __restrict__ dy, const T* __restrict__ y, const T* __restrict__ w, T* __restrict__ dx) {
    convolve_band<T, BackwardData<CONV>, TILE, MASKED>(dy, y, w, w, dx, false, false);
}
