"""Is a gradient right? The check (check.py), cases for every operation (cases.py), whole networks (networks.py)."""

from tinycnn.gradcheck.check import GradcheckError, NotDifferentiable, Report, Row, gradcheck

__all__ = ["GradcheckError", "NotDifferentiable", "Report", "Row", "gradcheck"]
