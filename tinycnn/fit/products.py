"""The convolutions and dense layers that a training step of a network computes, and how much the rest of it moves."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from tinycnn.layers import Conv2D, Conv2DTranspose, Dense, Flatten, Symbol
from tinycnn.shapes import Geometry, window_padding

if TYPE_CHECKING:
    from tinycnn.models import Model

PRODUCTS = Conv2D, Conv2DTranspose, Dense


class Product(NamedTuple):
    """One convolution, or a dense layer as one of a single pixel."""

    layer: str
    geometry: Geometry
    direction: str  # 'forward', 'backward_data' or 'backward_filter'
    relu: bool  # whether the layer ends in a ReLU, which backward goes through on its way


def products(model: Model, batch: int) -> list[Product]:
    """Those of a step with so many images, in their order: forward, then back from the last layer.

    The gradient of images is among them only below layers that learn, that of filters only of layers that do.
    """
    forward, backward = [], []
    learns: dict[Symbol, bool] = {}  # whether something at or before this place has a gradient
    for symbol in model.symbols:
        layer, below = symbol.layer, any(learns[source] for source in symbol.inputs)
        learns[symbol] = below or bool(layer.trainable_weights)
        if not isinstance(layer, PRODUCTS):
            continue
        there, back = ("forward", "backward_data")
        if isinstance(
            layer, Conv2DTranspose
        ):  # whose way there is the way back of the convolution that has its Geometry
            there, back = back, there
        fused = layer.activation == "relu" and not isinstance(layer, Conv2DTranspose)
        made = geometry_of(symbol, batch), fused
        forward.append(Product(layer.name, made[0], there, made[1]))
        if below:
            backward.append(Product(layer.name, made[0], back, made[1]))
        if layer.trainable_weights:
            backward.append(Product(layer.name, made[0], "backward_filter", made[1]))
    return forward + backward[::-1]


def geometry_of(symbol: Symbol, batch: int) -> Geometry:
    """The Geometry of a convolution, or of a dense layer, at this place of a network; of a transposed one, that of the
    convolution that goes the other way."""
    layer, source = symbol.layer, symbol.inputs[0].extents
    if isinstance(layer, Conv2D):
        padding = window_padding(source[:2], layer.window, layer.stride, layer.padding)
        return Geometry.of((batch, *source), (*layer.window, source[2], layer.filters), layer.stride, padding)
    if isinstance(layer, Conv2DTranspose):
        made = symbol.extents
        padding = window_padding(made[:2], layer.kernel_size, layer.strides, layer.padding)
        return Geometry.of((batch, *made), (*layer.kernel_size, made[2], source[2]), layer.strides, padding)
    return Geometry.of_product(batch, source[0], symbol.extents[0])


class Rest(NamedTuple):
    """What else a step does."""

    layers: dict[str, int]  # how many of each type of layer
    bytes: int  # at least: their inputs and outputs and the gradients of both, and the weights with theirs


def rest(model: Model, batch: int) -> Rest:
    """The layers of a step that are no products, the loss and the optimiser. In float32."""
    others = [s for s in model.symbols if s.inputs and not isinstance(s.layer, (*PRODUCTS, Flatten))]
    moved = sum(2 * math.prod(shape) for s in others for shape in (s.extents, *(i.extents for i in s.inputs)))
    weights = sum(weight.size for weight in model.trainable_weights)
    numbers = batch * (moved + 2 * math.prod(model.output.extents)) + 3 * weights
    return Rest(dict(Counter(s.layer.type for s in others)), 4 * numbers)
