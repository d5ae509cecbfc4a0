// Step 6, implicit GEMM: the convolution as a matrix product whose left matrix is never written.
//
//     with h = p*stride + r - top and v = q*stride + s - left, the pixel that tap (r, s) of output (p, q) sees:
//     forward:          y[n][p][q][k]  = sum over r, s, c of x[n][h][v][c] * w[r][s][c][k]
//     backward data:    dx[n][h][v][c] = sum over p, q, k, r, s of dy[n][p][q][k] * w[r][s][c][k]
//     backward filter:  dw[r][s][c][k] = sum over n, p, q of dy[n][p][q][k] * x[n][h][v][c]
//
// x (N,H,W,C), w (R,S,C,K), y (N,P,Q,K); pixels outside the image are 0.
//
// The idea: out[m][n] = sum over l of A[m][l] * B[l][n], with
//
//                       m              n   l          A[m][l]                             B[l][n]
//     forward           (n, p, q)      k   (r, s, c)  the number of x that (m, l) meet    w, as it lies in memory
//     backward data     (n, h, v)      c   (r, s, k)  the number of dy that (m, l) meet   w[r][s][c][k]
//     backward filter   (r, s, c)      k   (n, p, q)  the number of x that (l, m) meet    dy, as it lies in memory
//
// A ("im2col") would be R*S times as large as the image. So it is not made: when a block copies a tile of A to shared
// memory, it works out where each number stands in the image. The tiles do not know of images any more: 64 outputs
// may begin in one image row and end in another, no tile is cut off at an image's edge, and the shared memory is the
// same for every filter. A thread has 4 x 4 outputs as in step 5.
//
// Backward filter: gridDim.z blocks share the long sum over l; each writes a partial dw, dw (gridDim.z,R,S,C,K), and
// kernels/reduce.cu adds them up in their order. Unlike the atomics of step 3 to 5 that gives the same bits every time.
//
// What it costs: tiles without a halo fetch a pixel once for each tap, R*S times, of which the caches of a GPU answer
// most.
//
// What limits it: 8 loads of 4 bytes from shared memory for 16 multiply-adds, and two barriers a tile, at which
// everybody waits for global memory. Step 7 takes up both.
#include "../common.cuh"

enum Way { FORWARD, BACKWARD_DATA, BACKWARD_FILTER };
struct Conv { int N, H, W, C, K, R, S, P, Q, stride_h, stride_w, top, left; };
struct Place { int n, h, v, c; };  // of an output in the image (h, v: the pixel under tap (0,0)), or of a tap within it

template <Way WAY>
__device__ __forceinline__ Place place_of_output(const Conv& s, int i) {
    const int height = WAY == BACKWARD_DATA ? s.H : s.P, width = WAY == BACKWARD_DATA ? s.W : s.Q;
    const int column = i % width, row = i / width % height, n = i / width / height;
    if (WAY == BACKWARD_DATA) return {n, row + s.top, column + s.left, 0};
    return {n, row * s.stride_h - s.top, column * s.stride_w - s.left, 0};
}

template <Way WAY>
__device__ __forceinline__ Place place_of_tap(const Conv& s, int i) {
    const int channels = WAY == BACKWARD_DATA ? s.K : s.C;
    const int c = i % channels, tap = i / channels, r = tap / s.S, column = tap - r * s.S;
    if (WAY == BACKWARD_DATA) return {0, -r, -column, c};
    return {0, r, column, c};
}

// Where the number of an output and a tap stands: in x, or in dy for backward data. nullptr where it is 0.
template <Way WAY>
__device__ __forceinline__ const float* find(const Conv& s, const float* image, const Place& output, const Place& tap) {
    int h = output.h + tap.h, v = output.v + tap.v;
    if (h < 0 || v < 0) return nullptr;
    if (WAY == BACKWARD_DATA) {
        if (h % s.stride_h || v % s.stride_w) return nullptr;  // between two outputs
        h /= s.stride_h, v /= s.stride_w;
    }
    const int height = WAY == BACKWARD_DATA ? s.P : s.H, width = WAY == BACKWARD_DATA ? s.Q : s.W;
    const int channels = WAY == BACKWARD_DATA ? s.K : s.C;
    if (h >= height || v >= width) return nullptr;
    return image + (((long long)output.n * height + h) * width + v) * channels + tap.c;
}

// A block of 128 threads has a tile of 64 x 32 outputs, and takes 16 l at a time.
constexpr int BM = 64, BN = 32, BL = 16, ACROSS = 8, DOWN = 16, THREADS = ACROSS * DOWN;

