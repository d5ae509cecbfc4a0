// Step 4, the image in shared memory too: a tile of pixels with its halo.
//
//     with h = p*stride + r - top and v = q*stride + s - left, the pixel that tap (r, s) of output (p, q) sees:
//     forward:          y[n][p][q][k]  = sum over r, s, c of x[n][h][v][c] * w[r][s][c][k]
//     backward data:    dx[n][h][v][c] = sum over p, q, k, r, s of dy[n][p][q][k] * w[r][s][c][k]
//     backward filter:  dw[r][s][c][k] = sum over n, p, q of dy[n][p][q][k] * x[n][h][v][c]
//
// x (N,H,W,C), w (R,S,C,K), y (N,P,Q,K); pixels outside the image are 0.
//
// The idea: neighbouring outputs see almost the same pixels. A block takes a square tile of outputs, and copies the
// part of the image that the tile sees to shared memory, four channels at a time. For a tile of 4 x 4 outputs and a
// filter of 5 x 5 that is 8 x 8 pixels, the tile and a halo around it: 64 loads where step 3 made 16 * 25. Pixels
// outside the image are 0 in the tile, so the loop over the taps has no more questions to ask.
//
// Backward filter: a thread owns one dw, and the block walks over tiles of x and of dy.
//
// Shared memory is dynamic, for its size depends on the filter: [image tile | filters], or [x tile | dy tile].
//
// What limits it: now the multiply-adds wait for shared memory, which is asked for two numbers for each of them. A
// multiprocessor of a Hopper GPU could do 128 multiply-adds a cycle; its shared memory answers with 32 numbers. Step 5
// keeps numbers in registers.
#include "../common.cuh"

constexpr int WIDTH = 16, DEPTH = 4;      // filters of a block; channels in shared memory at a time
constexpr int TILE = 4, FILTER_TILE = 8;  // a side of the tile of outputs: 16 of them; in backward filter 64

// Rows from.., columns from.. and DEPTH channels of an image (height, width, channels) to shared memory.
__device__ __forceinline__ void copy_tile(
    float* tile, const float* __restrict__ image, int height, int width, int channels, int from_row, int from_column,
    int from_channel, int rows, int columns) {
    for (int i = threadIdx.y * WIDTH + threadIdx.x; i < rows * columns * DEPTH; i += WIDTH * WIDTH) {
        const int channel = from_channel + i % DEPTH, column = from_column + i / DEPTH % columns;
        const int row = from_row + i / DEPTH / columns;
        const bool inside = row >= 0 && row < height && column >= 0 && column < width && channel < channels;
        tile[i] = inside ? image[(row * width + column) * channels + channel] : 0;
    }
}

// grid: (tiles of an image, 16s of filters, N); block: (16 filters, 16 pixels).
// launch: kernel=conv2d_forward grid=4,1,2 block=16,16 shared=2304 \
//     x=float[2,9,10,8] w=float[3,2,8,12] y=float[2,8,5,12] \
//     N=int:2 H=int:9 W=int:10 C=int:8 K=int:12 R=int:3 S=int:2 P=int:8 Q=int:5 \
//     stride_h=int:1 stride_w=int:2 top=int:1 left=int:0
__global__ void conv2d_forward(
    const float* __restrict__ x, const float* __restrict__ w, float* __restrict__ y, int N, int H, int W, int C, int K,
    int R, int S, int P, int Q, int stride_h, int stride_w, int top, int left) {
    const int tiles = (Q + TILE - 1) / TILE, n = blockIdx.z;
    const int p0 = blockIdx.x / tiles * TILE, q0 = blockIdx.x % tiles * TILE;
    const int p = threadIdx.y / TILE, q = threadIdx.y % TILE, k = blockIdx.y * WIDTH + threadIdx.x;  // in the tile
    const int rows = (TILE - 1) * stride_h + R, columns = (TILE - 1) * stride_w + S;
    float *image = shared_array<float>(0), *filters = shared_array<float>(rows * columns * DEPTH);
    x += (long long)n * H * W * C;
    float sum = 0;
    for (int c0 = 0; c0 < C; c0 += DEPTH) {
        copy_tile(image, x, H, W, C, p0 * stride_h - top, q0 * stride_w - left, c0, rows, columns);
        for (int row = threadIdx.y; row < R * S * DEPTH; row += WIDTH) {
            const int tap = row / DEPTH, c = c0 + row % DEPTH;
            filters[row * WIDTH + threadIdx.x] = c < C && k < K ? w[(tap * C + c) * K + k] : 0;
        }
        __syncthreads();
        const int depth = least(DEPTH, C - c0);
        for (int r = 0; r < R; r++)
            for (int s = 0; s < S; s++)
                for (int c = 0; c < depth; c++) {
                    const float pixel = image[((p * stride_h + r) * columns + q * stride_w + s) * DEPTH + c];
                    sum += pixel * filters[((r * S + s) * DEPTH + c) * WIDTH + threadIdx.x];
                }
        __syncthreads();
    }
    if (p0 + p < P && q0 + q < Q && k < K) y[(((long long)n * P + p0 + p) * Q + q0 + q) * K + k] = sum;
}

