"""A network as plain data, for a device that computes a training step in one piece: no layers, no arrays.

It is a row of layers, each fed by the one before, from images to the logits of a softmax with the cross-entropy loss.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from tinycnn.shapes import Geometry


class Conv(NamedTuple):
    """A convolution of one image, with bias and ReLU or without. Weights: kernel (R,S,C,K), bias (K,)."""

    geometry: Geometry
    bias: bool
    relu: bool


class Dense(NamedTuple):
    """A dense layer. Weights: kernel (inputs, units), bias (units,)."""

    inputs: int
    units: int
    bias: bool
    relu: bool


class Norm(NamedTuple):
    """Batch normalisation. Weights, (channels,): gamma, beta, and moving mean and variance, which are not learnt."""

    channels: int
    momentum: float
    epsilon: float


class Pool(NamedTuple):
    """Max pooling of one image."""

    geometry: Geometry


class Relu(NamedTuple):
    """A ReLU that is not a convolution's or a dense layer's own."""


class Drop(NamedTuple):
    """Dropout. What it draws by, seed and stream, is given with each launch."""

    rate: float


class Flat(NamedTuple):
    """An image as a vector, row-major."""


Layer: TypeAlias = "Conv | Dense | Norm | Pool | Relu | Drop | Flat"


class Network(NamedTuple):
    """image: (H, W, C)."""

    image: tuple[int, int, int]
    layers: tuple[Layer, ...]


class Rule(NamedTuple):
    """An optimiser: 'SGD', 'Adam' or 'Adadelta', and its numbers, the learning rate aside, in the order of its
    constructor."""

    name: str
    numbers: tuple[float, ...]
