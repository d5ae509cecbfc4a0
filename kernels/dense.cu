// Dense layers and the matrix product: y = act(x @ w + b), and the gradients of x and w.
//
//     forward:          for n, o:  y[n][o]  = act(b[o] + sum over i of x[n][i] * w[i][o])
//     backward data:    for n, i:  dx[n][i] = sum over o of dy[n][o] * w[i][o]
//     backward filter:  for i, o:  dw[i][o] = sum over n of x[n][i] * dy[n][o]
//
// x (N,I), w (I,O), b (O,), y (N,O). The same as plain loops: tinycnn/devices/reference/dense.py.
//
// On the way back dy first goes through the activation: dy where y > 0, else 0, as it is loaded (common.cuh). db, the sum
// of dy over the rows, comes with dw.
//
// A block computes a square tile of TILE x TILE outputs (64 or 32), a thread 4 x 4 of them in registers (common.cuh,
// multiply_tile). A batch of 128 with 10 outputs is a handful of tiles, too few to fill a GPU, while its sum may be a
// thousand long. So the sum is cut into slices, gridDim.y of them: each block writes its part of the sum to `parts`, and
// of the blocks of a tile the last to arrive adds the parts up in their order. Of dw and db the optimiser does.
// Tiles of rows and of columns are one axis of the grid: only the first may be longer than 65535.
// Shared memory is static: 16 columns of each operand's tile.
#include "common.cuh"

// The tile's outputs to `out` (M,N), through bias and ReLU where they are wanted, if this block has their whole sum or
// is the last to know a part of it. parts: (slices, M, N); arrivals: one number for each tile.
template <typename T, int TILE>
__device__ __forceinline__ void finish_tile(
    T (&sum)[4][4], T* parts, int* arrivals, T* __restrict__ out, int M, int N, int m0, int n0,
    const T* __restrict__ bias, bool has_bias, bool relu) {
    if (gridDim.y > 1) {
        store_tile<T, TILE>(sum, parts + (long long)blockIdx.y * M * N, M, N, m0, n0, bias, false, false);
        if (!last_to_arrive(arrivals + blockIdx.x, gridDim.y)) return;
        const int n = n0 + 4 * (threadIdx.x % (TILE / 4)), m = m0 + 4 * (threadIdx.x / (TILE / 4));
#pragma unroll
        for (int i = 0; i < 4; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) sum[i][j] = 0;
            if (m + i >= M || n >= N) continue;
            for (int slice = 0; slice < int(gridDim.y); slice++) {
                T part[4];
                load_some(part, parts + ((long long)slice * M + m + i) * N + n, N - n, N % 4 == 0);
#pragma unroll
                for (int j = 0; j < 4; j++) sum[i][j] += part[j];
            }
        }
    }
    store_tile<T, TILE>(sum, out, M, N, m0, n0, bias, has_bias, relu);
}

// grid: (tiles of N * tiles of O, slices of I); TILE * TILE / 16 threads.
template <typename T, int TILE>
__global__ void dense_forward(
    const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ b, T* __restrict__ y, T* parts,
    int* arrivals, int N, int I, int O, int slice_length, int has_bias, int relu) {
    const int tiles = (N + TILE - 1) / TILE, first = blockIdx.y * slice_length;
    const int m0 = blockIdx.x % tiles * TILE, n0 = blockIdx.x / tiles * TILE;
    T sum[4][4];
    multiply_tile<T, TILE, TILE, false, false>(
        sum, Values<T>{x}, Values<T>{w}, N, O, I, m0, n0, first, least(first + slice_length, I));
    finish_tile<T, TILE>(sum, parts, arrivals, y, N, O, m0, n0, b, has_bias, relu);
}

// grid: (tiles of N * tiles of I, slices of O). w is read as its transpose.
template <typename T, int TILE>
__global__ void dense_backward_data(
    const T* __restrict__ dy, const T* __restrict__ y, const T* __restrict__ w, T* __restrict__ dx, T* parts,
    int* arrivals, int N, int I, int O, int slice_length, int relu) {
    const int tiles = (N + TILE - 1) / TILE, first = blockIdx.y * slice_length;
    const int m0 = blockIdx.x % tiles * TILE, n0 = blockIdx.x / tiles * TILE;
    T sum[4][4];
    multiply_tile<T, TILE, TILE, false, true>(
        sum, ThroughRelu<T>{dy, y, relu}, Values<T>{w}, N, I, O, m0, n0, first, least(first + slice_length, O));
    finish_tile<T, TILE>(sum, parts, arrivals, dx, N, I, m0, n0, dy, false, false);
}

// grid: (tiles of I * tiles of O, slices of N). x is read as its transpose. partial: (slices, I, O); partial_db:
// (slices, O).
template <typename T, int TILE>
__global__ void dense_backward_filter(
    const T* __restrict__ x, const T* __restrict__ dy, const T* __restrict__ y, T* __restrict__ partial,
    T* __restrict__ partial_db, int N, int I, int O, int slice_length, int has_bias, int relu) {
    const int tiles = (I + TILE - 1) / TILE, first = blockIdx.y * slice_length;
    const int m0 = blockIdx.x % tiles * TILE, n0 = blockIdx.x / tiles * TILE;
    const bool sums_bias = has_bias && m0 == 0;
    T sum[4][4], db;
    multiply_tile<T, TILE, TILE, true, false>(
        sum, Values<T>{x}, ThroughRelu<T>{dy, y, relu}, I, O, N, m0, n0, first, least(first + slice_length, N), db,
        sums_bias);
    store_tile<T, TILE>(sum, partial + (long long)blockIdx.y * I * O, I, O, m0, n0, dy, false, false);
    if (sums_bias) store_column_sum<T, TILE>(db, partial_db + (long long)blockIdx.y * O, O, n0);
}
