"""Activations other than ReLU and softmax, number by number. See activations.cu."""

from numba import cuda
from tinycnn.kernels.numba.common import device_template, exp, expm1, log1p, relu_of, tanh, template


@device_template
def activation_of(T):
    """0 tanh, 1 sigmoid, 2 elu, 3 leaky_relu, 4 softplus of x."""
    relu_of_T = relu_of(T)

    def activation_of(activation, x, alpha):
        if activation == 0:
            return tanh(x)
        if activation == 1:
            return T(1) / (T(1) + exp(-x))
        if activation == 2:
            return x if x > 0 else alpha * expm1(x)
        if activation == 3:
            return x if x > 0 else alpha * x
        return relu_of_T(x) + log1p(exp(-x if x > 0 else x))

    return activation_of


@device_template
def slope_of(T):
    """The derivative of the same, by its result y."""

    def slope_of(activation, y, alpha):
        if activation == 0:
            return T(1) - y * y
        if activation == 1:
            return y * (T(1) - y)
        if activation == 2:
            return T(1) if y > 0 else y + alpha
        if activation == 3:
            return T(1) if y > 0 else alpha
        return -expm1(-y)

    return slope_of


@template
def activation_forward(T):
    """y = f(x).

    x, y: (total,). A thread has four neighbouring numbers; no shared memory. C++ moves the four as one 16-byte access.
    """
    activation_of_T = activation_of(T)

    def activation_forward(activation, x, y, alpha, total):
        i = 4 * (cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        for j in range(i, min(i + 4, total)):
            y[j] = activation_of_T(activation, x[j], alpha)

    return activation_forward


@template
def activation_backward(T):
    """dx = dy * f'(x), by y.

    dy, y, dx: (total,). A thread has four neighbouring numbers; no shared memory. C++ moves the four as one 16-byte
    access.
    """
    slope_of_T = slope_of(T)

    def activation_backward(activation, dy, y, dx, alpha, total):
        i = 4 * (cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        for j in range(i, min(i + 4, total)):
            dx[j] = dy[j] * slope_of_T(activation, y[j], alpha)

    return activation_backward
