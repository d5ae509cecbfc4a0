"""The autograd engine: tensors, functions between them, and the backward pass.

A Tensor holds an array of a device. A Function makes one tensor from others and remembers its inputs, so
every result hangs in a graph of what it was made from. `backward` walks that graph once, from the result to
the leaves, and hands each function the gradient of its output; the function answers with those of its inputs.
"""

from contextlib import contextmanager

import numpy as np

from tinycnn.devices import current_device

_grad_enabled = True


@contextmanager
def no_grad():
    """Inside this block results do not remember where they came from: less memory, no backward."""
    global _grad_enabled
    before, _grad_enabled = _grad_enabled, False
    try:
        yield
    finally:
        _grad_enabled = before


class Tensor:
    """An array with a gradient.

    data: anything NumPy understands, or an array of `device`; floats become the device's dtype.
    requires_grad: whether `backward` leaves a gradient here, in `.grad` (a Tensor, or None before).
    device: where it lives; the current device if None.
    """

    def __init__(self, data, requires_grad=False, device=None):
        if isinstance(data, Tensor):
            data, device = data.data, device or data.device
        self.device = device or current_device()
        self.data = self.device.asarray(data)
        self.requires_grad = requires_grad
        self.grad = None
        self.creator = None  # the Function that made it, unless it is a leaf

    @classmethod
    def wrap(cls, array, device):
        """A Tensor around a device array as it is, without a copy or a check."""
        tensor = cls.__new__(cls)
        tensor.data, tensor.device = array, device
        tensor.requires_grad, tensor.grad, tensor.creator = False, None, None
        return tensor

    @property
    def shape(self):
        return self.data.shape

    @property
    def dtype(self):
        return self.data.dtype

    @property
    def ndim(self):
        return len(self.data.shape)

    @property
    def size(self):
        return self.data.size

    def __len__(self):
        if not self.shape:
            raise TypeError("a tensor of shape () has no length")
        return self.shape[0]

    def numpy(self):
        """The values as a NumPy array (waits for the device). Not to be written to."""
        return self.device.numpy(self.data)

    def __array__(self, dtype=None, copy=None):
        values = self.numpy()
        return values.astype(dtype or values.dtype, copy=bool(copy))

    def item(self):
        """The value of a tensor of one element as a Python float."""
        if self.size != 1:
            raise ValueError(f"item() needs one element; this tensor has shape {self.shape}")
        return float(self.numpy().reshape(()))

    def __float__(self):
        return self.item()

    def __repr__(self):
        grad = ", requires_grad=True" if self.requires_grad else ""
        made = f", made by {self.creator.name}" if self.creator else ""
        return f"Tensor({np.array2string(self.numpy(), separator=', ', prefix='Tensor(')}, {self.dtype}{grad}{made})"

    def detach(self):
        """The same values, outside the graph."""
        return Tensor.wrap(self.data, self.device)

    def zero_grad(self):
        """Forget the gradient."""
        self.grad = None

    def backward(self, upstream=None, retain_graph=False):
        """Add d(self . upstream) / d(leaf) to `.grad` of every leaf that requires it.

        upstream: the gradient of self, of its shape; may be left out where self has one element.
        retain_graph: keep what the functions saved, so that backward can run again. Otherwise it is freed.
        Raises RuntimeError where there is no graph or it was freed, ValueError where shapes differ.
        """
        if self.creator is None and not self.requires_grad:
            raise RuntimeError("backward() on a tensor that no gradient flows to: no input had requires_grad=True")
        upstream = self._upstream(upstream)
        if self.creator is None:
            self._accumulate(upstream)
            return
        pending = {self.creator: upstream}  # the gradient of a function's output, summed over those who used it
        for function in functions_behind(self):
            with no_grad():
                gradients = function.backward(pending.pop(function))
            if not isinstance(gradients, tuple):
                gradients = (gradients,)
            for tensor, gradient in zip(function.inputs, gradients, strict=True):
                if not tensor.requires_grad:
                    continue
                if tensor.creator is None:
                    tensor._accumulate(gradient)
                elif tensor.creator in pending:
                    pending[tensor.creator] = self.device.elementwise("add", pending[tensor.creator], gradient)
                else:
                    pending[tensor.creator] = gradient
            if not retain_graph:
                function.free()

    def _upstream(self, upstream):
        if upstream is None:
            if self.size != 1:
                raise ValueError(
                    f"backward() of a tensor of shape {self.shape} needs an upstream gradient of that shape"
                )
            upstream = np.ones(self.shape)
        upstream = Tensor(upstream, device=self.device)
        if upstream.shape != self.shape:
            raise ValueError(f"the upstream gradient has shape {upstream.shape}, the tensor {self.shape}")
        return upstream.data

    def _accumulate(self, gradient):
        if self.grad is not None:
            gradient = self.device.elementwise("add", self.grad.data, gradient)
        self.grad = Tensor.wrap(gradient, self.device)


class Function:
    """One differentiable operation, applied once.

    A subclass has `forward(*arrays)`, which returns an array and may save what it needs on self, and
    `backward(dy)`, which returns the gradient of each input: an array, or a tuple of them where there are
    several inputs (None where there is no gradient). Both compute with `self.device`. Options are given to
    the constructor: `Sum(axis=0)(x)`. `needs(i)` tells whether anybody wants the gradient of input i.
    """

    inputs = None  # the input tensors, from the forward pass until the graph is freed

    @property
    def name(self):
        return type(self).__name__

    def __call__(self, *tensors):
        self.device = tensors[0].device
        for tensor in tensors:
            if tensor.device is not self.device:
                raise ValueError(f"{self.name}: inputs on two devices, {self.device} and {tensor.device}")
        output = Tensor.wrap(self.forward(*(tensor.data for tensor in tensors)), self.device)
        if _grad_enabled and any(tensor.requires_grad for tensor in tensors):
            output.requires_grad, output.creator = True, self
            self.inputs = tensors
        return output

    def needs(self, i):
        return self.inputs[i].requires_grad

    def free(self):
        """Let go of the inputs and of whatever forward saved."""
        self.__dict__ = {}


def functions_behind(tensor):
    """Every function that `tensor` was made by, each after all those that used its output.

    Depth first without recursion: a network may be deeper than Python's stack.
    """
    finished, seen = [], set()
    stack = [(tensor.creator, False)]
    while stack:
        function, inputs_done = stack.pop()
        if inputs_done:
            finished.append(function)
            continue
        if function in seen:
            continue
        if function.inputs is None:
            raise RuntimeError(
                f"backward() reached {function.name}, whose graph was freed by an earlier backward(). "
                "Run the forward pass again, or call the first backward with retain_graph=True."
            )
        seen.add(function)
        stack.append((function, True))
        stack.extend((t.creator, False) for t in function.inputs if t.creator is not None)
    return finished[::-1]
