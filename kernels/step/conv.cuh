// Convolutions of one image in shared memory, forward and back.
//
//     forward:          y[p][q][k]  = relu(b[k] + sum of x[p*stride + r - top][q*stride + s - left][c] * w[r][s][c][k])
//     backward data:    dx[h][w][c] = the same sum over dy, dilated by the stride, with the filter turned
//     backward filter:  dw[r][s][c][k] = sum over p, q of x[p*stride + r - top][q*stride + s - left][c] * dy[p][q][k]
//
// `convolve` is forward and backward data: its `stride` is that of forward, its `dilation` that of backward data, and
// what comes out of the latter goes on through the ReLU and the dropout of the layer `below`. Filters
// lie in shared memory as (R,S,C,K), K padded to a multiple of four (planes.cuh).
//
//     convolve<R, S, PX, SHARE>        stride 1: a thread has PX neighbouring pixels of a row and four filters, for every
//                                      SHARE-th channel; SHARE neighbouring lanes add up. Neighbouring threads have
//                                      neighbouring rows. Each number of x is used for S * 4, of w for PX products.
//     convolve_any                     any stride: a thread has one pixel and four filters
//     filter_gradient<R, S, TC, LANES> stride 1: a lane has TC channels, all taps and four filters, for every LANES-th
//                                      row; LANES lanes add up by halving what each has. A warp has 32 / LANES * TC
//                                      channels.
//     filter_gradient_any              any stride: a thread has one number of dw
//
// Shapes come at run time, so that layers share the code: a step that has its own copy for each waits for its
// instructions.
#pragma once
#include "masks.cuh"

struct Pair {
    int h, w;
};

struct Conv {
    Planes x, y;
    int R, S;
    Pair stride, dilation;
    int top, left;
    int filters, bias;  // where they are; bias -1: there is none
    int relu;           // forward's
    Divisor rows, groups;  // y's rows; of PX pixels in one of them
};
static_assert(sizeof(Conv) <= 128, "larger arguments go through memory");

// What becomes of the sums of pixel (p, q), of four filters from `k` on: they lie in y already, and the thread that wrote
// them there goes over them once more. So this code stands here once, and not for each of a thread's pixels.
__device__ __forceinline__ void finish(const Conv& of, const Through& below, bool backward, int k, int p, int q) {
    const int last = least(k + 4, of.y.C);
#pragma unroll 1
    for (; k < last; k++) {
        float* at = of.y.row(k, p) + q;
        if (backward)
            *at = below.back(*at, k, p, q);
        else {
            const float v = of.bias < 0 ? *at : *at + words(of.bias)[k];
            *at = of.relu ? relu_of(v) : v;
        }
    }
}

template <int R, int S, int PX, int SHARE>
__device__ __noinline__ void convolve(Conv of, Through below, bool backward) {
    const int quads = (of.y.C + 3) / 4, width = 4 * quads, tasks = SHARE * of.y.H * of.groups.n * quads;
#pragma unroll 1
    for (int base = 0; base < tasks; base += THREADS) {
        const int task = base + thread_index(), share = task % SHARE, rest = task / SHARE;
        const int unit = of.rows.quotient(rest), p = rest - unit * of.rows.n, quad = of.groups.quotient(unit);
        const int first = (unit - quad * of.groups.n) * PX;
        // The last group of a row begins before the one ahead of it ends. A single pixel never does, and the compiler of
        // CUDA 13.0 takes W - 1 for 1 - W here.
        const int q = PX == 1 ? first : least(first, of.y.W - PX);
        const bool mine = task < tasks;
        float sum[PX][4] = {};
        if (mine) {
            const float* from = of.x.row(share, p - of.top) + q - of.left;
            const float* filter = words(of.filters) + share * width + 4 * quad;
#pragma unroll 1
            for (int c = share; c < of.x.C; c += SHARE, from += SHARE * of.x.plane, filter += SHARE * width) {
#pragma unroll
                for (int r = 0; r < R; r++) {
                    if (p + r - of.top < 0 || p + r - of.top >= of.x.H) continue;
                    float v[PX + S - 1];
#pragma unroll
                    for (int i = 0; i < PX + S - 1; i++) v[i] = from[r * of.x.pitch + i];
#pragma unroll
                    for (int s = 0; s < S; s++) {
                        float f[4];
                        load4(f, filter + (r * S + s) * of.x.C * width);
#pragma unroll
                        for (int i = 0; i < PX; i++)
#pragma unroll
                            for (int j = 0; j < 4; j++) sum[i][j] += v[i + s] * f[j];
                    }
                }
            }
        }
#pragma unroll
        for (int distance = 1; distance < SHARE; distance *= 2)
#pragma unroll
            for (int i = 0; i < PX; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) sum[i][j] += __shfl_xor_sync(ALL_LANES, sum[i][j], distance);
        if (!mine) continue;
        float* to = of.y.row(4 * quad, p) + q;
#pragma unroll
        for (int i = 0; i < PX; i++)
#pragma unroll
            for (int j = 0; j < 4; j++)
                if (i % SHARE == share && q + i >= first && 4 * quad + j < of.y.C) to[j * of.y.plane + i] = sum[i][j];
#pragma unroll 1
        for (int i = share; i < PX; i += SHARE)
            if (q + i >= first) finish(of, below, backward, 4 * quad, p, q + i);
    }
}

