// Batch normalisation (Ioffe and Szegedy, 2015) over all axes but the last.
//
//     mean[c], variance[c] = the mean and the biased variance of x[row][c] over all rows
//     inverse_std[c] = 1 / sqrt(variance[c] + epsilon)
//     y[row][c]  = (x[row][c] - mean[c]) * inverse_std[c] * gamma[c] + beta[c]
//     moving    += (batch - moving) * (1 - momentum)            for both statistics
//     backward:  dbeta[c] = sum of dy;  dgamma[c] = sum of dy * x_hat;  x_hat = (x - mean) * inverse_std
//                dx = gamma * inverse_std * (dy - dbeta / rows - x_hat * dgamma / rows)
//
// x (rows, C), everything else (C,). The same as plain loops: tinycnn/devices/reference/batchnorm.py.
//
// Sums over rows go in two steps, both in a fixed order. A block takes rows_per_block rows and blockDim.x columns
// (all C of them where C <= 256, so that it reads one contiguous run); thread (column, row) walks down every
// blockDim.y-th row. The block joins its threads by halving and writes one partial result a column. Then a warp a
// channel joins the partial results, lane by lane and by shuffles.
//
// The variance must not be E[x^2] - E[x]^2: with a mean of 4096 and a deviation of 1/8, float32 would keep nothing of
// it. Each thread sums the differences from the first number it saw, which are small, and pairs of (count, mean, sum
// of squared deviations) are joined by the rule of Chan, Golub and LeVeque (1979). One pass over x, and no
// cancellation.
//
// Shared memory (dynamic): three, or two, numbers a thread in the kernels that sum; none in the others.
#include "common.cuh"

// Of `count` numbers: their mean, and the sum of the squares of their distances from it.
template <typename T>
struct Moments {
    T count, mean, squares;
};

template <typename T>
__device__ __forceinline__ Moments<T> join(const Moments<T>& a, const Moments<T>& b) {
    if (b.count == 0) return a;
    if (a.count == 0) return b;
    const T count = a.count + b.count, apart = b.mean - a.mean, share = b.count / count;
    return {count, a.mean + apart * share, a.squares + b.squares + apart * apart * a.count * share};
}

// The rows and the column of this thread.
struct Share {
    int first, last, step, column;
};

__device__ __forceinline__ Share share_of(int rows, int rows_per_block) {
    const int begin = blockIdx.x * rows_per_block;
    return {
        begin + int(threadIdx.y), least(begin + rows_per_block, rows), int(blockDim.y),
        int(blockIdx.y * blockDim.x + threadIdx.x)};
}

// partial: (blocks of rows, 3, C): count, mean, squares.
template <typename T>
__global__ void batchnorm_statistics(
    const T* __restrict__ x, T* __restrict__ partial, int rows, int C, int rows_per_block) {
    const int threads = blockDim.x * blockDim.y, place = threadIdx.y * blockDim.x + threadIdx.x;
    T *counts = shared_array<T>(0), *means = shared_array<T>(threads), *squares = shared_array<T>(2 * threads);
    const Share at = share_of(rows, rows_per_block);
    Moments<T> mine = {0, 0, 0};
    if (at.column < C && at.first < at.last) {
        const T pilot = x[(long long)at.first * C + at.column];
        T sum = 0, sum_of_squares = 0;
        int count = 0;
#pragma unroll 4
        for (int row = at.first; row < at.last; row += at.step, count++) {
            const T difference = x[(long long)row * C + at.column] - pilot;
            sum += difference;
            sum_of_squares += difference * difference;
        }
        mine = {T(count), pilot + sum / count, sum_of_squares - sum * (sum / count)};
    }
    counts[place] = mine.count, means[place] = mine.mean, squares[place] = mine.squares;
    for (int left = blockDim.y; left > 1;) {
        const int half = (left + 1) / 2, other = place + half * blockDim.x;
        __syncthreads();
        if (int(threadIdx.y) < left - half) {
            mine = join(mine, {counts[other], means[other], squares[other]});
            counts[place] = mine.count, means[place] = mine.mean, squares[place] = mine.squares;
        }
        left = half;
    }
    if (threadIdx.y == 0 && at.column < C) {
        T* to = partial + (long long)blockIdx.x * 3 * C + at.column;
        to[0] = mine.count, to[C] = mine.mean, to[2 * C] = mine.squares;
    }
}

