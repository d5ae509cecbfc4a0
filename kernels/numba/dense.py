"""Dense layers and the matrix product, and their gradients. dense.cu says how long sums are cut into slices.

A block computes a square tile of TILE x TILE outputs, a thread 4 x 4 of them (common.multiply_tile). Shared memory is
static: 16 columns of each operand's tile.
"""
# ruff: noqa: E741  (I and O are the C file's names)

from numba import cuda
from tinycnn.kernels.numba.common import (
    device_template,
    last_to_arrive,
    multiply_tile,
    store_column_sum,
    store_tile,
    template,
)  # fmt: skip


@device_template
def finish_tile(T, TILE):
    """The tile's outputs to `out` (M,N), if this block has their whole sum or is the last to know a part of it.

    parts: (slices, M, N); arrivals: one number for each tile. Through bias and ReLU where they are wanted.
    """
    store = store_tile(T, TILE)

    def finish_tile(sum, parts, arrivals, out, M, N, m0, n0, bias, has_bias, relu):
        if cuda.gridDim.y > 1:
            store(sum, parts[cuda.blockIdx.y * M * N :], M, N, m0, n0, bias, False, False)
            if not last_to_arrive(arrivals[cuda.blockIdx.x :], cuda.gridDim.y):
                return
            n, m = n0 + 4 * (cuda.threadIdx.x % (TILE // 4)), m0 + 4 * (cuda.threadIdx.x // (TILE // 4))
            for i in range(4):
                for j in range(4):
                    sum[i, j] = T(0)
                    if m + i < M and n + j < N:
                        for slice in range(cuda.gridDim.y):
                            sum[i, j] += parts[(slice * M + m + i) * N + n + j]
        store(sum, out, M, N, m0, n0, bias, has_bias, relu)

    return finish_tile


@template
def dense_forward(T, TILE):
    """y[n][o] = act(b[o] + sum over i of x[n][i] * w[i][o]).

    x (N,I), w (I,O), b (O,), y (N,O), parts (slices, N, O), arrivals (tiles,). grid: (tiles of N * tiles of O, slices
    of I); TILE * TILE / 16 threads. Shared memory: 16 columns of both tiles.
    """
    multiply, finish = multiply_tile(T, TILE, TILE, False, False), finish_tile(T, TILE)

    def dense_forward(x, w, b, y, parts, arrivals, N, I, O, slice_length, has_bias, relu):
        tiles, first = (N + TILE - 1) // TILE, cuda.blockIdx.y * slice_length
        m0, n0 = cuda.blockIdx.x % tiles * TILE, cuda.blockIdx.x // tiles * TILE
        sum = cuda.local.array((4, 4), T)
        unused = cuda.local.array(1, T)
        multiply(sum, x, w, x, False, N, O, I, m0, n0, first, min(first + slice_length, I), unused, False)
        finish(sum, parts, arrivals, y, N, O, m0, n0, b, has_bias, relu)

    return dense_forward


@template
def dense_backward_data(T, TILE):
    """dx[n][i] = sum over o of dy[n][o] * w[i][o]; where `relu` is set, of those dy whose y > 0.

    dy, y (N,O), w (I,O), read as its transpose, dx (N,I), parts (slices, N, I), arrivals (tiles,). grid: (tiles of N
    * tiles of I, slices of O); TILE * TILE / 16 threads. Shared memory: 16 columns of both tiles.
    """
    multiply, finish = multiply_tile(T, TILE, TILE, False, True, "A"), finish_tile(T, TILE)

    def dense_backward_data(dy, y, w, dx, parts, arrivals, N, I, O, slice_length, relu):
        tiles, first = (N + TILE - 1) // TILE, cuda.blockIdx.y * slice_length
        m0, n0 = cuda.blockIdx.x % tiles * TILE, cuda.blockIdx.x // tiles * TILE
        sum = cuda.local.array((4, 4), T)
        unused = cuda.local.array(1, T)
        multiply(sum, dy, w, y, relu, N, I, O, m0, n0, first, min(first + slice_length, O), unused, False)
        finish(sum, parts, arrivals, dx, N, I, m0, n0, dy, False, False)

    return dense_backward_data


@template
def dense_backward_filter(T, TILE):
    """partial[slice][i][o] = sum over the slice's n of x[n][i] * dy[n][o]; partial_db[slice][o]: of dy[n][o].

    x (N,I), read as its transpose, dy, y (N,O), partial (slices, I, O), partial_db (slices, O); where `relu` is set, of
    those dy whose y > 0. grid: (tiles of I * tiles of O, slices of N); TILE * TILE / 16 threads. Shared memory: 16
    columns of both tiles.
    """
    multiply, store = multiply_tile(T, TILE, TILE, True, False, "B"), store_tile(T, TILE)
    store_db = store_column_sum(T, TILE)

    def dense_backward_filter(x, dy, y, partial, partial_db, N, I, O, slice_length, has_bias, relu):
        tiles, first = (I + TILE - 1) // TILE, cuda.blockIdx.y * slice_length
        m0, n0 = cuda.blockIdx.x % tiles * TILE, cuda.blockIdx.x // tiles * TILE
        sums_bias = has_bias and m0 == 0
        sum = cuda.local.array((4, 4), T)
        db = cuda.local.array(1, T)
        multiply(sum, x, dy, y, relu, I, O, N, m0, n0, first, min(first + slice_length, N), db, sums_bias)
        store(sum, partial[cuda.blockIdx.y * I * O :], I, O, m0, n0, dy, False, False)
        if sums_bias:
            store_db(db, partial_db[cuda.blockIdx.y * O :], O, n0)

    return dense_backward_filter
