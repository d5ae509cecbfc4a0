"""Dense layers and the matrix product, and their gradients. dense.cu says how long sums are cut into slices.

A block computes a square tile of TILE x TILE outputs, a thread 4 x 4 of them (common.multiply_tile). Shared memory is
static: 16 columns of each operand's tile.
"""
# ruff: noqa: E741  (I and O are the C file's names)

from numba import cuda
from tinycnn.kernels.numba.common import multiply_tile, relu_of, store_tile, template


@template
def dense_forward(T, TILE):
    """out[slice][n][o] = act(b[o] + sum over the slice's i of x[n][i] * w[i][o]).

    x (N,I), w (I,O), b (O,), out (slices, N, O). grid: (tiles of N, tiles of O, slices of I); TILE * TILE / 16
    threads. Shared memory: 16 columns of both tiles.
    """
    multiply, store = multiply_tile(T, TILE, TILE, False, False), store_tile(T, TILE)

    def dense_forward(x, w, b, out, N, I, O, slice_length, has_bias, relu):
        m0, n0, first = cuda.blockIdx.x * TILE, cuda.blockIdx.y * TILE, cuda.blockIdx.z * slice_length
        sum = cuda.local.array((4, 4), T)
        multiply(sum, x, w, N, O, I, m0, n0, first, min(first + slice_length, I))
        store(sum, out[cuda.blockIdx.z * N * O :], N, O, m0, n0, b, has_bias, relu)

    return dense_forward


@template
def dense_backward_data(T, TILE):
    """out[slice][n][i] = sum over the slice's o of dy[n][o] * w[i][o].

    dy (N,O), w (I,O), read as its transpose, out (slices, N, I). grid: (tiles of N, tiles of I, slices of O);
    TILE * TILE / 16 threads. Shared memory: 16 columns of both tiles.
    """
    multiply, store = multiply_tile(T, TILE, TILE, False, True), store_tile(T, TILE)

    def dense_backward_data(dy, w, out, N, I, O, slice_length):
        m0, n0, first = cuda.blockIdx.x * TILE, cuda.blockIdx.y * TILE, cuda.blockIdx.z * slice_length
        sum = cuda.local.array((4, 4), T)
        multiply(sum, dy, w, N, I, O, m0, n0, first, min(first + slice_length, O))
        store(sum, out[cuda.blockIdx.z * N * I :], N, I, m0, n0, dy, False, False)

    return dense_backward_data


@template
def dense_backward_filter(T, TILE):
    """out[slice][i][o] = sum over the slice's n of x[n][i] * dy[n][o].

    x (N,I), read as its transpose, dy (N,O), out (slices, I, O). grid: (tiles of I, tiles of O, slices of N);
    TILE * TILE / 16 threads. Shared memory: 16 columns of both tiles.
    """
    multiply, store = multiply_tile(T, TILE, TILE, True, False), store_tile(T, TILE)

    def dense_backward_filter(x, dy, out, N, I, O, slice_length):
        m0, n0, first = cuda.blockIdx.x * TILE, cuda.blockIdx.y * TILE, cuda.blockIdx.z * slice_length
        sum = cuda.local.array((4, 4), T)
        multiply(sum, x, dy, I, O, N, m0, n0, first, min(first + slice_length, N))
        store(sum, out[cuda.blockIdx.z * I * O :], I, O, m0, n0, dy, False, False)

    return dense_backward_filter


@template
def dense_finish(T):
    """y[i] = act(b[column] + sum over slices of part[slice][i]).

    part (slices, outputs), b (columns,), y (outputs,). A thread an output, neighbours side by side; no shared memory.
    """
    relu_of_T = relu_of(T)

    def dense_finish(part, b, y, outputs, columns, slices, has_bias, relu):
        i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if i >= outputs:
            return
        sum = T(0)
        for slice in range(slices):
            sum += part[slice * outputs + i]
        if has_bias:
            sum += b[i % columns]
        y[i] = relu_of_T(sum) if relu else sum

    return dense_finish
