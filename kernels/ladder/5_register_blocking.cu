// Step 5, register blocking: a thread owns 4 x 4 outputs.
//
//     with h = p*stride + r - top and v = q*stride + s - left, the pixel that tap (r, s) of output (p, q) sees:
//     forward:          y[n][p][q][k]  = sum over r, s, c of x[n][h][v][c] * w[r][s][c][k]
//     backward data:    dx[n][h][v][c] = sum over p, q, k, r, s of dy[n][p][q][k] * w[r][s][c][k]
//     backward filter:  dw[r][s][c][k] = sum over n, p, q of dy[n][p][q][k] * x[n][h][v][c]
//
// x (N,H,W,C), w (R,S,C,K), y (N,P,Q,K); pixels outside the image are 0.
//
// The idea: step 4 with 16 sums in the registers of each thread, for 4 pixels and 4 filters. It reads 4 + 4 numbers
// from shared memory and does 16 multiply-adds with them, where step 4 read 32: a quarter. And a block of 128
// threads now covers 8 x 8 pixels and 32 filters, so a filter is copied once for 64 pixels instead of 16, and a pixel,
// with relatively less halo, once for 32 filters. A thread's four are not neighbours but 8 or 16 apart: neighbouring
// threads then read and store neighbouring numbers, and in the inner loop no two of a warp want different words of one
// bank of shared memory (at strides below 4).
//
// Backward filter: the same, for 4 of 64 pairs (tap, channel) and 4 of 32 filters.
//
// What limits it: whole tiles. An image of 9 x 9 outputs takes four tiles of 8 x 8, and most of their threads work for
// nothing. Step 6 cuts the work up otherwise. (With a stride, backward data multiplies by 0 between the outputs, here
// and in the steps that follow; kernels/conv2d.cu shows how not to.)
#include "../common.cuh"

constexpr int TILE = 8, DEPTH = 4;    // a side of the tile of outputs; channels in shared memory at a time
constexpr int ACROSS = 8, DOWN = 16;  // threads: of filters, and of pixels
constexpr int WIDTH = 4 * ACROSS, THREADS = ACROSS * DOWN;

// Rows from.., columns from.. and DEPTH channels of an image (height, width, channels) to shared memory.
__device__ __forceinline__ void copy_tile(
    float* tile, const float* __restrict__ image, int height, int width, int channels, int from_row, int from_column,
    int from_channel, int rows, int columns) {
    for (int i = threadIdx.y * ACROSS + threadIdx.x; i < rows * columns * DEPTH; i += THREADS) {
        const int channel = from_channel + i % DEPTH, column = from_column + i / DEPTH % columns;
        const int row = from_row + i / DEPTH / columns;
        const bool inside = row >= 0 && row < height && column >= 0 && column < width && channel < channels;
        tile[i] = inside ? image[(row * width + column) * channels + channel] : 0;
    }
}

