# ruff: noqa: E741  (l is the C file's name)
"""What the kernels share: templates, windows, sums in a fixed order, random numbers, and one tile of a matrix product.

`T` is Numba's float32 or float64 everywhere. A number written as 0.5 would be a double, and make one of what it meets:
constants are T(0.5). See common.cuh.
"""

import math
from functools import cache, wraps

import numpy as np
from numba import config, cuda, float32

# In the simulator these keep the type of their argument, and know what C does with infinity; so do math's on a GPU.
functions = np if config.ENABLE_CUDASIM else math
exp, expm1, log, log1p, sqrt, tanh = (
    getattr(functions, name) for name in ("exp", "expm1", "log", "log1p", "sqrt", "tanh")
)


def half_turns(T):
    """C's (cospi, sinpi), of so many half turns: without the slow ways that cos and sin have for large angles."""
    if config.ENABLE_CUDASIM:
        return lambda x: np.cos(T(np.pi) * x), lambda x: np.sin(T(np.pi) * x)
    from numba.cuda import libdevice

    return (libdevice.cospif, libdevice.sinpif) if T is float32 else (libdevice.cospi, libdevice.sinpi)


WARP = 32
WARPS = 4  # of a block of (32, 4) threads, whose warps have a row or a channel each


def template(define, most_threads=None):
    """C++'s `template <...> __global__`: called with the template's arguments, gives the kernel for them.

    `define` defines the kernel as a function of its arguments; what it takes itself is a constant to the compiler.
    most_threads: of a block, where the kernel would take so many registers that such a block could not start
    (C++'s __launch_bounds__).
    """
    bounds = {"launch_bounds": most_threads} if most_threads and not config.ENABLE_CUDASIM else {}

    @cache
    @wraps(define)
    def instance(*parameters):
        return cuda.jit(**bounds)(define(*parameters))

    return instance


def device_template(define):
    """C++'s `template <...> __device__`: the same for a function that kernels call."""

    @cache
    @wraps(define)
    def instance(*parameters):
        return cuda.jit(device=True)(define(*parameters))

    return instance


