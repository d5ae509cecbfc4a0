"""Every named case of every operation has the right gradients, on every device."""

import importlib
import inspect
import pkgutil
import re

import pytest

from tinycnn import arithmetic, functional
from tinycnn.gradcheck.cases import OPERATIONS, cases

FILES = [file.name for file in pkgutil.iter_modules(functional.__path__)]


@pytest.mark.parametrize("case", cases(), ids=str)
def test_the_gradients_of_every_operation(device, case):
    report = case.check(device)
    assert report, str(report)


def test_no_two_cases_have_the_same_name():
    names = [str(case) for case in cases()]
    assert len(set(names)) == len(names)


def test_every_operation_has_a_case(float64, monkeypatch):
    seen = set()
    modules = arithmetic, *(importlib.import_module(f"tinycnn.functional.{file}") for file in FILES)
    for module in modules:
        made = module.output_of
        spy = lambda name, *rest, made=made: seen.add(name) or made(name, *rest)  # noqa: E731
        monkeypatch.setattr(module, "output_of", spy)
    for operation in OPERATIONS:
        cases(operation)[-1].check(float64)
    text = "".join(map(inspect.getsource, modules))
    written = set(re.findall(r'(?:output_of|loss_of|binary|unary|affine|activation)\(\s*"(\w+)"', text))
    assert len(written) > 25
    assert written == seen
