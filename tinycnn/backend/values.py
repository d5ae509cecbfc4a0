"""Tensors of one's own, and the values of those that there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinycnn import refusals
from tinycnn.backend.settings import floatx
from tinycnn.expressions import Expression, evaluate
from tinycnn.optimizers import Rate
from tinycnn.tensor import Tensor


@refusals.by_name
def variable(value: Any, dtype: Any = None, name: str | None = None) -> Tensor:
    """A Tensor that takes gradients."""
    return Tensor(value, requires_grad=True)


def constant(value: Any, dtype: Any = None, shape: Sequence[int] | None = None, name: str | None = None) -> Tensor:
    """A Tensor that takes none."""
    return Tensor(value if shape is None else np.broadcast_to(value, shape))


def zeros(shape: Sequence[int], dtype: Any = None, name: str | None = None) -> Tensor:
    """A Tensor of 0 that takes gradients."""
    return variable(np.zeros(shape))


def ones(shape: Sequence[int], dtype: Any = None, name: str | None = None) -> Tensor:
    """A Tensor of 1 that takes gradients."""
    return variable(np.ones(shape))


def eval(x: Any) -> np.ndarray:
    """The values of a Tensor, or of what depends on nothing that is not known."""
    value = evaluate([x], {})[0] if isinstance(x, Expression) else x
    return np.asarray(value.numpy() if isinstance(value, Tensor) else value).copy()


def get_value(x: Any) -> Any:
    """The values of a weight; a number, as an optimiser's learning rate, as it is."""
    if isinstance(x, Rate):
        return float(x)
    return x.numpy().copy() if isinstance(x, Tensor) else x


def set_value(x: Any, value: Any) -> None:
    """New values for a weight; a new learning rate for an optimiser, as in set_value(model.optimizer.lr, 0.001).

    Raises TypeError for any other number.
    """
    if isinstance(x, Rate):
        x.owner.learning_rate = value
        return
    if not isinstance(x, Tensor):
        raise TypeError(f"set_value takes a weight, or model.optimizer.lr, not {x!r}")
    x.device.assign(x.data, np.broadcast_to(np.asarray(value), x.shape))


def batch_get_value(ops: Sequence[Any]) -> list[Any]:
    """`get_value` of each."""
    return [get_value(x) for x in ops]


def batch_set_value(tuples: Sequence[tuple[Any, Any]]) -> None:
    """`set_value` of each (weight, values)."""
    for x, value in tuples:
        set_value(x, value)


def int_shape(x: Any) -> tuple[int | None, ...]:
    """The shape, with None for a batch that is not known."""
    return tuple(x.shape)


def ndim(x: Any) -> int:
    """How many axes x has."""
    return len(x.shape)


def dtype(x: Any) -> str:
    """The precision of a Tensor; of what is not computed yet, that of the current device."""
    return floatx() if isinstance(x, Expression) else str(x.dtype)


def count_params(x: Any) -> int:
    """How many elements x has."""
    return int(np.prod(x.shape))


def is_tensor(x: Any) -> bool:
    """Whether x is a Tensor or stands for one."""
    return isinstance(x, (Tensor, Expression))
