"""Softmax, and the losses with their gradients in one pass. The formulas stand in softmax_crossentropy.cu.

A warp computes a row: block (32, 4), lane x takes every 32nd k. C++ joins the lanes by shuffles and lets a warp without
a row return; here they join in shared memory behind barriers, which all threads of the block reach: a row behind the
last has K = 0 numbers.
"""

import math

import numpy as np
from numba import cuda
from tinycnn.kernels.numba.common import (
    WARP,
    WARPS,
    device_template,
    exp,
    last_to_arrive,
    log,
    log1p,
    relu_of,
    template,
    warp_max,
    warp_sum,
)  # fmt: skip


@device_template
def row_max(T):
    """The largest of the row's K numbers; a NaN shows in the sum instead."""

    def row_max(row, K, values):
        largest = T(-math.inf)
        for k in range(cuda.threadIdx.x, K, WARP):
            largest = row[k] if row[k] > largest else largest
        return warp_max(largest, values)

    return row_max


@device_template
def row_sum_of_exp(T):
    """The sum of exp(row[k] - largest)."""

    def row_sum_of_exp(row, K, largest, values):
        sum = T(0)
        for k in range(cuda.threadIdx.x, K, WARP):
            sum += exp(row[k] - largest)
        return warp_sum(sum, values)

    return row_sum_of_exp


@cuda.jit(device=True)
def is_larger(value, best):
    """Whether `value` takes the place of the maximum `best`: a NaN is larger than any number."""
    return value > best or (value != value and best == best)


@device_template
def row_argmax(T):
    """Where the first of the row's largest numbers is."""

    def row_argmax(row, K, values, places):
        lane, warp = cuda.threadIdx.x, cuda.threadIdx.y
        best, where = T(-math.inf), K
        for k in range(lane, K, WARP):
            if where == K or is_larger(row[k], best):
                best, where = row[k], k
        values[warp, lane], places[warp, lane] = best, where
        distance = WARP // 2
        while distance > 0:
            cuda.syncthreads()
            if lane < distance:
                other, there = values[warp, lane + distance], places[warp, lane + distance]
                first = where == K or is_larger(other, best) or (there < where and not is_larger(best, other))
                if there < K and first:
                    best, where = other, there
                    values[warp, lane], places[warp, lane] = best, where
            distance //= 2
        cuda.syncthreads()
        answer = places[warp, 0]
        cuda.syncthreads()  # before the next row overwrites this one
        return answer

    return row_argmax


@device_template
def add_up_rows(T):
    """The mean loss and the sum of what was right, by the last block to arrive. values: shared, (WARPS, WARP)."""

    def add_up_rows(row_loss, row_correct, loss, correct, totals, arrivals, N, has_totals, values):
        lane, warp = cuda.threadIdx.x, cuda.threadIdx.y
        if not last_to_arrive(arrivals, cuda.gridDim.x):
            return
        losses = cuda.shared.array(WARPS, T)
        rights = cuda.shared.array(WARPS, T)
        sum = T(0)
        right = T(0)
        for i in range(warp * WARP + lane, N, WARP * WARPS):
            sum += row_loss[i]
            right += row_correct[i]
        sum = warp_sum(sum, values)
        right = warp_sum(right, values)
        if lane == 0:
            losses[warp], rights[warp] = sum, right
        cuda.syncthreads()
        if lane > 0 or warp > 0:
            return
        for other in range(1, WARPS):
            sum += losses[other]
            right += rights[other]
        loss[0] = sum / T(N)
        correct[0] = right
        if has_totals:
            totals[0] += np.float64(loss[0]) * N
            totals[1] += np.float64(right)

    return add_up_rows


@device_template
def rounds_to(T):
    """1 where p, rounded to 0 or 1, is the label, else 0."""

    def rounds_to(p, label):
        return T(1) if label == (T(1) if p > T(0.5) else T(0)) else T(0)

    return rounds_to


@template
def softmax_forward(T):
    """y[n][k] = exp(x[n][k] - max of row n) / sum over k of the same.

    x, y (N,K). grid: (blocks of rows,), block (32, 4): a warp a row. Shared memory (static): one number a thread,
    where C++ has shuffles.
    """
    max_of_row, sum_of_row = row_max(T), row_sum_of_exp(T)

    def softmax_forward(x, y, N, K):
        values = cuda.shared.array((WARPS, WARP), T)
        n = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
        here = K if n < N else 0
        row = n * K if n < N else 0
        largest = max_of_row(x[row:], here, values)
        sum = sum_of_row(x[row:], here, largest, values)
        for k in range(cuda.threadIdx.x, here, WARP):
            y[row + k] = exp(x[row + k] - largest) / sum

    return softmax_forward


@template
def softmax_backward(T):
    """dx = y * (dy - sum over k of dy * y).

    dy, y, dx (N,K). grid: (blocks of rows,), block (32, 4): a warp a row. Shared memory (static): one number a thread,
    where C++ has shuffles.
    """

    def softmax_backward(dy, y, dx, N, K):
        values = cuda.shared.array((WARPS, WARP), T)
        n = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
        here = K if n < N else 0
        row = n * K
        dot = T(0)
        for k in range(cuda.threadIdx.x, here, WARP):
            dot += dy[row + k] * y[row + k]
        dot = warp_sum(dot, values)
        for k in range(cuda.threadIdx.x, here, WARP):
            dx[row + k] = y[row + k] * (dy[row + k] - dot)

    return softmax_backward


