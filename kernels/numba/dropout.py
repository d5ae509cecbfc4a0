"""Dropout without a stored mask: the mask is made again from the counter. See dropout.cu."""

from numba import cuda
from tinycnn.kernels.numba.common import drop, template


@template
def dropout(T):
    """y[i] = x[i] * scale where word i % 4 of Philox for the counter (i / 4, stream, step) >= threshold, else 0.

    x, y: (total,); step, saved: (1,). A thread makes four neighbouring elements of one call of Philox; no shared
    memory. Forward (keep_step 1) keeps the step in `saved`; backward reads it as `step`. C++ moves the four as one
    16-byte access.
    """
    drop_4 = drop(T, 4)

    def dropout(x, y, step, saved, total, seed, stream, threshold, scale, keep_step):
        thread = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        i = 4 * thread
        if thread == 0 and keep_step:
            saved[0] = step[0]
        if i >= total:
            return
        v = cuda.local.array(4, T)
        for j in range(4):
            v[j] = x[i + j] if i + j < total else T(0)
        drop_4(v, i, (seed, stream, step[0], threshold, scale))
        for j in range(4):
            if i + j < total:
                y[i + j] = v[j]

    return dropout
