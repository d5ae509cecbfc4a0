"""The stages that a submission goes through, the first that it fails, and its mark."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import tinycnn

BUILDS, VISIBLE, HIDDEN, CLEAN, COUNTS = "builds", "visible", "hidden", "clean", "counts"
WHAT = {
    BUILDS: "builds",
    VISIBLE: "right on the visible shapes",
    HIDDEN: "right on the hidden shapes",
    CLEAN: "clean: no races, no access out of bounds, no divergent barriers",
    COUNTS: "the counts that are asked for",
}
POINTS = {BUILDS: 1, VISIBLE: 3, HIDDEN: 3, CLEAN: 2, COUNTS: 3}


@dataclass(frozen=True)
class Stage:
    """What became of a stage. passed: None where an earlier one failed, so that it was not reached."""

    name: str
    passed: bool | None = None
    message: str = ""
    counts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """The stages of one submission."""

    exercise: str
    stages: tuple[Stage, ...]

    def __bool__(self) -> bool:
        return all(stage.passed for stage in self.stages)

    @property
    def score(self) -> int:
        return sum(POINTS[stage.name] for stage in self.stages if stage.passed)

    @property
    def of(self) -> int:
        """The most that the score can be."""
        return sum(POINTS[stage.name] for stage in self.stages)

    @property
    def failed(self) -> Stage | None:
        """The stage that was failed, if one was."""
        return next((stage for stage in self.stages if stage.passed is False), None)

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "exercise": self.exercise,
            "score": self.score,
            "of": self.of,
            "stages": [asdict(stage) for stage in self.stages],
            "version": tinycnn.__version__,
        }
