"""How a function of Tensors comes to take numbers and arrays too, and what is not computed yet."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from tinycnn import arithmetic, refusals
from tinycnn.arithmetic import as_tensor
from tinycnn.devices import current_device
from tinycnn.expressions import Applied, expressions_in
from tinycnn.tensor import Tensor

Axis = int | Sequence[int] | None


def of_both(operation: Callable) -> Callable:
    """For a function of Tensors: one that also takes numbers and arrays, and what is not computed yet."""

    operation = refusals.by_name(operation)

    @functools.wraps(operation)
    def either(*arguments: Any, **options: Any) -> Any:
        if expressions_in([arguments, *options.values()]):
            return Applied(operation, *arguments, **options)
        return operation(*arguments, **options)

    return either


def tensor(x: Any) -> Tensor:
    """A Tensor as it is, a number or an array as one on the current device."""
    return as_tensor(x, current_device())


def both(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Two operands as Tensors, on the device of that which is one."""
    device = next((operand.device for operand in (x, y) if isinstance(operand, Tensor)), current_device())
    return as_tensor(x, device), as_tensor(y, device)


def compared(operation: str, x: Any, y: Any) -> Tensor:
    """1 where x is 'equal' to y, or 'greater', else 0. No gradient flows through it."""
    return arithmetic.compared(operation, *both(x, y))


def axes(axis: Any) -> int | tuple[int, ...] | None:
    return tuple(axis) if isinstance(axis, (list, tuple)) else axis
