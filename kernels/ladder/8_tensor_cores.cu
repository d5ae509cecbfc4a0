// Step 8, tensor cores: the tile's product by the units that multiply matrices, with inputs rounded to TF32.
//
//     with h = p*stride + r - top and v = q*stride + s - left, the pixel that tap (r, s) of output (p, q) sees:
//     forward:          y[n][p][q][k]  = sum over r, s, c of x[n][h][v][c] * w[r][s][c][k]
//     backward data:    dx[n][h][v][c] = sum over p, q, k, r, s of dy[n][p][q][k] * w[r][s][c][k]
//     backward filter:  dw[r][s][c][k] = sum over n, p, q of dy[n][p][q][k] * x[n][h][v][c]
//
// x (N,H,W,C), w (R,S,C,K), y (N,P,Q,K); pixels outside the image are 0.
//
// The idea: step 7, but a warp multiplies 16 x 8 by 8 x 8 numbers in one instruction (mma.cuh): 1024 multiply-adds,
// where an ordinary one does 32. Its price is precision. The inputs are rounded to 11 significant bits while they are
// copied to shared memory, so the outputs are off by some 3 in 10,000 of their size, instead of 1 in 10,000,000. Sums
// are floats as before.
//
// Each of the four warps has 32 x 16 of the block's 64 x 32 outputs: 2 x 2 such products for 8 l. What a lane needs for
// them are single numbers of A and B (mma.cuh says which), so nothing is transposed: A and B lie in their tiles as they
// came. The rows of a tile are 20, 40 or 72 numbers apart, and not 16, 32 or 64, so that the 32 numbers that a warp
// reads at a time lie in 32 banks.
//
// What limits it: what surrounds the product. Finding the numbers in the image and getting them into shared memory
// takes as many instructions as in step 7, and a filter with few channels fills a tile of 64 x 32 badly. The kernels
// that tinycnn trains with are made for such layers: kernels/conv2d.cu goes on from step 5, with tiles that fit the
// shape, kernels/fast from step 9.
#include "../common.cuh"
#include "mma.cuh"

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
constexpr int BM = 64, BN = 32, BL = 16;

// Four neighbours of A: along l, or in backward filter along m. One load where they are four channels of one pixel.
template <Way WAY>
__device__ __forceinline__ void load_a(
    float (&v)[4], const Conv& s, const float* image, const Place* outer, int m, int l, int most_m, int most_l) {
#pragma unroll
    for (int j = 0; j < 4; j++) v[j] = 0;
    const bool vector = (WAY == BACKWARD_DATA ? s.K : s.C) % 4 == 0;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        if (m >= most_m || l >= most_l || (vector && j > 0)) return;
        const float* from = WAY == BACKWARD_FILTER ? find<WAY>(s, image, place_of_output<WAY>(s, l), outer[m++])
                                                   : find<WAY>(s, image, outer[m], place_of_tap<WAY>(s, l++));
        if (from && vector) load4(v, from);
        if (from && !vector) v[j] = *from;
    }
}

// Four neighbours of B: along n, or in backward data along l.
template <Way WAY>
__device__ __forceinline__ void load_b(
    float (&v)[4], const Conv& s, const float* __restrict__ other, int n, int l, int columns, int most_l) {
    if (WAY != BACKWARD_DATA) {
        load_some(v, other + (long long)l * columns + n, l < most_l ? columns - n : 0, columns % 4 == 0);
    } else if (s.K % 4 == 0) {
        load_some(v, other + (l / s.K * s.C + n) * s.K + l % s.K, n < columns ? most_l - l : 0, true);
    } else {
#pragma unroll
        for (int j = 0; j < 4; j++, l++)
            v[j] = n < columns && l < most_l ? other[(l / s.K * s.C + n) * s.K + l % s.K] : 0;
    }
}

// Where A[m][l] and B[l][n] are in their tiles: along l where they are copied along l, else along m or n.
template <Way WAY>
__device__ __forceinline__ int a_at(int m, int l) { return WAY == BACKWARD_FILTER ? l * 72 + m : m * 20 + l; }
template <Way WAY>
__device__ __forceinline__ int b_at(int l, int n) { return WAY == BACKWARD_DATA ? n * 20 + l : l * 40 + n; }

