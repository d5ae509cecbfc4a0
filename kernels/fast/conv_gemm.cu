// Convolution of one shape as a matrix product: forward, and the gradient of the images.
//
//     with h = p*stride + r - top and v = q*stride + s - left, the pixel that tap (r, s) of output (p, q) sees:
//     forward:          for n, p, q, k:  y[n][p][q][k]  = act(b[k] + sum over r, s, c of x[n][h][v][c] * w[r][s][c][k])
//     backward data:    for n, h, v, c:  dx[n][h][v][c] = sum over p, q, k, r, s of dz[n][p][q][k] * w[r][s][c][k]
//                       with dz = dy, or behind a ReLU (MASKED) dz = dy where y > 0, else 0
//
// x (N,H,W,C), w (R,S,C,K), b (K,), y (N,P,Q,K). The same sums as ../conv2d.cu, which takes any shape; here the
// compiler knows all of it but N (conv.cuh). A 1x1 convolution and a dense layer are images of one pixel.
//
// A block computes a tile of BM outputs (IM images x TP x TQ pixels) for BN filters. Its sum runs over taps and
// channels, BL channels of one tap a step: the pixels that the tile sees under that tap, [BM][BL], and that part of the
// filters go to shared memory. Several steps are under way at once, STAGES - 1 of them being copied (copies.cuh) while
// one is multiplied. A warp is (32 / LN) x LN lanes, a lane has TM pixels and TN filters: TM * TN sums in registers,
// and each number that it reads from shared memory is used TM or TN times. Its pixels lie 32 / LN apart, its filters in
// fours 4 * LN apart, so that neighbouring lanes read neighbouring memory.
//
// How a step lies in shared memory: pixels with the channels together, as in the image, so that nothing is
// transposed on // its way. A row is an odd number of fours long: the same channels of neighbouring pixels are in different banks. A
// thread reads four channels of a pixel at once, and uses them for four steps of the product. The filters lie [BL][BN]
// as in memory; in backward data [BN][BL], also as in memory, for there w's last index is the one that is summed over.
//
// Where the tile is the same pixel of many images (TP = TQ = 1), a tap is inside the image for all of it or for none;
// taps that see only padding are left out in every tile. In backward data of a stride, blockIdx.y is the phase.
//
// Behind a ReLU, y's pixels come along with dy's. The thread that copied a chunk sets to 0 what the ReLU had cut off,
// before the barrier behind which the others see it.
//
// A layer of few tiles (a dense layer has 128 x 10 outputs) leaves a GPU idle. So the sum may be cut into SPLIT slices,
// a block each. They write their sums to `scratch`, and the last block of a tile to arrive adds them up in their order.
#include "../common.cuh"
#include "conv.cuh"
#include "copies.cuh"
#include "tiles.cuh"

template <int IM_, int TP_, int TQ_, int BN_, int BL_, int TM_, int TN_, int LN_, int STAGES_, int SPLIT_,
          int MINBLOCKS_>
struct GemmTile {
    static constexpr int IM = IM_, TP = TP_, TQ = TQ_, BN = BN_, BL = BL_, TM = TM_, TN = TN_, LN = LN_;
    static constexpr int STAGES = STAGES_, SPLIT = SPLIT_, MINBLOCKS = MINBLOCKS_;
    static constexpr int BM = IM * TP * TQ, LM = 32 / LN, THREADS = BM * BN / (TM * TN);
    static_assert(BM % (LM * TM) == 0 && BN % (LN * TN) == 0 && BL % 4 == 0 && TN % 4 == 0, "tiles of whole warps");
};

