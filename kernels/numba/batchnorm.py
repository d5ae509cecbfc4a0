"""Batch normalisation over all axes but the last, and the dropout behind it.

batchnorm.cu has the formulas, and why the sums are taken so. A thread has WIDTH neighbouring columns, which C++ moves
as one 16-byte access where they are 4.
"""

from numba import cuda
from tinycnn.kernels.numba.common import device_template, drop, last_to_arrive, sqrt, template


@device_template
def join_moments(T, WIDTH):
    """The moments of WIDTH columns, (count, mean, squares), joined by those of another set of rows.

    mean, squares: local arrays, changed in place. Returns the count of both.
    """

    def join_moments(count, mean, squares, more, other_mean, other_squares):
        if more == 0:
            return count
        if count == 0:
            for j in range(WIDTH):
                mean[j], squares[j] = other_mean[j], other_squares[j]
            return more
        share = more / (count + more)
        for j in range(WIDTH):
            apart = other_mean[j] - mean[j]
            mean[j] += apart * share
            squares[j] += other_squares[j] + apart * apart * count * share
        return count + more

    return join_moments


@device_template
def join_block_moments(T, WIDTH):
    """Joins the moments that the blockDim.y threads of each column have, by halving: row 0 then has them all.

    memory: the block's shared memory, 2 * WIDTH + 1 numbers a thread. Every thread of the block must take part.
    Returns the count.
    """
    join_moments_of_T = join_moments(T, WIDTH)

    def join_block_moments(count, mean, squares, memory):
        threads = cuda.blockDim.x * cuda.blockDim.y
        place = cuda.threadIdx.y * cuda.blockDim.x + cuda.threadIdx.x
        means, all_squares, counts = memory, memory[WIDTH * threads :], memory[2 * WIDTH * threads :]
        for j in range(WIDTH):
            means[WIDTH * place + j], all_squares[WIDTH * place + j] = mean[j], squares[j]
        counts[place] = count
        left = cuda.blockDim.y
        while left > 1:
            half = (left + 1) // 2
            cuda.syncthreads()
            if cuda.threadIdx.y < left - half:
                other = place + half * cuda.blockDim.x
                count = join_moments_of_T(
                    count, mean, squares, counts[other], means[WIDTH * other :], all_squares[WIDTH * other :]
                )
                for j in range(WIDTH):
                    means[WIDTH * place + j], all_squares[WIDTH * place + j] = mean[j], squares[j]
                counts[place] = count
            left = half
        return count

    return join_block_moments


@device_template
def join_block_sums(T, WIDTH):
    """Adds up the two sums of WIDTH columns that the blockDim.y threads of each column have, by halving.

    memory: the block's shared memory, 2 * WIDTH numbers a thread. Every thread of the block must take part.
    """

    def join_block_sums(for_gamma, for_beta, memory):
        threads = cuda.blockDim.x * cuda.blockDim.y
        place = cuda.threadIdx.y * cuda.blockDim.x + cuda.threadIdx.x
        gammas, betas = memory, memory[WIDTH * threads :]
        for j in range(WIDTH):
            gammas[WIDTH * place + j], betas[WIDTH * place + j] = for_gamma[j], for_beta[j]
        left = cuda.blockDim.y
        while left > 1:
            half = (left + 1) // 2
            cuda.syncthreads()
            if cuda.threadIdx.y < left - half:
                other = place + half * cuda.blockDim.x
                for j in range(WIDTH):
                    for_gamma[j] += gammas[WIDTH * other + j]
                    for_beta[j] += betas[WIDTH * other + j]
                    gammas[WIDTH * place + j], betas[WIDTH * place + j] = for_gamma[j], for_beta[j]
            left = half

    return join_block_sums


@device_template
def share_of(WIDTH):
    """The rows (first, last, step) and the first column of this thread."""

    def share_of(rows, rows_per_block):
        begin = cuda.blockIdx.x * rows_per_block
        column = WIDTH * (cuda.blockIdx.y * cuda.blockDim.x + cuda.threadIdx.x)
        return begin + cuda.threadIdx.y, min(begin + rows_per_block, rows), cuda.blockDim.y, column

    return share_of


