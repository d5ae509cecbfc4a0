"""Max pooling by windows of 2 x 2, a thread for each output."""

from numba import cuda


@cuda.jit
def maxpool(x, y):
    i = cuda.grid(1)
    N, P, Q, C = y.shape
    if i >= N * P * Q * C:
        return
    c, q, p, n = i % C, i // C % Q, i // C // Q % P, i // C // Q // P
    largest = x[n, 2 * p, 2 * q, c]
    for r in range(2):
        for s in range(2):
            if x[n, 2 * p + r, 2 * q + s, c] > largest:
                largest = x[n, 2 * p + r, 2 * q + s, c]
    y[n, p, q, c] = largest
