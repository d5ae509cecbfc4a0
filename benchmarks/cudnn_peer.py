"""The peer: cuDNN, and cuBLAS for dense layers, through PyTorch's own operators.

cuDNN's search for its fastest algorithm is on, images lie channels first and channels last, and all of that is tried
in strict float32 and with TF32 allowed. PyTorch may answer with a kernel of its own, which is then what is timed:
the faster stands for the peer. Runs on a CPU too, which is how it is tested where there is no GPU.
"""

import torch
from gpu_timing import HostMarks, TorchMarks
from peer_torch import LAYOUTS
from sides import Bound, How

aten = torch.ops.aten


class TorchSide:
    def __init__(self, device="cuda"):
        self.device, self.label = torch.device(device), "PyTorch"
        self.marks = TorchMarks() if self.device.type == "cuda" else HostMarks()
        torch.backends.cudnn.benchmark, torch.backends.cudnn.benchmark_limit = True, 0

    def variants(self, problem, direction):
        image = problem.operation in ("conv2d", "maxpool2d") or len(getattr(problem, "shape", ())) == 4
        ways = {layout: How(layout=layout) for layout in LAYOUTS} if image else {"rows": How()}
        if problem.operation == "dropout":
            ways = {"rows": How(layout="channels-last")}  # the order of elements is nothing to it
        if problem.operation == "batchnorm" and self.device.type == "cuda":
            ways |= {f"{name}, cuDNN": how._replace(cudnn=True) for name, how in ways.items()}
        if problem.operation in ("conv2d", "dense"):  # what matrix units can do
            ways |= {f"{name}, TF32": how._replace(tf32=True) for name, how in ways.items()}
        return ways

    def bind(self, problem, direction, how, inputs):
        calls = {
            "conv2d": convolution, "dense": dense, "maxpool2d": maxpool, "batchnorm": batchnorm, "dropout": dropout,
            "softmax_crossentropy": softmax_crossentropy,
        }  # fmt: skip

        def allowed(compute):
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = how.tf32
            with torch.no_grad():
                return compute()

        on = {name: self.tensor(array, name, how.layout) for name, array in inputs.items()}
        call = allowed(lambda: calls[problem.operation](problem, direction, on, how))
        axes = (2, 3, 1, 0) if direction == "backward_filter" else (0, 2, 3, 1)
        return Bound(lambda: allowed(call), lambda outputs: to_host(outputs, axes), poison)

    def tensor(self, array, name, layout):
        """Images (N,H,W,C) as (N,C,H,W) in this layout, filters (R,S,C,K) as (K,C,R,S); everything else as it is.

        Strides are set by hand: with one channel both layouts are contiguous, and `contiguous` would change nothing.
        """
        tensor = torch.from_numpy(array)
        if array.ndim == 4:
            tensor = tensor.permute((3, 2, 0, 1) if name == "w" else (0, 3, 1, 2))
            tensor = torch.empty(tensor.shape, memory_format=LAYOUTS[layout]).copy_(tensor)
        return tensor.to(self.device, copy=True)

    def record(self, work):
        """(a function that does `work`, 'graph' or 'launches')."""
        work()  # outside of the graph once: cuDNN searches, libraries load
        if self.device.type != "cuda":
            return work, "launches"
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
        return graph.replay, "graph"


def to_host(outputs, axes):
    """NumPy arrays as tinycnn shapes them. axes: the order of axes that makes a tensor of four tinycnn's."""
    return [(t.permute(axes) if t.ndim == 4 else t).cpu().numpy().copy() for t in outputs]


def poison(outputs):
    for tensor in outputs:
        tensor.fill_(float("nan"))


def symmetric(padding):
    """(rows, columns). Raises ValueError where the two ends differ, which cuDNN does not have."""
    if any(first != last for first, last in padding):
        raise ValueError(f"cuDNN pads both ends alike, not by {padding}")
    return [first for first, _ in padding]


# ---------------------------------------------------------------- the operations