// sum[i][j] += four channels of pixel i times those of filter j. a_tile: of pixel 0, b_tile: of filter 0, as they lie
// in the step. The side with fewer rows is held in registers, the other one streams past it.
template <bool TURNED, class TILE, int PITCH, int W_PITCH, typename T>
__device__ __forceinline__ void multiply_channels(T (&sum)[TILE::TM][TILE::TN], const T* a_tile, const T* b_tile) {
    constexpr int TM = TILE::TM, TN = TILE::TN, LM = TILE::LM, LN = TILE::LN;
    if constexpr (TM <= TN) {
        T a[TM][4];
#pragma unroll
        for (int i = 0; i < TM; i++) load4(a[i], a_tile + i * LM * PITCH);
#pragma unroll
        for (int outer = 0; outer < (TURNED ? TN : 4); outer++) {
#pragma unroll
            for (int j = 0; j < (TURNED ? 1 : TN); j += 4) {
                // TURNED: four channels of filter `outer`; else channel `outer` of four filters.
                T b[4];
                load4(b, b_tile + (TURNED ? (outer / 4 * LN * 4 + outer % 4) * W_PITCH : outer * W_PITCH + j * LN));
#pragma unroll
                for (int f = 0; f < 4; f++)
#pragma unroll
                    for (int i = 0; i < TM; i++) sum[i][TURNED ? outer : j + f] += a[i][TURNED ? f : outer] * b[f];
            }
        }
    } else {
        T b[TN][4];  // TURNED: [filter][channel]; else [channel * TN / 4 + quad][filter of the quad]
#pragma unroll
        for (int j = 0; j < TN; j++)
            load4(b[j], b_tile + (TURNED ? (j / 4 * LN * 4 + j % 4) * W_PITCH
                                         : j / (TN / 4) * W_PITCH + j % (TN / 4) * 4 * LN));
#pragma unroll
        for (int i = 0; i < TM; i++) {
            T a[4];
            load4(a, a_tile + i * LM * PITCH);
#pragma unroll
            for (int c = 0; c < 4; c++)
#pragma unroll
                for (int j = 0; j < TN; j++)
                    sum[i][j] += a[c] * (TURNED ? b[j][c] : b[c * (TN / 4) + j / 4][j % 4]);
        }
    }
}

