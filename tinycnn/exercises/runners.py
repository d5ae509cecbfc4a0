"""Runs a submission on a shape: a kernel in C, a kernel in Python, or a function with its way back. In a child process.

A runner is made of an exercise and a file, and raises Rejected where the file does not build. `run` says what is wrong
on a case, or None.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from tinycnn import emulator
from tinycnn.emulator.arguments import parameter_names
from tinycnn.exercises.compare import difference
from tinycnn.exercises.counts import numbers
from tinycnn.exercises.exercise import Case, Exercise, GradientCase, Output
from tinycnn.exercises.stages import HIDDEN, VISIBLE

SECONDS = 10.0  # of a launch: the shapes are small, and half a second is long
ENDLESS, CRASH = "endless", "crash"


class Rejected(ValueError):
    """A file that does not build, or that is not what the task asks for."""


class Wrong(NamedTuple):
    """What is wrong on a shape. detail: for a visible one; kind: all that may be said of a hidden one."""

    detail: str
    kind: str = "wrong numbers"


def runner_of(exercise: Exercise, path: Path) -> Any:
    """The runner for this kind of exercise. Raises Rejected."""
    return {"cuda": CudaRunner, "numba": NumbaRunner, "gradient": GradientRunner}[exercise.kind](exercise, path)


def compared(outputs: tuple[Output, ...], arguments: list[Any]) -> str:
    """What is wrong with the outputs among a launch's arguments, or ''."""
    texts = (difference(output, arguments[output.argument]) for output in outputs)
    return next((text for text in texts if text), "")


# ---------------------------------------------------------------- kernels in C


class CudaRunner:
    """In the emulator, with every access watched: what is wrong and why is found in one run."""

    def __init__(self, exercise: Exercise, path: Path):
        self.exercise, self.path = exercise, path
        try:
            self.checkers = {stage: emulator.Checker(path, [exercise.function]) for stage in (VISIBLE, HIDDEN)}
        except emulator.CompilerMissing:
            raise
        except emulator.BuildError as error:
            if exercise.function not in parameter_names([path]):
                raise Rejected(f"there is no kernel {exercise.function}; asked for is {exercise.signature}") from None
            raise Rejected(str(error)) from None
        case = exercise.at(exercise.visible[0].sizes)
        assert isinstance(case, Case)
        try:
            self.checkers[VISIBLE].watched.module.signature(exercise.function).pack(case.launch.args)
        except emulator.LaunchError as error:
            raise Rejected(f"{error}; asked for is {exercise.signature}") from None

    def run(self, case: Case, stage: str) -> Wrong | None:
        checker = self.checkers[stage]
        before = len(checker.reports)
        results = checker.run(case.launch, SECONDS)
        new = checker.reports[before:]
        if any(report.kind == ENDLESS for report in new):  # where it was is another place each time
            words = f"the launch had not ended after {SECONDS:g} seconds; `tinycnn check` shows where it was"
            return Wrong(words, ENDLESS)
        if crashes := [report for report in new if report.kind == CRASH]:
            return Wrong(crashes[0].message, CRASH)
        text = compared(case.outputs, results)
        if not text:
            return None
        return Wrong("\n".join([text, *(f"the check says: {report}" for report in new[:1])]))

    def reports(self, stage: str) -> list[emulator.Report]:
        """What the check found on all shapes of a stage."""
        return self.checkers[stage].reports

    def places(self, stage: str) -> list[str]:
        """The same, without anything that tells of the shapes; what the visible ones have shown is left out."""
        known = {_place(report) for report in self.reports(VISIBLE)}
        return [_place(report) for report in self.reports(stage) if _place(report) not in known]

    def counts(self) -> dict[str, float]:
        """{what: how many} for the exercise's goals. Raises Rejected for accesses that the trace has not seen."""
        shape = self.exercise.counted
        assert shape
        case = self.exercise.at(shape.sizes)
        assert isinstance(case, Case)
        trace = emulator.trace(self.path, case.launch, None, SECONDS)
        # Arrays have the names of the student's parameters, the goals those of the task.
        parameters = self.checkers[VISIBLE].watched.module.signature(self.exercise.function).parameters
        own = {
            p.name or f"argument {p.number}": name for p, name in zip(parameters, self.exercise.parameters, strict=True)
        }
        for line in trace.lines:
            if line.space == "global":
                line.array = own.get(line.array, line.array)
        self._refuse_what_hides(case, trace)
        return {goal.what: round(float(goal.counted(trace, shape.sizes)), 4) for goal in self.exercise.goals}

    def _refuse_what_hides(self, case: Case, trace: emulator.Trace) -> None:
        """Raises Rejected unless every number of every array was seen: no exercise can do without."""
        written = {output.argument for output in case.outputs}
        for i, (name, array) in enumerate(zip(self.exercise.parameters, case.launch.args, strict=True)):
            if not isinstance(array, np.ndarray):
                continue
            ops = ("store", "atomic") if i in written else ("load",)
            seen = sum(numbers(trace, "global", name, op) for op in ops)
            if seen < array.size:
                raise Rejected(f"{array.size} numbers of {name} need a {ops[0]}, and the trace has seen {seen}")


