// Convolution (which is cross-correlation) with stride and padding: forward, and the gradients of images and filters.
//
//     with h = p*stride + r - top and v = q*stride + s - left, the pixel that tap (r, s) of output (p, q) sees:
//     forward:          for n, p, q, k:  y[n][p][q][k]  = b[k] + sum over r, s, c of x[n][h][v][c] * w[r][s][c][k]
//     backward data:    for n, h, v, c:  dx[n][h][v][c] = sum over p, q, k, r, s of dy[n][p][q][k] * w[r][s][c][k]
//     backward filter:  for r, s, c, k:  dw[r][s][c][k] = sum over n, p, q of dy[n][p][q][k] * x[n][h][v][c]
//                       for k:           db[k]          = sum over n, p, q of dy[n][p][q][k]
//
// x (N,H,W,C), w (R,S,C,K), b (K,), y (N,P,Q,K); pixels outside the image are 0. The same as plain loops:
// tinycnn/devices/reference/conv2d.py.
//
// Forward: a block computes a tile of TP x TQ pixels of one image for KB filters. It copies the part of the image
// that the tile sees, with its halo, and the filters to shared memory, CB channels and RB filter rows at a time.
// Thread (quad, group) owns the four filters 4*quad.. and PIXELS pixels of the tile, blockDim.y apart. Neighbouring
// threads own neighbouring filters, then neighbouring pixels, so y is stored in contiguous runs. For one channel a
// thread reads PIXELS numbers of the image (the same for all quads: a broadcast) and one 16-byte quad of filters, and
// does 4 * PIXELS multiply-adds; with VECTOR it takes four channels at a time, and reads the image 16 bytes at a time
// too.
//
// Backward data is a forward pass over dy with the filter turned by 180 degrees and C and K exchanged. With a stride,
// dx falls apart into stride_h * stride_w phases: rows of the same h + top modulo stride meet the same taps of the
// filter, every stride-th. Each block computes one phase, a convolution of stride 1, and nothing is multiplied by the
// zeros that a stride would put between the outputs.
//
// Backward filter: for a fixed row r of the filter, the taps s and channels c under it are S*C neighbouring numbers
// of an NHWC image. So one image row and one dy pixel give a small matrix (S*C, K), and a thread owns 4 x 4 of it: a
// "unit" (r, four (s,c), four k). A block walks over its share of the images with tiles of x and dy in shared memory;
// its threads are split over the units and, where the units are few, over the tile's pixels. Each block writes a
// partial dw, and the optimiser adds the partials up in their order: the result does not depend on which block finishes
// first.
//
// On the way back dy first goes through the activation: dy where y > 0, else 0, as it is loaded (common.cuh). db, the
// sum of dy over the pixels, comes with dw: dy lies in shared memory there.
//
// Shared memory is dynamic: [image tile | filters] or [x tile | dy tile], later [the threads' sums]. The host
// (tinycnn/devices/gpu/launches/conv2d.py) chooses TP, TQ, KB, CB, RB by the shapes so that it stays under 48 KB.
#include "common.cuh"

// A rectangle of an image (H,W,C) to shared memory: rows h0.., columns v0.., channels c0.. . What lies outside is 0.
// A pixel takes `pitch` numbers in the tile, the first `depth` of them filled.
template <typename T, typename Image>
__device__ __forceinline__ void load_image_tile(
    T* tile, const Image image, int H, int W, int C,
    int h0, int v0, int c0, int rows, int columns, int depth, int pitch) {
    const int thread = threadIdx.y * blockDim.x + threadIdx.x, threads = blockDim.x * blockDim.y;
    const int width = C % 4 == 0 && depth % 4 == 0 && pitch % 4 == 0 ? 4 : 1;  // numbers copied at a time
    const unsigned per_pixel = depth / width;
    for (unsigned i = thread; i < rows * columns * per_pixel; i += threads) {
        const unsigned pixel = i / per_pixel, c = (i - pixel * per_pixel) * width;
        const int row = pixel / columns, column = pixel - row * columns;
        const int h = h0 + row, v = v0 + column;
        const bool inside = h >= 0 && h < H && v >= 0 && v < W && c0 + int(c) < C;
        const long long from = ((long long)h * W + v) * C + c0 + c;
        T* to = tile + pixel * pitch + c;
        if (width == 4) {
            T four[4] = {0, 0, 0, 0};
            if (inside) image.four_at(four, from);
            store4(to, four);
        } else {
            *to = inside ? image.at(from) : T(0);
        }
    }
}