// VIEW says which direction this is (conv.cuh), and x, w and y are what it calls the image, the filter and the output.
template <typename T, class VIEW, class TILE, bool MASKED>
__device__ __forceinline__ void multiply_convolution(
    const T* __restrict__ x, const T* __restrict__ mask, const T* __restrict__ w, const T* __restrict__ bias,
    T* __restrict__ y, T* scratch, int* arrivals, int N, bool has_bias, bool relu) {
    constexpr bool TURNED = VIEW::TURNED;
    constexpr int H = VIEW::H, W = VIEW::W, C = VIEW::C, K = VIEW::K, OUT_H = VIEW::OUT_H, OUT_W = VIEW::OUT_W;
    constexpr int STRIDE_H = VIEW::STRIDE_H, STRIDE_W = VIEW::STRIDE_W, TP = TILE::TP, TQ = TILE::TQ;
    constexpr int BM = TILE::BM, BN = TILE::BN, BL = TILE::BL, TM = TILE::TM, TN = TILE::TN;
    constexpr int THREADS = TILE::THREADS, STAGES = TILE::STAGES, SPLIT = TILE::SPLIT;
    constexpr int PITCH = odd_quads(BL), W_PITCH = TURNED ? PITCH : BN, W_ROWS = TURNED ? BN : BL;
    constexpr int X_TILE = BM * PITCH, W_AT = MASKED ? 2 * X_TILE : X_TILE, STAGE = W_AT + W_ROWS * W_PITCH;
    constexpr int WIDTH_C = width_of(C), WIDTH_K = width_of(K), CHUNKS_C = quotient_up(C, BL);
    // How many fours of channels are unrolled: all of them take too many registers in backward data of large tiles.
    constexpr int UNROLL = !TURNED ? BL / 4 : TM * TN > 96 ? 1 : SPLIT > 1 ? 2 : BL / 4;
    // A tile of one row has left out the taps that are outside for it.
    constexpr bool H_INSIDE = TP == 1 || VIEW::PHASES_H == 1 && VIEW::rows(0).stays_inside(H, STRIDE_H);
    constexpr bool W_INSIDE = TQ == 1 || VIEW::PHASES_W == 1 && VIEW::columns(0).stays_inside(W, STRIDE_W);
    static_assert((TILE::IM + 1ll) * H * W * C < 1ll << 31 && (TILE::IM + 1ll) * OUT_H * OUT_W * K < 1ll << 31,
                  "offsets within a tile's images are ints");

    // The tile, and of backward data the phase.
    constexpr int BLOCKS_K = quotient_up(K, BN), TILES_P = quotient_up(VIEW::P, TP), TILES_Q = quotient_up(VIEW::Q, TQ);
    const int k0 = blockIdx.x % BLOCKS_K * BN, tile = blockIdx.x / BLOCKS_K;
    const int p0 = tile / TILES_Q % TILES_P * TP, q0 = tile % TILES_Q * TQ, n0 = tile / TILES_Q / TILES_P * TILE::IM;
    const Axis rows = VIEW::rows(VIEW::PHASES_H == 1 ? 0 : blockIdx.y / VIEW::PHASES_W);
    const Axis columns = VIEW::columns(VIEW::PHASES_W == 1 ? 0 : blockIdx.y % VIEW::PHASES_W);
    if (p0 >= rows.outputs || q0 >= columns.outputs) return;  // this phase has fewer pixels than the largest
    x += (long long)n0 * H * W * C, y += (long long)n0 * OUT_H * OUT_W * K;
    if (MASKED) mask += (long long)n0 * H * W * C;

    // The taps that see anything of the image: r from first_r to last_r, s from first_s to last_s.
    const int first_r = most(0, rows.pad - least(p0 + TP - 1, rows.outputs - 1) * STRIDE_H);
    const int first_s = most(0, columns.pad - least(q0 + TQ - 1, columns.outputs - 1) * STRIDE_W);
    const int last_r = least(rows.taps, H + rows.pad - p0 * STRIDE_H);
    const int last_s = least(columns.taps, W + columns.pad - q0 * STRIDE_W);
    const int taps_in_row = most(0, last_s - first_s), all = most(0, last_r - first_r) * taps_in_row * CHUNKS_C;
    const int begin = (long long)all * (SPLIT == 1 ? 0 : blockIdx.z) / SPLIT;
    const int steps = (long long)all * (SPLIT == 1 ? 1 : blockIdx.z + 1) / SPLIT - begin;

    // What this thread copies: chunks of x, always of the same pixels, and chunks of w, always of the same columns.
    using XChunks = Chunks<BM, BL, WIDTH_C, THREADS>;
    using WChunks = Chunks<W_ROWS, TURNED ? BL : BN, TURNED ? WIDTH_C : WIDTH_K, THREADS>;
    static_assert(XChunks::PASSES == 1 && WChunks::PASSES == 1, "a row has no more chunks than there are threads");
    const int x_row = XChunks::row(), x_column = XChunks::column();
    const int w_row = WChunks::row(), w_column = WChunks::column();
    int from[XChunks::TIMES], h_of[XChunks::TIMES], v_of[XChunks::TIMES];
#pragma unroll
    for (int i = 0; i < XChunks::TIMES; i++) {  // behind an edge stands the last pixel, computed once more, not stored
        const int m = x_row + i * XChunks::AT_ONCE, n = least(m / (TP * TQ), N - 1 - n0);
        h_of[i] = least(p0 + m / TQ % TP, rows.outputs - 1) * STRIDE_H - rows.pad;
        v_of[i] = least(q0 + m % TQ, columns.outputs - 1) * STRIDE_W - columns.pad;
        from[i] = ((n * H + h_of[i]) * W + v_of[i]) * C + x_column;
    }
    int r = first_r, s = first_s, c0 = 0;  // the next step to be copied
    if (SPLIT > 1 && steps > 0) {
        const int tap = begin / CHUNKS_C;
        c0 = begin % CHUNKS_C * BL, r += tap / taps_in_row, s += tap % taps_in_row;
    }
    T* const memory = shared_array<T>(0);

    auto copy_step = [&](T* stage) {
#pragma unroll
        for (int i = 0; i < XChunks::TIMES; i++) {
            if (!XChunks::has(i)) continue;
            const int at = from[i] + (r * W + s) * C + c0;
            bool inside = C % BL == 0 || c0 + x_column < C;
            if (!H_INSIDE) inside = inside && unsigned(h_of[i] + r) < H;
            if (!W_INSIDE) inside = inside && unsigned(v_of[i] + s) < W;
            T* const to = stage + (x_row + i * XChunks::AT_ONCE) * PITCH + x_column;
            start_copy<WIDTH_C>(to, x + at, inside);
            if (MASKED) start_copy<WIDTH_C>(to + X_TILE, mask + at, inside);
        }
        const int tap = rows.tap(r) * VIEW::FILTER_S + columns.tap(s);
#pragma unroll
        for (int i = 0; i < WChunks::TIMES; i++) {
            if (!WChunks::has(i)) continue;
            const int row = w_row + i * WChunks::AT_ONCE;
            const int c = c0 + (TURNED ? w_column : row), k = k0 + (TURNED ? row : w_column);
            const bool inside = (C % BL == 0 || c < C) && (K % BN == 0 || k < K);
            const int at = TURNED ? (tap * K + k) * C + c : (tap * C + c) * K + k;
            T* const to = stage + W_AT + row * W_PITCH + w_column;
            start_copy<TURNED ? WIDTH_C : WIDTH_K>(to, w + at, inside);
        }
        c0 += BL;
        if (c0 >= C) {
            c0 = 0;
            if (++s == last_s) s = first_s, r++;
        }
    };

    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    constexpr int WARPS_K = BN / (TILE::LN * TN);  // side by side
    const int m_mine = warp / WARPS_K * (TILE::LM * TM) + lane_row<TILE::LN>(lane);
    const int k_mine = warp % WARPS_K * (TILE::LN * TN) + 4 * lane_column<TILE::LN>(lane);
    T sum[TM][TN] = {};

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
        if (MASKED)
#pragma unroll
            for (int i = 0; i < XChunks::TIMES; i++) {
                T* const mine = stage + (x_row + i * XChunks::AT_ONCE) * PITCH + x_column;
                if (XChunks::has(i)) mask_chunk<WIDTH_C>(mine, mine + X_TILE);
            }
        __syncthreads();  // all have copied this step, and are done with the one overwritten now
        if (step + STAGES - 1 < steps) copy_step(memory + writing * STAGE);
        close_group();
        const T* const a = stage + m_mine * PITCH;
        const T* const b = stage + W_AT + (TURNED ? k_mine * PITCH : k_mine);
#pragma unroll(UNROLL)
        for (int l = 0; l < BL; l += 4)
            multiply_channels<TURNED, TILE, PITCH, W_PITCH>(sum, a + l, b + (TURNED ? l : l * W_PITCH));
        reading = reading + 1 == STAGES ? 0 : reading + 1;
        writing = writing + 1 == STAGES ? 0 : writing + 1;
    }

    if constexpr (SPLIT > 1) {  // scratch: (slices, tiles, sums of a thread, threads)
        const int place = blockIdx.y * gridDim.x + blockIdx.x;
        const long long tile_sums = (long long)TM * TN * THREADS, slice = gridDim.x * gridDim.y * tile_sums;
        T* sums = scratch + place * tile_sums + threadIdx.x;
#pragma unroll
        for (int i = 0; i < TM * TN; i++) sums[blockIdx.z * slice + i * THREADS] = sum[i / TN][i % TN];
        if (!last_to_arrive(arrivals + place, SPLIT)) return;
#pragma unroll
        for (int i = 0; i < TM * TN; i++) sum[i / TN][i % TN] = 0;
#pragma unroll 1
        for (int z = 0; z < SPLIT; z++, sums += slice)
#pragma unroll
            for (int i = 0; i < TM * TN; i++) sum[i / TN][i % TN] += sums[i * THREADS];
    }
