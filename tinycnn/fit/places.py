"""Names for the layers and the weights of one model, the same in every process that builds it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinycnn.layers import Layer, Symbol
    from tinycnn.models import Model
    from tinycnn.tensor import Tensor


def places(model: Model) -> dict[Symbol, str]:
    """{symbol: its name, as conv2d_1}: numbered through this model alone, and by use where a layer is used twice."""
    names: dict[Symbol, str] = {}
    kinds: Counter[str] = Counter()
    uses: Counter[Layer] = Counter()
    for symbol in model.symbols[1:]:
        layer = symbol.layer
        uses[layer] += 1
        if uses[layer] == 1:
            kinds[layer.kind] += 1
        first = names[symbol] = f"{layer.kind}_{kinds[layer.kind]}"
        if uses[layer] > 1:
            first = next(names[s] for s in names if s.layer is layer)
            names[symbol] = f"{first}, use {uses[layer]}"
    return names


def parameters(model: Model) -> dict[str, Tensor]:
    """{name, as conv2d_1.kernel: weight Tensor}, in the order of the graph."""
    layers: dict[Layer, str] = {}
    for symbol, place in places(model).items():
        layers.setdefault(symbol.layer, place)
    return {f"{place}.{name}": w for layer, place in layers.items() for name, w in layer.parameters.items()}
