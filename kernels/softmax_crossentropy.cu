// Softmax, and the losses: the cross-entropy after it, and two that need none. Each gives its gradient in the same pass.
//
//     y[n][k] = exp(x[n][k] - max of row n) / sum over k of the same
//     loss    = mean over n of weight[n] * -sum over k of labels[n][k] * log y[n][k]        (weight 1, or one a row)
//     correct = how many rows have their largest logit where their largest label is (the first of equal ones; a NaN is
//               larger than any number)
//     dlogits = weight * (y - labels) / N
//     totals += loss * N, correct          where a running sum over batches is kept: float64 (2,)
//
//     binary_crossentropy:  -mean over k of label * log p + (1 - label) * log(1 - p), where p is x clipped to [1e-7, 1 -
//                           1e-7], or, with from_logits, sigmoid(x), of which no number is lost:
//                           max(x, 0) - x * label + log(1 + exp(-|x|)). Right is the share of a row's p that round to
//                           their labels.
//     mean_squared_error:   mean over k of (x - label)^2. Right as with softmax; of a single number, as above.
//
// All other arrays (N,K); K is the number of classes, often 10. The same as plain loops:
// tinycnn/devices/reference/softmax_crossentropy.py.
//
// A warp computes a row: its lanes take every 32nd k and join their maxima and sums by shuffles, which need no
// barrier and no shared memory. Blocks are (32, ROWS). Every row writes its loss and whether it was right, and the last
// block to arrive adds these up in a fixed order (shared memory, static: two numbers a warp).
#include "common.cuh"

constexpr int ROWS = 4;  // warps of a block

template <typename T>
__device__ __forceinline__ T row_max(const T* row, int K) {
    T largest = -T(1) / T(0);
    for (int k = threadIdx.x; k < K; k += 32)
        largest = row[k] > largest ? row[k] : largest;  // a NaN shows in the sum instead
    return warp_max(largest);
}

template <typename T>
__device__ __forceinline__ T row_sum_of_exp(const T* row, int K, T largest) {
    T sum = 0;
    for (int k = threadIdx.x; k < K; k += 32) sum += exp(row[k] - largest);
    return warp_sum(sum);
}

// Whether `value` takes the place of the maximum `best`.
template <typename T>
__device__ __forceinline__ bool is_larger(T value, T best) {
    return value > best || (value != value && best == best);
}

// Where the first of the largest numbers is.
template <typename T>
__device__ __forceinline__ int row_argmax(const T* row, int K) {
    T best = -T(1) / T(0);
    int where = K;
    for (int k = threadIdx.x; k < K; k += 32)
        if (where == K || is_larger(row[k], best)) best = row[k], where = k;
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        const T other = __shfl_xor_sync(ALL_LANES, best, distance);
        const int there = __shfl_xor_sync(ALL_LANES, where, distance);
        if (there == K) continue;
        if (where == K || is_larger(other, best) || (there < where && !is_larger(best, other)))
            best = other, where = there;
    }
    return where;
}

template <typename T>
__global__ void softmax_forward(const T* __restrict__ x, T* __restrict__ y, int N, int K) {
    const int n = blockIdx.x * blockDim.y + threadIdx.y;
    if (n >= N) return;  // the whole warp
    x += (long long)n * K;
    y += (long long)n * K;
    const T largest = row_max(x, K), sum = row_sum_of_exp(x, K, largest);
    for (int k = threadIdx.x; k < K; k += 32) y[k] = exp(x[k] - largest) / sum;
}

// dx = y * (dy - sum over k of dy * y)
template <typename T>
__global__ void softmax_backward(const T* __restrict__ dy, const T* __restrict__ y, T* __restrict__ dx, int N, int K) {
    const int n = blockIdx.x * blockDim.y + threadIdx.y;
    if (n >= N) return;  // the whole warp
    const long long row = (long long)n * K;
    T dot = 0;
    for (int k = threadIdx.x; k < K; k += 32) dot += dy[row + k] * y[row + k];
    dot = warp_sum(dot);
    for (int k = threadIdx.x; k < K; k += 32) dx[row + k] = y[row + k] * (dy[row + k] - dot);
}

// Every block has its rows' results written: the last one to arrive adds them up, in a fixed order, to the mean loss and
// the sum of what was right.
template <typename T>
__device__ __forceinline__ void add_up_rows(
    const T* row_loss, const T* row_correct, T* loss, T* correct, double* totals, int* arrivals, int N,
    int has_totals) {
    if (!last_to_arrive(arrivals, gridDim.x)) return;

    __shared__ T losses[ROWS], rights[ROWS];
    T sum = 0, right = 0;
    for (int i = threadIdx.y * 32 + threadIdx.x; i < N; i += 32 * ROWS) {
        sum += row_loss[i];
        right += row_correct[i];
    }
    sum = warp_sum(sum);
    right = warp_sum(right);
    if (threadIdx.x == 0) losses[threadIdx.y] = sum, rights[threadIdx.y] = right;
    __syncthreads();
    if (threadIdx.x > 0 || threadIdx.y > 0) return;
    for (int warp = 1; warp < ROWS; warp++) sum += losses[warp], right += rights[warp];
    *loss = sum / N;
    *correct = right;
    if (has_totals) {
        totals[0] += double(*loss) * N;
        totals[1] += double(right);
    }
}