// out (M, columns) += A (M, L) * B (L, columns), for the share of l that blockIdx.z has.
template <Way WAY>
__device__ __forceinline__ void multiply(
    const Conv& s, const float* image, const float* __restrict__ other, float* __restrict__ out, int M, int columns,
    int L) {
    __shared__ Place outer[BM], inner[BL];  // of the tile's m and l
    __shared__ float a_tile[BL][BM + 2], b_tile[BL][BN + 2];  // 2 more: 16 l of one column lie in 16 banks
    const int thread = threadIdx.y * ACROSS + threadIdx.x, m0 = blockIdx.x * BM, n0 = blockIdx.y * BN;
    const int share = ((L + gridDim.z - 1) / gridDim.z + BL - 1) / BL * BL;
    const int begin = blockIdx.z * share, end = least(begin + share, L);
    if (thread < BM) outer[thread] = WAY == BACKWARD_FILTER ? place_of_tap<WAY>(s, m0 + thread)
                                                            : place_of_output<WAY>(s, m0 + thread);
    float sum[4][4] = {};
    for (int l0 = begin; l0 < end; l0 += BL) {
        if (thread < BL) inner[thread] = WAY == BACKWARD_FILTER ? place_of_output<WAY>(s, l0 + thread)
                                                                : place_of_tap<WAY>(s, l0 + thread);
        __syncthreads();
        // Neighbouring threads copy neighbouring numbers: along l, or in backward filter along m, the channels.
        for (int i = thread; i < BM * BL; i += THREADS) {
            const int m = WAY == BACKWARD_FILTER ? i % BM : i / BL, l = WAY == BACKWARD_FILTER ? i / BM : i % BL;
            const float* from = nullptr;
            if (m0 + m < M && l0 + l < end) {
                if (WAY == BACKWARD_FILTER) from = find<WAY>(s, image, inner[l], outer[m]);
                else from = find<WAY>(s, image, outer[m], inner[l]);
            }
            a_tile[l][m] = from ? *from : 0;
        }
        for (int i = thread; i < BN * BL; i += THREADS) {
            const int n = WAY == BACKWARD_DATA ? i / BL : i % BN, l = WAY == BACKWARD_DATA ? i % BL : i / BN;
            float b = 0;
            if (n0 + n < columns && l0 + l < end) {
                if (WAY == BACKWARD_DATA) b = other[((l0 + l) / s.K * s.C + n0 + n) * s.K + (l0 + l) % s.K];
                else b = other[(long long)(l0 + l) * columns + n0 + n];
            }
            b_tile[l][n] = b;
        }
        __syncthreads();
        for (int l = 0; l < BL; l++) {
            float a[4], b[4];
            for (int i = 0; i < 4; i++) {
                a[i] = a_tile[l][threadIdx.y + i * DOWN];
                b[i] = b_tile[l][threadIdx.x + i * ACROSS];
            }
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++) sum[i][j] += a[i] * b[j];
        }
    }
    out += (long long)blockIdx.z * M * columns;
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            const int m = m0 + threadIdx.y + i * DOWN, n = n0 + threadIdx.x + j * ACROSS;
            if (m < M && n < columns) out[(long long)m * columns + n] = sum[i][j];
        }
}

// grid: (64s of outputs' rows m, 32s of their columns n, shares of l: 1 but for backward filter); block: (8, 16).
// launch: kernel=conv2d_forward grid=2,1,1 block=8,16 \
//     x=float[2,9,10,8] w=float[3,2,8,12] y=float[2,8,5,12] \
//     N=int:2 H=int:9 W=int:10 C=int:8 K=int:12 R=int:3 S=int:2 P=int:8 Q=int:5 \
//     stride_h=int:1 stride_w=int:2 top=int:1 left=int:0
__global__ void conv2d_forward(
    const float* __restrict__ x, const float* __restrict__ w, float* __restrict__ y, int N, int H, int W, int C, int K,
    int R, int S, int P, int Q, int stride_h, int stride_w, int top, int left) {
    const Conv s = {N, H, W, C, K, R, S, P, Q, stride_h, stride_w, top, left};
    multiply<FORWARD>(s, x, w, y, N * P * Q, K, R * S * C);
}

// launch: kernel=conv2d_backward_data grid=3,1,1 block=8,16 \
//     dy=float[2,8,5,12] w=float[3,2,8,12] dx=float[2,9,10,8] \
//     N=int:2 H=int:9 W=int:10 C=int:8 K=int:12 R=int:3 S=int:2 P=int:8 Q=int:5 \
//     stride_h=int:1 stride_w=int:2 top=int:1 left=int:0
__global__ void conv2d_backward_data(
    const float* __restrict__ dy, const float* __restrict__ w, float* __restrict__ dx, int N, int H, int W, int C,
    int K, int R, int S, int P, int Q, int stride_h, int stride_w, int top, int left) {
    const Conv s = {N, H, W, C, K, R, S, P, Q, stride_h, stride_w, top, left};
    multiply<BACKWARD_DATA>(s, dy, w, dx, N * H * W, C, R * S * K);
}

// launch: kernel=conv2d_backward_filter grid=1,1,2 block=8,16 \
//     x=float[2,9,10,8] dy=float[2,8,5,12] dw=float[2,3,2,8,12] \
//     N=int:2 H=int:9 W=int:10 C=int:8 K=int:12 R=int:3 S=int:2 P=int:8 Q=int:5 \
//     stride_h=int:1 stride_w=int:2 top=int:1 left=int:0
__global__ void conv2d_backward_filter(
    const float* __restrict__ x, const float* __restrict__ dy, float* __restrict__ dw, int N, int H, int W, int C,
    int K, int R, int S, int P, int Q, int stride_h, int stride_w, int top, int left) {
    const Conv s = {N, H, W, C, K, R, S, P, Q, stride_h, stride_w, top, left};
    multiply<BACKWARD_FILTER>(s, x, dy, dw, R * S * C, K, N * P * Q);
}
