"""tinycnn's networks as PyTorch modules, and an epoch of training as PyTorch's users write it."""

from functools import partial

import numpy as np
import torch
from torch import nn
from trainer import Trainer

from tinycnn import layers, shapes

LAYOUTS = {"channels-first": torch.contiguous_format, "channels-last": torch.channels_last}


class Graph(nn.Module):
    """Modules that are not in a row. steps: (module, the places of its inputs), where place 0 is the images."""

    def __init__(self, steps):
        super().__init__()
        self.members = nn.ModuleList(module for module, _ in steps)
        self.inputs = [inputs for _, inputs in steps]

    def forward(self, x):
        values = [x]
        for module, inputs in zip(self.members, self.inputs, strict=True):
            values.append(module(*[values[i] for i in inputs]))
        return values[-1]


class Concatenate(nn.Module):
    def forward(self, *inputs):
        return torch.cat(inputs, dim=1)


def to_torch(model):
    """The module for a tinycnn model: images (N, C, H, W) to logits (N, classes), with copies of the weights.

    Raises TypeError for a layer that has no counterpart.
    """
    if len({symbol.layer for symbol in model.symbols}) < len(model.symbols):
        raise TypeError(f"{model.name} uses a layer twice, which has no translation to PyTorch here")
    orders, steps, places = {}, [], {model.input: 0}
    for symbol in model.symbols[1:]:
        module = translate(symbol, orders, symbol is model.output)
        steps.append((module, [places[i] for i in symbol.inputs]))
        places[symbol] = len(steps)
    order = orders.get(model.output)
    if order is not None and (order != np.arange(len(order))).any():
        raise TypeError(f"{model.name} ends with flattened pixels, whose order PyTorch does not share")
    if all(inputs == [place] for place, (_, inputs) in enumerate(steps)):
        return nn.Sequential(*[module for module, _ in steps])
    return Graph(steps)


def translate(symbol, orders, is_output):
    """The module for `symbol.layer`. Raises TypeError for a layer that has no counterpart.

    PyTorch flattens images (C, H, W) where tinycnn flattens (H, W, C). `orders` holds, for each flat symbol,
    where each of PyTorch's features is found among tinycnn's; weights are rearranged by it, so the network
    computes the same without a transpose.
    """
    layer, source = symbol.layer, symbol.inputs[0]
    order = orders.get(source)
    if isinstance(layer, layers.Flatten):
        places = np.arange(symbol.extents[0])
        orders[symbol] = (
            places.reshape(source.extents).transpose(2, 0, 1).ravel() if len(source.extents) == 3 else order
        )
        return nn.Flatten()
    if isinstance(layer, layers.Concatenate):
        if len(source.extents) == 1:
            raise TypeError(f"{layer.name} joins flat features, which has no translation to PyTorch here")
        return Concatenate()
    if isinstance(layer, layers.Dense):
        return activated(dense(layer, order), layer, is_output)
    orders[symbol] = order
    if isinstance(layer, layers.Conv2D):
        return activated(convolution(layer, source.extents), layer, is_output)
    if isinstance(layer, layers.MaxPooling2D):
        pads = shapes.window_padding(source.extents[:2], layer.window, layer.stride, layer.padding)
        return padded(nn.MaxPool2d(layer.window, layer.stride), pads, -torch.inf)
    if isinstance(layer, layers.BatchNormalization):
        return batchnorm(layer, source.extents, order)
    if isinstance(layer, layers.Dropout):
        return nn.Dropout(layer.rate)
    if isinstance(layer, layers.Activation):
        return activated(nn.Identity(), layer, is_output)
    raise TypeError(f"{layer.name} ({layer.type}) has no translation to PyTorch here")


def activated(module, layer, is_output):
    """With its activation; without the softmax of the output, which PyTorch has in its loss."""
    if layer.activation == "softmax" and not is_output:
        raise TypeError(f"{layer.name}: a softmax before the output has no translation to PyTorch here")
    if layer.activation != "relu":
        return module
    return nn.ReLU() if isinstance(module, nn.Identity) else nn.Sequential(module, nn.ReLU(inplace=True))


def padded(module, pads, value):
    (top, bottom), (left, right) = pads
    if not any((top, bottom, left, right)):
        return module
    return nn.Sequential(nn.ConstantPad2d((left, right, top, bottom), value), module)


def convolution(layer, shape):
    """Keras's `same` is PyTorch's where the stride is 1; else the pixels are added before."""
    unit = layer.stride == (1, 1)
    conv = nn.Conv2d(
        shape[-1], layer.filters, layer.window, layer.stride, padding=layer.padding if unit else 0, bias=layer.use_bias
    )
    copy(conv.weight, layer.kernel.numpy().transpose(3, 2, 0, 1))
    if layer.use_bias:
        copy(conv.bias, layer.bias.numpy())
    if unit:
        return conv
    return padded(conv, shapes.window_padding(shape[:2], layer.window, layer.stride, layer.padding), 0.0)


def dense(layer, order):
    kernel = layer.kernel.numpy() if order is None else layer.kernel.numpy()[order]
    linear = nn.Linear(*kernel.shape, bias=layer.use_bias)
    copy(linear.weight, kernel.T)
    if layer.use_bias:
        copy(linear.bias, layer.bias.numpy())
    return linear


def batchnorm(layer, shape, order):
    kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    norm = kind(shape[-1], eps=layer.epsilon, momentum=round(1 - layer.momentum, 12))
    targets = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    for target, value in zip(targets, layer.get_weights(), strict=True):
        copy(target, value if order is None else value[order])
    return norm


