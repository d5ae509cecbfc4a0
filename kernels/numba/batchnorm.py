"""Batch normalisation over all axes but the last. batchnorm.cu has the formulas, and why the sums are taken so."""

from numba import cuda
from tinycnn.kernels.numba.common import WARP, WARPS, sqrt, sum_over_block_rows, template, warp_sum


@cuda.jit(device=True)
def join(a, b):
    """The moments (count, mean, sum of squared deviations) of two sets of numbers as those of one set."""
    if b[0] == 0:
        return a
    if a[0] == 0:
        return b
    count, apart = a[0] + b[0], b[1] - a[1]
    share = b[0] / count
    return count, a[1] + apart * share, a[2] + b[2] + apart * apart * a[0] * share


@cuda.jit(device=True)
def share_of(rows, rows_per_block):
    """The rows (first, last, step) and the column of this thread."""
    begin = cuda.blockIdx.x * rows_per_block
    column = cuda.blockIdx.y * cuda.blockDim.x + cuda.threadIdx.x
    return begin + cuda.threadIdx.y, min(begin + rows_per_block, rows), cuda.blockDim.y, column


@template
def batchnorm_statistics(T):
    """partial = the count, mean and sum of squared deviations of each column over this block's rows.

    x: (rows, C); partial: (blocks of rows, 3, C). grid: (blocks of rows, blocks of columns). Thread (column, row) walks
    down every blockDim.y-th of the block's rows_per_block rows. Shared memory (dynamic): three numbers a thread.
    """

    def batchnorm_statistics(x, partial, rows, C, rows_per_block):
        threads = cuda.blockDim.x * cuda.blockDim.y
        place = cuda.threadIdx.y * cuda.blockDim.x + cuda.threadIdx.x
        memory = cuda.shared.array(0, T)
        counts, means, squares = memory, memory[threads:], memory[2 * threads :]
        first, last, step, column = share_of(rows, rows_per_block)
        mine = (T(0), T(0), T(0))
        if column < C and first < last:
            pilot = x[first * C + column]
            sum = T(0)
            sum_of_squares = T(0)
            count = 0
            for row in range(first, last, step):
                difference = x[row * C + column] - pilot
                sum += difference
                sum_of_squares += difference * difference
                count += 1
            mean = sum / T(count)
            mine = (T(count), pilot + mean, sum_of_squares - sum * mean)
        counts[place], means[place], squares[place] = mine
        left = cuda.blockDim.y
        while left > 1:
            half = (left + 1) // 2
            other = place + half * cuda.blockDim.x
            cuda.syncthreads()
            if cuda.threadIdx.y < left - half:
                mine = join(mine, (counts[other], means[other], squares[other]))
                counts[place], means[place], squares[place] = mine
            left = half
        if cuda.threadIdx.y == 0 and column < C:
            to = cuda.blockIdx.x * 3 * C + column
            partial[to], partial[to + C], partial[to + 2 * C] = mine

    return batchnorm_statistics


@template
def batchnorm_finish_statistics(T):
    """The blocks' partial moments joined: mean and inverse_std of each channel, and the moving statistics moved on.

    partial: (parts, 3, C); mean, inverse_std, moving_mean, moving_variance: (C,); weight is 1 - momentum.
    grid: (blocks of channels,), block (32, 4): a warp a channel, a lane every 32nd part. Shared memory (static): three
    numbers a thread; C++ joins the lanes by shuffles and has neither memory nor barriers.
    """

    def batchnorm_finish_statistics(
        partial, mean, inverse_std, moving_mean, moving_variance, parts, C, weight, epsilon
    ):
        counts = cuda.shared.array((WARPS, WARP), T)
        means = cuda.shared.array((WARPS, WARP), T)
        squares = cuda.shared.array((WARPS, WARP), T)
        lane, warp = cuda.threadIdx.x, cuda.threadIdx.y
        c = cuda.blockIdx.x * cuda.blockDim.y + warp
        all = (T(0), T(0), T(0))
        if c < C:
            for part in range(lane, parts, WARP):
                at = part * 3 * C + c
                all = join(all, (partial[at], partial[at + C], partial[at + 2 * C]))
        counts[warp, lane], means[warp, lane], squares[warp, lane] = all
        distance = WARP // 2
        while distance > 0:
            cuda.syncthreads()
            if lane < distance:
                other = lane + distance
                all = join(all, (counts[warp, other], means[warp, other], squares[warp, other]))
                counts[warp, lane], means[warp, lane], squares[warp, lane] = all
            distance //= 2
        if lane == 0 and c < C:
            count, middle, deviations = all
            variance = deviations / count
            mean[c] = middle
            inverse_std[c] = T(1) / sqrt(variance + epsilon)
            moving_mean[c] += (middle - moving_mean[c]) * weight
            moving_variance[c] += (variance - moving_variance[c]) * weight

    return batchnorm_finish_statistics