def convolution(problem, direction, on, how):
    stride, padding, dilation = list(problem.stride), symmetric(problem.padding), [1, 1]
    if direction == "forward":
        x, w = on["x"], on["w"]
        return lambda: (aten.convolution(x, w, None, stride, padding, dilation, False, [0, 0], 1),)
    # The operand whose gradient is asked for gives its shape and layout alone.
    (N, H, W, C), (R, S, _, K) = problem.x_shape, problem.w_shape
    blank = {"device": on["dy"].device, "memory_format": LAYOUTS[how.layout]}
    x = on["x"] if "x" in on else torch.empty((N, C, H, W), **blank)
    w = on["w"] if "w" in on else torch.empty((K, C, R, S), **blank)
    wanted = [direction == "backward_data", direction == "backward_filter", False]
    args = on["dy"], x, w, None, stride, padding, dilation, False, [0, 0], 1, wanted
    return lambda: tuple(gradient for gradient in aten.convolution_backward(*args) if gradient is not None)


def dense(problem, direction, on, how):
    a, b = {
        "forward": lambda: (on["x"], on["w"]),
        "backward_data": lambda: (on["dy"], on["w"].t()),
        "backward_filter": lambda: (on["x"].t(), on["dy"]),
    }[direction]()
    return lambda: (aten.mm(a, b),)


def maxpool(problem, direction, on, how):
    args = list(problem.pool), list(problem.stride), symmetric(problem.padding), [1, 1], False
    x = on["x"]
    if direction == "forward":
        return lambda: (aten.max_pool2d_with_indices(x, *args)[0],)
    dy, indices = on["dy"], aten.max_pool2d_with_indices(x, *args)[1]
    return lambda: (aten.max_pool2d_with_indices_backward(dy, x, *args, indices),)


def batchnorm(problem, direction, on, how):
    x, gamma, beta = on["x"], on["gamma"], on["beta"]
    mean, variance = torch.zeros_like(gamma), torch.zeros_like(gamma)
    momentum, epsilon = 1 - problem.momentum, problem.epsilon
    if how.cudnn:
        shape = x.shape
        x = x if x.ndim == 4 else x[:, :, None, None]  # cuDNN takes images
        forward = lambda: aten.cudnn_batch_norm(x, gamma, beta, mean, variance, True, momentum, epsilon)  # noqa: E731
        if direction == "forward":
            return lambda: (forward()[0].reshape(shape),)
        dy, (_, *saved) = on["dy"].reshape(x.shape) if len(shape) == 2 else on["dy"], forward()

        def backward():
            args = x, dy, gamma, mean, variance, saved[0], saved[1], epsilon, saved[2]
            dx, *rest = aten.cudnn_batch_norm_backward(*args)
            return (dx.reshape(shape), *rest)

        return backward
    forward = lambda: aten.native_batch_norm(x, gamma, beta, mean, variance, True, momentum, epsilon)  # noqa: E731
    if direction == "forward":
        return lambda: (forward()[0],)
    dy, (_, *saved) = on["dy"], forward()
    return lambda: aten.native_batch_norm_backward(
        dy, x, gamma, mean, variance, *saved, True, epsilon, [True, True, True]
    )


def dropout(problem, direction, on, how):
    if direction == "forward":
        x = on["x"]
        return lambda: (aten.native_dropout(x, problem.rate, True)[0],)
    dy = on["dy"]
    mask = aten.native_dropout(dy, problem.rate, True)[1]
    return lambda: (aten.native_dropout_backward(dy, mask, 1 / (1 - problem.rate)),)


def softmax_crossentropy(problem, direction, on, how):
    """PyTorch takes labels as whole numbers, which is less to read than one-hot rows."""
    logits, labels = on["logits"], on["labels"].argmax(1)
    one = torch.ones((), device=logits.device)

    def call():
        logarithms = aten._log_softmax(logits, 1, False)
        loss, weight = aten.nll_loss_forward(logarithms, labels, None, 1, -100)
        gradient = aten.nll_loss_backward(one, logarithms, labels, None, 1, -100, weight)
        return loss.reshape(1), aten._log_softmax_backward_data(gradient, logarithms, 1, logits.dtype)

    return call