@cuda.jit(device=True)
def windows_over(at, window, stride, count):
    """(first, last) of an axis's `count` windows that lie over a place of it, `at` from where the first one begins:
    p*stride <= at < p*stride + window."""
    return max(0, (at - window + stride) // stride), min(count - 1, at // stride)


@device_template
def relu_of(T):
    """max(x, 0) that lets NaN through: a network that has diverged must show it."""

    def relu_of(x):
        return T(0) if x < 0 else x

    return relu_of


@device_template
def through_relu(T):
    """A gradient on its way back through a fused ReLU: dy where the output y was above 0, else 0. relu 0: dy itself."""

    def through_relu(dy, y, relu, i):
        return T(0) if relu and not y[i] > 0 else dy[i]

    return through_relu


@cuda.jit(device=True)
def warp_sum(value, values):
    """The sum of a value over the 32 threads of a block's row, known to all of them.

    values: shared memory, (WARPS, WARP), a number a thread. Every thread of the block must take part. C++ passes the
    values from lane to lane by shuffles, without memory and without a barrier; the pairs are the same, and so is the
    sum to the last bit.
    """
    lane, warp = cuda.threadIdx.x, cuda.threadIdx.y
    values[warp, lane] = value
    distance = WARP // 2
    while distance > 0:
        cuda.syncthreads()
        if lane < distance:
            values[warp, lane] += values[warp, lane + distance]
        distance //= 2
    cuda.syncthreads()
    total = values[warp, 0]
    cuda.syncthreads()  # before the next sum overwrites this one
    return total


@cuda.jit(device=True)
def warp_max(value, values):
    """The maximum of a value over the 32 threads of a block's row: see warp_sum."""
    lane, warp = cuda.threadIdx.x, cuda.threadIdx.y
    values[warp, lane] = value
    distance = WARP // 2
    while distance > 0:
        cuda.syncthreads()
        if lane < distance and values[warp, lane + distance] > values[warp, lane]:
            values[warp, lane] = values[warp, lane + distance]
        distance //= 2
    cuda.syncthreads()
    largest = values[warp, 0]
    cuda.syncthreads()
    return largest


# ---------------------------------------------------------------- sums over blocks


@cuda.jit(device=True)
def last_to_arrive(arrivals, blocks):
    """Whether this block is the last of so many to get here: it then has all that the others wrote before.

    arrivals: an int32 array, whose first number is 0 before the launch and after it. common.cuh says why the fences.
    The second is the one thread's that counts, and the barrier behind it hands on what it sees: in Numba's simulator
    the first thread that leaves a function of another file takes `cuda` away from those that are still in it.
    """
    is_last = cuda.shared.array(1, np.int32)
    cuda.threadfence()
    cuda.syncthreads()
    if cuda.threadIdx.x == 0 and cuda.threadIdx.y == 0:
        is_last[0] = cuda.atomic.add(arrivals, 0, 1) == blocks - 1
        if is_last[0]:
            arrivals[0] = 0
        cuda.threadfence()
    cuda.syncthreads()
    return is_last[0] != 0


# ---------------------------------------------------------------- random numbers, and what dropout makes of them

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


@device_template
def drop(T, WIDTH):
    """v, a local array of WIDTH neighbours, through dropout's mask.

    first: the place of v[0] in the whole array, a multiple of WIDTH. mask: (seed, stream, step, threshold, scale).
    Element i is kept, and multiplied by the scale, where word i % 4 of the counter (i / 4, stream, step) reaches the
    threshold.
    """

    def drop(v, first, mask):
        seed, stream, step, threshold, scale = mask
        bits = philox4x32(np.uint64(first // 4), np.uint64(stream), np.uint64(step), np.uint64(seed))
        for j in range(WIDTH):
            word = bits[j] if WIDTH == 4 else bits[first % 4]
            v[j] = v[j] * scale if word >= threshold else T(0)

    return drop


# ---------------------------------------------------------------- one tile of a matrix product

TILE_L = 16


@device_template
def multiply_tile(T, BM, BN, A_TRANSPOSED, B_TRANSPOSED, GRADIENT=None):
    """sum[i, j] = the 4 x 4 outputs of this thread in a tile of BM x BN of C = A @ B; A (M,L), B (L,N).

    A block of BM * BN / 16 threads walks along l from `first` to `last`, 16 at a time: it copies 16 columns of A and 16
    rows of B to shared memory, where each thread that reads a number uses it 4 times. A_TRANSPOSED: A lies in memory as
    (L,M); B_TRANSPOSED: B lies as (N,L). common.cuh says more. There a thread reads its four rows and its four columns
    with one 16-byte load each.

    GRADIENT ("A" or "B"): that operand is a gradient, read through_relu(y, relu); C++ passes a ThroughRelu for it.
    column_sum[0]: where sum_columns is set, the sum over l of B[l][n0 + threadIdx.x], of the first BN threads.
    """
    THREADS = BM * BN // 16
    A_ROW, B_ROW = BM + 4, BN + 4
    value = through_relu(T)

    def multiply_tile(sum, A, B, y, relu, M, N, L, m0, n0, first, last, column_sum, sum_columns):
        a_tile = cuda.shared.array((TILE_L, A_ROW), T)
        b_tile = cuda.shared.array((TILE_L, B_ROW), T)
        column, row = 4 * (cuda.threadIdx.x % (BN // 4)), 4 * (cuda.threadIdx.x // (BN // 4))
        a = cuda.local.array(4, T)
        b = cuda.local.array(4, T)
        for i in range(4):
            for j in range(4):
                sum[i, j] = T(0)
        column_sum[0] = T(0)

        for l0 in range(first, last, TILE_L):
            for i in range(cuda.threadIdx.x, BM * TILE_L, THREADS):
                m = i % BM if A_TRANSPOSED else i // TILE_L
                l = i // BM if A_TRANSPOSED else i % TILE_L
                inside = m0 + m < M and l0 + l < last
                place = (l0 + l) * M + m0 + m if A_TRANSPOSED else (m0 + m) * L + l0 + l
                a_tile[l, m] = value(A, y, relu and GRADIENT == "A", place) if inside else T(0)
            for i in range(cuda.threadIdx.x, BN * TILE_L, THREADS):
                n = i // TILE_L if B_TRANSPOSED else i % BN
                l = i % TILE_L if B_TRANSPOSED else i // BN
                inside = n0 + n < N and l0 + l < last
                place = (n0 + n) * L + l0 + l if B_TRANSPOSED else (l0 + l) * N + n0 + n
                b_tile[l, n] = value(B, y, relu and GRADIENT == "B", place) if inside else T(0)
            cuda.syncthreads()
            if sum_columns and cuda.threadIdx.x < BN:
                of_tile = T(0)  # apart, so that a long sum keeps its digits
                for l in range(TILE_L):
                    of_tile += b_tile[l, cuda.threadIdx.x]
                column_sum[0] += of_tile
            for l in range(TILE_L):
                for i in range(4):
                    a[i] = a_tile[l, row + i]
                    b[i] = b_tile[l, column + i]
                for i in range(4):
                    for j in range(4):
                        sum[i, j] += a[i] * b[j]
            cuda.syncthreads()  # before the next 16 overwrite these

    return multiply_tile


@device_template
def store_tile(T, BN):
    """The tile's outputs to `out` (M,N), through bias and ReLU where they are wanted."""
    relu_of_T = relu_of(T)

    def store_tile(sum, out, M, N, m0, n0, bias, has_bias, relu):
        n, m = n0 + 4 * (cuda.threadIdx.x % (BN // 4)), m0 + 4 * (cuda.threadIdx.x // (BN // 4))
        for i in range(4):
            for j in range(4):
                if m + i < M and n + j < N:
                    y = sum[i, j]
                    if has_bias:
                        y += bias[n + j]
                    out[(m + i) * N + n + j] = relu_of_T(y) if relu else y

    return store_tile


@device_template
def store_column_sum(T, BN):
    """What the first BN threads have in column_sum to `out` (N,)."""

    def store_column_sum(column_sum, out, N, n0):
        n = n0 + cuda.threadIdx.x
        if cuda.threadIdx.x < BN and n < N:
            out[n] = column_sum[0]

    return store_column_sum
