// Step 3, filters in shared memory: what all threads of a block read is fetched once.
//
//     with h = p*stride + r - top and v = q*stride + s - left, the pixel that tap (r, s) of output (p, q) sees:
//     forward:          y[n][p][q][k]  = sum over r, s, c of x[n][h][v][c] * w[r][s][c][k]
//     backward data:    dx[n][h][v][c] = sum over p, q, k, r, s of dy[n][p][q][k] * w[r][s][c][k]
//     backward filter:  dw[r][s][c][k] = sum over n, p, q of dy[n][p][q][k] * x[n][h][v][c]
//
// x (N,H,W,C), w (R,S,C,K), y (N,P,Q,K); pixels outside the image are 0.
//
// The idea: a block of 16 x 16 threads has 16 pixels and 16 filters. All its pixels need the same filters, so the block
// copies them to shared memory, 32 rows (r, s, c) at a time, and 16 threads read each copy. Memory is asked for 1/16 of
// the filters' bytes. (Constant memory would be the other place: it serves one address a request, as the image's
// numbers are, but not 16 different filters, and it ends at 64 KB.) Backward data turns the filters while copying:
// it reads along k, as they lie in memory, and then uses them along c.
//
// Backward filter: dy takes the filters' part. And there are too few dw for a thread each to fill a GPU, so blockIdx.z
// takes a share of the images, and the blocks add their sums to dw by atomicAdd. Nothing says in which order they
// come, and float addition depends on the order: two runs may differ in the last bits. Step 6 does without.
//
// What limits it: one load from global memory, the image's, for each multiply-add. Step 4 takes that away too.
#include "../common.cuh"

constexpr int WIDTH = 16, ROWS = 32;  // columns of outputs, and rows of filters, that a block has at a time

// grid: (16s of an image's pixels, 16s of filters, N); block: (16 filters, 16 pixels).
// launch: kernel=conv2d_forward grid=3,1,2 block=16,16 \
//     x=float[2,9,10,8] w=float[3,2,8,12] y=float[2,8,5,12] \
//     N=int:2 H=int:9 W=int:10 C=int:8 K=int:12 R=int:3 S=int:2 P=int:8 Q=int:5 \
//     stride_h=int:1 stride_w=int:2 top=int:1 left=int:0
__global__ void conv2d_forward(
    const float* __restrict__ x, const float* __restrict__ w, float* __restrict__ y, int N, int H, int W, int C, int K,
    int R, int S, int P, int Q, int stride_h, int stride_w, int top, int left) {
    __shared__ float filters[ROWS][WIDTH];
    const int pixel = blockIdx.x * WIDTH + threadIdx.y, k = blockIdx.y * WIDTH + threadIdx.x, n = blockIdx.z;
    const int p = pixel / Q, q = pixel % Q;
    x += (long long)n * H * W * C;
    float sum = 0;
    int r = 0, s = 0, c = 0;  // of the row that is used next; the same in all threads
    for (int first = 0; first < R * S * C; first += ROWS) {
        const int rows = least(ROWS, R * S * C - first);
        for (int row = threadIdx.y; row < rows; row += WIDTH)
            filters[row][threadIdx.x] = k < K ? w[(first + row) * K + k] : 0;
        __syncthreads();  // all is there before anybody reads
        for (int row = 0; row < rows; row++) {
            const int h = p * stride_h + r - top, v = q * stride_w + s - left;
            if (pixel < P * Q && h >= 0 && h < H && v >= 0 && v < W)
                sum += x[(h * W + v) * C + c] * filters[row][threadIdx.x];
            if (++c == C) c = 0, s++;
            if (s == S) s = 0, r++;
        }
        __syncthreads();  // all is read before anybody overwrites it
    }
    if (pixel < P * Q && k < K) y[((long long)n * P * Q + pixel) * K + k] = sum;
}