@template
def batchnorm_statistics(T, WIDTH):
    """mean and inverse_std of each column over all rows, and the moving statistics moved on; weight is 1 - momentum.

    x: (rows, C); partial: (blocks of rows, 2, C), the mean and the sum of squared deviations over a block's rows;
    arrivals: (blocks of columns,); the rest: (C,). grid: (blocks of rows, blocks of columns). Thread (column, row)
    walks down every blockDim.y-th of the block's rows_per_block rows, and in the last block every blockDim.y-th of the
    partial results. Shared memory (dynamic): 2 * WIDTH + 1 numbers a thread.
    """
    share_of_thread, join, join_block = share_of(WIDTH), join_moments(T, WIDTH), join_block_moments(T, WIDTH)

    def batchnorm_statistics(
        x, partial, arrivals, mean, inverse_std, moving_mean, moving_variance, rows, C, rows_per_block, weight, epsilon
    ):
        memory = cuda.shared.array(0, T)
        middle = cuda.local.array(WIDTH, T)
        squares = cuda.local.array(WIDTH, T)
        pilot = cuda.local.array(WIDTH, T)
        first, last, step, column = share_of_thread(rows, rows_per_block)
        count = T(0)
        for j in range(WIDTH):
            middle[j], squares[j] = T(0), T(0)
        if column < C and first < last:
            for j in range(WIDTH):
                pilot[j] = x[first * C + column + j]
            for row in range(first, last, step):
                for j in range(WIDTH):
                    difference = x[row * C + column + j] - pilot[j]
                    middle[j] += difference
                    squares[j] += difference * difference
                count += T(1)
            for j in range(WIDTH):
                sum = middle[j]
                squares[j] -= sum * (sum / count)
                middle[j] = pilot[j] + sum / count
        count = join_block(count, middle, squares, memory)
        if cuda.threadIdx.y == 0 and column < C:
            to = cuda.blockIdx.x * 2 * C + column
            for j in range(WIDTH):
                partial[to + j], partial[to + C + j] = middle[j], squares[j]
        if not last_to_arrive(arrivals[cuda.blockIdx.y :], cuda.gridDim.x):
            return

        count = T(0)
        for part in range(cuda.threadIdx.y, cuda.gridDim.x, cuda.blockDim.y):
            if column < C:
                at = part * 2 * C + column
                more = T(min(rows_per_block, rows - part * rows_per_block))
                count = join(count, middle, squares, more, partial[at:], partial[at + C :])
        count = join_block(count, middle, squares, memory)
        if cuda.threadIdx.y != 0 or column >= C:
            return
        for j in range(WIDTH):
            c = column + j
            variance = squares[j] / count
            mean[c] = middle[j]
            inverse_std[c] = T(1) / sqrt(variance + epsilon)
            moving_mean[c] += (middle[j] - moving_mean[c]) * weight
            moving_variance[c] += (variance - moving_variance[c]) * weight

    return batchnorm_statistics


@template
def batchnorm_normalize(T, WIDTH, DROPS):
    """y = (x - mean) * gamma * inverse_std + beta, through dropout where DROPS, which keeps the step in `saved`.

    x, y: (rows, C); saved, step: (1,); the rest: (C,). For inference `spread` is the moving variance, else inverse_std.
    grid: (blocks of rows, blocks of columns). Thread (column, row) walks down every blockDim.y-th of the block's
    rows_per_block rows. No shared memory.
    """
    share_of_thread, drop_T = share_of(WIDTH), drop(T, WIDTH)

    def batchnorm_normalize(
        x, gamma, beta, mean, spread, y, rows, C, rows_per_block, inference, epsilon, saved, step, seed, stream,
        threshold, keep_scale,
    ):  # fmt: skip
        first, last, stride, column = share_of_thread(rows, rows_per_block)
        if column >= C:
            return
        if DROPS and first == 0 and column == 0:
            saved[0] = step[0]
        scale = cuda.local.array(WIDTH, T)
        v = cuda.local.array(WIDTH, T)
        for j in range(WIDTH):
            width = spread[column + j]
            scale[j] = gamma[column + j] * (T(1) / sqrt(width + epsilon) if inference else width)
        for row in range(first, last, stride):
            i = row * C + column
            for j in range(WIDTH):
                v[j] = (x[i + j] - mean[column + j]) * scale[j] + beta[column + j]
            if DROPS:
                drop_T(v, i, (seed, stream, step[0], threshold, keep_scale))
            for j in range(WIDTH):
                y[i + j] = v[j]

    return batchnorm_normalize


