// Moving numbers without computing: transposition, concatenation and its inverse.
//
//     for each place in y's shape:  y[place] = x[the same place, axes in another order]
//     for row, c:                   y[row][y_first + c] = x[row][x_first + c]
//     for m, row, column:           y[m][column][row] = x[last - m][row][column]
//
// Neighbouring threads write neighbouring numbers: one a thread, and four in transpose_matrix, which goes through
// shared memory so that its reads are contiguous too. The same as plain loops: tinycnn/devices/reference/layout.py.
#include "common.cuh"

// y (n0, n1, n2, n3) contiguous; x steps by s0..s3 and begins at x_first. More axes: one launch for each place along
// them.
template <typename T>
__global__ void transpose(
    const T* __restrict__ x, T* __restrict__ y, long long total, int n1, int n2, int n3, long long s0, long long s1,
    long long s2, long long s3, long long x_first, long long y_first) {
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= total) return;
    long long rest = i;
    const long long i3 = rest % n3;
    rest /= n3;
    const long long i2 = rest % n2;
    rest /= n2;
    y[y_first + i] = x[x_first + rest / n1 * s0 + rest % n1 * s1 + i2 * s2 + i3 * s3];
}

// y (columns, rows) = x (rows, columns) transposed. A block of (32, 8) threads moves a tile of 32 x 32: it reads rows,
// and writes what were columns. The tile's rows are 33 numbers long: in a row of 32 a column would lie in one bank.
// gridDim.y matrices lie behind one another; their order is reversed: of filters (taps, C, K) come those that are turned
// by 180 degrees, with C and K exchanged.
template <typename T>
__global__ void transpose_matrix(const T* __restrict__ x, T* __restrict__ y, int rows, int columns, int column_tiles) {
    __shared__ T tile[32][33];
    const long long size = (long long)rows * columns;
    x += (gridDim.y - 1 - blockIdx.y) * size, y += blockIdx.y * size;
    const int row0 = blockIdx.x / column_tiles * 32, column0 = blockIdx.x % column_tiles * 32;
    for (int i = threadIdx.y; i < 32; i += 8)
        if (row0 + i < rows && column0 + int(threadIdx.x) < columns)
            tile[i][threadIdx.x] = x[(long long)(row0 + i) * columns + column0 + threadIdx.x];
    __syncthreads();
    for (int i = threadIdx.y; i < 32; i += 8)
        if (column0 + i < columns && row0 + int(threadIdx.x) < rows)
            y[(long long)(column0 + i) * rows + row0 + threadIdx.x] = tile[threadIdx.x][i];
}

// `width` columns of x (rows, x_width), from x_first on, to y (rows, y_width), from y_first on.
template <typename T>
__global__ void copy_columns(
    const T* __restrict__ x, T* __restrict__ y, long long total, int width, int x_width, int x_first, int y_width,
    int y_first) {
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= total) return;
    const long long row = i / width;
    const int column = i - row * width;
    y[row * y_width + y_first + column] = x[row * x_width + x_first + column];
}
