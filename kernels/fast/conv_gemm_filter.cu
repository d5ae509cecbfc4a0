// Convolution of one shape as a matrix product: the gradients of the filters and of the bias.
//
//     with h = p*stride + r - top and v = q*stride + s - left, the pixel that tap (r, s) of output (p, q) sees:
//     backward filter:  for r, s, c, k:  dw[r][s][c][k] = sum over n, p, q of dz[n][p][q][k] * x[n][h][v][c]
//                       for k:           db[k]          = sum over n, p, q of dz[n][p][q][k]
//                       with dz = dy, or behind a ReLU (MASKED) dz = dy where y > 0, else 0
//
// x (N,H,W,C), dy and y (N,P,Q,K), dw (R,S,C,K), db (K,). The compiler knows the shape but for N (conv.cuh).
//
// A product of (R*S*C, pixels) and (pixels, K): its rows m = (r*S + s)*C + c are dw's own order. A block has a tile of
// BM rows and BN filters, a lane TM x TN numbers of it, in fours. The sum runs over all pixels of all images, and it is
// walked so that a step is ONE pixel (p, q) of BL images: where its numbers are is then a constant of the thread, plus
// an offset that is the same for all threads. In shared memory a step is [BL images][BM] of x and [BL][BN] of dy, both
// as in memory. STAGES - 1 steps are being copied (copies.cuh) while one is multiplied.
//
// Behind a ReLU, y comes along with dy, and the thread that copied a chunk sets to 0 what the ReLU had cut off. It also
// adds the chunk to the bias's gradient, in the blocks that have the first rows of dw.
//
// The sum is long and dw may be small, so it is cut into gridDim.z slices of steps. Each slice writes a partial dw and
// a partial db; the optimiser adds the slices up, in their order, when it reads them: same input, same bits.
#include "../common.cuh"
#include "conv.cuh"
#include "copies.cuh"
#include "tiles.cuh"

template <int BM_, int BN_, int BL_, int TM_, int TN_, int LN_, int STAGES_, int MINBLOCKS_>
struct FilterTile {
    static constexpr int BM = BM_, BN = BN_, BL = BL_, TM = TM_, TN = TN_, LN = LN_, STAGES = STAGES_;
    static constexpr int MINBLOCKS = MINBLOCKS_, LM = 32 / LN, THREADS = BM * BN / (TM * TN);
    static_assert(BM % (LM * TM) == 0 && BN % (LN * TN) == 0 && TM % 4 == 0 && TN % 4 == 0, "tiles of whole warps");
};