@template
def batchnorm_backward_sums(T, WIDTH, DROPS):
    """dgamma and dbeta: the sums of dy * x_hat and of dy over all rows, dy being taken through dropout's mask if DROPS.

    dy, x: (rows, C); partial: (blocks of rows, 2, C), the sums over a block's rows; arrivals: (blocks of columns,);
    step: (1,), what forward saved; the rest: (C,). grid: (blocks of rows, blocks of columns). Thread (column, row)
    walks down every blockDim.y-th of the block's rows_per_block rows, and in the last block every blockDim.y-th of the
    partial results. Shared memory (dynamic): 2 * WIDTH numbers a thread.
    """
    share_of_thread, join_block, drop_T = share_of(WIDTH), join_block_sums(T, WIDTH), drop(T, WIDTH)

    def batchnorm_backward_sums(
        dy, x, mean, inverse_std, partial, arrivals, dgamma, dbeta, rows, C, rows_per_block, step, seed, stream,
        threshold, keep_scale,
    ):  # fmt: skip
        memory = cuda.shared.array(0, T)
        for_gamma = cuda.local.array(WIDTH, T)
        for_beta = cuda.local.array(WIDTH, T)
        d = cuda.local.array(WIDTH, T)
        first, last, stride, column = share_of_thread(rows, rows_per_block)
        for j in range(WIDTH):
            for_gamma[j], for_beta[j] = T(0), T(0)
        if column < C:
            for row in range(first, last, stride):
                i = row * C + column
                for j in range(WIDTH):
                    d[j] = dy[i + j]
                if DROPS:
                    drop_T(d, i, (seed, stream, step[0], threshold, keep_scale))
                for j in range(WIDTH):
                    for_gamma[j] += d[j] * ((x[i + j] - mean[column + j]) * inverse_std[column + j])
                    for_beta[j] += d[j]
        join_block(for_gamma, for_beta, memory)
        if cuda.threadIdx.y == 0 and column < C:
            to = cuda.blockIdx.x * 2 * C + column
            for j in range(WIDTH):
                partial[to + j], partial[to + C + j] = for_gamma[j], for_beta[j]
        if not last_to_arrive(arrivals[cuda.blockIdx.y :], cuda.gridDim.x):
            return

        for j in range(WIDTH):
            for_gamma[j], for_beta[j] = T(0), T(0)
        for part in range(cuda.threadIdx.y, cuda.gridDim.x, cuda.blockDim.y):
            if column < C:
                at = part * 2 * C + column
                for j in range(WIDTH):
                    for_gamma[j] += partial[at + j]
                    for_beta[j] += partial[at + C + j]
        join_block(for_gamma, for_beta, memory)
        if cuda.threadIdx.y == 0 and column < C:
            for j in range(WIDTH):
                dgamma[column + j], dbeta[column + j] = for_gamma[j], for_beta[j]

    return batchnorm_backward_sums


@template
def batchnorm_backward_data(T, WIDTH, DROPS):
    """dx = gamma * inverse_std * (dy - dbeta / rows - x_hat * dgamma / rows), dy taken through dropout's mask if DROPS.

    dy, x, dx: (rows, C); step: (1,), what forward saved; the rest: (C,). grid: (blocks of rows, blocks of columns).
    Thread (column, row) walks down every blockDim.y-th of the block's rows_per_block rows. No shared memory.
    """
    share_of_thread, drop_T = share_of(WIDTH), drop(T, WIDTH)

    def batchnorm_backward_data(
        dy, x, gamma, mean, inverse_std, dgamma, dbeta, dx, rows, C, rows_per_block, step, seed, stream, threshold,
        keep_scale,
    ):  # fmt: skip
        first, last, stride, column = share_of_thread(rows, rows_per_block)
        if column >= C:
            return
        scale = cuda.local.array(WIDTH, T)
        mean_dgamma = cuda.local.array(WIDTH, T)
        mean_dbeta = cuda.local.array(WIDTH, T)
        d = cuda.local.array(WIDTH, T)
        for j in range(WIDTH):
            scale[j] = gamma[column + j] * inverse_std[column + j]
            mean_dgamma[j], mean_dbeta[j] = dgamma[column + j] / T(rows), dbeta[column + j] / T(rows)
        for row in range(first, last, stride):
            i = row * C + column
            for j in range(WIDTH):
                d[j] = dy[i + j]
            if DROPS:
                drop_T(d, i, (seed, stream, step[0], threshold, keep_scale))
            for j in range(WIDTH):
                x_hat = (x[i + j] - mean[column + j]) * inverse_std[column + j]
                dx[i + j] = scale[j] * (d[j] - mean_dbeta[j] - x_hat * mean_dgamma[j])

    return batchnorm_backward_data