// grid: (16s of an image's pixels, 16s of channels, N); block: (16 channels, 16 pixels).
// launch: kernel=conv2d_backward_data grid=6,1,2 block=16,16 \
//     dy=float[2,8,5,12] w=float[3,2,8,12] dx=float[2,9,10,8] \
//     N=int:2 H=int:9 W=int:10 C=int:8 K=int:12 R=int:3 S=int:2 P=int:8 Q=int:5 \
//     stride_h=int:1 stride_w=int:2 top=int:1 left=int:0
__global__ void conv2d_backward_data(
    const float* __restrict__ dy, const float* __restrict__ w, float* __restrict__ dx, int N, int H, int W, int C,
    int K, int R, int S, int P, int Q, int stride_h, int stride_w, int top, int left) {
    __shared__ float filters[ROWS][WIDTH + 1];  // one more: 32 rows of one column are written in 32 banks
    const int pixel = blockIdx.x * WIDTH + threadIdx.y, c = blockIdx.y * WIDTH + threadIdx.x, n = blockIdx.z;
    const int h = pixel / W, v = pixel % W, thread = threadIdx.y * WIDTH + threadIdx.x;
    dy += (long long)n * P * Q * K;
    float sum = 0;
    int r = 0, s = 0, k = 0;
    for (int first = 0; first < R * S * K; first += ROWS) {
        const int rows = least(ROWS, R * S * K - first);
        const int row = thread % ROWS, tap = (first + row) / K, from_k = (first + row) % K;
        for (int column = thread / ROWS; column < WIDTH && row < rows; column += WIDTH * WIDTH / ROWS) {
            const int from_c = blockIdx.y * WIDTH + column;
            filters[row][column] = from_c < C ? w[(tap * C + from_c) * K + from_k] : 0;
        }
        __syncthreads();
        for (int row = 0; row < rows; row++) {
            const int p = (h + top - r) / stride_h, q = (v + left - s) / stride_w;
            const bool seen = h + top >= r && p * stride_h == h + top - r && p < P && v + left >= s &&
                              q * stride_w == v + left - s && q < Q;
            if (pixel < H * W && seen) sum += dy[(p * Q + q) * K + k] * filters[row][threadIdx.x];
            if (++k == K) k = 0, s++;
            if (s == S) s = 0, r++;
        }
        __syncthreads();
    }
    if (pixel < H * W && c < C) dx[((long long)n * H * W + pixel) * C + c] = sum;
}

// grid: (16s of rows (r, s, c), 16s of filters, shares of the images); block: (16 filters, 16 rows). dw begins as 0.
// launch: kernel=conv2d_backward_filter grid=3,1,2 block=16,16 \
//     x=float[2,9,10,8] dy=float[2,8,5,12] dw=float[3,2,8,12]=0 \
//     N=int:2 H=int:9 W=int:10 C=int:8 K=int:12 R=int:3 S=int:2 P=int:8 Q=int:5 \
//     stride_h=int:1 stride_w=int:2 top=int:1 left=int:0
__global__ void conv2d_backward_filter(
    const float* __restrict__ x, const float* __restrict__ dy, float* __restrict__ dw, int N, int H, int W, int C,
    int K, int R, int S, int P, int Q, int stride_h, int stride_w, int top, int left) {
    __shared__ float gradients[ROWS][WIDTH];
    const int row = blockIdx.x * WIDTH + threadIdx.y, k = blockIdx.y * WIDTH + threadIdx.x;
    const int c = row % C, s = row / C % S, r = row / C / S;
    float sum = 0;
    for (int n = blockIdx.z; n < N; n += gridDim.z) {
        const float *image = x + (long long)n * H * W * C, *gradient = dy + (long long)n * P * Q * K;
        int p = 0, q = 0;
        for (int first = 0; first < P * Q; first += ROWS) {
            const int pixels = least(ROWS, P * Q - first);
            for (int pixel = threadIdx.y; pixel < pixels; pixel += WIDTH)
                gradients[pixel][threadIdx.x] = k < K ? gradient[(first + pixel) * K + k] : 0;
            __syncthreads();
            for (int pixel = 0; pixel < pixels; pixel++) {
                const int h = p * stride_h + r - top, v = q * stride_w + s - left;
                if (r < R && h >= 0 && h < H && v >= 0 && v < W)
                    sum += image[(h * W + v) * C + c] * gradients[pixel][threadIdx.x];
                if (++q == Q) q = 0, p++;
            }
            __syncthreads();
        }
    }
    if (r < R && k < K) atomicAdd(&dw[row * K + k], sum);
}
