// Dense layers and the matrix product: y = act(x @ w + b), and the gradients of x and w.
//
//     forward:          for n, o:  y[n][o]  = act(b[o] + sum over i of x[n][i] * w[i][o])
//     backward data:    for n, i:  dx[n][i] = sum over o of dy[n][o] * w[i][o]
//     backward filter:  for i, o:  dw[i][o] = sum over n of x[n][i] * dy[n][o]
//
// x (N,I), w (I,O), b (O,), y (N,O). The same as plain loops: tinycnn/devices/reference/dense.py.
//
// A block computes a square tile of TILE x TILE outputs (64 or 32), a thread 4 x 4 of them in registers (common.cuh,
// multiply_tile). A batch of 128 with 10 outputs is a handful of tiles, too few to fill a GPU, while its sum may be a
// thousand long. So the sum is cut into slices, gridDim.z of them: each block writes its part of the sum into a
// scratch buffer, and dense_finish adds the slices up in their order and applies bias and ReLU. With one slice that
// happens at once. Shared memory is static: 16 columns of each operand's tile.
#include "common.cuh"

// grid: (tiles of N, tiles of O, slices of I); TILE * TILE / 16 threads. out: y, or the slices (slices, N, O).
template <typename T, int TILE>
__global__ void dense_forward(
    const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ b, T* __restrict__ out, int N, int I, int O,
    int slice_length, int has_bias, int relu) {
    const int m0 = blockIdx.x * TILE, n0 = blockIdx.y * TILE, first = blockIdx.z * slice_length;
    T sum[4][4];
    multiply_tile<T, TILE, TILE, false, false>(sum, x, w, N, O, I, m0, n0, first, least(first + slice_length, I));
    store_tile<T, TILE>(sum, out + (long long)blockIdx.z * N * O, N, O, m0, n0, b, has_bias, relu);
}

// grid: (tiles of N, tiles of I, slices of O). w is read as its transpose.
template <typename T, int TILE>
__global__ void dense_backward_data(
    const T* __restrict__ dy, const T* __restrict__ w, T* __restrict__ out, int N, int I, int O, int slice_length) {
    const int m0 = blockIdx.x * TILE, n0 = blockIdx.y * TILE, first = blockIdx.z * slice_length;
    T sum[4][4];
    multiply_tile<T, TILE, TILE, false, true>(sum, dy, w, N, I, O, m0, n0, first, least(first + slice_length, O));
    store_tile<T, TILE>(sum, out + (long long)blockIdx.z * N * I, N, I, m0, n0, dy, false, false);
}

// grid: (tiles of I, tiles of O, slices of N). x is read as its transpose.
template <typename T, int TILE>
__global__ void dense_backward_filter(
    const T* __restrict__ x, const T* __restrict__ dy, T* __restrict__ out, int N, int I, int O, int slice_length) {
    const int m0 = blockIdx.x * TILE, n0 = blockIdx.y * TILE, first = blockIdx.z * slice_length;
    T sum[4][4];
    multiply_tile<T, TILE, TILE, true, false>(sum, x, dy, I, O, N, m0, n0, first, least(first + slice_length, N));
    store_tile<T, TILE>(sum, out + (long long)blockIdx.z * I * O, I, O, m0, n0, dy, false, false);
}

// y[i] = act(b[column] + sum over slices of part[slice][i]); one thread an output, neighbours side by side.
template <typename T>
__global__ void dense_finish(
    const T* __restrict__ part, const T* __restrict__ b, T* __restrict__ y, long long outputs, int columns, int slices,
    int has_bias, int relu) {
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= outputs) return;
    T sum = 0;
#pragma unroll 4
    for (int slice = 0; slice < slices; slice++) sum += part[slice * outputs + i];
    if (has_bias) sum += b[i % columns];
    y[i] = relu ? relu_of(sum) : sum;
}