// out (M, columns) = A (M, L) * B (L, columns), for the share of l that blockIdx.z has.
template <Way WAY>
__device__ __forceinline__ void multiply(
    const Conv& s, const float* image, const float* __restrict__ other, float* __restrict__ out, int M, int columns,
    int L) {
    __shared__ Place outer[BM];  // of the tile's m
    __shared__ __align__(16) float a_tile[2][BM * 20], b_tile[2][BN * 20];
    const int thread = threadIdx.x, m0 = blockIdx.x * BM, n0 = blockIdx.y * BN;
    const int share = ((L + gridDim.z - 1) / gridDim.z + BL - 1) / BL * BL;
    const int begin = blockIdx.z * share, end = least(begin + share, L);
    if (thread < BM) outer[thread] = WAY == BACKWARD_FILTER ? place_of_tap<WAY>(s, m0 + thread)
                                                            : place_of_output<WAY>(s, m0 + thread);
    __syncthreads();
    // Which fours this thread copies: two of A (the second at + 32 m or + 8 l), one of B.
    constexpr bool A_ALONG_M = WAY == BACKWARD_FILTER, B_ALONG_L = WAY == BACKWARD_DATA;
    const int a_m = A_ALONG_M ? thread % 16 * 4 : thread / 4, a_l = A_ALONG_M ? thread / 16 : thread % 4 * 4;
    const int b_n = B_ALONG_L ? thread / 4 : thread % 8 * 4, b_l = B_ALONG_L ? thread % 4 * 4 : thread / 8;
    constexpr int NEXT_M = A_ALONG_M ? 0 : BM / 2, NEXT_L = A_ALONG_M ? BL / 2 : 0;
    const int warp = thread / 32, g = thread % 32 / 4, t = thread % 4;
    const int row = warp / 2 * 32 + g, column = warp % 2 * 16;
    float a_next[2][4], b_next[4], sum[2][2][4] = {};
    for (int l0 = begin - BL, now = 1; l0 < end; l0 += BL, now ^= 1) {
        const bool more = l0 + BL < end;
        if (more) {
#pragma unroll
            for (int i = 0; i < 2; i++)
                load_a<WAY>(a_next[i], s, image, outer, a_m + i * NEXT_M, l0 + BL + a_l + i * NEXT_L, M - m0, end);
            load_b<WAY>(b_next, s, other, n0 + b_n, l0 + BL + b_l, columns, end);
        }
        if (l0 >= begin)  // the first round only loads
#pragma unroll
            for (int l = t; l < BL; l += 8) {
                float a[2][4], b[2][2];
#pragma unroll
                for (int i = 0; i < 2; i++) {
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        a[i][e] = a_tile[now][a_at<WAY>(row + 16 * i + e % 2 * 8, l + e / 2 * 4)];
#pragma unroll
                    for (int e = 0; e < 2; e++) b[i][e] = b_tile[now][b_at<WAY>(l + e * 4, column + 8 * i + g)];
                }
#pragma unroll
                for (int i = 0; i < 2; i++)
#pragma unroll
                    for (int j = 0; j < 2; j++) multiply_16x8x8(sum[i][j], a[i], b[j]);
            }
        if (more) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                a_next[0][j] = to_tf32(a_next[0][j]), a_next[1][j] = to_tf32(a_next[1][j]);
                b_next[j] = to_tf32(b_next[j]);
            }
#pragma unroll
            for (int i = 0; i < 2; i++)
                store4(&a_tile[now ^ 1][a_at<WAY>(a_m + i * NEXT_M, a_l + i * NEXT_L)], a_next[i]);
            store4(&b_tile[now ^ 1][b_at<WAY>(b_l, b_n)], b_next);
        }
        __syncthreads();
    }
    out += (long long)blockIdx.z * M * columns;
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 2; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const int m = m0 + row + 16 * i + e / 2 * 8, n = n0 + column + 8 * j + 2 * t + e % 2;
                if (m < M && n < columns) out[(long long)m * columns + n] = sum[i][j][e];
            }
}

// grid: (64s of outputs' rows m, 32s of their columns n, shares of l: 1 but for backward filter); block: 128 threads.
// launch: kernel=conv2d_forward grid=2,1,1 block=128 \
//     x=float[2,9,10,8] w=float[3,2,8,12] y=float[2,8,5,12] \
//     N=int:2 H=int:9 W=int:10 C=int:8 K=int:12 R=int:3 S=int:2 P=int:8 Q=int:5 \
//     stride_h=int:1 stride_w=int:2 top=int:1 left=int:0
__global__ void conv2d_forward(
    const float* __restrict__ x, const float* __restrict__ w, float* __restrict__ y, int N, int H, int W, int C, int K,
    int R, int S, int P, int Q, int stride_h, int stride_w, int top, int left) {
    const Conv s = {N, H, W, C, K, R, S, P, Q, stride_h, stride_w, top, left};
    multiply<FORWARD>(s, x, w, y, N * P * Q, K, R * S * C);
}

// launch: kernel=conv2d_backward_data grid=3,1,1 block=128 \
//     dy=float[2,8,5,12] w=float[3,2,8,12] dx=float[2,9,10,8] \
//     N=int:2 H=int:9 W=int:10 C=int:8 K=int:12 R=int:3 S=int:2 P=int:8 Q=int:5 \
//     stride_h=int:1 stride_w=int:2 top=int:1 left=int:0
__global__ void conv2d_backward_data(
    const float* __restrict__ dy, const float* __restrict__ w, float* __restrict__ dx, int N, int H, int W, int C,
    int K, int R, int S, int P, int Q, int stride_h, int stride_w, int top, int left) {
    const Conv s = {N, H, W, C, K, R, S, P, Q, stride_h, stride_w, top, left};
    multiply<BACKWARD_DATA>(s, dy, w, dx, N * H * W, C, R * S * K);
}

// launch: kernel=conv2d_backward_filter grid=1,1,2 block=128 \
//     x=float[2,9,10,8] dy=float[2,8,5,12] dw=float[2,3,2,8,12] \
//     N=int:2 H=int:9 W=int:10 C=int:8 K=int:12 R=int:3 S=int:2 P=int:8 Q=int:5 \
//     stride_h=int:1 stride_w=int:2 top=int:1 left=int:0
__global__ void conv2d_backward_filter(
    const float* __restrict__ x, const float* __restrict__ dy, float* __restrict__ dw, int N, int H, int W, int C,
    int K, int R, int S, int P, int Q, int stride_h, int stride_w, int top, int left) {
    const Conv s = {N, H, W, C, K, R, S, P, Q, stride_h, stride_w, top, left};
    multiply<BACKWARD_FILTER>(s, x, dy, dw, R * S * C, K, N * P * Q);
}
