"""Shapes and sums: tensors flattened, added up and joined."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from tinycnn.arithmetic import reshape
from tinycnn.shapes import require
from tinycnn.tensor import Tensor, device_of, output_of


def flatten(x: Tensor) -> Tensor:
    """Everything but the batch as one axis, row-major.

    Shapes:
        x (N, ...) -> (N, product of the rest).

    >>> flatten(Tensor([[[1.0, 2.0], [3.0, 4.0]]])).shape
    (1, 4)
    """
    return reshape(x, x.shape[0], prod(x.shape[1:]))


def add(tensors: Iterable[Tensor]) -> Tensor:
    """The sum of tensors of one shape, added in their order.

    Shapes:
        two or more of any shape -> the same.

    Raises:
        ShapeError: where there are fewer, or where their shapes differ.

    >>> add([Tensor([1.0]), Tensor([2.0]), Tensor([4.0])]).item()
    7.0
    """
    tensors = list(tensors)
    require(
        len(tensors) > 1 and len({t.shape for t in tensors}) == 1,
        f"add: it takes two or more of one shape; got {[t.shape for t in tensors]}",
    )
    y = device_of("add", *tensors).add([t.data for t in tensors])
    return output_of("add", tensors, y, lambda dy: (dy,) * len(tensors))


def concatenate(tensors: Iterable[Tensor]) -> Tensor:
    """Join tensors along their last axis, the channels.

    Shapes:
        (..., C_i) -> (..., sum of C_i).

    Raises:
        ShapeError: where there are none, or where another axis differs.

    >>> concatenate([Tensor([[1.0]]), Tensor([[2.0, 3.0]])]).numpy()
    array([[1., 2., 3.]], dtype=float32)
    """
    tensors = list(tensors)
    require(
        bool(tensors) and len({t.shape[:-1] for t in tensors}) == 1,
        f"concatenate: all axes but the last must agree; got {[t.shape for t in tensors]}",
    )
    device, sizes = device_of("concatenate", *tensors), [t.shape[-1] for t in tensors]
    y = device.concatenate([t.data for t in tensors])
    return output_of("concatenate", tensors, y, lambda dy: tuple(device.split(dy, sizes)))
