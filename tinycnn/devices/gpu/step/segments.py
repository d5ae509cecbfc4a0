"""A network cut up into segments: one layer that computes something new, and the ReLU and the dropout behind it.

ReLU and dropout may change places: what is kept is multiplied by a positive number.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from tinycnn.devices.network import Conv, Dense, Drop, Flat, Layer, Network, Norm, Pool, Relu
from tinycnn.shapes import is_dense


class Segment(NamedTuple):
    """name: conv1, norm1, ... and image for the first; layer: None for it; shape: (H, W, C) of what comes out.

    relu: whether a ReLU follows. drop: the number of its dropout among the network's, -1 for none; rate: its rate.
    """

    name: str
    layer: Conv | Dense | Norm | Pool | None
    shape: tuple[int, int, int]
    relu: bool = False
    drop: int = -1
    rate: float = 0.0

    @property
    def learns(self) -> bool:
        """Whether it has weights."""
        return isinstance(self.layer, Conv | Dense | Norm)

    @property
    def sizes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of the weights that it learns."""
        layer = self.layer
        if isinstance(layer, Conv):
            return layer.geometry.w_shape, *([(layer.geometry.K,)] if layer.bias else [])
        if isinstance(layer, Dense):
            return (layer.inputs, layer.units), *([(layer.units,)] if layer.bias else [])
        return ((layer.channels,),) * 2 if isinstance(layer, Norm) else ()


def segments(network: Network) -> list[Segment] | str:
    """Those of a network, the image first; or, in a clause, why it cannot be cut up."""
    found = [Segment("image", None, network.image)]
    numbers: dict[str, int] = {}
    drops = 0
    for layer in network.layers:
        last = found[-1]
        if isinstance(layer, Relu):
            found[-1] = last._replace(relu=True)
        elif isinstance(layer, Drop):
            if last.drop >= 0:
                return "it has a dropout behind a dropout"
            found[-1] = last._replace(drop=drops, rate=layer.rate)
            drops += 1
        elif not isinstance(layer, Flat):
            kind, made = made_by(layer, last.shape)
            numbers[kind] = numbers.get(kind, 0) + 1
            found.append(made._replace(name=f"{kind}{numbers[kind]}"))
    if not any(segment.learns for segment in found):
        return "it has no weights"
    H, W, _ = found[-1].shape
    if H * W > 1:
        return "its classes are the pixels of an image"
    return found


def made_by(layer: Layer, shape: tuple[int, int, int]) -> tuple[str, Segment]:
    """(kind, Segment without a name) of a layer behind an output of this shape."""
    if isinstance(layer, Conv):
        g = layer.geometry
        padding = ((g.top, g.P - 1 + g.R - g.H - g.top), (g.left, g.Q - 1 + g.S - g.W - g.left))
        if is_dense(g.x_shape, g.w_shape, padding) and (g.P, g.Q) == (1, 1):
            return "dense", Segment(
                "", Dense(prod(g.w_shape[:3]), g.K, layer.bias, layer.relu), (1, 1, g.K), layer.relu
            )
        return "conv", Segment("", layer, (g.P, g.Q, g.K), layer.relu)
    if isinstance(layer, Dense):
        return "dense", Segment("", layer, (1, 1, layer.units), layer.relu)
    if isinstance(layer, Pool):
        return "pool", Segment("", layer, (layer.geometry.P, layer.geometry.Q, layer.geometry.K))
    assert isinstance(layer, Norm)
    return "norm", Segment("", layer, shape)
