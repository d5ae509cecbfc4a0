"""Runs a kernel in C on a shape, in a child process.

A runner is made of an exercise and a file, and raises Rejected where the file does not build. `run` says what is wrong
on a case, or None. What is in Python is run by in_python.py, and compared by answers.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinycnn import emulator
from tinycnn.emulator.arguments import parameter_names
from tinycnn.exercises.compare import Wrong, compared
from tinycnn.exercises.counts import numbers
from tinycnn.exercises.exercise import Case, Exercise, Sizes
from tinycnn.exercises.stages import HIDDEN, VISIBLE

SECONDS = 10.0  # of a launch: the shapes are small, and half a second is long
ENDLESS, CRASH = "endless", "crash"


class Rejected(ValueError):
    """A file that does not build, or that is not what the task asks for."""


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
        wrong = compared(self.exercise, case, results)
        if wrong and new:
            return wrong._replace(detail=f"{wrong.detail}\nthe check says: {new[0]}")
        return wrong

    def reports(self, stage: str) -> list[emulator.Report]:
        """What the check found on all shapes of a stage."""
        return self.checkers[stage].reports

    def places(self, stage: str) -> list[str]:
        """The same, without anything that tells of the shapes; what the visible ones have shown is left out."""
        known = {_place(report) for report in self.reports(VISIBLE)}
        return [_place(report) for report in self.reports(stage) if _place(report) not in known]

    def counts(self) -> dict[str, float]:
        """{what: how many} for the exercise's goals. Raises as `trace`."""
        shape = self.exercise.counted
        assert shape
        trace = self.trace(shape.sizes)
        return {goal.what: round(float(goal.counted(trace, shape.sizes)), 4) for goal in self.exercise.goals}

    def trace(self, sizes: Sizes) -> emulator.Trace:
        """Trace a launch. Raises Rejected for accesses that the trace has not seen, and KernelError for a fault."""
        case = self.exercise.at(sizes)
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
        return trace

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
