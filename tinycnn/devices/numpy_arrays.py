"""What every device whose arrays are NumPy's has in common."""

import numpy as np

from tinycnn.devices.base import Device

ELEMENTWISE = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "power": np.power,
    "negative": np.negative,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "equal": np.equal,
    "greater": np.greater,
}
REDUCTIONS = {"sum": np.sum, "max": np.max}


class NumpyArrays(Device):
    """Arrays, tensor arithmetic and bookkeeping in plain NumPy."""

    def asarray(self, host, dtype=None):
        return np.asarray(host, dtype=dtype or self.dtype, order="C")

    def numpy(self, array):
        return array

    def empty(self, shape, dtype=None):
        return np.empty(shape, dtype=dtype or self.dtype)

    def zeros(self, shape, dtype=None):
        return np.zeros(shape, dtype=dtype or self.dtype)

    def copy(self, array):
        return np.array(array, order="C")

    def assign(self, destination, source):
        destination[...] = source

    def elementwise(self, operation, *arrays):
        return np.asarray(ELEMENTWISE[operation](*arrays), dtype=self.dtype)

    def reduce(self, operation, array, axis=None, keepdims=False):
        return np.asarray(REDUCTIONS[operation](array, axis=axis, keepdims=keepdims))

    def matmul(self, a, b):
        return a @ b

    def transpose(self, array, axes):
        return np.ascontiguousarray(array.transpose(axes))

    def concatenate(self, arrays):
        return np.concatenate(arrays, axis=-1)

    def split(self, array, sizes):
        return [np.ascontiguousarray(part) for part in np.split(array, np.cumsum(sizes)[:-1], axis=-1)]

    def gather_batch(self, images, labels, order, start, size):
        rows = order[start[0] : start[0] + size]
        return images[rows], labels[rows]

    def advance(self, counters):
        for counter, amount in counters:
            counter += amount

    def accumulate(self, totals, loss, correct, size):
        totals[0] += loss[0] * size
        totals[1] += correct[0]

    def record(self, step):
        return step
