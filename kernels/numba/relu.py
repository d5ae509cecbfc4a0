"""ReLU as an operation of its own. See relu.cu."""

from numba import cuda
from tinycnn.kernels.numba.common import relu_of, template


@template
def relu_forward(T):
    """y = max(x, 0).

    x, y: (total,). A thread has four neighbouring numbers; no shared memory. C++ moves the four as one 16-byte access.
    """
    relu_of_T = relu_of(T)

    def relu_forward(x, y, total):
        i = 4 * (cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        for j in range(i, min(i + 4, total)):
            y[j] = relu_of_T(x[j])

    return relu_forward


@template
def relu_backward(T):
    """dx = dy where y > 0, else 0.

    dy, y, dx: (total,). A thread has four neighbouring numbers; no shared memory. C++ moves the four as one 16-byte
    access.
    """

    def relu_backward(dy, y, dx, total):
        i = 4 * (cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        for j in range(i, min(i + 4, total)):
            dx[j] = dy[j] if y[j] > 0 else T(0)

    return relu_backward
