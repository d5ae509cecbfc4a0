// Batch normalisation (Ioffe and Szegedy, 2015) over all axes but the last, and the dropout behind it.
//
//     mean[c], variance[c] = the mean and the biased variance of x[row][c] over all rows
//     inverse_std[c] = 1 / sqrt(variance[c] + epsilon)
//     y[row][c]  = (x[row][c] - mean[c]) * inverse_std[c] * gamma[c] + beta[c]
//     moving    += (batch - moving) * (1 - momentum)            for both statistics
//     backward:  dbeta[c] = sum of dy;  dgamma[c] = sum of dy * x_hat;  x_hat = (x - mean) * inverse_std
//                dx = gamma * inverse_std * (dy - dbeta / rows - x_hat * dgamma / rows)
//
// x (rows, C), everything else (C,). The same as plain loops: tinycnn/devices/reference/batchnorm.py. Where DROPS, y
// goes through dropout before it is written, and dy after it is read: the same bits as dropout.cu would make of it,
// without an array in between.
//
// A thread has WIDTH neighbouring columns (4 where C is a multiple of 4, as 16-byte accesses). A block takes
// rows_per_block rows and WIDTH * blockDim.x columns (all C of them where there are no more than 256 threads' worth, so
// that it reads one contiguous run); thread (column, row) walks down every blockDim.y-th row.
//
// Sums over rows go in two steps, both in a fixed order, in one launch. The block joins its threads by halving and
// writes one partial result a column. The last block to arrive of those that share the columns reads all the partial
// results, thread (column, row) every blockDim.y-th of them, and joins its threads in the same way.
//
// The variance must not be E[x^2] - E[x]^2: with a mean of 4096 and a deviation of 1/8, float32 would keep nothing of
// it. Each thread sums the differences from the first number it saw, which are small, and sets of (count, mean, sum
// of squared deviations) are joined by the rule of Chan, Golub and LeVeque (1979). One pass over x, and no
// cancellation.
//
// Shared memory (dynamic): in the kernels that sum, two numbers for each column of a thread, and in the first of them
// one more a thread; none in the others.
#include "common.cuh"

// Of `count` numbers in each of WIDTH columns: their mean, and the sum of the squares of their distances from it.
template <typename T, int WIDTH>
struct Moments {
    T count, mean[WIDTH], squares[WIDTH];
};

template <typename T, int WIDTH>
__device__ __forceinline__ void join(Moments<T, WIDTH>& a, const Moments<T, WIDTH>& b) {
    if (b.count == 0) return;
    if (a.count == 0) {
        a = b;
        return;
    }
    const T count = a.count + b.count, share = b.count / count;
#pragma unroll
    for (int j = 0; j < WIDTH; j++) {
        const T apart = b.mean[j] - a.mean[j];
        a.mean[j] += apart * share;
        a.squares[j] += b.squares[j] + apart * apart * a.count * share;
    }
    a.count = count;
}

// What a thread has, in shared memory: `place` is the thread's of so many.
template <typename T, int WIDTH>
__device__ __forceinline__ void keep(const Moments<T, WIDTH>& of, int place, int threads) {
    store(shared_array<T>(WIDTH * place), of.mean);
    store(shared_array<T>(WIDTH * (threads + place)), of.squares);
    *shared_array<T>(2 * WIDTH * threads + place) = of.count;
}

template <typename T, int WIDTH>
__device__ __forceinline__ void take(Moments<T, WIDTH>& of, int place, int threads) {
    load(of.mean, shared_array<T>(WIDTH * place));
    load(of.squares, shared_array<T>(WIDTH * (threads + place)));
    of.count = *shared_array<T>(2 * WIDTH * threads + place);
}

// The sums of dy * x_hat and of dy over some rows of WIDTH columns.
template <typename T, int WIDTH>
struct Sums {
    T dgamma[WIDTH], dbeta[WIDTH];
};

template <typename T, int WIDTH>
__device__ __forceinline__ void join(Sums<T, WIDTH>& a, const Sums<T, WIDTH>& b) {
#pragma unroll
    for (int j = 0; j < WIDTH; j++) {
        a.dgamma[j] += b.dgamma[j];
        a.dbeta[j] += b.dbeta[j];
    }
}

template <typename T, int WIDTH>
__device__ __forceinline__ void keep(const Sums<T, WIDTH>& of, int place, int threads) {
    store(shared_array<T>(WIDTH * place), of.dgamma);
    store(shared_array<T>(WIDTH * (threads + place)), of.dbeta);
}

template <typename T, int WIDTH>
__device__ __forceinline__ void take(Sums<T, WIDTH>& of, int place, int threads) {
    load(of.dgamma, shared_array<T>(WIDTH * place));
    load(of.dbeta, shared_array<T>(WIDTH * (threads + place)));
}

