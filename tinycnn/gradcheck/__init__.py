"""Is a gradient right? The check (check.py), also of code that is not tinycnn's (pairs.py), cases for every operation
(cases.py), whole networks (networks.py)."""

from tinycnn.gradcheck.check import GradcheckError, NotDifferentiable, Report, Row, gradcheck
from tinycnn.gradcheck.pairs import jax_function, pair, torch_function

__all__ = [
    "GradcheckError", "NotDifferentiable", "Report", "Row", "gradcheck", "jax_function", "pair", "torch_function",
]  # fmt: skip
