"""A model as a device's Network: or what of it cannot be told in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinycnn import layers as ours
from tinycnn import losses
from tinycnn.devices.network import Conv, Dense, Drop, Flat, Layer, Network, Norm, Pool, Relu, Rule
from tinycnn.optimizers import SGD, Adadelta, Adam, RMSprop
from tinycnn.shapes import Geometry, Shape, window_padding

if TYPE_CHECKING:
    from tinycnn.models import Model
    from tinycnn.optimizers import Optimizer


OURS = (
    ours.Conv2D, ours.Dense, ours.BatchNormalization, ours.MaxPooling2D, ours.Dropout, ours.Flatten, ours.Activation
)  # fmt: skip
# What of their options, and of the optimisers', is told in a Network and a Rule, or does not matter to a step.
KNOWN = {
    "filters",
    "kernel_size",
    "strides",
    "padding",
    "activation",
    "use_bias",
    "kernel_initializer",
    "bias_initializer",
    "units",
    "rate",
}
KNOWN |= {"pool_size", "momentum", "epsilon", "learning_rate", "decay", "nesterov", "beta_1", "beta_2", "rho"}


def describe(model: Model) -> Network | str:
    """The Network of a model that is built and ends in a softmax; or, in a clause, why it is none."""
    if model.loss not in (losses.categorical_crossentropy, losses.sparse_categorical_crossentropy):
        return f"its loss is {getattr(model.loss, '__name__', model.loss)}"
    if model.all_added:
        return "add_loss() adds to its loss"
    if model.own_metrics:
        return f"it measures {next(iter(model.own_metrics))}"
    if len(model.inputs) > 1:
        return "it has several inputs"
    found: list[Layer] = []
    for before, symbol in zip(model.symbols, model.symbols[1:], strict=False):
        layer, shape = symbol.layer, symbol.inputs[0].extents
        if symbol.inputs != (before,):
            return f"{layer.name} makes it a network with branches"
        if symbol.use:
            return f"{layer.name} stands in it twice"
        if isinstance(layer, ours.Dense) and len(shape) != 1:
            return f"{layer.name} is a dense layer on images that are not flat"
        if type(layer) not in OURS:
            return f"{layer.name} is of class {type(layer).__name__}, which it has no stage for"
        if (activation := getattr(layer, "activation", None)) not in (None, "relu", "softmax"):
            return f"{layer.name} has the activation {activation}, which it has no stage for"
        if activation == "softmax" and symbol is not model.output:
            return f"{layer.name} is a softmax inside of the network"
        if unknown := [name for name, value in layer.options().items() if value and name not in KNOWN]:
            return f"{layer.name} has a {unknown[0]}, which it has no stage for"
        if not layer.trainable and layer.parameters:
            return f"{layer.name} is frozen"
        found += layers_of(layer, shape)
    H, W, C = model.symbols[0].extents
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
    if unknown := [name for name, value in optimizer.options().items() if value and name not in KNOWN]:
        return f"its optimizer has a {unknown[0]}"
    if type(optimizer) is SGD:
        return Rule("SGD", (optimizer.momentum, float(optimizer.nesterov)))
    if type(optimizer) is Adam:
        return Rule("Adam", (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon))
    if type(optimizer) is Adadelta:
        return Rule("Adadelta", (optimizer.rho, optimizer.epsilon))
    if type(optimizer) is RMSprop:
        return "it has no stage for the optimizer RMSprop"
    return f"{optimizer.name} is an optimizer of your own"