__device__ __noinline__ void convolve_any(Conv of, Through below, bool backward) {
    const int quads = (of.y.C + 3) / 4, width = 4 * quads, tasks = of.y.H * of.y.W * quads;
#pragma unroll 1
    for (int task = thread_index(); task < tasks; task += THREADS) {
        const int unit = task / of.y.H, p = task - unit * of.y.H, quad = unit / of.y.W, q = unit - quad * of.y.W;
        float sum[4] = {};
#pragma unroll 1
        for (int r = 0; r < of.R; r++) {
            const int h = p * of.stride.h + r - of.top;
            if (h < 0 || h % of.dilation.h || h / of.dilation.h >= of.x.H) continue;
#pragma unroll 1
            for (int s = 0; s < of.S; s++) {
                const int w = q * of.stride.w + s - of.left;
                if (w < 0 || w % of.dilation.w || w / of.dilation.w >= of.x.W) continue;
                const float* from = of.x.row(0, h / of.dilation.h) + w / of.dilation.w;
                const float* filter = words(of.filters) + (r * of.S + s) * of.x.C * width + 4 * quad;
#pragma unroll 1
                for (int c = 0; c < of.x.C; c++) {
                    float f[4];
                    load4(f, filter + c * width);
#pragma unroll
                    for (int j = 0; j < 4; j++) sum[j] += from[c * of.x.plane] * f[j];
                }
            }
        }
#pragma unroll
        for (int j = 0; j < 4; j++)
            if (4 * quad + j < of.y.C) of.y.row(4 * quad + j, p)[q] = sum[j];
        finish(of, below, backward, 4 * quad, p, q);
    }
}

// ---------------------------------------------------------------- the gradient of a filter

struct FilterGradient {
    Planes x, dy;
    int R, S;
    Pair stride;
    int top, left;
    int dw;  // where it goes, (R,S,C,K)
};

// The sums that LANES neighbouring lanes have, to store(number, sum): lanes D apart exchange halves, and each goes on
// with the sums of one half. `at`: the number of the first that it has.
template <int LANES, int D, int N, class Store>
__device__ __forceinline__ void add_up_lanes(float (&mine)[N], int at, int end, const Store& store) {
    if constexpr (D == LANES) {
#pragma unroll
        for (int i = 0; i < N; i++)
            if (at + i < end) store(at + i, mine[i]);
    } else {
        constexpr int HALF = (N + 1) / 2;
        const bool upper = lane_index() & D;
        float half[HALF];
#pragma unroll
        for (int i = 0; i < HALF; i++) {
            const float low = mine[i], high = i + HALF < N ? mine[i + HALF] : 0.f;
            half[i] = (upper ? high : low) + __shfl_xor_sync(ALL_LANES, upper ? low : high, D);
        }
        add_up_lanes<LANES, 2 * D>(half, upper ? at + HALF : at, upper ? end : least(end, at + HALF), store);
    }
}

