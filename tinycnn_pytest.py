"""The plugin for pytest: a fixture that checks gradients, and fails a test with what it found.

    def test_affine(gradcheck):
        x, w, b = gradcheck.normal(4, 3), gradcheck.normal(3, 2), gradcheck.normal(2)
        gradcheck(affine_forward, affine_backward, [x, w, b])

A module beside the package: pytest imports it in every run, and nothing else with it before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest


class Gradcheck:
    """The fixture. Options of the checks are those of `tinycnn.gradcheck`: eps, atol, rtol, seed."""

    def __init__(self) -> None:
        import numpy as np

        self._random = np.random.default_rng(0)

    def normal(self, *shape: int) -> Any:
        """Standard normal numbers in float64, to be used as an input: the same in every run of a test."""
        return self._random.standard_normal(shape)

    def __call__(self, forward: Callable, backward: Callable, inputs: Sequence[Any], **options: Any) -> None:
        """Check a pair of functions in NumPy: forward(*inputs) -> (y, cache), backward(dy, cache) -> gradients."""
        self._check("pair", forward, backward, inputs, **options)

    def tensors(self, function: Callable, inputs: Sequence[Any], **options: Any) -> None:
        """Check a function of tinycnn's Tensors; an option more: device."""
        self._check("gradcheck", function, inputs, **options)

    def torch(self, function: Any, inputs: Sequence[Any], **options: Any) -> None:
        """Check a torch.autograd.Function, or a function of PyTorch's tensors."""
        self._check("torch_function", function, inputs, **options)

    def jax(self, function: Callable, inputs: Sequence[Any], **options: Any) -> None:
        """Check a function of JAX, as one with a custom_vjp."""
        self._check("jax_function", function, inputs, **options)

    def _check(self, name: str, *arguments: Any, **options: Any) -> None:
        from tinycnn import gradcheck

        try:
            getattr(gradcheck, name)(*arguments, **options)
        except gradcheck.GradcheckError as error:
            pytest.fail(str(error), pytrace=False)


@pytest.fixture
def gradcheck() -> Gradcheck:
    """gradcheck(forward, backward, inputs) checks gradients against finite differences, and fails with the report."""
    return Gradcheck()
