"""Random numbers, uniform in [0, 1) or standard normal, of Philox's words. See draw.cu."""

import numpy as np
from numba import cuda
from tinycnn.kernels.numba.common import half_turns, log, philox4x32, sqrt, template


@template
def draw(T):
    """y[i] = (word >> 8) / 2^24, or of two such neighbours two standard normal numbers, by Box and Muller.

    y: (total,), step: (1,). A thread makes four neighbouring elements of one call of Philox; no shared memory. C++
    stores the four as one 16-byte access.
    """
    UNIT = T(2.0**-24)
    cospi, sinpi = half_turns(T)

    def draw(y, step, total, seed, stream, normal):
        thread = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        i = 4 * thread
        if i >= total:
            return
        bits = philox4x32(np.uint64(thread), np.uint64(stream), np.uint64(step[0]), np.uint64(seed))
        v = cuda.local.array(4, T)
        for j in range(4):
            v[j] = T(bits[j] >> np.uint64(8)) * UNIT
        if normal:
            for j in range(0, 4, 2):
                radius, turns = sqrt(T(-2) * log(T(1) - v[j])), T(2) * v[j + 1]
                v[j] = radius * cospi(turns)
                v[j + 1] = radius * sinpi(turns)
        for j in range(4):
            if i + j < total:
                y[i + j] = v[j]

    return draw