#pragma unroll
    for (int j = 0; j < TN; j += 4) {
        const int k = k0 + k_mine + j * TILE::LN;
        T four[4];
        load_some(four, bias + k, has_bias ? K - k : 0, false);
#pragma unroll
        for (int i = 0; i < TM; i++) {
            const int m = m_mine + i * TILE::LM, n = m / (TP * TQ), p = p0 + m / TQ % TP, q = q0 + m % TQ;
            if (n0 + n >= N || p >= rows.outputs || q >= columns.outputs || k >= K) continue;
            T out[4];
#pragma unroll
            for (int f = 0; f < 4; f++) {
                out[f] = sum[i][j + f] + four[f];
                if (relu) out[f] = relu_of(out[f]);
            }
            const int place = ((n * OUT_H + rows.place(p)) * OUT_W + columns.place(q)) * K + k;
            store_quad<WIDTH_K>(y + place, out, K - k);
        }
    }
}

// grid: (tiles * blocks of BN filters, 1, SPLIT), a tile's blocks side by side. Where SPLIT is 1, scratch and arrivals
// are not used; else arrivals has a number for each of gridDim.x * gridDim.y.
template <typename T, class CONV, class TILE>
__global__ void __launch_bounds__(TILE::THREADS, TILE::MINBLOCKS) conv_gemm_forward(
    const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ b, T* __restrict__ y, T* scratch,
    int* arrivals, int N, int has_bias, int relu) {
    multiply_convolution<T, Forward<CONV>, TILE, false>(x, x, w, b, y, scratch, arrivals, N, has_bias, relu);
}

// grid: (tiles * blocks of BN channels, phases, SPLIT). y is not read unless MASKED.
template <typename T, bool MASKED, class CONV, class TILE>
__global__ void __launch_bounds__(TILE::THREADS, TILE::MINBLOCKS) conv_gemm_backward_data(
    const T* __restrict__ dy, const T* __restrict__ y, const T* __restrict__ w, T* __restrict__ dx, T* scratch,
    int* arrivals, int N) {
    multiply_convolution<T, BackwardData<CONV>, TILE, MASKED>(dy, y, w, w, dx, scratch, arrivals, N, false, false);
}