// grid: (tiles of an image, 16s of channels, N); block: (16 channels, 16 pixels).
// launch: kernel=conv2d_backward_data grid=9,1,2 block=16,16 shared=1824 \
//     dy=float[2,8,5,12] w=float[3,2,8,12] dx=float[2,9,10,8] \
//     N=int:2 H=int:9 W=int:10 C=int:8 K=int:12 R=int:3 S=int:2 P=int:8 Q=int:5 \
//     stride_h=int:1 stride_w=int:2 top=int:1 left=int:0
__global__ void conv2d_backward_data(
    const float* __restrict__ dy, const float* __restrict__ w, float* __restrict__ dx, int N, int H, int W, int C,
    int K, int R, int S, int P, int Q, int stride_h, int stride_w, int top, int left) {
    const int tiles = (W + TILE - 1) / TILE, n = blockIdx.z;
    const int h = blockIdx.x / tiles * TILE + threadIdx.y / TILE, v = blockIdx.x % tiles * TILE + threadIdx.y % TILE;
    // The first output that has seen one of these pixels, or the one before it.
    const int p0 = (int(blockIdx.x / tiles * TILE) + top - (R - 1)) / stride_h;
    const int q0 = (int(blockIdx.x % tiles * TILE) + left - (S - 1)) / stride_w;
    const int rows = (TILE + R - 3 + stride_h) / stride_h + 1, columns = (TILE + S - 3 + stride_w) / stride_w + 1;
    const int c = blockIdx.y * WIDTH + threadIdx.x;
    float *gradient = shared_array<float>(0), *filters = shared_array<float>(rows * columns * DEPTH);
    dy += (long long)n * P * Q * K;
    float sum = 0;
    for (int k0 = 0; k0 < K; k0 += DEPTH) {
        copy_tile(gradient, dy, P, Q, K, p0, q0, k0, rows, columns);
        for (int i = threadIdx.y * WIDTH + threadIdx.x; i < R * S * DEPTH * WIDTH; i += WIDTH * WIDTH) {
            const int k = k0 + i % DEPTH, column = i / DEPTH % WIDTH, tap = i / DEPTH / WIDTH;
            const int from_c = blockIdx.y * WIDTH + column;
            const bool inside = k < K && from_c < C;
            filters[(tap * DEPTH + i % DEPTH) * WIDTH + column] = inside ? w[(tap * C + from_c) * K + k] : 0;
        }
        __syncthreads();
        const int depth = least(DEPTH, K - k0);
        for (int r = 0; r < R; r++)
            for (int s = 0; s < S; s++) {
                const int p = (h + top - r) / stride_h, q = (v + left - s) / stride_w;
                if (p * stride_h != h + top - r || q * stride_w != v + left - s) continue;  // between two outputs
                for (int k = 0; k < depth; k++)
                    sum += gradient[((p - p0) * columns + q - q0) * DEPTH + k] *
                           filters[((r * S + s) * DEPTH + k) * WIDTH + threadIdx.x];
            }
        __syncthreads();
    }
    if (h < H && v < W && c < C) dx[(((long long)n * H + h) * W + v) * C + c] = sum;
}

// grid: (fours of taps x fours of channels, 16s of filters, shares of the images); block: (16 filters, 4 x 4 (tap, c)).
// launch: kernel=conv2d_backward_filter grid=4,1,2 block=16,16 shared=6656 \
//     x=float[2,9,10,8] dy=float[2,8,5,12] dw=float[3,2,8,12]=0 \
//     N=int:2 H=int:9 W=int:10 C=int:8 K=int:12 R=int:3 S=int:2 P=int:8 Q=int:5 \
//     stride_h=int:1 stride_w=int:2 top=int:1 left=int:0
__global__ void conv2d_backward_filter(
    const float* __restrict__ x, const float* __restrict__ dy, float* __restrict__ dw, int N, int H, int W, int C,
    int K, int R, int S, int P, int Q, int stride_h, int stride_w, int top, int left) {
    const int fours = (C + DEPTH - 1) / DEPTH, c0 = blockIdx.x % fours * DEPTH, c = threadIdx.y % DEPTH;
    const int tap = blockIdx.x / fours * (WIDTH / DEPTH) + threadIdx.y / DEPTH, r = tap / S, s = tap % S;
    const int k0 = blockIdx.y * WIDTH, k = k0 + threadIdx.x, thread = threadIdx.y * WIDTH + threadIdx.x;
    const int rows = (FILTER_TILE - 1) * stride_h + R, columns = (FILTER_TILE - 1) * stride_w + S;
    float *image = shared_array<float>(0), *gradients = shared_array<float>(rows * columns * DEPTH);
    float sum = 0;
    for (int n = blockIdx.z; n < N; n += gridDim.z)
        for (int p0 = 0; p0 < P; p0 += FILTER_TILE)
            for (int q0 = 0; q0 < Q; q0 += FILTER_TILE) {
                copy_tile(
                    image, x + (long long)n * H * W * C, H, W, C, p0 * stride_h - top, q0 * stride_w - left, c0, rows,
                    columns);
                for (int i = thread; i < FILTER_TILE * FILTER_TILE * WIDTH; i += WIDTH * WIDTH) {
                    const int p = p0 + i / WIDTH / FILTER_TILE, q = q0 + i / WIDTH % FILTER_TILE;
                    const bool inside = p < P && q < Q && k < K;
                    gradients[i] = inside ? dy[(((long long)n * P + p) * Q + q) * K + k] : 0;
                }
                __syncthreads();
                if (r < R)
                    for (int p = 0; p < FILTER_TILE; p++)
                        for (int q = 0; q < FILTER_TILE; q++)
                            sum += image[((p * stride_h + r) * columns + q * stride_w + s) * DEPTH + c] *
                                   gradients[(p * FILTER_TILE + q) * WIDTH + threadIdx.x];
                __syncthreads();
            }
    if (r < R && c0 + c < C && k < K) atomicAdd(&dw[(tap * C + c0 + c) * K + k], sum);
}
