"""A device whose operations are the CUDA kernels: which launches make up each operation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import MethodType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

import tinycnn.kernels as kernels
from tinycnn.devices.base import Array, Device
from tinycnn.devices.gpu.driver import Driver
from tinycnn.devices.gpu.fast.launches import OPERATIONS
from tinycnn.devices.gpu.launches import (
    activations,
    add,
    avgpool2d,
    batchnorm,
    bookkeeping,
    conv1x1,
    conv2d,
    dense,
    draw,
    dropout,
    elementwise,
    globalpool2d,
    layout,
    maxpool2d,
    optimizers,
    products,
    reduce,
    regularize,
    relu,
    softmax_crossentropy,
    upsample2d,
    zeropad2d,
)
from tinycnn.devices.gpu.step.run import whole_step

# How many images a full batch of this thread has; 0 where nobody has said so.
_full_batch: ContextVar[int] = ContextVar("full_batch", default=0)
# Where a thread notes its launches, as (file, kernel), in place of making them.
_noted: ContextVar[list[tuple[str, str]] | None] = ContextVar("noted", default=None)

CTYPES = {"float32": "float", "float64": "double"}


class KernelDevice(Device):
    """Everything but where the arrays live and who runs the kernels: `driver` knows that.

    An operation is a function in launches/<its .cu file>.py whose first argument is this device: a method of it.
    """

    def __init__(self, dtype: str, driver: Driver):
        super().__init__(dtype)
        self.driver = driver
        self.scalar = np.dtype(dtype).type
        self.itemsize = np.dtype(dtype).itemsize
        self.ctype = CTYPES[np.dtype(dtype).name]

    def launch(
        self, file: str, kernel: str, grid: tuple, block: tuple, *args: Any, shared: int = 0, cooperative: bool = False
    ) -> None:
        """Start `kernel` of kernels/`file`.cu, T standing for this device's type.

        args: arrays and numbers. A Python int is the kernel's `int`, a float its `T`; other types are NumPy scalars.
        shared: bytes of dynamic shared memory. cooperative: blocks may wait for one another, as Driver.launch has it.
        """
        if 0 in grid:
            return  # nothing to do
        noted = _noted.get()
        if noted is not None:
            noted.append((file, self.named(kernel)))
            return
        values = [self._argument(a) for a in args]
        self.driver.launch(file, self.named(kernel), self.ctype, grid, block, values, shared, cooperative)

    def named(self, kernel: str) -> str:
        """A kernel's name with this device's type for its T."""
        return kernel.replace("<T", f"<{self.ctype}")

    def _argument(self, value: Any) -> Any:
        if isinstance(value, int):
            return np.int32(value)  # raises OverflowError beyond 2^31
        return self.scalar(value) if type(value) is float else value

    def _take(self, path: str) -> None:
        for operation in OPERATIONS:
            vars(self).pop(operation.__name__, None)
            if path == "fast":
                vars(self)[operation.__name__] = MethodType(operation, self)

    # ---------------------------------------------------------------- arrays

    def asarray(self, host: ArrayLike | Array, dtype: DTypeLike | None = None) -> Array:
        dtype = np.dtype(dtype or self.dtype)
        if not self.driver.holds(host) and np.size(host) == 1 and self._can_fill(dtype):
            array = self.empty(np.shape(host), dtype)  # a number needs no copy, and so may be part of a recorded step
            bookkeeping.fill(self, array, np.asarray(host).reshape(()).item())
            return array
        return self.driver.asarray(host, dtype)

    def _can_fill(self, dtype: np.dtype) -> bool:
        return dtype in (np.dtype(self.dtype), np.dtype("int64"))

    def numpy(self, array: Array) -> np.ndarray:
        return self.driver.numpy(array)

    def empty(self, shape: int | tuple, dtype: DTypeLike | None = None) -> Array:
        return self.driver.empty(shape, dtype or self.dtype)

    def zeros(self, shape: int | tuple, dtype: DTypeLike | None = None) -> Array:
        return self.driver.zeros(shape, dtype or self.dtype)

    def copy(self, array: Array) -> Array:
        return self.driver.copy(array)

    def assign(self, destination: Array, source: Array) -> None:
        is_number = destination.size == 1 and isinstance(source, (np.ndarray, np.generic)) and source.size == 1
        if is_number and self._can_fill(destination.dtype):
            bookkeeping.fill(self, destination, source.reshape(()).item())
        else:
            self.driver.assign(destination, source)

    @contextmanager
    def batches_of(self, size: int) -> Iterator[None]:
        before = _full_batch.set(size)
        try:
            yield
        finally:
            _full_batch.reset(before)

    @property
    def full_batch(self) -> int:
        """What batches_of was given; 0 outside of it."""
        return _full_batch.get()

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        if self.path == "fast":
            self.driver.build(self._kernels_for_one_shape(step))
        return self.driver.record(step)

    def _kernels_for_one_shape(self, step: Callable[[], None]) -> list[tuple[str, str]]:
        """The kernels of kernels/fast that `step` will launch, as (file, kernel), to be built together.

        The step is gone through without a launch: what is launched depends on shapes alone.
        """
        wanted: list[tuple[str, str]] = []
        before = _noted.set(wanted)
        try:
            step()
        except Exception:  # of a layer that looks at numbers, which are any now: the step itself will say so
            pass
        finally:
            _noted.reset(before)
        return [one for one in wanted if one[0] in kernels.FAST]

    # ---------------------------------------------------------------- tensor arithmetic

    elementwise = elementwise.elementwise
    reduce = reduce.reduce
    matmul = dense.matmul
    transpose = layout.transpose
    concatenate = layout.concatenate
    split = layout.split

    # ---------------------------------------------------------------- convolution and dense

    conv2d_forward = conv2d.conv2d_forward
    conv2d_backward = conv2d.conv2d_backward
    conv2d_backward_data = conv2d.conv2d_backward_data
    conv2d_backward_filter = conv2d.conv2d_backward_filter
    conv1x1_forward = conv1x1.conv1x1_forward
    conv1x1_backward = conv1x1.conv1x1_backward
    conv1x1_backward_data = conv1x1.conv1x1_backward_data
    conv1x1_backward_filter = conv1x1.conv1x1_backward_filter
    dense_forward = dense.dense_forward
    dense_backward = dense.dense_backward
    dense_backward_data = dense.dense_backward_data
    dense_backward_filter = dense.dense_backward_filter
    whole = products.whole

    # ---------------------------------------------------------------- the other layers

    add = add.add
    relu_forward = relu.relu_forward
    relu_backward = relu.relu_backward
    activation_forward = activations.activation_forward
    activation_backward = activations.activation_backward
    maxpool2d_forward = maxpool2d.maxpool2d_forward
    maxpool2d_backward = maxpool2d.maxpool2d_backward
    avgpool2d_forward = avgpool2d.avgpool2d_forward
    avgpool2d_backward = avgpool2d.avgpool2d_backward
    globalavgpool2d_forward = globalpool2d.globalavgpool2d_forward
    globalavgpool2d_backward = globalpool2d.globalavgpool2d_backward
    globalmaxpool2d_forward = globalpool2d.globalmaxpool2d_forward
    globalmaxpool2d_backward = globalpool2d.globalmaxpool2d_backward
    upsample2d_forward = upsample2d.upsample2d_forward
    upsample2d_backward = upsample2d.upsample2d_backward
    zeropad2d_forward = zeropad2d.zeropad2d_forward
    zeropad2d_backward = zeropad2d.zeropad2d_backward
    batchnorm_forward = batchnorm.batchnorm_forward
    batchnorm_inference = batchnorm.batchnorm_inference
    batchnorm_backward = batchnorm.batchnorm_backward
    dropout_forward = dropout.dropout_forward
    dropout_backward = dropout.dropout_backward
    softmax_forward = softmax_crossentropy.softmax_forward
    softmax_backward = softmax_crossentropy.softmax_backward
    binary_crossentropy = softmax_crossentropy.binary_crossentropy
    mean_squared_error = softmax_crossentropy.mean_squared_error
    softmax_crossentropy = softmax_crossentropy.softmax_crossentropy

    # ---------------------------------------------------------------- training

    regularize = regularize.regularize
    sgd_step = optimizers.sgd_step
    adam_step = optimizers.adam_step
    adadelta_step = optimizers.adadelta_step
    whole_step = whole_step
    rmsprop_step = optimizers.rmsprop_step
    draw = draw.draw
    gather_batch = bookkeeping.gather_batch
    advance = bookkeeping.advance