// grid: (tiles of an image, 32s of filters, N); block: (8, 16).
// launch: kernel=conv2d_forward grid=1,1,2 block=8,16 shared=5632 \
//     x=float[2,9,10,8] w=float[3,2,8,12] y=float[2,8,5,12] \
//     N=int:2 H=int:9 W=int:10 C=int:8 K=int:12 R=int:3 S=int:2 P=int:8 Q=int:5 \
//     stride_h=int:1 stride_w=int:2 top=int:1 left=int:0
__global__ void conv2d_forward(
    const float* __restrict__ x, const float* __restrict__ w, float* __restrict__ y, int N, int H, int W, int C, int K,
    int R, int S, int P, int Q, int stride_h, int stride_w, int top, int left) {
    const int tiles = (Q + TILE - 1) / TILE, n = blockIdx.z, k0 = blockIdx.y * WIDTH;
    const int p0 = blockIdx.x / tiles * TILE, q0 = blockIdx.x % tiles * TILE;
    const int rows = (TILE - 1) * stride_h + R, columns = (TILE - 1) * stride_w + S;
    float *image = shared_array<float>(0), *filters = shared_array<float>(rows * columns * DEPTH);
    x += (long long)n * H * W * C;
    int at[4];  // where in the image tile this thread's pixels begin
    for (int i = 0; i < 4; i++) {
        const int pixel = threadIdx.y + i * DOWN;
        at[i] = (pixel / TILE * stride_h * columns + pixel % TILE * stride_w) * DEPTH;
    }
    float sum[4][4] = {};
    for (int c0 = 0; c0 < C; c0 += DEPTH) {
        copy_tile(image, x, H, W, C, p0 * stride_h - top, q0 * stride_w - left, c0, rows, columns);
        for (int i = threadIdx.y * ACROSS + threadIdx.x; i < R * S * DEPTH * WIDTH; i += THREADS) {
            const int k = k0 + i % WIDTH, c = c0 + i / WIDTH % DEPTH, tap = i / WIDTH / DEPTH;
            filters[i] = c < C && k < K ? w[(tap * C + c) * K + k] : 0;
        }
        __syncthreads();
        const int depth = least(DEPTH, C - c0);
        for (int r = 0; r < R; r++)
            for (int s = 0; s < S; s++)
                for (int c = 0; c < depth; c++) {
                    float a[4], b[4];
                    for (int i = 0; i < 4; i++) {
                        a[i] = image[at[i] + (r * columns + s) * DEPTH + c];
                        b[i] = filters[((r * S + s) * DEPTH + c) * WIDTH + threadIdx.x + i * ACROSS];
                    }
                    for (int i = 0; i < 4; i++)
                        for (int j = 0; j < 4; j++) sum[i][j] += a[i] * b[j];
                }
        __syncthreads();
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            const int pixel = threadIdx.y + i * DOWN, p = p0 + pixel / TILE, q = q0 + pixel % TILE;
            const int k = k0 + threadIdx.x + j * ACROSS;
            if (p < P && q < Q && k < K) y[(((long long)n * P + p) * Q + q) * K + k] = sum[i][j];
        }
}

// grid: (tiles of an image, 32s of channels, N); block: (8, 16).
// launch: kernel=conv2d_backward_data grid=4,1,2 block=8,16 shared=3872 \
//     dy=float[2,8,5,12] w=float[3,2,8,12] dx=float[2,9,10,8] \
//     N=int:2 H=int:9 W=int:10 C=int:8 K=int:12 R=int:3 S=int:2 P=int:8 Q=int:5 \
//     stride_h=int:1 stride_w=int:2 top=int:1 left=int:0
__global__ void conv2d_backward_data(
    const float* __restrict__ dy, const float* __restrict__ w, float* __restrict__ dx, int N, int H, int W, int C,
    int K, int R, int S, int P, int Q, int stride_h, int stride_w, int top, int left) {
    const int tiles = (W + TILE - 1) / TILE, n = blockIdx.z, c0 = blockIdx.y * WIDTH;
    const int h0 = blockIdx.x / tiles * TILE, v0 = blockIdx.x % tiles * TILE;
    const int p0 = (h0 + top - (R - 1)) / stride_h, q0 = (v0 + left - (S - 1)) / stride_w;  // as in step 4
    const int rows = (TILE + R - 3 + stride_h) / stride_h + 1, columns = (TILE + S - 3 + stride_w) / stride_w + 1;
    float *gradient = shared_array<float>(0), *filters = shared_array<float>(rows * columns * DEPTH);
    dy += (long long)n * P * Q * K;
    float sum[4][4] = {};
    for (int k0 = 0; k0 < K; k0 += DEPTH) {
        copy_tile(gradient, dy, P, Q, K, p0, q0, k0, rows, columns);
        for (int i = threadIdx.y * ACROSS + threadIdx.x; i < R * S * DEPTH * WIDTH; i += THREADS) {
            const int k = k0 + i % DEPTH, column = i / DEPTH % WIDTH, tap = i / DEPTH / WIDTH;
            const bool inside = k < K && c0 + column < C;
            filters[(tap * DEPTH + i % DEPTH) * WIDTH + column] = inside ? w[(tap * C + c0 + column) * K + k] : 0;
        }
        __syncthreads();
        const int depth = least(DEPTH, K - k0);
        for (int r = 0; r < R; r++)
            for (int s = 0; s < S; s++) {
                int at[4];  // of the output that saw this thread's pixel through the tap, -1 where there is none
                for (int i = 0; i < 4; i++) {
                    const int pixel = threadIdx.y + i * DOWN;
                    const int h = h0 + pixel / TILE + top - r, v = v0 + pixel % TILE + left - s;
                    const int p = h / stride_h, q = v / stride_w;
                    const bool seen = p * stride_h == h && q * stride_w == v;
                    at[i] = seen ? ((p - p0) * columns + q - q0) * DEPTH : -1;
                }
                for (int k = 0; k < depth; k++) {
                    float a[4], b[4];
                    for (int i = 0; i < 4; i++) {
                        a[i] = at[i] < 0 ? 0 : gradient[at[i] + k];
                        b[i] = filters[((r * S + s) * DEPTH + k) * WIDTH + threadIdx.x + i * ACROSS];
                    }
                    for (int i = 0; i < 4; i++)
                        for (int j = 0; j < 4; j++) sum[i][j] += a[i] * b[j];
                }
            }
        __syncthreads();
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            const int pixel = threadIdx.y + i * DOWN, h = h0 + pixel / TILE, v = v0 + pixel % TILE;
            const int c = c0 + threadIdx.x + j * ACROSS;
            if (h < H && v < W && c < C) dx[(((long long)n * H + h) * W + v) * C + c] = sum[i][j];
        }
}

