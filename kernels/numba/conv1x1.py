"""Convolution with a 1x1 filter: at every pixel, a product of its channels with one small matrix. See conv1x1.cu.

A block takes 2048 outputs as a tall tile, 2048/BN pixels x BN channels; its 128 threads have 4 pixels x 4 channels each
(common.multiply_tile). Shared memory is static: 16 columns of each operand's tile.
"""

from numba import cuda
from tinycnn.kernels.numba.common import multiply_tile, store_column_sum, store_tile, template


@template
def conv1x1_forward(T, BN):
    """y[pixel][k] = act(b[k] + sum over c of x[pixel][c] * w[c][k]).

    x (pixels, C), w (C,K), b (K,), y (pixels, K). grid: (tiles of pixels, tiles of K); 128 threads. Shared memory: 16
    columns of both tiles.
    """
    BM = 2048 // BN
    multiply, store = multiply_tile(T, BM, BN, False, False), store_tile(T, BN)

    def conv1x1_forward(x, w, b, y, pixels, C, K, has_bias, relu):
        m0, n0 = cuda.blockIdx.x * BM, cuda.blockIdx.y * BN
        sum = cuda.local.array((4, 4), T)
        unused = cuda.local.array(1, T)
        multiply(sum, x, w, x, False, pixels, K, C, m0, n0, 0, C, unused, False)
        store(sum, y, pixels, K, m0, n0, b, has_bias, relu)

    return conv1x1_forward


@template
def conv1x1_backward_data(T, BN):
    """dx[pixel][c] = sum over k of dy[pixel][k] * w[c][k]; where `relu` is set, of those dy whose y > 0.

    dy, y (pixels, K), w (C,K), read as its transpose, dx (pixels, C). grid: (tiles of pixels, tiles of C); 128 threads.
    Shared memory: 16 columns of both tiles.
    """
    BM = 2048 // BN
    multiply, store = multiply_tile(T, BM, BN, False, True, "A"), store_tile(T, BN)

    def conv1x1_backward_data(dy, y, w, dx, pixels, C, K, relu):
        m0, n0 = cuda.blockIdx.x * BM, cuda.blockIdx.y * BN
        sum = cuda.local.array((4, 4), T)
        unused = cuda.local.array(1, T)
        multiply(sum, dy, w, y, relu, pixels, C, K, m0, n0, 0, K, unused, False)
        store(sum, dx, pixels, C, m0, n0, dy, False, False)

    return conv1x1_backward_data


@template
def conv1x1_backward_filter(T):
    """partial[slice][c][k] = sum over the slice's pixels of x[pixel][c] * dy[pixel][k]; partial_db: of dy[pixel][k].

    Where `relu` is set, of those dy whose y > 0. x (pixels, C), read as its transpose, dy, y (pixels, K), partial
    (slices, C, K), partial_db (slices, K). grid: (tiles of C, tiles of K, slices of the pixels); 64 threads. Shared
    memory: 16 columns of both tiles.
    """
    multiply, store = multiply_tile(T, 32, 32, True, False, "B"), store_tile(T, 32)
    store_db = store_column_sum(T, 32)

    def conv1x1_backward_filter(x, dy, y, partial, partial_db, pixels, C, K, slice_length, has_bias, relu):
        m0, n0, first = cuda.blockIdx.x * 32, cuda.blockIdx.y * 32, cuda.blockIdx.z * slice_length
        sums_bias = has_bias and cuda.blockIdx.x == 0
        sum = cuda.local.array((4, 4), T)
        db = cuda.local.array(1, T)
        last = min(first + slice_length, pixels)
        multiply(sum, x, dy, y, relu, C, K, pixels, m0, n0, first, last, db, sums_bias)
        store(sum, partial[cuda.blockIdx.z * C * K :], C, K, m0, n0, dy, False, False)
        if sums_bias:
            store_db(db, partial_db[cuda.blockIdx.z * K :], K, n0)

    return conv1x1_backward_filter
