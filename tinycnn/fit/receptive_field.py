"""How much of an image an output of a layer sees, whatever is outside of the image counted too.

Where windows only grow, there is a formula: a window of k pixels that moves by s, on top of a layer with field f whose
outputs are j pixels of the image apart, has the field f + (k - 1) * j, and its outputs are j * s apart. Where images
become larger on the way it does not hold, so here the way back from an output is gone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tinycnn.layers import Dense, Layer, Symbol
from tinycnn.layers.pooling import GlobalPooling2D
from tinycnn.shapes import Pair, Shape

if TYPE_CHECKING:
    from tinycnn.models import Model


def receptive_field(model: Model, symbol: Symbol) -> Pair:
    """(rows, columns) of pixels that an output at this place depends on; the most of any where they see differently.

    Behind a dense layer, or pooling over whole images, it is all that the network is given.
    """
    behind = model.symbols[: model.symbols.index(symbol) + 1]
    seen = {symbol}  # and what it is made of
    for place in reversed(behind):
        if place in seen:
            seen.update(place.inputs)
    path = [place for place in reversed(behind) if place in seen]
    if any(len(p.extents) == 1 and isinstance(p.layer, Dense | GlobalPooling2D) for p in path):
        rows, columns = zip(*(image_of(i.extents) for i in path if not i.inputs), strict=True)
        return max(rows), max(columns)
    return along(path, 0), along(path, 1)


def image_of(extents: Shape) -> Pair:
    """(rows, columns) of an input; flat inputs are a row of pixels."""
    return (extents[0], extents[1]) if len(extents) == 3 else (1, math.prod(extents))


def pixels_behind(layer: Layer, axis: int, first: int, last: int) -> Pair:
    """The first and the last pixel along an axis that a layer makes its outputs `first` to `last` of."""
    k, stride, larger = layer.window[axis], layer.stride[axis], layer.enlarges[axis]
    if larger == 1:
        return first * stride, last * stride + k - 1
    return -(-(first - k + 1) // larger), last // larger  # pixel i adds to the k outputs from i * larger on


def along(path: list[Symbol], axis: int) -> int:
    """How many pixels along an axis the outputs at path[0] see, of which path goes back to the inputs.

    Where images become larger on the way, neighbours see differently: by their place in a period, which is tried out.
    """
    period = math.prod(place.layer.enlarges[axis] for place in path)
    most = 0
    for output in range(period):
        first, last = {path[0]: output}, {path[0]: output}  # of the pixels at each place that it depends on
        for place in path:
            low, high = pixels_behind(place.layer, axis, first[place], last[place])
            for source in place.inputs:
                first[source], last[source] = min(low, first.get(source, low)), max(high, last.get(source, high))
            if not place.inputs:
                most = max(most, last[place] - first[place] + 1)
    return most
