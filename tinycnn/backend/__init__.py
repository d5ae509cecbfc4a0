"""`keras.backend`: functions of tensors, of layers' outputs that are not computed yet, and what a session knows.

Each function takes a Tensor, a number or an array and computes, or takes what is not computed yet (a layer's output, or
what another of these functions gave for one) and remembers; `function` makes a Python function of what is remembered,
`gradients` its derivatives.

>>> from tinycnn.layers import Input
>>> x = Input((2,))
>>> loss = mean(square(x))
>>> of = function([x], [loss, gradients(loss, x)[0]])
>>> [value.tolist() for value in of([[[1.0, 3.0]]])]
[5.0, [[1.0, 3.0]]]
"""

from __future__ import annotations

import sys
from typing import Any

from tinycnn import refusals
from tinycnn.backend.elementwise import (
    abs,
    cast,
    clip,
    elu,
    equal,
    exp,
    greater,
    greater_equal,
    l2_normalize,
    less,
    less_equal,
    log,
    maximum,
    minimum,
    not_equal,
    pow,
    relu,
    round,
    sigmoid,
    sign,
    softmax,
    softplus,
    sqrt,
    square,
    stop_gradient,
    tanh,
)
from tinycnn.backend.functions import function
from tinycnn.backend.losses import binary_crossentropy, categorical_crossentropy, sparse_categorical_crossentropy
from tinycnn.backend.random import random_normal, random_uniform
from tinycnn.backend.reductions import all, any, argmax, argmin, logsumexp, max, mean, min, std, sum, var
from tinycnn.backend.settings import (
    backend,
    cast_to_floatx,
    epsilon,
    floatx,
    image_data_format,
    image_dim_ordering,
    learning_phase,
    set_floatx,
    set_image_data_format,
    set_image_dim_ordering,
    set_learning_phase,
)
from tinycnn.backend.shapes import (
    batch_flatten,
    concatenate,
    conv2d,
    dot,
    expand_dims,
    flatten,
    one_hot,
    ones_like,
    permute_dimensions,
    reshape,
    shape,
    squeeze,
    transpose,
    zeros_like,
)
from tinycnn.backend.values import (
    batch_get_value,
    batch_set_value,
    constant,
    count_params,
    dtype,
    eval,
    get_value,
    int_shape,
    is_tensor,
    ndim,
    ones,
    set_value,
    variable,
    zeros,
)
from tinycnn.expressions import gradients
from tinycnn.session import clear_session

__all__ = [
    "abs", "all", "any", "argmax", "argmin", "backend", "batch_flatten", "batch_get_value", "batch_set_value",
    "binary_crossentropy", "cast", "cast_to_floatx", "categorical_crossentropy", "clear_session", "clip",
    "concatenate", "constant", "conv2d", "count_params", "dot", "dtype", "elu", "epsilon", "equal", "eval", "exp",
    "expand_dims", "flatten", "floatx", "function", "get_value", "gradients", "greater", "greater_equal",
    "image_data_format", "image_dim_ordering", "int_shape", "is_tensor", "l2_normalize", "learning_phase", "less",
    "less_equal", "log", "logsumexp", "max", "maximum", "mean", "min", "minimum", "ndim", "not_equal", "one_hot",
    "ones", "ones_like", "permute_dimensions", "pow", "random_normal", "random_uniform", "relu", "reshape", "round",
    "set_floatx", "set_image_data_format", "set_image_dim_ordering", "set_learning_phase", "set_value", "shape",
    "sigmoid", "sign", "softmax", "softplus", "sparse_categorical_crossentropy", "sqrt", "square", "squeeze", "std",
    "stop_gradient", "sum", "tanh", "transpose", "var", "variable", "zeros", "zeros_like",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    return refusals.attribute(sys.modules[__name__], name)
