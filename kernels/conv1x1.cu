// Convolution with a 1x1 filter: at every pixel, a product of its channels with one small matrix.
//
//     forward:          for each pixel, k:  y[pixel][k]  = act(b[k] + sum over c of x[pixel][c] * w[c][k])
//     backward data:    for each pixel, c:  dx[pixel][c] = sum over k of dy[pixel][k] * w[c][k]
//     backward filter:  for c, k:           dw[c][k]     = sum over pixels of x[pixel][c] * dy[pixel][k]
//
// x (pixels, C), w (C,K), y (pixels, K), with pixels = N*H*W. The same as plain loops:
// tinycnn/devices/reference/conv1x1.py.
//
// On the way back dy first goes through the activation: dy where y > 0, else 0, as it is loaded (common.cuh). db, the sum
// of dy over the pixels, comes with dw.
//
// These are matrix products of an unusual shape: very many rows, few columns (C and K are 8 to 64). So a block takes
// 2048 outputs as a tall tile, 2048/BN pixels x BN channels, and BN is chosen near the number of channels: a square
// tile would compute mostly nothing. 128 threads, each 4 pixels x 4 channels in registers (common.cuh,
// multiply_tile). The filter's gradient has few outputs and a very long sum: the pixels are cut into slices, a block
// each, and the optimiser adds the slices' partial dw and db up in their order. Shared memory is static: 16 columns of
// each operand's tile.
#include "common.cuh"

// grid: (tiles of pixels, tiles of K); 128 threads.
template <typename T, int BN>
__global__ void conv1x1_forward(
    const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ b, T* __restrict__ y, int pixels, int C,
    int K, int has_bias, int relu) {
    constexpr int BM = 2048 / BN;
    const int m0 = blockIdx.x * BM, n0 = blockIdx.y * BN;
    T sum[4][4];
    multiply_tile<T, BM, BN, false, false>(sum, Values<T>{x}, Values<T>{w}, pixels, K, C, m0, n0, 0, C);
    store_tile<T, BN>(sum, y, pixels, K, m0, n0, b, has_bias, relu);
}

// grid: (tiles of pixels, tiles of C); 128 threads. w is read as its transpose.
template <typename T, int BN>
__global__ void conv1x1_backward_data(
    const T* __restrict__ dy, const T* __restrict__ y, const T* __restrict__ w, T* __restrict__ dx, int pixels, int C,
    int K, int relu) {
    constexpr int BM = 2048 / BN;
    const int m0 = blockIdx.x * BM, n0 = blockIdx.y * BN;
    T sum[4][4];
    multiply_tile<T, BM, BN, false, true>(
        sum, ThroughRelu<T>{dy, y, relu}, Values<T>{w}, pixels, C, K, m0, n0, 0, K);
    store_tile<T, BN>(sum, dx, pixels, C, m0, n0, dy, false, false);
}

// grid: (tiles of C, tiles of K, slices of the pixels); 64 threads. partial: (slices, C, K); partial_db: (slices, K).
template <typename T>
__global__ void conv1x1_backward_filter(
    const T* __restrict__ x, const T* __restrict__ dy, const T* __restrict__ y, T* __restrict__ partial,
    T* __restrict__ partial_db, int pixels, int C, int K, int slice_length, int has_bias, int relu) {
    const int m0 = blockIdx.x * 32, n0 = blockIdx.y * 32, first = blockIdx.z * slice_length;
    const bool sums_bias = has_bias && blockIdx.x == 0;
    T sum[4][4], db;
    multiply_tile<T, 32, 32, true, false>(
        sum, Values<T>{x}, ThroughRelu<T>{dy, y, relu}, C, K, pixels, m0, n0, first,
        least(first + slice_length, pixels), db, sums_bias);
    store_tile<T, 32>(sum, partial + (long long)blockIdx.z * C * K, C, K, m0, n0, dy, false, false);
    if (sums_bias) store_column_sum<T, 32>(db, partial_db + (long long)blockIdx.z * K, K, n0);
}