template <int R, int S, int TC, int LANES>
__device__ __noinline__ void filter_gradient(FilterGradient of) {
    const int quads = (of.dy.C + 3) / 4, of_warp = 32 / LANES * TC, tasks = (of.x.C + of_warp - 1) / of_warp * quads;
    const int lane = lane_index();
#pragma unroll 1
    for (int task = warp_index(); task < tasks; task += WARPS) {
        const int group = task / quads, k = 4 * (task - group * quads), c = group * of_warp + lane / LANES * TC;
        int x_plane[TC], dy_plane[4];  // what is behind the last is computed from the last, and not stored
#pragma unroll
        for (int i = 0; i < TC; i++) x_plane[i] = least(c + i, of.x.C - 1) * of.x.plane;
#pragma unroll
        for (int j = 0; j < 4; j++) dy_plane[j] = least(k + j, of.dy.C - 1) * of.dy.plane;
        float sum[TC * R * S * 4] = {};
#pragma unroll 1
        for (int p = lane % LANES; p < of.dy.H; p += LANES) {
            const float *row = of.x.row(0, p - of.top) - of.left, *d = of.dy.row(0, p);
            float v[TC][R][S];
            bool inside[R];
#pragma unroll
            for (int r = 0; r < R; r++) {
                inside[r] = p + r - of.top >= 0 && p + r - of.top < of.x.H;
#pragma unroll
                for (int i = 0; i < TC; i++)
#pragma unroll
                    for (int s = 1; s < S; s++) v[i][r][s] = inside[r] ? row[x_plane[i] + r * of.x.pitch + s - 1] : 0.f;
            }
#pragma unroll 2
            for (int q = 0; q < of.dy.W; q++) {
                float g[4];
#pragma unroll
                for (int j = 0; j < 4; j++) g[j] = d[dy_plane[j] + q];
#pragma unroll
                for (int i = 0; i < TC; i++)
#pragma unroll
                    for (int r = 0; r < R; r++) {
#pragma unroll
                        for (int s = 1; s < S; s++) v[i][r][s - 1] = v[i][r][s];
                        v[i][r][S - 1] = inside[r] ? row[x_plane[i] + r * of.x.pitch + q + S - 1] : 0.f;
#pragma unroll
                        for (int s = 0; s < S; s++)
#pragma unroll
                            for (int j = 0; j < 4; j++) sum[((i * R + r) * S + s) * 4 + j] += v[i][r][s] * g[j];
                    }
            }
        }
        add_up_lanes<LANES, 1>(sum, 0, TC * R * S * 4, [&](int number, float total) {
            const int j = number % 4, tap = number / 4 % (R * S), i = number / (4 * R * S);
            if (c + i < of.x.C && k + j < of.dy.C) words(of.dw)[(tap * of.x.C + c + i) * of.dy.C + k + j] = total;
        });
    }
}

__device__ __noinline__ void filter_gradient_any(FilterGradient of) {
    const int C = of.x.C, K = of.dy.C;
#pragma unroll 1
    for (int i = thread_index(); i < of.R * of.S * C * K; i += THREADS) {
        const int k = i % K, c = i / K % C, s = i / (K * C) % of.S, r = i / (K * C * of.S);
        float sum = 0;
#pragma unroll 1
        for (int p = 0; p < of.dy.H; p++) {
            const int h = p * of.stride.h + r - of.top;
            if (h < 0 || h >= of.x.H) continue;
            const float *d = of.dy.row(k, p), *row = of.x.row(c, h);
#pragma unroll 1
            for (int q = 0; q < of.dy.W; q++) {
                const int w = q * of.stride.w + s - of.left;
                if (w >= 0 && w < of.x.W) sum += row[w] * d[q];
            }
        }
        words(of.dw)[i] = sum;
    }
}

// The sum of each plane: a warp has a plane at a time.
__device__ __noinline__ void bias_gradient(Planes dy, int db) {
    const Divisor by_W = divisor(dy.W);
#pragma unroll 1
    for (int k = warp_index(); k < dy.C; k += WARPS) {
        float sum = 0;
#pragma unroll 4
        for (int i = lane_index(); i < dy.H * dy.W; i += 32) {
            const int h = by_W.quotient(i);
            sum += dy.row(k, h)[i - h * dy.W];
        }
        sum = warp_sum(sum);
        if (lane_index() == 0) words(db)[k] = sum;
    }
}