def copy(target, value):
    with torch.no_grad():
        target.copy_(torch.from_numpy(np.array(value, np.float32)))


def count_params(module):
    """As Keras counts: batch-norm's moving statistics are among them, its count of batches is not."""
    buffers = sum(b.numel() for b in module.buffers() if b.is_floating_point())
    return sum(p.numel() for p in module.parameters()) + buffers


def optimizer_of(model, parameters, cuda=False, graph=False):
    """PyTorch's optimiser with the settings of the model's. Raises TypeError where there is none.

    On CUDA it is the fused one where there is one; in a graph the learning rate and the steps live on the GPU.
    """
    options = model.optimizer.options()
    rate = torch.tensor(options["learning_rate"], device="cuda") if graph else options["learning_rate"]
    if options["decay"]:
        raise TypeError("a learning rate with decay has no translation to PyTorch here")
    fused = {"fused": True} if cuda else {}
    in_graph = {"capturable": True} if graph else {}
    if model.optimizer.name == "Adam":
        betas = options["beta_1"], options["beta_2"]
        return torch.optim.Adam(parameters, lr=rate, betas=betas, eps=options["epsilon"], **fused, **in_graph)
    if model.optimizer.name == "Adadelta":
        return torch.optim.Adadelta(parameters, lr=rate, rho=options["rho"], eps=options["epsilon"], **in_graph)
    if model.optimizer.name == "SGD":
        momentum, nesterov = options["momentum"], options["nesterov"]
        return torch.optim.SGD(parameters, lr=rate, momentum=momentum, nesterov=nesterov, **fused)
    raise TypeError(f"the optimiser {model.optimizer.name} has no translation to PyTorch here")


def set_rate(optimizer, rate):
    for group in optimizer.param_groups:
        if torch.is_tensor(group["lr"]):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def resident(x, layout):
    """Images (N, H, W, C) as a tensor (N, C, H, W) in this layout.

    Not with `contiguous`: images of one channel are contiguous in both layouts, it would leave NHWC's strides, and
    convolutions would take those for a wish and compute channels-last throughout.
    """
    n, h, w, c = x.shape
    images = torch.empty((n, c, h, w), memory_format=LAYOUTS[layout])
    return images.copy_(torch.from_numpy(x).permute(0, 3, 1, 2))


class Replay:
    """A training step on the images at `index` (a tensor), as a CUDA graph from its fourth run on.

    The first runs are ordinary ones on a stream of their own, as PyTorch asks for; they are steps of the training too.
    """

    WARM_UP = 3

    def __init__(self, step):
        self.step, self.runs, self.graph = step, 0, torch.cuda.CUDAGraph()
        self.stream = torch.cuda.Stream()

    def __call__(self, index):
        self.runs += 1
        if self.runs <= self.WARM_UP:
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                self.step(index)
            torch.cuda.current_stream().wait_stream(self.stream)
            return
        if self.runs == self.WARM_UP + 1:
            self.index = index.clone()
            with torch.cuda.graph(self.graph):
                self.step(self.index)
        self.index.copy_(index)
        self.graph.replay()


def trainer(model, x, y, batch, layout, threads=None, device="cpu", compiled=False, graph=False):
    """The Trainer of a tinycnn model's translation. x (N, H, W, C), y (N,) whole numbers.

    layout: a key of LAYOUTS; compiled: by torch.compile; graph: one CUDA graph for a whole step. The data lie on the
    device. Raises RuntimeError for CUDA where there is none.
    """
    cuda = device == "cuda"
    if threads:
        torch.set_num_threads(threads)
    if cuda:
        if not torch.cuda.is_available():
            raise RuntimeError("this PyTorch is made for CPUs, or finds no GPU: pip install torch with CUDA")
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    net = to_torch(model).to(device=device, memory_format=LAYOUTS[layout]).train()
    called = torch.compile(net, dynamic=False) if compiled else net  # for each size of batch anew
    optimizer, criterion = optimizer_of(model, net.parameters(), cuda, graph), nn.CrossEntropyLoss()
    images, labels = resident(x, layout).to(device), torch.from_numpy(y).to(device)
    loss_sum = torch.zeros((), device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)

    def step(index):
        inputs, targets = images[index], labels[index]
        optimizer.zero_grad(set_to_none=True)
        logits = called(inputs)
        loss = criterion(logits, targets)
        loss.backward()
        optimizer.step()
        loss_sum.add_(loss.detach() * len(index))
        correct.add_((logits.detach().argmax(1) == targets).sum())

    steps = {}  # of each size of batch

    def epoch():
        loss_sum.zero_()
        correct.zero_()
        for index in torch.randperm(len(images), device=device).split(batch):
            if len(index) not in steps:
                steps[len(index)] = Replay(step) if graph else step
            steps[len(index)](index)
        correct.item()  # accuracy is part of what is reported, and so of what is timed
        return loss_sum.item() / len(images)

    validation = partial(validate, net, layout, device)
    return Trainer(epoch, validation, lambda rate: set_rate(optimizer, rate), count_params(net))


def validate(net, layout, device, x, y):
    """A function () -> the accuracy of the network as it is, not compiled, on these data."""
    batches = resident(x, layout).to(device).split(1000), torch.from_numpy(y).to(device).split(1000)

    def accuracy():
        net.eval()
        with torch.no_grad():
            right = sum((net(images).argmax(1) == labels).sum() for images, labels in zip(*batches, strict=True))
        net.train()
        return right.item() / len(y)

    return accuracy
