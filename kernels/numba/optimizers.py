"""SGD, Adam and Adadelta, by Keras's rules. See optimizers.cu.

There one launch updates all parameters, which it finds through a table of addresses. Numba cannot make a pointer of a
number, so the host launches these kernels once for each parameter tensor, with the blocks that the table gives it.
A thread has four numbers, one blockDim.x apart.
"""

import numpy as np
from numba import cuda
from tinycnn.kernels.numba.common import sqrt, template

PER_THREAD = 4


@template
def sgd(T):
    """v = momentum*v - lr*g; p += v, or p += momentum*v - lr*g with Nesterov's look-ahead.

    p, g, velocity: (size,); learning_rate: (1,). Without momentum (has_velocity 0) `velocity` is not touched. Four
    numbers a thread; no shared memory.
    """

    def sgd(p, g, velocity, _, size, learning_rate, momentum, has_velocity, nesterov):
        begin = cuda.blockIdx.x * cuda.blockDim.x * PER_THREAD + cuda.threadIdx.x
        rate = learning_rate[0]
        for k in range(PER_THREAD):
            i = begin + k * cuda.blockDim.x
            if i >= size:
                break
            step = rate * g[i]
            if not has_velocity:
                p[i] -= step
                continue
            v = momentum * velocity[i] - step
            velocity[i] = v
            p[i] += momentum * v - step if nesterov else v

    return sgd


@template
def adam(T):
    """m and v, running means of g and g^2; p -= lr * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon).

    p, g, m, v: (size,); learning_rate, step: (1,); beta_1, beta_2: double. Four numbers a thread. Shared memory
    (static): one number, the corrected rate, which thread 0 takes in double.
    """

    def adam(p, g, m, v, size, learning_rate, step, beta_1, beta_2, weight_1, weight_2, epsilon):
        corrected_rate = cuda.shared.array(1, T)
        if cuda.threadIdx.x == 0:
            t, one = np.float64(step[0]), np.float64(1)
            corrected_rate[0] = T(np.float64(learning_rate[0]) * sqrt(one - beta_2**t) / (one - beta_1**t))
        cuda.syncthreads()
        rate = corrected_rate[0]
        begin = cuda.blockIdx.x * cuda.blockDim.x * PER_THREAD + cuda.threadIdx.x
        for k in range(PER_THREAD):
            i = begin + k * cuda.blockDim.x
            if i >= size:
                break
            m[i] += weight_1 * (g[i] - m[i])
            v[i] += weight_2 * (g[i] * g[i] - v[i])
            p[i] -= rate * m[i] / (sqrt(v[i]) + epsilon)

    return adam


@template
def adadelta(T):
    """p -= lr * update, update = g * sqrt(d + epsilon) / sqrt(a + epsilon); a and d: running means of g^2 and update^2.

    p, g, a, d: (size,); learning_rate: (1,); weight is 1 - rho. Four numbers a thread; no shared memory.
    """

    def adadelta(p, g, a, d, size, learning_rate, weight, epsilon):
        begin = cuda.blockIdx.x * cuda.blockDim.x * PER_THREAD + cuda.threadIdx.x
        rate = learning_rate[0]
        for k in range(PER_THREAD):
            i = begin + k * cuda.blockDim.x
            if i >= size:
                break
            a[i] += weight * (g[i] * g[i] - a[i])
            update = g[i] * sqrt(d[i] + epsilon) / sqrt(a[i] + epsilon)
            d[i] += weight * (update * update - d[i])
            p[i] -= rate * update

    return adadelta