@template
def batchnorm_normalize(T):
    """y = (x - mean) * gamma * inverse_std + beta. For inference `spread` is the moving variance, else inverse_std.

    x, y: (rows, C); the rest: (C,). grid: (blocks of rows, blocks of columns). Thread (column, row) walks down every
    blockDim.y-th of the block's rows_per_block rows. No shared memory.
    """

    def batchnorm_normalize(x, gamma, beta, mean, spread, y, rows, C, rows_per_block, inference, epsilon):
        first, last, step, column = share_of(rows, rows_per_block)
        if column >= C:
            return
        inverse_std = T(1) / sqrt(spread[column] + epsilon) if inference else spread[column]
        scale, middle, shift = gamma[column] * inverse_std, mean[column], beta[column]
        for row in range(first, last, step):
            i = row * C + column
            y[i] = (x[i] - middle) * scale + shift

    return batchnorm_normalize


@template
def batchnorm_backward_sums(T):
    """partial = the sums of dy * x_hat and of dy over this block's rows, for each column.

    dy, x: (rows, C); mean, inverse_std: (C,); partial: (blocks of rows, 2, C). grid: (blocks of rows, blocks of
    columns). Thread (column, row) walks down every blockDim.y-th of the block's rows_per_block rows. Shared memory
    (dynamic): two numbers a thread.
    """

    def batchnorm_backward_sums(dy, x, mean, inverse_std, partial, rows, C, rows_per_block):
        threads = cuda.blockDim.x * cuda.blockDim.y
        place = cuda.threadIdx.y * cuda.blockDim.x + cuda.threadIdx.x
        memory = cuda.shared.array(0, T)
        for_gamma, for_beta = memory, memory[threads:]
        first, last, step, column = share_of(rows, rows_per_block)
        dgamma = T(0)
        dbeta = T(0)
        if column < C:
            middle, scale = mean[column], inverse_std[column]
            for row in range(first, last, step):
                i = row * C + column
                dgamma += dy[i] * ((x[i] - middle) * scale)
                dbeta += dy[i]
        for_gamma[place] = dgamma
        for_beta[place] = dbeta
        sum_over_block_rows(for_gamma)
        sum_over_block_rows(for_beta)
        if cuda.threadIdx.y == 0 and column < C:
            to = cuda.blockIdx.x * 2 * C + column
            partial[to], partial[to + C] = for_gamma[place], for_beta[place]

    return batchnorm_backward_sums


@template
def batchnorm_finish_backward(T):
    """The blocks' partial sums added up: dgamma and dbeta.

    partial: (parts, 2, C); dgamma, dbeta: (C,). grid: (blocks of channels,), block (32, 4): a warp a channel, a lane
    every 32nd part. Shared memory (static): one number a thread, where C++ has shuffles.
    """

    def batchnorm_finish_backward(partial, dgamma, dbeta, parts, C):
        values = cuda.shared.array((WARPS, WARP), T)
        c = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
        for_gamma = T(0)
        for_beta = T(0)
        if c < C:
            for part in range(cuda.threadIdx.x, parts, WARP):
                for_gamma += partial[part * 2 * C + c]
                for_beta += partial[part * 2 * C + C + c]
        for_gamma = warp_sum(for_gamma, values)
        for_beta = warp_sum(for_beta, values)
        if cuda.threadIdx.x == 0 and c < C:
            dgamma[c], dbeta[c] = for_gamma, for_beta

    return batchnorm_finish_backward


@template
def batchnorm_backward_data(T):
    """dx = gamma * inverse_std * (dy - dbeta / rows - x_hat * dgamma / rows).

    dy, x, dx: (rows, C); the rest: (C,). grid: (blocks of rows, blocks of columns). Thread (column, row) walks down
    every blockDim.y-th of the block's rows_per_block rows. No shared memory.
    """

    def batchnorm_backward_data(dy, x, gamma, mean, inverse_std, dgamma, dbeta, dx, rows, C, rows_per_block):
        first, last, step, c = share_of(rows, rows_per_block)
        if c >= C:
            return
        middle, inverse = mean[c], inverse_std[c]
        scale = gamma[c] * inverse
        mean_dgamma, mean_dbeta = dgamma[c] / T(rows), dbeta[c] / T(rows)
        for row in range(first, last, step):
            i = row * C + c
            dx[i] = scale * (dy[i] - mean_dbeta - (x[i] - middle) * inverse * mean_dgamma)

    return batchnorm_backward_data
