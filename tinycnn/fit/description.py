"""A model as a device's Network: or what of it cannot be told in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinycnn import layers as ours
from tinycnn.devices.network import Conv, Dense, Drop, Flat, Layer, Network, Norm, Pool, Relu, Rule
from tinycnn.optimizers import SGD, Adadelta, Adam
from tinycnn.shapes import Geometry, Shape, window_padding

if TYPE_CHECKING:
    from tinycnn.models import Model
    from tinycnn.optimizers import Optimizer


def describe(model: Model) -> Network | str:
    """The Network of a model that is built and ends in a softmax; or, in a clause, why it is none."""
    found: list[Layer] = []
    for before, symbol in zip(model.symbols, model.symbols[1:], strict=False):
        layer, shape = symbol.layer, symbol.inputs[0].shape
        if symbol.inputs != (before,):
            return f"{layer.name} makes it a network with branches"
        if symbol.use:
            return f"{layer.name} stands in it twice"
        if type(layer) not in (
            ours.Conv2D, ours.Dense, ours.BatchNormalization, ours.MaxPooling2D, ours.Dropout, ours.Flatten,
            ours.Activation,
        ):  # fmt: skip
            return f"{layer.name} is a layer of a class of your own, {type(layer).__name__}"
        if getattr(layer, "activation", None) == "softmax" and symbol is not model.output:
            return f"{layer.name} is a softmax inside of the network"
        if not layer.trainable and layer.parameters:
            return f"{layer.name} is frozen"
        found += layers_of(layer, shape)
    H, W, C = model.symbols[0].shape
    return Network((H, W, C), tuple(found))


def layers_of(layer: ours.Layer, shape: Shape) -> list[Layer]:
    """What one of tinycnn's own layers is, for inputs of `shape`. The softmax is the loss's."""
    if isinstance(layer, ours.Conv2D):
        padding = window_padding(shape[:2], layer.window, layer.stride, layer.padding)
        filters = (*layer.window, shape[2], layer.filters)
        return [Conv(Geometry.of((1, *shape), filters, layer.stride, padding), layer.use_bias, bool(layer.activation))]
    if isinstance(layer, ours.Dense):
        return [Dense(shape[0], layer.units, layer.use_bias, layer.activation == "relu")]
    if isinstance(layer, ours.BatchNormalization):
        return [Norm(shape[-1], layer.momentum, layer.epsilon)]
    if isinstance(layer, ours.MaxPooling2D):
        padding = window_padding(shape[:2], layer.window, layer.stride, layer.padding)
        return [Pool(Geometry.of_pool((1, *shape), layer.window, layer.stride, padding))]
    if isinstance(layer, ours.Dropout):
        return [Drop(layer.rate)] if layer.rate else []
    if isinstance(layer, ours.Activation):
        return [Relu()] if layer.activation == "relu" else []
    return [Flat()]


def rule_of(optimizer: Optimizer) -> Rule | str:
    """The Rule of one of tinycnn's own optimisers; or, in a clause, why it has none."""
    if type(optimizer) is SGD:
        return Rule("SGD", (optimizer.momentum, float(optimizer.nesterov)))
    if type(optimizer) is Adam:
        return Rule("Adam", (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon))
    if type(optimizer) is Adadelta:
        return Rule("Adadelta", (optimizer.rho, optimizer.epsilon))
    return f"{optimizer.name} is an optimizer of your own"
