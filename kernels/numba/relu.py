"""ReLU, and what convolution and dense share on the way back. The formulas and the plan stand in relu.cu."""

from numba import cuda
from tinycnn.kernels.numba.common import relu_of, sum_over_block_rows, template


@template
def relu_forward(T):
    """y = max(x, 0).

    x, y: (total,). A thread has four neighbouring numbers; no shared memory. C++ moves the four as one 16-byte access.
    """
    relu_of_T = relu_of(T)

    def relu_forward(x, y, total):
        i = 4 * (cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        for j in range(i, min(i + 4, total)):
            y[j] = relu_of_T(x[j])

    return relu_forward


@template
def relu_backward(T):
    """dx = dy where y > 0, else 0.

    dy, y, dx: (total,). A thread has four neighbouring numbers; no shared memory. C++ moves the four as one 16-byte
    access.
    """

    def relu_backward(dy, y, dx, total):
        i = 4 * (cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        for j in range(i, min(i + 4, total)):
            dx[j] = dy[j] if y[j] > 0 else T(0)

    return relu_backward


@template
def bias_relu_backward(T):
    """dz = dy where y > 0, else 0; partial = what this block adds to db, the sum of dz over the rows.

    dy, y, dz: (rows, K); partial: (blocks of rows, K). grid: (blocks of rows, blocks of columns). Thread (column, row)
    walks down every blockDim.y-th of the block's rows_per_block rows. Shared memory (dynamic): one number a thread.
    """

    def bias_relu_backward(dy, y, dz, partial, rows, K, rows_per_block):
        values = cuda.shared.array(0, T)
        k = cuda.blockIdx.y * cuda.blockDim.x + cuda.threadIdx.x
        first = cuda.blockIdx.x * rows_per_block
        last = min(first + rows_per_block, rows)
        sum = T(0)
        if k < K:
            for row in range(first + cuda.threadIdx.y, last, cuda.blockDim.y):
                i = row * K + k
                d = dy[i] if y[i] > 0 else T(0)
                dz[i] = d
                sum += d
        values[cuda.threadIdx.y * cuda.blockDim.x + cuda.threadIdx.x] = sum
        sum_over_block_rows(values)
        if cuda.threadIdx.y == 0 and k < K:
            partial[cuda.blockIdx.x * K + k] = values[cuda.threadIdx.x]

    return bias_relu_backward
