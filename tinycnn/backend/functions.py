"""Functions of arrays, made of what is not computed yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinycnn.backend.settings import PHASE, untold_phase
from tinycnn.devices import current_device
from tinycnn.expressions import Constant, Expression, evaluate, weights_behind
from tinycnn.tensor import Tensor


def function(inputs: Any, outputs: Any, updates: Any = None) -> Callable[[Any], Any]:
    """A function of arrays for `inputs` that gives those of `outputs`, NumPy arrays; one of each, or a list."""
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
        weights = weights_behind([w for w in wanted if isinstance(w, Expression)])
        device = weights[0].device if weights else current_device()
        known = {start: Tensor(value, device=device) for start, value in known.items()}
        found = evaluate([w if isinstance(w, Expression) else Constant(w) for w in wanted], known, training)
        arrays = [f.numpy().copy()[()] if isinstance(f, Tensor) else f for f in found]
        return arrays if isinstance(outputs, (list, tuple)) else arrays[0]

    return compute