@template
def softmax_crossentropy(T):
    """dlogits = weight * (softmax - labels) / N, the mean loss, and how many answers are right.

    logits, labels, dlogits (N,K); weights, row_loss, row_correct (N,); loss, correct, arrivals (1,); totals (2,) of
    double, to which loss * N and correct are added where has_totals. grid: (blocks of rows,), block (32, 4): a warp a
    row; the last block adds the rows up. Shared memory (static): two numbers a thread, where C++ has shuffles.
    """
    max_of_row, sum_of_row, argmax_of_row = row_max(T), row_sum_of_exp(T), row_argmax(T)
    add_up = add_up_rows(T)

    def softmax_crossentropy(
        logits, labels, weights, dlogits, row_loss, row_correct, loss, correct, totals, arrivals, N, K, has_weights,
        has_totals,
    ):  # fmt: skip
        values = cuda.shared.array((WARPS, WARP), T)
        places = cuda.shared.array((WARPS, WARP), np.int32)
        lane, warp = cuda.threadIdx.x, cuda.threadIdx.y
        n = cuda.blockIdx.x * WARPS + warp
        here = K if n < N else 0
        row = n * K if n < N else 0
        largest = max_of_row(logits[row:], here, values)
        log_sum = log(sum_of_row(logits[row:], here, largest, values))
        weight = weights[n] if has_weights and n < N else T(1)
        sum = T(0)
        for k in range(lane, here, WARP):
            log_p, label = logits[row + k] - largest - log_sum, labels[row + k]
            sum -= label * log_p
            dlogits[row + k] = weight * ((exp(log_p) - label) / T(N))
        sum = warp_sum(sum, values)
        answer = argmax_of_row(logits[row:], here, values, places)
        truth = argmax_of_row(labels[row:], here, values, places)
        if lane == 0 and n < N:
            row_loss[n] = weight * sum
            row_correct[n] = T(1) if answer == truth else T(0)
        add_up(row_loss, row_correct, loss, correct, totals, arrivals, N, has_totals, values)

    return softmax_crossentropy


@template
def binary_crossentropy(T):
    """The mean of -label * log p - (1 - label) * log(1 - p), its gradient, and how much of each row is right.

    outputs, labels, gradient (N,K); the rest, the threads and the shared memory (static) as in softmax_crossentropy. p
    is `outputs` clipped to [1e-7, 1 - 1e-7], or with from_logits the sigmoid of it.
    """
    add_up, relu_of_T, right_one = add_up_rows(T), relu_of(T), rounds_to(T)
    ONE, LEAST = T(1), T(1e-7)
    MOST = T(ONE - LEAST)

    def binary_crossentropy(
        outputs, labels, weights, gradient, row_loss, row_correct, loss, correct, totals, arrivals, N, K, from_logits,
        has_weights, has_totals,
    ):  # fmt: skip
        values = cuda.shared.array((WARPS, WARP), T)
        n = cuda.blockIdx.x * WARPS + cuda.threadIdx.y
        weight = weights[n] if has_weights and n < N else ONE
        sum = T(0)
        right = T(0)
        for k in range(cuda.threadIdx.x, K if n < N else 0, WARP):
            i = n * K + k
            x, label = outputs[i], labels[i]
            if from_logits:
                p = ONE / (ONE + exp(-x))
                sum += relu_of_T(x) - x * label + log1p(exp(-x if x > 0 else x))
                gradient[i] = weight * ((p - label) / T(N) / T(K))
                right += right_one(p, label)
            else:
                p = LEAST if x < LEAST else MOST if x > MOST else x
                sum -= label * log(p) + (ONE - label) * log(ONE - p)
                clipped = x < LEAST or x > MOST  # there the loss does not change with x
                gradient[i] = T(0) if clipped else weight * ((p - label) / (p * (ONE - p)) / T(N) / T(K))
                right += right_one(x, label)
        sum = warp_sum(sum, values)
        right = warp_sum(right, values)
        if cuda.threadIdx.x == 0 and n < N:
            row_loss[n], row_correct[n] = weight * (sum / T(K)), right / T(K)
        add_up(row_loss, row_correct, loss, correct, totals, arrivals, N, has_totals, values)

    return binary_crossentropy


@template
def mean_squared_error(T):
    """The mean of (outputs - labels)^2, its gradient, and how many answers are right.

    outputs, labels, gradient (N,K); the rest, the threads and the shared memory (static) as in softmax_crossentropy.
    """
    add_up, argmax_of_row, right_one = add_up_rows(T), row_argmax(T), rounds_to(T)

    def mean_squared_error(
        outputs, labels, weights, gradient, row_loss, row_correct, loss, correct, totals, arrivals, N, K, has_weights,
        has_totals,
    ):  # fmt: skip
        values = cuda.shared.array((WARPS, WARP), T)
        places = cuda.shared.array((WARPS, WARP), np.int32)
        n = cuda.blockIdx.x * WARPS + cuda.threadIdx.y
        here = K if n < N else 0
        row = n * K if n < N else 0
        weight = weights[n] if has_weights and n < N else T(1)
        sum = T(0)
        for k in range(cuda.threadIdx.x, here, WARP):
            apart = outputs[row + k] - labels[row + k]
            sum += apart * apart
            gradient[row + k] = weight * (T(2) * apart / T(N) / T(K))
        sum = warp_sum(sum, values)
        answer = argmax_of_row(outputs[row:], here, values, places)
        truth = argmax_of_row(labels[row:], here, values, places)
        if cuda.threadIdx.x == 0 and n < N:
            row_loss[n] = weight * (sum / T(K))
            if K == 1:
                row_correct[n] = right_one(outputs[row], labels[row])
            else:
                row_correct[n] = T(1) if answer == truth else T(0)
        add_up(row_loss, row_correct, loss, correct, totals, arrivals, N, has_totals, values)

    return mean_squared_error
