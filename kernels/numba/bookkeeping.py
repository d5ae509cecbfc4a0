"""What a training step needs beside the network: the next batch, and counters. See bookkeeping.cu."""

from numba import cuda
from tinycnn.kernels.numba.common import template


@cuda.jit(device=True)
def copy_four(source, target, from_row, to_row, at, length):
    """Row `from_row` of `source` to row `to_row` of `target`: the four numbers from `at` on."""
    for i in range(at, min(at + 4, length)):
        target[to_row * length + i] = source[from_row * length + i]


@template
def gather_batch(T):
    """x[i] = images[order[start + i]] and y[i] = labels[order[start + i]] for i < size.

    images (count, image_length), labels (count, label_length), order (count,), start (1,), x (size, image_length),
    y (size, label_length). blockIdx.y walks over the batch, blockIdx.x over a row, four numbers a thread; the blocks
    behind the image's copy the label. No shared memory. C++ moves the four as one 16-byte access.
    """

    def gather_batch(images, labels, order, start, x, y, count, size, image_length, label_length, image_blocks):
        for i in range(cuda.blockIdx.y, size, cuda.gridDim.y):
            if start[0] + i >= count:
                return
            row = order[start[0] + i]
            if row < 0 or row >= count:
                return
            if cuda.blockIdx.x < image_blocks:
                at = 4 * (cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
                copy_four(images, x, row, i, at, image_length)
            else:
                at = 4 * ((cuda.blockIdx.x - image_blocks) * cuda.blockDim.x + cuda.threadIdx.x)
                copy_four(labels, y, row, i, at, label_length)

    return gather_batch


@template
def advance(T):
    """counter += amount, for up to three counters.

    a, b, c: (1,). A launch for fewer names one of them again, with amount 0. One thread; no shared memory.
    """

    def advance(a, b, c, a_amount, b_amount, c_amount):
        if cuda.threadIdx.x == 0 and cuda.blockIdx.x == 0:
            a[0] += a_amount
            b[0] += b_amount
            c[0] += c_amount

    return advance


@template
def fill(T):
    """y[i] = value.

    y: (total,). One number a thread; no shared memory.
    """

    def fill(y, value, total):
        i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if i < total:
            y[i] = value

    return fill
