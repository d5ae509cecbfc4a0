"""Dropout without a stored mask: the mask is made again from the counter. See dropout.cu."""

import numpy as np
from numba import cuda
from tinycnn.kernels.numba.common import template

# Philox's numbers, as 64-bit ones: Numba would make a float of a signed and an unsigned integer.
MULTIPLIER_0, MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
INCREMENT_0, INCREMENT_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
LOW, WORD = np.uint64(0xFFFFFFFF), np.uint64(32)


@cuda.jit(device=True)
def philox4x32(block, stream, step, seed):
    """Ten rounds of Philox4x32-10: four words for the counter (block, stream, step low, step high).

    All arguments and the words are uint64. C++ computes in 32 bits, which drop what here is masked away.
    """
    c0, c1, c2, c3 = block, stream, step & LOW, step >> WORD
    k0, k1 = seed & LOW, seed >> WORD
    for _ in range(10):
        p0, p1 = c0 * MULTIPLIER_0, c2 * MULTIPLIER_1
        c0, c1, c2, c3 = (p1 >> WORD) ^ c1 ^ k0, p1 & LOW, (p0 >> WORD) ^ c3 ^ k1, p0 & LOW
        k0 = (k0 + INCREMENT_0) & LOW
        k1 = (k1 + INCREMENT_1) & LOW
    return c0, c1, c2, c3


@template
def dropout(T):
    """y[i] = x[i] * scale where word i % 4 of Philox for the counter (i / 4, stream, step) >= threshold, else 0.

    x, y: (total,); step, saved: (1,). A thread makes four neighbouring elements of one call of Philox; no shared
    memory. Forward (keep_step 1) keeps the step in `saved`; backward reads it as `step`. C++ moves the four as one
    16-byte access.
    """

    def dropout(x, y, step, saved, total, seed, stream, threshold, scale, keep_step):
        thread = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        i = 4 * thread
        if thread == 0 and keep_step:
            saved[0] = step[0]
        if i >= total:
            return
        bits = philox4x32(np.uint64(thread), np.uint64(stream), np.uint64(step[0]), np.uint64(seed))
        for j in range(4):
            if i + j < total:
                y[i + j] = x[i + j] * scale if bits[j] >= threshold else T(0)

    return dropout