// sum[pixel][k] += the tile's image under the filters, for one chunk of filter rows and channels. images: the tile,
// its first pixel under tap (0,0) of output pixel 0; at[i]: where output pixel i of this thread begins. filters: rows
// (r, s, c) of KB numbers, already moved to this thread's four.
template <typename T, int PIXELS, bool VECTOR>
__device__ __forceinline__ void accumulate_pixels(
    T (&sum)[PIXELS][4], const T* images, const int (&at)[PIXELS], const T* filters,
    int R, int S, int depth, int pitch, int columns, int KB) {
    // Without a gap between pixels, the S taps of a filter row are one run of S * depth numbers.
    const int runs = pitch == depth ? 1 : S, length = pitch == depth ? S * depth : depth;
    for (int r = 0; r < R; r++) {
        for (int run = 0; run < runs; run++) {
            const T* image = images + (r * columns + run) * pitch;
            if (VECTOR) {
#pragma unroll 1
                for (int j = 0; j < length; j += 4, filters += 4 * KB) {
                    T f[4][4];
#pragma unroll
                    for (int c = 0; c < 4; c++) load4(f[c], filters + c * KB);
#pragma unroll
                    for (int i = 0; i < PIXELS; i++) {
                        T v[4];
                        load4(v, image + at[i] + j);
#pragma unroll
                        for (int c = 0; c < 4; c++)
#pragma unroll
                            for (int k = 0; k < 4; k++) sum[i][k] += v[c] * f[c][k];
                    }
                }
            } else {
#pragma unroll 2
                for (int j = 0; j < length; j++, filters += KB) {
                    T f[4];
                    load4(f, filters);
#pragma unroll
                    for (int i = 0; i < PIXELS; i++) {
                        const T v = image[at[i] + j];
#pragma unroll
                        for (int k = 0; k < 4; k++) sum[i][k] += v * f[k];
                    }
                }
            }
        }
    }
}

// grid: (N * tiles_p * tiles_q, blocks of KB filters); block: (KB / 4, groups of pixels).
template <typename T, int PIXELS, bool VECTOR>
__global__ void conv2d_forward(
    const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ b, T* __restrict__ y,
    int H, int W, int C, int K, int R, int S, int P, int Q, int stride_h, int stride_w, int top, int left,
    int has_bias, int relu, int TP, int TQ, int tiles_p, int tiles_q, int KB, int CB, int RB, int pitch) {
    const int tile = blockIdx.x % (tiles_p * tiles_q), n = blockIdx.x / (tiles_p * tiles_q);
    const int p0 = tile / tiles_q * TP, q0 = tile % tiles_q * TQ;
    const int k = blockIdx.y * KB + 4 * threadIdx.x;
    const int columns = (TQ - 1) * stride_w + S, tile_rows = (TP - 1) * stride_h + RB;
    T* images = shared_array<T>(0);
    T* filters = shared_array<T>((tile_rows * columns * pitch + 3) / 4 * 4);
    x += (long long)n * H * W * C;

    int at[PIXELS];
    T sum[PIXELS][4] = {};
#pragma unroll
    for (int i = 0; i < PIXELS; i++) {
        // A pixel behind the tile's end is the last one, computed once more and not stored.
        const int pixel = least(threadIdx.y + i * blockDim.y, TP * TQ - 1);
        at[i] = (pixel / TQ * stride_h * columns + pixel % TQ * stride_w) * pitch;
    }
    for (int r0 = 0; r0 < R; r0 += RB) {
        const int rows = least(RB, R - r0);
        for (int c0 = 0; c0 < C; c0 += CB) {
            const int h0 = p0 * stride_h - top + r0, v0 = q0 * stride_w - left;
            load_image_tile(
                images, Values<T>{x}, H, W, C, h0, v0, c0, (TP - 1) * stride_h + rows, columns, CB, pitch);
            for (int row = threadIdx.y; row < rows * S * CB; row += blockDim.y) {  // filters[r][s][c][k]
                const int tap = row / CB, c = c0 + row - tap * CB;
                T four[4];
                load_some(four, w + ((long long)(r0 * S + tap) * C + c) * K + k, c < C ? K - k : 0, K % 4 == 0);
                store4(filters + row * KB + 4 * threadIdx.x, four);
            }
            __syncthreads();
            const T* mine = filters + 4 * threadIdx.x;
            accumulate_pixels<T, PIXELS, VECTOR>(sum, images, at, mine, rows, S, CB, pitch, columns, KB);
            __syncthreads();  // before the next chunk overwrites this one
        }
    }
    T bias[4];
    load_some(bias, b + k, has_bias ? K - k : 0, false);
#pragma unroll
    for (int i = 0; i < PIXELS; i++) {
        const int pixel = threadIdx.y + i * blockDim.y, p = p0 + pixel / TQ, q = q0 + pixel % TQ;
        if (pixel >= TP * TQ || p >= P || q >= Q || k >= K) continue;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            sum[i][j] += bias[j];
            if (relu) sum[i][j] = relu_of(sum[i][j]);
        }
        store_some(y + (((long long)n * P + p) * Q + q) * K + k, sum[i], K - k, K % 4 == 0);
    }
}

