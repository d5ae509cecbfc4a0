"""Arithmetic on tensors, number by number, as loops beside elementwise.cu.

The form that computes is one line of NumPy, which the cpu device has too: NumpyArrays.elementwise in numpy_arrays.py.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from tinycnn.devices.base import Array

OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "power": operator.pow,
    "negative": operator.neg,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "equal": operator.eq,
    "greater": operator.gt,
    "keep": lambda a, b: a if b else 0,
}


def elementwise_loops(operation: str, *arrays: Array | float) -> Array:
    dtype, operands = np.result_type(*arrays), np.broadcast_arrays(*arrays)  # step 0 along the axes that are stretched
    y = np.empty(operands[0].shape, dtype)
    for place in np.ndindex(y.shape):
        y[place] = OPERATIONS[operation](*(operand[place] for operand in operands))
    return y