// One warp a channel: block (32, channels), grid (blocks of channels). weight is 1 - momentum.
template <typename T>
__global__ void batchnorm_finish_statistics(
    const T* __restrict__ partial, T* __restrict__ mean, T* __restrict__ inverse_std, T* __restrict__ moving_mean,
    T* __restrict__ moving_variance, int parts, int C, T weight, T epsilon) {
    const int c = blockIdx.x * blockDim.y + threadIdx.y;
    if (c >= C) return;  // the whole warp
    Moments<T> all = {0, 0, 0};
    for (int part = threadIdx.x; part < parts; part += 32) {
        const T* from = partial + (long long)part * 3 * C + c;
        all = join(all, {from[0], from[C], from[2 * C]});
    }
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        const Moments<T> other = {
            __shfl_down_sync(ALL_LANES, all.count, distance), __shfl_down_sync(ALL_LANES, all.mean, distance),
            __shfl_down_sync(ALL_LANES, all.squares, distance)};
        all = join(all, other);
    }
    if (threadIdx.x != 0) return;
    const T variance = all.squares / all.count;
    mean[c] = all.mean;
    inverse_std[c] = T(1) / sqrt(variance + epsilon);
    moving_mean[c] += (all.mean - moving_mean[c]) * weight;
    moving_variance[c] += (variance - moving_variance[c]) * weight;
}

// y = (x - mean) * scale + beta, scale = gamma * inverse_std. For inference `spread` is the moving variance, else
// inverse_std.
template <typename T>
__global__ void batchnorm_normalize(
    const T* __restrict__ x, const T* __restrict__ gamma, const T* __restrict__ beta, const T* __restrict__ mean,
    const T* __restrict__ spread, T* __restrict__ y, int rows, int C, int rows_per_block, int inference, T epsilon) {
    const Share at = share_of(rows, rows_per_block);
    if (at.column >= C) return;
    const T inverse_std = inference ? T(1) / sqrt(spread[at.column] + epsilon) : spread[at.column];
    const T scale = gamma[at.column] * inverse_std, middle = mean[at.column], shift = beta[at.column];
#pragma unroll 4
    for (int row = at.first; row < at.last; row += at.step) {
        const long long i = (long long)row * C + at.column;
        y[i] = (x[i] - middle) * scale + shift;
    }
}

// partial: (blocks of rows, 2, C): the sums of dy * x_hat and of dy.
template <typename T>
__global__ void batchnorm_backward_sums(
    const T* __restrict__ dy, const T* __restrict__ x, const T* __restrict__ mean, const T* __restrict__ inverse_std,
    T* __restrict__ partial, int rows, int C, int rows_per_block) {
    const int threads = blockDim.x * blockDim.y, place = threadIdx.y * blockDim.x + threadIdx.x;
    T *for_gamma = shared_array<T>(0), *for_beta = shared_array<T>(threads);
    const Share at = share_of(rows, rows_per_block);
    T dgamma = 0, dbeta = 0;
    if (at.column < C) {
        const T middle = mean[at.column], scale = inverse_std[at.column];
#pragma unroll 4
        for (int row = at.first; row < at.last; row += at.step) {
            const long long i = (long long)row * C + at.column;
            dgamma += dy[i] * ((x[i] - middle) * scale);
            dbeta += dy[i];
        }
    }
    for_gamma[place] = dgamma;
    for_beta[place] = dbeta;
    sum_over_block_rows(for_gamma);
    sum_over_block_rows(for_beta);
    if (threadIdx.y == 0 && at.column < C) {
        T* to = partial + (long long)blockIdx.x * 2 * C + at.column;
        to[0] = for_gamma[place], to[C] = for_beta[place];
    }
}

// One warp a channel, as in batchnorm_finish_statistics.
template <typename T>
__global__ void batchnorm_finish_backward(
    const T* __restrict__ partial, T* __restrict__ dgamma, T* __restrict__ dbeta, int parts, int C) {
    const int c = blockIdx.x * blockDim.y + threadIdx.y;
    if (c >= C) return;  // the whole warp
    T for_gamma = 0, for_beta = 0;
    for (int part = threadIdx.x; part < parts; part += 32) {
        for_gamma += partial[(long long)part * 2 * C + c];
        for_beta += partial[(long long)part * 2 * C + C + c];
    }
    for_gamma = warp_sum(for_gamma);
    for_beta = warp_sum(for_beta);
    if (threadIdx.x == 0) dgamma[c] = for_gamma, dbeta[c] = for_beta;
}

template <typename T>
__global__ void batchnorm_backward_data(
    const T* __restrict__ dy, const T* __restrict__ x, const T* __restrict__ gamma, const T* __restrict__ mean,
    const T* __restrict__ inverse_std, const T* __restrict__ dgamma, const T* __restrict__ dbeta, T* __restrict__ dx,
    int rows, int C, int rows_per_block) {
    const Share at = share_of(rows, rows_per_block);
    const int c = at.column;
    if (c >= C) return;
    const T middle = mean[c], inverse = inverse_std[c], scale = gamma[c] * inverse;
    const T mean_dgamma = dgamma[c] / rows, mean_dbeta = dbeta[c] / rows;
#pragma unroll 4
    for (int row = at.first; row < at.last; row += at.step) {
        const long long i = (long long)row * C + c;
        dx[i] = scale * (dy[i] - mean_dbeta - (x[i] - middle) * inverse * mean_dgamma);
    }
}