// The row's gradient, and its loss and whether it was right.
template <typename T>
__device__ void crossentropy_of_row(
    const T* __restrict__ logits, const T* __restrict__ labels, T weight, T* __restrict__ dlogits, T* row_loss,
    T* row_correct, int n, int N, int K) {
    const long long row = (long long)n * K;
    const T largest = row_max(logits + row, K);
    const T log_sum = log(row_sum_of_exp(logits + row, K, largest));
    T loss = 0;
    for (int k = threadIdx.x; k < K; k += 32) {
        const T log_p = logits[row + k] - largest - log_sum, label = labels[row + k];
        loss -= label * log_p;
        dlogits[row + k] = weight * ((exp(log_p) - label) / N);
    }
    loss = warp_sum(loss);
    const int answer = row_argmax(logits + row, K), truth = row_argmax(labels + row, K);
    if (threadIdx.x == 0) {
        row_loss[n] = weight * loss;
        row_correct[n] = answer == truth ? T(1) : T(0);
    }
}

// weights, row_loss, row_correct: (N,); loss, correct: (1,); arrivals: one counter of last_to_arrive.
template <typename T>
__global__ void softmax_crossentropy(
    const T* __restrict__ logits, const T* __restrict__ labels, const T* __restrict__ weights, T* __restrict__ dlogits,
    T* row_loss, T* row_correct, T* loss, T* correct, double* totals, int* arrivals, int N, int K, int has_weights,
    int has_totals) {
    const int n = blockIdx.x * ROWS + threadIdx.y;
    if (n < N) {  // the whole warp
        const T weight = has_weights ? weights[n] : T(1);
        crossentropy_of_row(logits, labels, weight, dlogits, row_loss, row_correct, n, N, K);
    }
    add_up_rows(row_loss, row_correct, loss, correct, totals, arrivals, N, has_totals);
}

// Whether p, rounded to 0 or 1, is the label.
template <typename T>
__device__ __forceinline__ bool rounds_to(T p, T label) {
    return label == (p > T(0.5) ? T(1) : T(0));
}

// The arrays are those of softmax_crossentropy; gradient (N,K): of `outputs`, which are x.
template <typename T>
__global__ void binary_crossentropy(
    const T* __restrict__ outputs, const T* __restrict__ labels, const T* __restrict__ weights,
    T* __restrict__ gradient, T* row_loss, T* row_correct, T* loss, T* correct, double* totals, int* arrivals, int N,
    int K, int from_logits, int has_weights, int has_totals) {
    const int n = blockIdx.x * ROWS + threadIdx.y;
    if (n < N) {  // the whole warp
        const T weight = has_weights ? weights[n] : T(1), least_p = T(1e-7), most_p = T(1) - T(1e-7);
        T sum = 0, right = 0;
        for (int k = threadIdx.x; k < K; k += 32) {
            const long long i = (long long)n * K + k;
            const T x = outputs[i], label = labels[i];
            if (from_logits) {
                const T p = T(1) / (T(1) + exp(-x));
                sum += relu_of(x) - x * label + log1p(exp(x > 0 ? -x : x));
                gradient[i] = weight * ((p - label) / N / K);
                right += rounds_to(p, label) ? 1 : 0;
            } else {
                const T p = x < least_p ? least_p : x > most_p ? most_p : x;
                sum -= label * log(p) + (T(1) - label) * log(T(1) - p);
                // Where x was clipped, the loss does not change with it.
                gradient[i] = x < least_p || x > most_p ? T(0) : weight * ((p - label) / (p * (T(1) - p)) / N / K);
                right += rounds_to(x, label) ? 1 : 0;
            }
        }
        sum = warp_sum(sum);
        right = warp_sum(right);
        if (threadIdx.x == 0) row_loss[n] = weight * (sum / K), row_correct[n] = right / K;
    }
    add_up_rows(row_loss, row_correct, loss, correct, totals, arrivals, N, has_totals);
}

template <typename T>
__global__ void mean_squared_error(
    const T* __restrict__ outputs, const T* __restrict__ labels, const T* __restrict__ weights,
    T* __restrict__ gradient, T* row_loss, T* row_correct, T* loss, T* correct, double* totals, int* arrivals, int N,
    int K, int has_weights, int has_totals) {
    const int n = blockIdx.x * ROWS + threadIdx.y;
    if (n < N) {  // the whole warp
        const long long row = (long long)n * K;
        const T weight = has_weights ? weights[n] : T(1);
        T sum = 0;
        for (int k = threadIdx.x; k < K; k += 32) {
            const T apart = outputs[row + k] - labels[row + k];
            sum += apart * apart;
            gradient[row + k] = weight * (2 * apart / N / K);
        }
        sum = warp_sum(sum);
        const int answer = row_argmax(outputs + row, K), truth = row_argmax(labels + row, K);
        if (threadIdx.x == 0) {
            row_loss[n] = weight * (sum / K);
            row_correct[n] = (K == 1 ? rounds_to(outputs[row], labels[row]) : answer == truth) ? T(1) : T(0);
        }
    }
    add_up_rows(row_loss, row_correct, loss, correct, totals, arrivals, N, has_totals);
}