// Joins what the blockDim.y threads of each column have, by halving: the thread of row 0 then has it all. Every thread
// of the block must take part.
template <typename Part>
__device__ __forceinline__ void join_block_rows(Part& mine) {
    const int threads = blockDim.x * blockDim.y, place = threadIdx.y * blockDim.x + threadIdx.x;
    keep(mine, place, threads);
    for (int left = blockDim.y; left > 1;) {
        const int half = (left + 1) / 2;
        __syncthreads();
        if (int(threadIdx.y) < left - half) {
            Part other;
            take(other, place + half * blockDim.x, threads);
            join(mine, other);
            keep(mine, place, threads);
        }
        left = half;
    }
}

// The rows and the first column of this thread.
struct Share {
    int first, last, step, column;
};

template <int WIDTH>
__device__ __forceinline__ Share share_of(int rows, int rows_per_block) {
    const int begin = blockIdx.x * rows_per_block;
    return {
        begin + int(threadIdx.y), least(begin + rows_per_block, rows), int(blockDim.y),
        int(blockIdx.y * blockDim.x + threadIdx.x) * WIDTH};
}

// partial: (blocks of rows, 2, C): mean, squares. arrivals: a counter for each block of columns. weight is 1 - momentum.
template <typename T, int WIDTH>
__global__ void batchnorm_statistics(
    const T* __restrict__ x, T* __restrict__ partial, int* arrivals, T* __restrict__ mean,
    T* __restrict__ inverse_std, T* __restrict__ moving_mean, T* __restrict__ moving_variance, int rows, int C,
    int rows_per_block, T weight, T epsilon) {
    const Share at = share_of<WIDTH>(rows, rows_per_block);
    Moments<T, WIDTH> mine = {};
    if (at.column < C && at.first < at.last) {
        T pilot[WIDTH], sum[WIDTH] = {}, sum_of_squares[WIDTH] = {};
        load(pilot, x + (long long)at.first * C + at.column);
        int count = 0;
#pragma unroll (WIDTH == 4 ? 2 : 4)
        for (int row = at.first; row < at.last; row += at.step, count++) {
            T v[WIDTH];
            load(v, x + (long long)row * C + at.column);
#pragma unroll
            for (int j = 0; j < WIDTH; j++) {
                const T difference = v[j] - pilot[j];
                sum[j] += difference;
                sum_of_squares[j] += difference * difference;
            }
        }
        mine.count = count;
#pragma unroll
        for (int j = 0; j < WIDTH; j++) {
            mine.mean[j] = pilot[j] + sum[j] / count;
            mine.squares[j] = sum_of_squares[j] - sum[j] * (sum[j] / count);
        }
    }
    join_block_rows(mine);
    if (threadIdx.y == 0 && at.column < C) {
        T* to = partial + (long long)blockIdx.x * 2 * C + at.column;
        store(to, mine.mean);
        store(to + C, mine.squares);
    }
    if (!last_to_arrive(arrivals + blockIdx.y, gridDim.x)) return;

    mine = {};
    for (int part = threadIdx.y; part < int(gridDim.x) && at.column < C; part += blockDim.y) {
        const T* from = partial + (long long)part * 2 * C + at.column;
        Moments<T, WIDTH> other;
        load(other.mean, from);
        load(other.squares, from + C);
        other.count = least(rows_per_block, rows - part * rows_per_block);
        join(mine, other);
    }
    join_block_rows(mine);
    if (threadIdx.y != 0 || at.column >= C) return;
    T inverse[WIDTH], moved_mean[WIDTH], moved_variance[WIDTH];
    load(moved_mean, moving_mean + at.column);
    load(moved_variance, moving_variance + at.column);
#pragma unroll
    for (int j = 0; j < WIDTH; j++) {
        const T variance = mine.squares[j] / mine.count;
        inverse[j] = T(1) / sqrt(variance + epsilon);
        moved_mean[j] += (mine.mean[j] - moved_mean[j]) * weight;
        moved_variance[j] += (variance - moved_variance[j]) * weight;
    }
    store(mean + at.column, mine.mean);
    store(inverse_std + at.column, inverse);
    store(moving_mean + at.column, moved_mean);
    store(moving_variance + at.column, moved_variance);
}

// y = (x - mean) * scale + beta, scale = gamma * inverse_std. For inference `spread` is the moving variance, else
// inverse_std. DROPS: y goes through dropout, and the step is copied to `saved` for the way back.
template <typename T, int WIDTH, bool DROPS>
__global__ void batchnorm_normalize(
    const T* __restrict__ x, const T* __restrict__ gamma, const T* __restrict__ beta, const T* __restrict__ mean,
    const T* __restrict__ spread, T* __restrict__ y, int rows, int C, int rows_per_block, int inference, T epsilon,
    long long* saved, const long long* step, unsigned long long seed, unsigned int stream,
    unsigned long long threshold, T keep_scale) {
    const Share at = share_of<WIDTH>(rows, rows_per_block);
    if (at.column >= C) return;
    Mask<T> mask;
    if constexpr (DROPS) {
        mask = {seed, stream, (unsigned long long)*step, threshold, keep_scale};
        if (at.first == 0 && at.column == 0) *saved = *step;
    }
    T scale[WIDTH], shift[WIDTH], middle[WIDTH], width[WIDTH];
    load(scale, gamma + at.column);
    load(shift, beta + at.column);
    load(middle, mean + at.column);
    load(width, spread + at.column);
#pragma unroll
    for (int j = 0; j < WIDTH; j++) scale[j] *= inference ? T(1) / sqrt(width[j] + epsilon) : width[j];
#pragma unroll (4 / WIDTH)
    for (int row = at.first; row < at.last; row += at.step) {
        const long long i = (long long)row * C + at.column;
        T v[WIDTH];
        load(v, x + i);
#pragma unroll
        for (int j = 0; j < WIDTH; j++) v[j] = (v[j] - middle[j]) * scale[j] + shift[j];
        if constexpr (DROPS) drop(v, i, mask);
        store(y + i, v);
    }
}

