"""Every named case of every operation has the right gradients, on every device."""

import pytest

from tinycnn import arithmetic, functional
from tinycnn.gradcheck_cases import OPERATIONS, cases
from tinycnn.tensor import Function


@pytest.mark.parametrize("case", cases(), ids=str)
def test_the_gradients_of_every_operation(device, case):
    report = case.check(device)
    assert report, str(report)


def test_no_two_cases_have_the_same_name():
    names = [str(case) for case in cases()]
    assert len(set(names)) == len(names)


def test_every_function_has_a_case(float64, monkeypatch):
    seen, call = set(), Function.__call__
    monkeypatch.setattr(Function, "__call__", lambda self, *tensors: seen.add(type(self)) or call(self, *tensors))
    for operation in OPERATIONS:
        cases(operation)[-1].check(float64)
    there = {
        item
        for module in (functional, arithmetic)
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, Function) and "backward" in vars(item)
    }
    abstract = {functional.Affine, arithmetic.Binary}
    concrete = there - abstract | {functional.Conv2D, functional.Conv1x1, functional.Dense}
    assert concrete <= seen, concrete - seen