// The first u with stride * u + phase - pad >= 0.
__device__ __forceinline__ int first_of_phase(int phase, int pad, int stride) {
    return pad > phase ? (pad - phase + stride - 1) / stride : 0;
}

// grid: (N * tiles_h * tiles_w, blocks of CB channels, phases); block: (CB / 4, groups of pixels). KB and RB: how
// many filters and filter rows are in shared memory at a time. Row h of phase a is stride_h * u + a - top; taps r = a
// + stride_h * j meet dy's row u - j. The names of forward change places: dy is the image, C the filters, K the
// channels.
template <typename T, int PIXELS, bool VECTOR>
__global__ void conv2d_backward_data(
    const T* __restrict__ dy, const T* __restrict__ y, const T* __restrict__ w, T* __restrict__ dx,
    int H, int W, int C, int K, int R, int S, int P, int Q, int stride_h, int stride_w, int top, int left, int relu,
    int TH, int TW, int tiles_h, int tiles_w, int CB, int KB, int RB, int pitch) {
    const int tile = blockIdx.x % (tiles_h * tiles_w), n = blockIdx.x / (tiles_h * tiles_w);
    const int phase_h = blockIdx.z / stride_w, phase_w = blockIdx.z % stride_w;
    const int taps_h = R > phase_h ? (R - phase_h + stride_h - 1) / stride_h : 0;
    const int taps_w = S > phase_w ? (S - phase_w + stride_w - 1) / stride_w : 0;
    const int u0 = first_of_phase(phase_h, top, stride_h) + tile / tiles_w * TH;
    const int v0 = first_of_phase(phase_w, left, stride_w) + tile % tiles_w * TW;
    const int c = blockIdx.y * CB + 4 * threadIdx.x;
    const int columns = TW - 1 + taps_w;
    T* images = shared_array<T>(0);
    T* filters = shared_array<T>(((TH - 1 + RB) * (TW - 1 + (S + stride_w - 1) / stride_w) * pitch + 3) / 4 * 4);
    const long long image = (long long)n * P * Q * K;
    const ThroughRelu<T> gradient = {dy + image, y + image, relu};

    int at[PIXELS];
    T sum[PIXELS][4] = {};
#pragma unroll
    for (int i = 0; i < PIXELS; i++) {
        const int pixel = least(threadIdx.y + i * blockDim.y, TH * TW - 1);
        at[i] = (pixel / TW * columns + pixel % TW) * pitch;
    }
    // j counts the phase's taps from the last to the first: that is the filter turned.
    for (int j0 = 0; j0 < taps_h && taps_w > 0; j0 += RB) {
        const int rows = least(RB, taps_h - j0);
        for (int k0 = 0; k0 < K; k0 += KB) {
            const int p0 = u0 - (taps_h - 1) + j0, q0 = v0 - (taps_w - 1);
            load_image_tile(images, gradient, P, Q, K, p0, q0, k0, TH - 1 + rows, columns, KB, pitch);
            for (int row = threadIdx.y; row < rows * taps_w * KB; row += blockDim.y) {  // filters[r][s][k][c]
                const int tap = row / KB, k = k0 + row - tap * KB, j = tap / taps_w;
                const int r = phase_h + stride_h * (taps_h - 1 - j0 - j);
                const int s = phase_w + stride_w * (taps_w - 1 - (tap - j * taps_w));
                T four[4];
#pragma unroll
                for (int i = 0; i < 4; i++)
                    four[i] = c + i < C && k < K ? w[((long long)(r * S + s) * C + c + i) * K + k] : T(0);
                store4(filters + row * CB + 4 * threadIdx.x, four);
            }
            __syncthreads();
            const T* mine = filters + 4 * threadIdx.x;
            accumulate_pixels<T, PIXELS, VECTOR>(sum, images, at, mine, rows, taps_w, KB, pitch, columns, CB);
            __syncthreads();
        }
    }
#pragma unroll
    for (int i = 0; i < PIXELS; i++) {
        const int pixel = threadIdx.y + i * blockDim.y;
        const int h = stride_h * (u0 + pixel / TW) + phase_h - top, v = stride_w * (v0 + pixel % TW) + phase_w - left;
        if (pixel >= TH * TW || h >= H || v >= W || c >= C) continue;
        store_some(dx + (((long long)n * H + h) * W + v) * C + c, sum[i], C - c, C % 4 == 0);
    }
}