// partial: (blocks of rows, 2, C): the sums of dy * x_hat and of dy. arrivals: a counter for each block of columns.
// DROPS: dy is that of the dropout's output, and `step` what forward saved.
template <typename T, int WIDTH, bool DROPS>
__global__ void batchnorm_backward_sums(
    const T* __restrict__ dy, const T* __restrict__ x, const T* __restrict__ mean, const T* __restrict__ inverse_std,
    T* __restrict__ partial, int* arrivals, T* __restrict__ dgamma, T* __restrict__ dbeta, int rows, int C,
    int rows_per_block, const long long* step, unsigned long long seed, unsigned int stream,
    unsigned long long threshold, T keep_scale) {
    const Share at = share_of<WIDTH>(rows, rows_per_block);
    Sums<T, WIDTH> mine = {};
    if (at.column < C) {
        Mask<T> mask;
        if constexpr (DROPS) mask = {seed, stream, (unsigned long long)*step, threshold, keep_scale};
        T middle[WIDTH], scale[WIDTH];
        load(middle, mean + at.column);
        load(scale, inverse_std + at.column);
#pragma unroll (WIDTH == 4 ? 2 : 4)
        for (int row = at.first; row < at.last; row += at.step) {
            const long long i = (long long)row * C + at.column;
            T d[WIDTH], v[WIDTH];
            load(d, dy + i);
            load(v, x + i);
            if constexpr (DROPS) drop(d, i, mask);
#pragma unroll
            for (int j = 0; j < WIDTH; j++) {
                mine.dgamma[j] += d[j] * ((v[j] - middle[j]) * scale[j]);
                mine.dbeta[j] += d[j];
            }
        }
    }
    join_block_rows(mine);
    if (threadIdx.y == 0 && at.column < C) {
        T* to = partial + (long long)blockIdx.x * 2 * C + at.column;
        store(to, mine.dgamma);
        store(to + C, mine.dbeta);
    }
    if (!last_to_arrive(arrivals + blockIdx.y, gridDim.x)) return;

    mine = {};
    for (int part = threadIdx.y; part < int(gridDim.x) && at.column < C; part += blockDim.y) {
        const T* from = partial + (long long)part * 2 * C + at.column;
        Sums<T, WIDTH> other;
        load(other.dgamma, from);
        load(other.dbeta, from + C);
        join(mine, other);
    }
    join_block_rows(mine);
    if (threadIdx.y != 0 || at.column >= C) return;
    store(dgamma + at.column, mine.dgamma);
    store(dbeta + at.column, mine.dbeta);
}

// DROPS: as in batchnorm_backward_sums.
template <typename T, int WIDTH, bool DROPS>
__global__ void batchnorm_backward_data(
    const T* __restrict__ dy, const T* __restrict__ x, const T* __restrict__ gamma, const T* __restrict__ mean,
    const T* __restrict__ inverse_std, const T* __restrict__ dgamma, const T* __restrict__ dbeta, T* __restrict__ dx,
    int rows, int C, int rows_per_block, const long long* step, unsigned long long seed, unsigned int stream,
    unsigned long long threshold, T keep_scale) {
    const Share at = share_of<WIDTH>(rows, rows_per_block);
    if (at.column >= C) return;
    Mask<T> mask;
    if constexpr (DROPS) mask = {seed, stream, (unsigned long long)*step, threshold, keep_scale};
    T middle[WIDTH], inverse[WIDTH], scale[WIDTH], mean_dgamma[WIDTH], mean_dbeta[WIDTH];
    load(middle, mean + at.column);
    load(inverse, inverse_std + at.column);
    load(scale, gamma + at.column);
    load(mean_dgamma, dgamma + at.column);
    load(mean_dbeta, dbeta + at.column);
#pragma unroll
    for (int j = 0; j < WIDTH; j++) scale[j] *= inverse[j], mean_dgamma[j] /= rows, mean_dbeta[j] /= rows;
#pragma unroll (4 / WIDTH)
    for (int row = at.first; row < at.last; row += at.step) {
        const long long i = (long long)row * C + at.column;
        T d[WIDTH], v[WIDTH];
        load(d, dy + i);
        load(v, x + i);
        if constexpr (DROPS) drop(d, i, mask);
#pragma unroll
        for (int j = 0; j < WIDTH; j++)
            v[j] = scale[j] * (d[j] - mean_dbeta[j] - (v[j] - middle[j]) * inverse[j] * mean_dgamma[j]);
        store(dx + i, v);
    }
}
