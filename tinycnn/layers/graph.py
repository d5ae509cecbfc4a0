"""The graph of a network: which places lie between its inputs and its outputs, and what of them is computed at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from tinycnn.expressions import in_order
from tinycnn.layers.base import Symbol
from tinycnn.layers.core import Dropout
from tinycnn.layers.normalization import BatchNormalization
from tinycnn.tensor import Tensor


def as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def symbols_between(inputs: list[Symbol], outputs: Any) -> list[Symbol]:
    """The inputs, and every Symbol that `outputs` depends on, each after its inputs.

    Raises ValueError where they depend on other inputs, or not on all of these.
    """
    for output in as_list(outputs):
        if not isinstance(output, Symbol):
            raise TypeError(f"Model(outputs=...) takes what a layer returned for an Input, not {type(output).__name__}")
    order: list[Any] = in_order(as_list(outputs))
    if {symbol for symbol in order if not symbol.inputs} != set(inputs):
        raise ValueError("the outputs do not depend on the given input alone")
    return [*inputs, *(symbol for symbol in order if symbol.inputs)]


def in_keras_order(symbols: list[Symbol], outputs: Any, part: Callable[[Symbol], Any]) -> list[Any]:
    """The parts of a network that its Symbols belong to, as Keras orders them in `model.layers`.

    By their distance from the outputs, the farthest first, and among equals by when a walk from the outputs, depth
    first, comes to them (Keras 2.3's engine/network.py, _map_graph_network).
    """
    distance: dict[Symbol, int] = dict.fromkeys(symbols, 0)
    for symbol in reversed(symbols):  # those that use a symbol come before it
        for source in symbol.inputs:
            distance[source] = max(distance[source], distance[symbol] + 1)
    met: dict[Any, int] = {}  # in the order of the walk, with the greatest distance
    stack, seen = as_list(outputs)[::-1], set()
    while stack:
        symbol = stack.pop()
        if symbol not in seen:
            seen.add(symbol)
            met[part(symbol)] = max(met.get(part(symbol), 0), distance[symbol])
            stack += symbol.inputs[::-1]
    return sorted(met, key=lambda one: -met[one])


def dropped_at_once(symbols: list[Symbol], outputs: Any) -> dict[Symbol, Symbol]:
    """{the Symbol of a BatchNormalization: that of the Dropout which alone uses it}.

    While training the two are computed as one operation, and what lies between them is never written down. Classes that
    are derived from these may do something else, and are left alone.
    """
    wanted = as_list(outputs)
    users = Counter([*wanted, *(i for symbol in symbols for i in symbol.inputs)])
    return {
        symbol.inputs[0]: symbol
        for symbol in symbols
        if type(symbol.layer) is Dropout
        and type(symbol.inputs[0].layer) is BatchNormalization
        and users[symbol.inputs[0]] == 1
    }


def compute_dropped(symbol: Symbol, values: dict[Symbol, Tensor], dropout: Symbol) -> Tensor:
    """The tensor of a Dropout's place behind `symbol`, a BatchNormalization's: both at once, while training."""
    assert isinstance(symbol.layer, BatchNormalization) and isinstance(dropout.layer, Dropout)
    return symbol.layer.call(values[symbol.inputs[0]], True, dropout.layer.mask_at(dropout.use))
