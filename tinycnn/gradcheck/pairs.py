"""Checks gradients of code that is not tinycnn's: pairs of functions in NumPy, functions of PyTorch and of JAX.

    def affine_forward(x, w, b):
        return x @ w + b, (x, w)                           # the result, and what the way back needs

    def affine_backward(dy, cache):
        x, w = cache
        return dy @ w.T, x.T @ dy, dy.sum(axis=0)          # a gradient for each input

    gradcheck.pair(affine_forward, affine_backward, [x, w, b])      # raises GradcheckError where one is wrong

What is compared with what, and how a kink is told from a fault, is as in check.py: central differences in float64, and
a random upstream gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.gradcheck.check import (
    ATOL,
    EPS,
    RTOL,
    Report,
    argument_names,
    as_inputs,
    check_tolerances,
    random_upstream,
    rows_of,
    title,
)

Arrays = Sequence[np.ndarray]


def pair(
    forward: Callable[..., tuple[Any, Any]], backward: Callable[[np.ndarray, Any], Any], inputs: Sequence[ArrayLike],
    *, eps: float = EPS, atol: float = ATOL, rtol: float = RTOL, raise_exception: bool = True, seed: int = 0,
) -> Report:  # fmt: skip
    """Check a function in NumPy and the one that takes a gradient back through it.

    Args:
        forward: takes the inputs, returns (y, cache): the result, and whatever `backward` needs.
        backward: takes (dy, cache), dy of y's shape, and returns the gradients of all inputs, in their order: a tuple
            or a list, or an array alone for a single input.
        inputs: floating-point arrays, which the functions are given in float64. What has no gradient, as labels or a
            stride, is given to `forward` by a lambda or functools.partial.
        eps, atol, rtol, raise_exception, seed: as those of `gradcheck`.

    Returns:
        The Report, a Row for every input.

    Raises:
        GradcheckError: an AssertionError that says which gradient is wrong, where and by how much.
        NotDifferentiable: a GradcheckError, where the function has a kink at these inputs.
        ValueError: for what cannot be checked, among it a function that changes its inputs, or computes in float32.

    >>> forward = lambda x, w: (x @ w, (x, w))
    >>> backward = lambda dy, cache: (dy @ cache[1].T, cache[0].T @ dy)
    >>> print(pair(forward, backward, [[[1.0, 2.0]], [[3.0], [-1.0]]]))
    gradients of the function on numpy (float64):
      2 gradients passed
    """
    name = title(forward)

    def run(arrays: Arrays) -> tuple[np.ndarray, Any]:
        given = [array.copy() for array in arrays]
        answer = forward(*given)
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise ValueError(f"{name} returns a {type(answer).__name__}, not the pair (y, cache)")
        for argument, before, after in zip(names, arrays, given, strict=True):
            if not np.array_equal(before, after):
                raise ValueError(f"{name} changes its input {argument}; give it a copy to work on")
        return _float64(name, answer[0]), answer[1]

    def back(arrays: Arrays, upstream: np.ndarray) -> list[np.ndarray]:
        answer = backward(upstream.copy(), run(arrays)[1])
        gradients = list(answer) if isinstance(answer, tuple | list) else [answer]
        if len(gradients) != len(arrays):
            inputs_are = f"{name} has {len(arrays)} inputs: {', '.join(names)}"
            raise ValueError(f"{title(backward)} returns {len(gradients)} gradients; {inputs_are}")
        return [np.asarray(np.nan if gradient is None else gradient) for gradient in gradients]

    arrays = as_inputs(inputs, "float64")
    names = argument_names(forward, len(arrays))
    return _checked(
        name, "numpy", names, arrays, lambda arrays: run(arrays)[0], back, eps, (atol, rtol), raise_exception, seed
    )


def torch_function(
    function: Any, inputs: Sequence[ArrayLike], *, eps: float = EPS, atol: float = ATOL, rtol: float = RTOL,
    raise_exception: bool = True, seed: int = 0,
) -> Report:  # fmt: skip
    """Check a torch.autograd.Function, or any function of tensors, on the CPU in float64.

    Args:
        function: a subclass of torch.autograd.Function, whose `apply` is called, or a callable. It returns one tensor.
        inputs: floating-point arrays, which become tensors that require a gradient.

    The rest, what is returned and what is raised are as those of `pair`.
    """
    import torch

    name = title(function)
    call = getattr(function, "apply", function)

    def value(arrays: Arrays) -> np.ndarray:
        with torch.no_grad():
            return _float64(name, call(*(torch.tensor(array) for array in arrays)).numpy())

    def back(arrays: Arrays, upstream: np.ndarray) -> list[np.ndarray]:
        tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
        found = torch.autograd.grad(call(*tensors), tensors, torch.tensor(upstream), allow_unused=True)
        return [np.zeros(a.shape) if g is None else g.numpy() for a, g in zip(arrays, found, strict=True)]

    arrays = as_inputs(inputs, "float64")
    # The first parameter of forward is the context.
    names = argument_names(getattr(function, "forward", function), len(arrays) + isinstance(function, type))
    return _checked(name, "torch", names[-len(arrays) :], arrays, value, back, eps, (atol, rtol), raise_exception, seed)


def jax_function(
    function: Callable, inputs: Sequence[ArrayLike], *, eps: float = EPS, atol: float = ATOL, rtol: float = RTOL,
    raise_exception: bool = True, seed: int = 0,
) -> Report:  # fmt: skip
    """Check a function of JAX, as one with a custom_vjp, in float64.

    Args:
        function: takes arrays of JAX and returns one.
        inputs: floating-point arrays.

    The rest, what is returned and what is raised are as those of `pair`.
    """
    import jax
    import jax.experimental

    name = title(function)
    # Where it is in the package depends on its version.
    float64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64

    def value(arrays: Arrays) -> np.ndarray:
        with float64(True):
            return _float64(name, function(*map(jax.numpy.asarray, arrays)))

    def back(arrays: Arrays, upstream: np.ndarray) -> list[np.ndarray]:
        with float64(True):
            _, way_back = jax.vjp(function, *map(jax.numpy.asarray, arrays))
            return [np.asarray(gradient) for gradient in way_back(jax.numpy.asarray(upstream))]

    arrays = as_inputs(inputs, "float64")
    names = argument_names(function, len(arrays))
    return _checked(name, "jax", names, arrays, value, back, eps, (atol, rtol), raise_exception, seed)


# ---------------------------------------------------------------- what they share


def _float64(name: str, y: Any) -> np.ndarray:
    """A result as an array of its own. Raises ValueError unless it is in float64."""
    array = np.array(y)
    if array.dtype != np.float64:
        raise ValueError(f"{name} returns {array.dtype} for inputs in float64: differences need all digits")
    return array


def _checked(
    name: str, library: str, names: Sequence[str], arrays: list[np.ndarray], value: Callable[[Arrays], np.ndarray],
    back: Callable[[Arrays, np.ndarray], list[np.ndarray]], eps: float, tolerance: tuple[float, float],
    raise_exception: bool, seed: int,
) -> Report:  # fmt: skip
    """The Report of value(arrays), whose gradients are back(arrays, upstream)."""
    check_tolerances(eps, *tolerance)
    y = value(arrays)
    if not np.isfinite(y).all():
        raise ValueError(f"{name} is not finite at these inputs, so it has no gradient there")
    upstream = random_upstream(np.random.default_rng(seed), y.shape)
    gradients = back(arrays, upstream)
    moved = dict(zip(names, arrays, strict=True))
    rows = rows_of(name, lambda: value(arrays), moved, y, upstream, gradients, eps, tolerance)
    report = Report(name, f"{library} (float64)", tuple(rows))
    if raise_exception:
        report.demand()
    return report
