"""The autograd engine: tensors, how each came about, and the backward pass.

A Tensor holds an array of a device. An operation (functional.py, arithmetic.py) computes an array from those of other
tensors, and `output_of` makes a Tensor of it that remembers the inputs and how a gradient flows back to them. So every
result hangs in a graph of what it was made from. `backward` walks that graph once, from the result to the leaves, and
hands each operation the gradient of its output; the operation answers with those of its inputs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.devices import current_device
from tinycnn.devices.base import Array, Device, Slices

_remembering = ContextVar("remembering", default=True)


@contextmanager
def no_grad() -> Iterator[None]:
    """Inside this block results do not remember where they came from: less memory, no backward.

    It holds for the thread (or the asyncio task) that entered the block, and for no other.
    """
    before = _remembering.set(False)
    try:
        yield
    finally:
        _remembering.reset(before)


class Tensor:
    """An array with a gradient. The values are copied, as by torch.tensor.

    Args:
        data: anything NumPy understands, or an array of `device`; floats become the device's dtype.
        requires_grad: whether `backward` leaves a gradient here, in `.grad` (a Tensor, or None before).
        device: where it lives; the current device if None.

    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad.numpy()
    array([2., 4., 6.], dtype=float32)
    """

    __slots__ = ("data", "device", "requires_grad", "gradient", "creator", "logits")

    def __init__(self, data: ArrayLike | Tensor | Array, requires_grad: bool = False, device: Device | None = None):
        if isinstance(data, Tensor):
            data, device = data.data, device or data.device
        self.device: Device = device or current_device()
        array = self.device.asarray(data)
        # NumPy's asarray does not copy: an optimiser would write into the array of whoever made the tensor.
        self.data: Array = self.device.copy(array) if isinstance(array, np.ndarray) or array is data else array
        self.requires_grad = requires_grad
        self.gradient: Tensor | Slices | None = None  # what `grad` is, or is made of
        self.creator: Operation | None = None  # what made it, unless it is a leaf
        self.logits: Tensor | None = None  # of a softmax's output: what it was computed from

    @classmethod
    def wrap(cls, array: Array, device: Device) -> Tensor:
        """A Tensor around a device array as it is, without a copy or a check."""
        tensor = cls.__new__(cls)
        tensor.data, tensor.device = array, device
        tensor.requires_grad, tensor.gradient, tensor.creator, tensor.logits = False, None, None, None
        return tensor

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward` left here, or None."""
        if isinstance(self.gradient, Slices):
            self.gradient = Tensor.wrap(self.device.whole(self.gradient), self.device)
        return self.gradient

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        self.gradient = value

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    @property
    def ndim(self) -> int:
        return len(self.data.shape)

    @property
    def size(self) -> int:
        return self.data.size

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a tensor of shape () has no length")
        return self.shape[0]

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(f"a tensor of shape {self.shape} is neither true nor false; numpy() has its values")
        return self.item() != 0

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array (waits for the device). Not to be written to."""
        return self.device.numpy(self.data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        values = self.numpy()
        return values.astype(dtype or values.dtype, copy=bool(copy))

    def item(self) -> float:
        """The value of a tensor of one element as a Python float. Raises ValueError where there are more."""
        if self.size != 1:
            raise ValueError(f"item() needs one element; this tensor has shape {self.shape}")
        return float(self.numpy().reshape(()))

    def __float__(self) -> float:
        return self.item()

    def __repr__(self) -> str:
        grad = ", requires_grad=True" if self.requires_grad else ""
        made = f", made by {self.creator.name}" if self.creator else ""
        return f"Tensor({np.array2string(self.numpy(), separator=', ', prefix='Tensor(')}, {self.dtype}{grad}{made})"

    if TYPE_CHECKING:  # the arithmetic, which arithmetic.py puts here; what it cannot combine it refuses by TypeError

        def __add__(self, other: ArrayLike | Tensor) -> Tensor: ...
        def __radd__(self, other: ArrayLike) -> Tensor: ...
        def __sub__(self, other: ArrayLike | Tensor) -> Tensor: ...
        def __rsub__(self, other: ArrayLike) -> Tensor: ...
        def __mul__(self, other: ArrayLike | Tensor) -> Tensor: ...
        def __rmul__(self, other: ArrayLike) -> Tensor: ...
        def __truediv__(self, other: ArrayLike | Tensor) -> Tensor: ...
        def __rtruediv__(self, other: ArrayLike) -> Tensor: ...
        def __pow__(self, other: ArrayLike | Tensor) -> Tensor: ...
        def __rpow__(self, other: ArrayLike) -> Tensor: ...
        def __matmul__(self, other: ArrayLike | Tensor) -> Tensor: ...
        def __rmatmul__(self, other: ArrayLike) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __lt__(self, other: ArrayLike | Tensor) -> Tensor: ...
        def __gt__(self, other: ArrayLike | Tensor) -> Tensor: ...
        def __le__(self, other: ArrayLike | Tensor) -> Tensor: ...
        def __ge__(self, other: ArrayLike | Tensor) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def exp(self) -> Tensor: ...
        def log(self) -> Tensor: ...
        def sqrt(self) -> Tensor: ...
        def sum(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor: ...
        def max(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor: ...
        def mean(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor: ...
        def reshape(self, *shape: Any) -> Tensor: ...
        def transpose(self, *axes: int) -> Tensor: ...
        @property
        def T(self) -> Tensor: ...

    def detach(self) -> Tensor:
        """The same values, outside the graph."""
        return Tensor.wrap(self.data, self.device)

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    def backward(self, upstream: ArrayLike | Tensor | None = None, retain_graph: bool = False) -> None:
        """Add d(self . upstream) / d(leaf) to `.grad` of every leaf that requires it.

        Args:
            upstream: the gradient of self, of its shape; may be left out where self has one element.
            retain_graph: keep what the operations saved, so that backward can run again. Otherwise it is freed.

        Raises:
            RuntimeError: where there is no graph, or it was freed.
            ValueError: where the shapes of self and upstream differ.
        """
        if self.creator is None and not self.requires_grad:
            raise RuntimeError("backward() on a tensor that no gradient flows to: no input had requires_grad=True")
        gradient = self._upstream(upstream)
        if self.creator is None:
            self._accumulate(gradient)
            return
        pending = {self.creator: gradient}  # the gradient of an output, summed over those who used it
        with no_grad():
            for operation in operations_behind(self):
                gradients = operation.backward(pending.pop(operation))
                for tensor, gradient in zip(operation.inputs, gradients, strict=True):
                    if not tensor.requires_grad:
                        continue
                    if tensor.creator is None:
                        tensor._accumulate(gradient)
                        continue
                    gradient = self.device.whole(gradient)
                    if tensor.creator in pending:
                        pending[tensor.creator] = self.device.elementwise("add", pending[tensor.creator], gradient)
                    else:
                        pending[tensor.creator] = gradient
                if not retain_graph:
                    operation.free()

    def _upstream(self, upstream: ArrayLike | Tensor | None) -> Array:
        if upstream is None:
            if self.size != 1:
                raise ValueError(
                    f"backward() of a tensor of shape {self.shape} needs an upstream gradient of that shape"
                )
            upstream = np.ones(self.shape)
        tensor = upstream if isinstance(upstream, Tensor) else Tensor(upstream, device=self.device)
        if tensor.shape != self.shape:
            raise ValueError(f"the upstream gradient has shape {tensor.shape}, the tensor {self.shape}")
        return tensor.data

    def _accumulate(self, gradient: Array | Slices) -> None:
        if self.grad is not None:
            gradient = self.device.elementwise("add", self.grad.data, self.device.whole(gradient))
        self.gradient = gradient if isinstance(gradient, Slices) else Tensor.wrap(gradient, self.device)


class Operation:
    """One operation that was applied: its name, its inputs, and the way of a gradient back through it.

    backward(dy), dy the gradient of the output, returns a tuple with the gradient of each input as a device array, or
    as Slices of one; what stands there for an input that requires none is not looked at. Inputs and backward are None
    once the graph is freed.
    """

    __slots__ = ("name", "inputs", "backward")

    def __init__(self, name: str, inputs: Sequence[Tensor], backward: Callable[[Array], tuple]):
        self.name, self.inputs, self.backward = name, inputs, backward

    def free(self) -> None:
        """Let go of the inputs and of whatever backward remembers."""
        self.inputs = self.backward = None  # type: ignore[assignment]


class TwoDevices(ValueError):
    """An operation whose inputs live on different devices."""


def device_of(name: str, *tensors: Tensor | None) -> Device:
    """The device that all inputs of the operation `name` live on (None is no input). Raises TwoDevices."""
    device = tensors[0].device  # type: ignore[union-attr]
    for tensor in tensors:
        if tensor is not None and tensor.device is not device:
            raise TwoDevices(f"{name}: inputs on two devices, {device} and {tensor.device}")
    return device


def output_of(name: str, inputs: Sequence[Tensor], array: Array, backward: Callable[[Array], tuple]) -> Tensor:
    """The output `array` of the operation `name` as a Tensor.

    It remembers how it came about (see Operation), unless no input requires a gradient, or inside of `no_grad`.

    An operation of your own, y = 2 x:

    >>> def twice(x):
    ...     double = lambda array: x.device.elementwise("multiply", array, 2.0)
    ...     return output_of("twice", (x,), double(x.data), lambda dy: (double(dy),))
    >>> x = Tensor(3.0, requires_grad=True)
    >>> twice(x).backward()
    >>> x.grad.item()
    2.0
    """
    output = Tensor.wrap(array, inputs[0].device)
    if _remembering.get() and any(tensor.requires_grad for tensor in inputs):
        output.requires_grad, output.creator = True, Operation(name, inputs, backward)
    return output


def operations_behind(tensor: Tensor) -> list[Operation]:
    """Every operation that `tensor` was made by, each after all those that used its output.

    Depth first without recursion: a network may be deeper than Python's stack. Raises RuntimeError where one was freed.
    """
    finished, seen = [], set()
    stack: list[tuple[Any, bool]] = [(tensor.creator, False)]
    while stack:
        operation, inputs_done = stack.pop()
        if inputs_done:
            finished.append(operation)
            continue
        if operation in seen:
            continue
        if operation.inputs is None:
            raise RuntimeError(
                f"backward() reached {operation.name}, whose graph was freed by an earlier backward(). "
                "Run the forward pass again, or call the first backward with retain_graph=True."
            )
        seen.add(operation)
        stack.append((operation, True))
        stack.extend((t.creator, False) for t in operation.inputs if t.creator is not None)
    return finished[::-1]


class Function:
    """An operation of your own as a class, for one that keeps more than a closure should.

    A subclass has `forward(*arrays)`, which returns an array and may save what it needs on self, and `backward(dy)`,
    which returns the gradient of each input: an array, or a tuple of them. Both compute with `self.device`; each call
    has a self of its own, a copy.

    >>> class Twice(Function):
    ...     def forward(self, x):
    ...         return self.device.elementwise("multiply", x, 2.0)
    ...     def backward(self, dy):
    ...         return self.device.elementwise("multiply", dy, 2.0)
    >>> x = Tensor(3.0, requires_grad=True)
    >>> Twice()(x).backward()
    >>> x.grad.item()
    2.0
    """

    device: Device

    def __call__(self, *tensors: Tensor) -> Tensor:
        name, call = type(self).__name__, copy.copy(self)
        call.device = device_of(name, *tensors)

        def backward(dy: Array) -> tuple:
            gradients = call.backward(dy)
            return gradients if isinstance(gradients, tuple) else (gradients,)

        return output_of(name, tensors, call.forward(*(tensor.data for tensor in tensors)), backward)

    def forward(self, *arrays: Array) -> Array:
        raise NotImplementedError(f"{type(self).__name__} has no forward(self, *arrays)")

    def backward(self, dy: Array) -> Array | tuple:
        raise NotImplementedError(f"{type(self).__name__} has no backward(self, dy)")
