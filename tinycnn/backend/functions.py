"""Functions of arrays, made of what is not computed yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from tinycnn.backend.settings import PHASE, untold_phase
from tinycnn.devices import current_device
from tinycnn.devices.base import Device
from tinycnn.expressions import Constant, Expression, evaluate, everything_behind
from tinycnn.tensor import Tensor


def function(inputs: Any, outputs: Any, updates: Any = None) -> Callable[[Any], Any]:
    """A function of arrays for `inputs` that gives those of `outputs`, NumPy arrays; one of each, or a list.

    Where it trains (learning_phase()) each call draws other dropout masks, and batch normalisation's statistics stay as
    they are: as in Keras they change in fit() only.
    """
    if updates:
        raise TypeError("function(updates=...) is not there: assign to weights with set_weights(), or train with fit()")
    starts = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    wanted = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    for start in starts:
        if not isinstance(start, Expression):
            raise TypeError(f"function(inputs=...) takes a model's inputs, not {type(start).__name__}")

    def compute(values: Any) -> Any:
        given = list(values) if isinstance(values, (list, tuple)) else [values]
        if len(given) != len(starts):
            raise ValueError(f"this function has {len(starts)} inputs, and {len(given)} were given")
        known: dict[Expression, Any] = dict(zip(starts, given, strict=True))
        training = bool(known.pop(PHASE, untold_phase()))
        behind = everything_behind([w for w in wanted if isinstance(w, Expression)])
        device = next((weight.device for e in behind for weight in e.weights), current_device())
        known = {start: Tensor(value, device=device) for start, value in known.items()}
        with training_pass(dict.fromkeys(e.layer for e in behind), device) if training else nullcontext():
            found = evaluate([w if isinstance(w, Expression) else Constant(w) for w in wanted], known, training)
        arrays = [f.numpy().copy()[()] if isinstance(f, Tensor) else f for f in found]
        return arrays if isinstance(outputs, (list, tuple)) else arrays[0]

    return compute


@contextmanager
def training_pass(layers: Iterable[Any], device: Device) -> Iterator[None]:
    """Inside, these layers draw anew, and keep their statistics."""
    from tinycnn.layers import BatchNormalization, Dropout  # which are written with this backend

    steps = {id(layer.step): layer.step for layer in layers if isinstance(layer, Dropout) and layer.step is not None}
    for step in steps.values():
        device.advance([(step, 1)])
    norms = [(layer, layer.momentum) for layer in layers if isinstance(layer, BatchNormalization)]
    for layer, _ in norms:
        layer.momentum = 1.0  # of what they were
    try:
        yield
    finally:
        for layer, momentum in norms:
            layer.momentum = momentum