// grid: (blocks of units, slices of the work); block: threads = units * splits.
// The work is N * tiles_p * tiles_q tiles; slice b takes tiles b, b + slices, ...  partial: (slices, R, S, C, K);
// partial_db: (slices, K). A block's units: RU filter rows x `quads` fours of (s, c) x KB / 4 fours of k, for the
// channels c0 .. c0 + CB. The blocks of the first filter rows and channels add up the bias's gradient too: thread i the
// filter i % KB, over every (blockDim.x / KB)-th pixel of the tile.
template <typename T, bool VECTOR>
__global__ void conv2d_backward_filter(
    const T* __restrict__ x, const T* __restrict__ dy, const T* __restrict__ y, T* __restrict__ partial,
    T* __restrict__ partial_db,
    int N, int H, int W, int C, int K, int R, int S, int P, int Q, int stride_h, int stride_w, int top, int left,
    int has_bias, int relu, int TP, int TQ, int tiles_p, int tiles_q, int RU, int CB, int KB, int splits) {
    const int blocks_k = (K + KB - 1) / KB, blocks_c = (C + CB - 1) / CB;
    const int k0 = blockIdx.x % blocks_k * KB, c0 = blockIdx.x / blocks_k % blocks_c * CB;
    const int r0 = blockIdx.x / blocks_k / blocks_c * RU;
    const int length = S * CB, quads = (length + 3) / 4, k_quads = KB / 4, units = RU * quads * k_quads;
    const int columns = (TQ - 1) * stride_w + S, rows = (TP - 1) * stride_h + RU;
    T* x_tile = shared_array<T>(0);
    T* dy_tile = shared_array<T>((rows * columns * CB + 3) / 4 * 4);

    const int unit = threadIdx.x % units, split = threadIdx.x / units;
    const int k = 4 * (unit % k_quads), j = 4 * (unit / k_quads % quads), r = unit / k_quads / quads;
    const int bias_lanes = blockDim.x / KB, bias_lane = threadIdx.x / KB;
    const bool sums_bias = has_bias && int(blockIdx.x) < blocks_k && bias_lane < bias_lanes;
    T sum[4][4] = {}, db = 0;
    for (int item = blockIdx.y; item < N * tiles_p * tiles_q; item += gridDim.y) {
        const int n = item / (tiles_p * tiles_q), tile = item % (tiles_p * tiles_q);
        const int p0 = tile / tiles_q * TP, q0 = tile % tiles_q * TQ;
        const int h0 = p0 * stride_h - top + r0, v0 = q0 * stride_w - left;
        const Values<T> image = {x + (long long)n * H * W * C};
        const long long outputs = (long long)n * P * Q * K;
        const ThroughRelu<T> gradient = {dy + outputs, y + outputs, relu};
        load_image_tile(x_tile, image, H, W, C, h0, v0, c0, rows, columns, CB, CB);
        load_image_tile(dy_tile, gradient, P, Q, K, p0, q0, k0, TP, TQ, KB, KB);
        __syncthreads();
        if (sums_bias) {
            T of_tile = 0;  // apart, so that a long sum keeps its digits
            for (int pixel = bias_lane; pixel < TP * TQ; pixel += bias_lanes)
                of_tile += dy_tile[pixel * KB + threadIdx.x % KB];
            db += of_tile;
        }
        if (split < splits) {
            int p = split / TQ, q = split % TQ;
            while (p < TP) {  // dy is 0 behind the image's edge, so every tile may be taken as full
                T a[4], d[4];
                const T* window = x_tile + ((p * stride_h + r) * columns + q * stride_w) * CB;
                if (VECTOR) {
                    load4(a, window + j);
                } else {
                    // Behind the end the last number stands again; what comes of it is not stored.
#pragma unroll
                    for (int i = 0; i < 4; i++) a[i] = window[least(j + i, length - 1)];
                }
                load4(d, dy_tile + (p * TQ + q) * KB + k);
#pragma unroll
                for (int i = 0; i < 4; i++)
#pragma unroll
                    for (int l = 0; l < 4; l++) sum[i][l] += a[i] * d[l];
                for (q += splits; q >= TQ; q -= TQ) p++;
            }
        }
        __syncthreads();
    }
    // The splits of a unit are added up in their order. Sums lie by (split, element, unit): the units of a warp store
    // to different banks, unless a warp has several splits. Reading them back costs more: neighbouring k lie `units`
    // apart, which `tinycnn trace` counts as 1 to 16 passes by the shape. That happens once a block, at its end, and
    // in return `partial` is written in contiguous runs.
    T* sums = shared_array<T>(0);
    if (split < splits) {
#pragma unroll
        for (int i = 0; i < 16; i++) sums[(split * 16 + i) * units + unit] = sum[i / 4][i % 4];
    }
    __syncthreads();
    partial += (long long)blockIdx.y * R * S * C * K;
    for (int i = threadIdx.x; i < 16 * units; i += blockDim.x) {
        // Neighbouring threads take neighbouring k, so that they write neighbouring numbers.
        const int k_low = i % 4, to_k = i / 4 % k_quads, j_low = i / 4 / k_quads % 4, rest = i / 16 / k_quads;
        const int from = (j_low * 4 + k_low) * units + rest * k_quads + to_k;
        const int to_j = rest % quads * 4 + j_low, to_r = r0 + rest / quads, s = to_j / CB, c = c0 + to_j % CB;
        const int filter = k0 + 4 * to_k + k_low;
        if (to_j >= length || to_r >= R || c >= C || filter >= K) continue;
        T total = 0;
        for (int z = 0; z < splits; z++) total += sums[z * 16 * units + from];
        partial[((long long)(to_r * S + s) * C + c) * K + filter] = total;
    }
    if (!has_bias || int(blockIdx.x) >= blocks_k) return;  // the whole block
    __syncthreads();
    if (sums_bias) sums[threadIdx.x] = db;
    __syncthreads();
    if (int(threadIdx.x) >= KB || k0 + int(threadIdx.x) >= K) return;
    T total = 0;
    for (int lane = 0; lane < bias_lanes; lane++) total += sums[lane * KB + threadIdx.x];
    partial_db[(long long)blockIdx.y * K + k0 + threadIdx.x] = total;
}
