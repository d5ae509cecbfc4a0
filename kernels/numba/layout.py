"""Moving numbers without computing: transposition, concatenation and its inverse. See layout.cu."""

from numba import cuda
from tinycnn.kernels.numba.common import template

TILE, TILE_ROW = 32, 33  # a row of 32 would have a column in one bank


@template
def transpose(T):
    """y[place] = x[the same place, axes in another order].

    y: (n0, n1, n2, n3), total numbers from y_first on; x steps through memory by s0..s3 from x_first on. One number
    a thread; no shared memory.
    """

    def transpose(x, y, total, n1, n2, n3, s0, s1, s2, s3, x_first, y_first):
        i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if i >= total:
            return
        i3, rest = i % n3, i // n3
        i2, rest = rest % n2, rest // n2
        y[y_first + i] = x[x_first + rest // n1 * s0 + rest % n1 * s1 + i2 * s2 + i3 * s3]

    return transpose


@template
def transpose_matrix(T):
    """y (columns, rows) = x (rows, columns) transposed; of a stack of matrices in reversed order.

    grid: (tiles, matrices), block (32, 8): a block moves a tile of 32 x 32, reads its rows and writes what were
    columns. Shared memory (static): the tile.
    """

    def transpose_matrix(x, y, rows, columns, column_tiles):
        tile = cuda.shared.array((TILE, TILE_ROW), T)
        x_first = (cuda.gridDim.y - 1 - cuda.blockIdx.y) * rows * columns
        y_first = cuda.blockIdx.y * rows * columns
        row0 = cuda.blockIdx.x // column_tiles * TILE
        column0 = cuda.blockIdx.x % column_tiles * TILE
        for i in range(cuda.threadIdx.y, TILE, 8):
            if row0 + i < rows and column0 + cuda.threadIdx.x < columns:
                tile[i, cuda.threadIdx.x] = x[x_first + (row0 + i) * columns + column0 + cuda.threadIdx.x]
        cuda.syncthreads()
        for i in range(cuda.threadIdx.y, TILE, 8):
            if column0 + i < columns and row0 + cuda.threadIdx.x < rows:
                y[y_first + (column0 + i) * rows + row0 + cuda.threadIdx.x] = tile[cuda.threadIdx.x, i]

    return transpose_matrix


@template
def copy_columns(T):
    """y[row][y_first + c] = x[row][x_first + c] for c < width.

    x (rows, x_width), y (rows, y_width); total = rows * width. One number a thread; no shared memory.
    """

    def copy_columns(x, y, total, width, x_width, x_first, y_width, y_first):
        i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if i >= total:
            return
        row = i // width
        column = i - row * width
        y[row * y_width + y_first + column] = x[row * x_width + x_first + column]

    return copy_columns
