"""SGD, Adam, Adadelta and RMSprop, by Keras's rules. See optimizers.cu.

There one launch updates all parameters, which it finds through a table of addresses. Numba cannot make a pointer of a
number, so the host launches these kernels once for each parameter tensor, with the blocks that the table gives it.
A thread has four numbers, one blockDim.x apart; where the gradient lies in slices, a block has 32 numbers.
"""

import numpy as np
from numba import cuda
from tinycnn.kernels.numba.common import WARP, device_template, sqrt, template

PER_THREAD = 4
MOST_THREADS = 256


@device_template
def sum_of_slices(T):
    """The sum over the slices of element i of a gradient g (slices, size), known to the first warp.

    Each warp adds up every blockDim.x / 32-th slice; the warps' sums are joined by halving. Shared memory (static): one
    number a thread.
    """

    def sum_of_slices(g, i, size, slices):
        sums = cuda.shared.array(MOST_THREADS, T)
        sum = T(0)
        if i < size:
            for slice in range(cuda.threadIdx.x // WARP, slices, cuda.blockDim.x // WARP):
                sum += g[slice * size + i]
        sums[cuda.threadIdx.x] = sum
        threads = cuda.blockDim.x // 2
        while threads >= WARP:
            cuda.syncthreads()
            if cuda.threadIdx.x < threads:
                sum += sums[cuda.threadIdx.x + threads]
                sums[cuda.threadIdx.x] = sum
            threads //= 2
        return sum

    return sum_of_slices


def update(T, rule):
    """A kernel's body: rule(i, g, p, first, second, numbers) for all that this block has of a tensor.

    numbers: what the rule takes beside arrays, as one tuple.
    """
    sum_of = sum_of_slices(T)

    def update(p, g, first, second, size, slices, numbers):
        if slices > 1:
            i = cuda.blockIdx.x * WARP + cuda.threadIdx.x % WARP
            gradient = sum_of(g, i, size, slices)
            if cuda.threadIdx.x < WARP and i < size:
                rule(i, gradient, p, first, second, numbers)
            return
        begin = cuda.blockIdx.x * cuda.blockDim.x * PER_THREAD + cuda.threadIdx.x
        for k in range(PER_THREAD):
            i = begin + k * cuda.blockDim.x
            if i < size:
                rule(i, g[i], p, first, second, numbers)

    return cuda.jit(device=True)(update)


@cuda.jit(device=True)
def sgd_rule(i, g, p, velocity, _, numbers):
    rate, momentum, has_velocity, nesterov = numbers
    step = rate * g
    if has_velocity:
        v = momentum * velocity[i] - step
        velocity[i] = v
        p[i] += momentum * v - step if nesterov else v
    else:
        p[i] -= step


@template
def sgd(T):
    """v = momentum*v - lr*g; p += v, or p += momentum*v - lr*g with Nesterov's look-ahead.

    p, velocity: (size,); g: (slices, size); learning_rate: (1,). Without momentum (has_velocity 0) `velocity` is not
    touched. Four numbers a thread. Shared memory (static): one number a thread, where there are slices to add up.
    """
    update_T = update(T, sgd_rule)

    def sgd(p, g, velocity, second, size, slices, learning_rate, momentum, has_velocity, nesterov):
        update_T(p, g, velocity, second, size, slices, (learning_rate[0], momentum, has_velocity, nesterov))

    return sgd


@cuda.jit(device=True)
def adam_rule(i, g, p, m, v, numbers):
    rate, weight_1, weight_2, epsilon = numbers
    m[i] += weight_1 * (g - m[i])
    v[i] += weight_2 * (g * g - v[i])
    p[i] -= rate * m[i] / (sqrt(v[i]) + epsilon)


@template
def adam(T):
    """m and v, running means of g and g^2; p -= lr * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon).

    p, m, v: (size,); g: (slices, size); learning_rate, step: (1,); beta_1, beta_2: double. Four numbers a thread.
    Shared memory (static): one number, the corrected rate, which thread 0 takes in double; and one a thread, where
    there are slices to add up.
    """
    update_T = update(T, adam_rule)

    def adam(p, g, m, v, size, slices, learning_rate, step, beta_1, beta_2, weight_1, weight_2, epsilon):
        corrected_rate = cuda.shared.array(1, T)
        if cuda.threadIdx.x == 0:
            t, one = np.float64(step[0]), np.float64(1)
            corrected_rate[0] = T(np.float64(learning_rate[0]) * sqrt(one - beta_2**t) / (one - beta_1**t))
        cuda.syncthreads()
        update_T(p, g, m, v, size, slices, (corrected_rate[0], weight_1, weight_2, epsilon))

    return adam


@cuda.jit(device=True)
def adadelta_rule(i, g, p, a, d, numbers):
    rate, weight, epsilon = numbers
    a[i] += weight * (g * g - a[i])
    change = g * sqrt(d[i] + epsilon) / sqrt(a[i] + epsilon)
    d[i] += weight * (change * change - d[i])
    p[i] -= rate * change


@template
def adadelta(T):
    """p -= lr * change, change = g * sqrt(d + epsilon) / sqrt(a + epsilon); a and d: running means of g^2 and change^2.

    p, a, d: (size,); g: (slices, size); learning_rate: (1,); weight is 1 - rho. Four numbers a thread. Shared memory
    (static): one number a thread, where there are slices to add up.
    """
    update_T = update(T, adadelta_rule)

    def adadelta(p, g, a, d, size, slices, learning_rate, weight, epsilon):
        update_T(p, g, a, d, size, slices, (learning_rate[0], weight, epsilon))

    return adadelta


@cuda.jit(device=True)
def rmsprop_rule(i, g, p, a, _, numbers):
    rate, weight, epsilon = numbers
    a[i] += weight * (g * g - a[i])
    p[i] -= rate * g / (sqrt(a[i]) + epsilon)


@template
def rmsprop(T):
    """p -= lr * g / (sqrt(a) + epsilon), a being a running mean of g^2.

    p, a: (size,); g: (slices, size); learning_rate: (1,); weight is 1 - rho. Four numbers a thread. Shared memory
    (static): one number a thread, where there are slices to add up.
    """
    update_T = update(T, rmsprop_rule)

    def rmsprop(p, g, a, second, size, slices, learning_rate, weight, epsilon):
        update_T(p, g, a, second, size, slices, (learning_rate[0], weight, epsilon))

    return rmsprop
