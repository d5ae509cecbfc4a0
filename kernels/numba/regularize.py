"""Weight regularisation: a penalty on the size of a parameter, and what it adds to the gradient. See regularize.cu."""

import numpy as np
from numba import cuda
from tinycnn.kernels.numba.common import device_template, last_to_arrive, template

THREADS = 256


@device_template
def block_sum(T):
    """The sum of a value over the block's threads, known to the first of them. Every thread must take part."""

    def block_sum(value, values):
        values[cuda.threadIdx.x] = value
        threads = THREADS // 2
        while threads > 0:
            cuda.syncthreads()
            if cuda.threadIdx.x < threads:
                value += values[cuda.threadIdx.x + threads]
                values[cuda.threadIdx.x] = value
            threads //= 2
        return value

    return block_sum


@template
def regularize(T):
    """loss = l1 * sum |p| + l2 * sum p^2; g += l1 * sign(p) + 2 * l2 * p, where has_gradient.

    p: (size,); g: (slices * size,), of which the first `size` are added to; parts: (blocks,); loss, arrivals: (1,);
    totals: (2,) of double. A thread has four neighbouring numbers; the last block adds the parts up. Shared memory
    (static): one number a thread.
    """
    sum_of_block = block_sum(T)

    def regularize(p, g, l1, l2, parts, loss, totals, arrivals, size, rows, has_gradient, has_totals):
        values = cuda.shared.array(THREADS, T)
        i = 4 * (cuda.blockIdx.x * THREADS + cuda.threadIdx.x)
        sum = T(0)
        for j in range(i, min(i + 4, size)):
            v = p[j]
            sum += l1 * (-v if v < 0 else v) + l2 * v * v
            if has_gradient:
                sign = T(1) if v > 0 else T(-1) if v < 0 else T(0)
                g[j] += l1 * sign + T(2) * l2 * v
        sum = sum_of_block(sum, values)
        if cuda.threadIdx.x == 0:
            parts[cuda.blockIdx.x] = sum
        if not last_to_arrive(arrivals, cuda.gridDim.x):
            return
        sum = T(0)
        for part in range(cuda.threadIdx.x, cuda.gridDim.x, THREADS):
            sum += parts[part]
        sum = sum_of_block(sum, values)
        if cuda.threadIdx.x > 0:
            return
        loss[0] = sum
        if has_totals:
            totals[0] += np.float64(sum) * rows

    return regularize