def _place(report: emulator.Report) -> str:
    return f"{report.file}:{report.line}: {report.kind}"


# ---------------------------------------------------------------- in Python


def loaded(exercise: Exercise, path: Path) -> Callable[..., Any]:
    """The function of a file in Python that the exercise asks for. Raises Rejected."""
    sys.modules[f"tinycnn.exercises.{exercise.name}.solution"] = None  # type: ignore[assignment]  # not to be imported
    module = _imported(path)
    function = getattr(module, exercise.function, None)
    if not callable(function):
        raise Rejected(f"there is no {exercise.function}; asked for is {exercise.signature}")
    return function


def _imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("submission", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["submission"] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise Rejected(_where(error, path)) from None
    return module


def _where(error: Exception, path: Path, words: bool = True) -> str:
    """What a submission raised, and at which of its lines. Not its words, which may tell anything, where not wanted."""
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).name == path.name
    ]
    if isinstance(error, SyntaxError):
        lines.append(error.lineno)
    place = f"{path.name}:{lines[-1]}: " if lines else ""
    return f"{place}{type(error).__name__}" + (f": {error}" if words else "")


class NumbaRunner:
    """In Numba's simulator, on every machine: what it does there, it does for everybody."""

    def __init__(self, exercise: Exercise, path: Path):
        os.environ["NUMBA_ENABLE_CUDASIM"] = "1"  # read when Numba is first imported, which is below
        from tinycnn.devices.gpu.numba import find_numba_cuda

        find_numba_cuda()
        self.path, self.kernel = path, loaded(exercise, path)
        if not hasattr(self.kernel, "__getitem__"):
            raise Rejected(f"{exercise.function} is no kernel: it needs @cuda.jit")

    def run(self, case: Case, stage: str) -> Wrong | None:
        arguments = [arg.copy() for arg in case.launch.args]
        try:
            self.kernel[case.launch.grid, case.launch.block](*arguments)  # type: ignore[index]
        except Exception as error:
            return Wrong(_where(error, self.path), _where(error, self.path, words=False))
        text = compared(case.outputs, arguments)
        return Wrong(text) if text else None


class GradientRunner:
    """On `reference` in float64: the result beside what is right, and its gradient beside differences."""

    def __init__(self, exercise: Exercise, path: Path):
        self.exercise, self.path, self.function = exercise, path, loaded(exercise, path)

    def run(self, case: GradientCase, stage: str) -> Wrong | None:
        import tinycnn
        from tinycnn.gradcheck import GradcheckError, gradcheck

        try:
            with tinycnn.use_device("reference", "float64"):
                y = self.function(*(tinycnn.Tensor(x, requires_grad=True) for x in case.inputs))
                got = np.asarray(y.numpy())
                if got.shape != case.want.shape:
                    return Wrong(f"the result has shape {got.shape}, not {case.want.shape}", "a wrong shape")
                text = difference(Output("y", 0, case.want, 1e-9 * (1 + np.abs(case.want))), got)
                if text:
                    return Wrong(text)
                if y.creator is None or y.creator.name != self.exercise.function:
                    return Wrong(
                        f"y comes from no output_of('{self.exercise.function}', ...)", "no way back of its own"
                    )
                gradcheck(self.function, case.inputs, device="reference")
        except GradcheckError as error:
            return Wrong(str(error), "a wrong gradient")
        except Exception as error:
            return Wrong(_where(error, self.path), _where(error, self.path, words=False))
        return None
