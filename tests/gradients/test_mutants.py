"""Every mutant of mutants/ is caught; and what judges that is judged here."""

import sys
from pathlib import Path

import pytest
from mutants import CHECK, GRADCHECK, MUTANTS, TEST
from run_mutants import (
    FAILED,
    NO_ANSWER,
    PASSED,
    Answer,
    answer_to,
    ask,
    controls,
    copy_of_the_package,
    main,
    outcome,
    run,
)

import tinycnn
from tinycnn.devices import DeviceError

BY_NAME = {mutant.name: mutant for mutant in MUTANTS}
# Every twelfth of each tool, and the last of each device. `make mutants` and `make test-all` run them all.
BY_TOOL = [[mutant for mutant in MUTANTS if mutant.tool == tool] for tool in (GRADCHECK, CHECK, TEST)]
QUICK = tuple(
    dict.fromkeys([*(m for mutants in BY_TOOL for m in mutants[::40]), *{m.device: m for m in MUTANTS}.values()])
)
SIGN = BY_NAME["subtract-sign"]
HARMLESS = SIGN._replace(name="harmless", new=SIGN.old)


@pytest.fixture(scope="module")
def unchanged():
    """A copy of the package that nothing is changed in."""
    with copy_of_the_package() as folder:
        yield folder


def need(device):
    try:
        tinycnn.get_device(device)
    except DeviceError as error:
        pytest.skip(f"no {device} device: {error}")


# ---------------------------------------------------------------- the mutants


def some_are_slow(params, quick):
    return [pytest.param(param, marks=[] if param in quick else pytest.mark.slow) for param in params]


@pytest.mark.parametrize("mutant", some_are_slow(MUTANTS, QUICK), ids=list(BY_NAME))
def test_every_mutant_is_killed(mutant):
    need(mutant.device)
    answer = answer_to(mutant)
    assert answer.verdict == FAILED, f"{mutant.name} ({mutant.why}) is not caught: {answer.verdict}, {answer.text}"


@pytest.mark.parametrize("control", some_are_slow(controls(MUTANTS), controls(QUICK)), ids="-".join)
def test_nothing_is_wrong_without_a_mutant(control, unchanged):
    need(control[1])
    answer = ask(*control, unchanged)
    assert answer.verdict == PASSED, answer.text


def test_there_are_many_mutants_each_with_a_name_of_its_own():
    assert len(BY_NAME) == len(MUTANTS) >= 30
    for mutants in (MUTANTS, QUICK):
        assert {mutant.device for mutant in mutants} == {"reference", "cpu", "emulator", "numba"}
        assert {mutant.tool for mutant in mutants} >= {GRADCHECK, CHECK}


# ---------------------------------------------------------------- the judge


def test_what_runs_is_the_copy(unchanged):
    code = "import tinycnn, tinycnn.kernels; print(tinycnn.__file__, tinycnn.kernels.__file__, sep='\\n')"
    done = run([sys.executable, "-c", code], unchanged)
    assert [Path(line) for line in done.stdout.splitlines()] == [
        Path(unchanged, "tinycnn", "__init__.py"),
        Path(unchanged, "tinycnn", "kernels", "__init__.py"),
    ]


def test_a_mutant_that_changes_nothing_survives_and_is_reported(capsys):
    assert main([HARMLESS, SIGN]) == 1
    table, summary = capsys.readouterr().out.split("\n\n")
    assert [line.split()[0] for line in table.splitlines()[2:]] == ["harmless", "subtract-sign"]
    assert ["SURVIVED" in line for line in table.splitlines()[2:]] == [True, False]
    assert summary == "2 mutants: 1 not killed\n  harmless: SURVIVED\n"


def test_when_all_are_killed_it_says_so(capsys):
    assert main([SIGN]) == 0
    assert capsys.readouterr().out.endswith("\n\n1 mutants: all killed\n")


@pytest.mark.parametrize("old, times", [("no such text", "0"), ("self.of(", r"\d+")])
def test_a_mutant_whose_text_is_not_there_once_is_an_error_that_names_it(old, times):
    with pytest.raises(ValueError, match=f"mutant stale: its text stands {times} times in tinycnn/arithmetic.py"):
        main([SIGN, SIGN._replace(name="stale", old=old)])


@pytest.mark.parametrize("new", ["return no_such_name", "return (", 'raise ValueError("broken")'])
def test_an_exception_is_no_kill(new):
    answer = answer_to(SIGN._replace(new=new))
    assert answer.verdict == NO_ANSWER
    assert outcome(answer, Answer(PASSED, "")).startswith("error: exit status")


def test_a_kernel_that_does_not_compile_is_no_kill():
    need("emulator")
    broken = BY_NAME["relu-at-zero"]._replace(new="d[j] = no_such_name ?")
    assert answer_to(broken).verdict == NO_ANSWER
    assert answer_to(broken._replace(tool=CHECK, operation="relu")).verdict == NO_ANSWER


def test_an_operation_that_does_not_exist_is_no_answer(unchanged):
    assert ask(GRADCHECK, "reference", "no_such_operation", unchanged).verdict == NO_ANSWER


def test_a_kill_does_not_count_where_the_tool_finds_something_without_the_mutant_too():
    assert outcome(Answer(FAILED, ""), Answer(PASSED, "")) == "killed"
    assert outcome(Answer(FAILED, ""), Answer(FAILED, "")).startswith("error: without the mutant failed")