// grid: (16s of taps x fours of channels, 32s of filters, shares of the images); block: (8, 16).
// launch: kernel=conv2d_backward_filter grid=2,1,2 block=8,16 shared=10752 \
//     x=float[2,9,10,8] dy=float[2,8,5,12] dw=float[3,2,8,12]=0 \
//     N=int:2 H=int:9 W=int:10 C=int:8 K=int:12 R=int:3 S=int:2 P=int:8 Q=int:5 \
//     stride_h=int:1 stride_w=int:2 top=int:1 left=int:0
__global__ void conv2d_backward_filter(
    const float* __restrict__ x, const float* __restrict__ dy, float* __restrict__ dw, int N, int H, int W, int C,
    int K, int R, int S, int P, int Q, int stride_h, int stride_w, int top, int left) {
    const int fours = (C + DEPTH - 1) / DEPTH, c = blockIdx.x % fours * DEPTH + threadIdx.y % DEPTH;
    const int k0 = blockIdx.y * WIDTH, rows = (TILE - 1) * stride_h + R, columns = (TILE - 1) * stride_w + S;
    float *image = shared_array<float>(0), *gradients = shared_array<float>(rows * columns * DEPTH);
    int tap[4], at[4];  // this thread's taps, and where in the image tile they see the first output's pixel
    for (int i = 0; i < 4; i++) {
        tap[i] = blockIdx.x / fours * DOWN + threadIdx.y / DEPTH + i * (DOWN / DEPTH);
        const int seen = least(tap[i], R * S - 1);  // behind the last tap: the last once more, and not stored
        at[i] = (seen / S * columns + seen % S) * DEPTH + threadIdx.y % DEPTH;
    }
    float sum[4][4] = {};
    for (int n = blockIdx.z; n < N; n += gridDim.z)
        for (int p0 = 0; p0 < P; p0 += TILE)
            for (int q0 = 0; q0 < Q; q0 += TILE) {
                const int h0 = p0 * stride_h - top, v0 = q0 * stride_w - left;
                copy_tile(
                    image, x + (long long)n * H * W * C, H, W, C, h0, v0, c - int(threadIdx.y) % DEPTH, rows, columns);
                for (int i = threadIdx.y * ACROSS + threadIdx.x; i < TILE * TILE * WIDTH; i += THREADS) {
                    const int p = p0 + i / WIDTH / TILE, q = q0 + i / WIDTH % TILE, k = k0 + i % WIDTH;
                    const bool inside = p < P && q < Q && k < K;
                    gradients[i] = inside ? dy[(((long long)n * P + p) * Q + q) * K + k] : 0;
                }
                __syncthreads();
                for (int pixel = 0; pixel < TILE * TILE; pixel++) {
                    const int from = (pixel / TILE * stride_h * columns + pixel % TILE * stride_w) * DEPTH;
                    float a[4], b[4];
                    for (int i = 0; i < 4; i++) {
                        a[i] = image[from + at[i]];
                        b[i] = gradients[pixel * WIDTH + threadIdx.x + i * ACROSS];
                    }
                    for (int i = 0; i < 4; i++)
                        for (int j = 0; j < 4; j++) sum[i][j] += a[i] * b[j];
                }
                __syncthreads();
            }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            const int k = k0 + threadIdx.x + j * ACROSS;
            if (tap[i] < R * S && c < C && k < K) atomicAdd(&dw[(tap[i] * C + c) * K + k], sum[i][j]);
        }
}