// grid: (blocks of BM rows * blocks of BN filters, 1, slices). partial (slices,R,S,C,K), partial_bias (slices,K), which
// is not written unless has_bias; y is not read unless MASKED.
template <typename T, bool MASKED, class CONV, class TILE>
__global__ void __launch_bounds__(TILE::THREADS, TILE::MINBLOCKS) conv_gemm_backward_filter(
    const T* __restrict__ x, const T* __restrict__ dy, const T* __restrict__ y, T* __restrict__ partial,
    T* __restrict__ partial_bias, int N, int has_bias) {
    constexpr int H = CONV::H, W = CONV::W, C = CONV::C, P = CONV::P, Q = CONV::Q, K = CONV::K;
    constexpr int M = CONV::R * CONV::S * C, STRIDE_H = CONV::STRIDE_H, STRIDE_W = CONV::STRIDE_W;
    constexpr int BM = TILE::BM, BN = TILE::BN, BL = TILE::BL, TM = TILE::TM, TN = TILE::TN, STAGES = TILE::STAGES;
    constexpr int LM = TILE::LM, LN = TILE::LN, THREADS = TILE::THREADS, WIDTH_C = width_of(C), WIDTH_K = width_of(K);
    constexpr int DY_AT = BL * BM, DY_TILE = BL * BN, STAGE = DY_AT + (MASKED ? 2 : 1) * DY_TILE;
    constexpr bool H_INSIDE = CONV::TOP == 0 && (P - 1) * STRIDE_H + CONV::R <= H;
    constexpr bool W_INSIDE = CONV::LEFT == 0 && (Q - 1) * STRIDE_W + CONV::S <= W;
    constexpr int BLOCKS_K = quotient_up(K, BN);
    static_assert((BL + 1ll) * H * W * C < 1ll << 31 && (BL + 1ll) * P * Q * K < 1ll << 31,
                  "offsets within a step's images are ints");
    const int k0 = blockIdx.x % BLOCKS_K * BN, m0 = blockIdx.x / BLOCKS_K * BM;
    const bool sums_bias = has_bias && m0 == 0;
    const long long all = (long long)quotient_up(N, BL) * P * Q, begin = all * blockIdx.z / gridDim.z;
    const int steps = all * (blockIdx.z + 1) / gridDim.z - begin;

    // What this thread copies, always of the same columns: rows m of x, filters of dy.
    using XChunks = Chunks<BL, BM, WIDTH_C, THREADS>;
    using DyChunks = Chunks<BL, BN, WIDTH_K, THREADS>;
    static_assert(DyChunks::PASSES == 1, "a row of dy's tile has no more chunks than there are threads");
    const int x_row = XChunks::row(), dy_row = DyChunks::row(), dy_column = DyChunks::column();
    const bool k_inside = K % BN == 0 || k0 + dy_column < K;
    int x_at[XChunks::PASSES], r_of[XChunks::PASSES], s_of[XChunks::PASSES];
#pragma unroll
    for (int pass = 0; pass < XChunks::PASSES; pass++) {
        const int m = m0 + XChunks::column() + pass * THREADS * WIDTH_C, tap = m / C;
        // Behind the last row stands a row outside of every image.
        r_of[pass] = M % BM == 0 || m < M ? tap / CONV::S - CONV::TOP : -P * STRIDE_H;
        s_of[pass] = tap % CONV::S - CONV::LEFT;
        x_at[pass] = (x_row * H * W + r_of[pass] * W + s_of[pass]) * C + m % C;
    }
    const int dy_at = dy_row * (P * Q * K) + k0 + dy_column;
    int q = begin % Q, p = begin / Q % P, n0 = begin / (P * Q) * BL;  // the next step to be copied
    long long x_here = (((long long)n0 * H + p * STRIDE_H) * W + q * STRIDE_W) * C;
    long long dy_here = (((long long)n0 * P + p) * Q + q) * K;
    T* const memory = shared_array<T>(0);

    auto copy_step = [&](T* stage) {
#pragma unroll
        for (int pass = 0; pass < XChunks::PASSES; pass++) {
            const int h = p * STRIDE_H + r_of[pass], v = q * STRIDE_W + s_of[pass];
            const bool pixel = (H_INSIDE && M % BM == 0 || unsigned(h) < H) && (W_INSIDE || unsigned(v) < W);
            T* const to = stage + x_row * BM + XChunks::column() + pass * THREADS * WIDTH_C;
#pragma unroll
            for (int i = 0; i < XChunks::TIMES; i++) {
                if (!XChunks::has(i, pass)) continue;
                const bool inside = pixel && n0 + x_row + i * XChunks::AT_ONCE < N;
                const T* const from = x + x_here + x_at[pass] + i * XChunks::AT_ONCE * (H * W * C);
                start_copy<WIDTH_C>(to + i * XChunks::AT_ONCE * BM, from, inside);
            }
        }
#pragma unroll
        for (int i = 0; i < DyChunks::TIMES; i++) {
            if (!DyChunks::has(i)) continue;
            const int row = dy_row + i * DyChunks::AT_ONCE;
            const bool inside = k_inside && n0 + row < N;
            const long long at = dy_here + dy_at + i * DyChunks::AT_ONCE * (P * Q * K);
            T* const to = stage + DY_AT + row * BN + dy_column;
            start_copy<WIDTH_K>(to, dy + at, inside);
            if (MASKED) start_copy<WIDTH_K>(to + DY_TILE, y + at, inside);
        }
        x_here += STRIDE_W * C, dy_here += K;
        if (++q == Q) {
            q = 0, x_here += (STRIDE_H * W - Q * STRIDE_W) * C;
            if (++p == P) {
                p = 0, n0 += BL;
                x_here += (BL * H - P * STRIDE_H) * W * C, dy_here += (BL - 1) * P * Q * K;
            }
        }
    };

    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    constexpr int WARPS_K = BN / (LN * TN);  // side by side
    const int m_mine = warp / WARPS_K * (LM * TM) + 4 * lane_row<LN>(lane);
    const int k_mine = warp % WARPS_K * (LN * TN) + 4 * lane_column<LN>(lane);
    T sum[TM][TN] = {}, bias_sum[WIDTH_K] = {};
#pragma unroll
    for (int i = 0; i < STAGES - 1; i++) {
        if (i < steps) copy_step(memory + i * STAGE);
        close_group();
    }
    int reading = 0, writing = STAGES - 1;
#pragma unroll 1
    for (int step = 0; step < steps; step++) {
        T* const stage = memory + reading * STAGE;
        wait_for_groups<STAGES - 2>();
        if (MASKED || sums_bias) {
#pragma unroll
            for (int i = 0; i < DyChunks::TIMES; i++) {
                if (!DyChunks::has(i)) continue;
                T* const mine = stage + DY_AT + (dy_row + i * DyChunks::AT_ONCE) * BN + dy_column;
                if (MASKED) mask_chunk<WIDTH_K>(mine, mine + DY_TILE);
                if (!sums_bias) continue;
                T d[WIDTH_K];
                load_chunk(d, mine);
#pragma unroll
                for (int e = 0; e < WIDTH_K; e++) bias_sum[e] += d[e];
            }
        }
        __syncthreads();  // all have copied this step, and are done with the one overwritten now
        if (step + STAGES - 1 < steps) copy_step(memory + writing * STAGE);
        close_group();
        const T* const a_tile = stage + m_mine;
        const T* const b_tile = stage + DY_AT + k_mine;
#pragma unroll
        for (int l = 0; l < BL; l++) {
            T a[TM / 4][4], b[TN / 4][4];
#pragma unroll
            for (int i = 0; i < TM / 4; i++) load4(a[i], a_tile + l * BM + i * LM * 4);
#pragma unroll
            for (int j = 0; j < TN / 4; j++) load4(b[j], b_tile + l * BN + j * LN * 4);
#pragma unroll
            for (int i = 0; i < TM; i++)
#pragma unroll
                for (int j = 0; j < TN; j++) sum[i][j] += a[i / 4][i % 4] * b[j / 4][j % 4];
        }
        reading = reading + 1 == STAGES ? 0 : reading + 1;
        writing = writing + 1 == STAGES ? 0 : writing + 1;
    }

    partial += (long long)blockIdx.z * M * K;
#pragma unroll
    for (int i = 0; i < TM; i++) {
        const int row = m0 + m_mine + i / 4 * LM * 4 + i % 4;
        if (row >= M) continue;
#pragma unroll
        for (int j = 0; j < TN; j += 4) {
            const int k = k0 + k_mine + j * LN;
            const T out[4] = {sum[i][j], sum[i][j + 1], sum[i][j + 2], sum[i][j + 3]};
            if (k < K) store_quad<WIDTH_K>(partial + row * K + k, out, K - k);
        }
    }
    if (!sums_bias) return;
    constexpr int ROWS = least(BL, DyChunks::AT_ONCE);  // of threads that have sums
    __syncthreads();  // all are done with the last step
    if (DyChunks::works() && dy_row < ROWS)
#pragma unroll
        for (int e = 0; e < WIDTH_K; e++) memory[dy_row * BN + dy_column + e] = bias_sum[e];
    __syncthreads();
    for (int k = threadIdx.x; k < BN && k0 + k < K; k += THREADS) {
        T total = 0;
        for (int row = 0; row < ROWS; row++) total += memory[row * BN + k];
        partial_bias[(long long)blockIdx.z * K + k0 + k] = total;
    }
}
