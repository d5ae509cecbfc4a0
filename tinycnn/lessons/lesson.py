"""What a lesson is: one thing to see, what it is made from, and what a reader is asked before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tinycnn.lessons.runs import Run
from tinycnn.lessons.subjects import Subject

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Question:
    """A prediction to make. answer: which of the choices the run has shown to be right."""

    text: str
    choices: tuple[str, ...]
    answer: int
    because: str


def number_question(text: str, right: float, others: tuple[float, ...], because: str, form: str = "{:,}") -> Question:
    """A question whose choices are numbers, the smallest first; of `others`, those that look like the right one go."""
    shown = {form.format(right): right}
    for other in others:
        shown.setdefault(form.format(other), other)
    choices = sorted(shown, key=lambda text: shown[text])
    return Question(text, tuple(choices), choices.index(form.format(right)), because)


@dataclass
class Made:
    """A lesson made from a subject: what its page and its picture show."""

    about: str  # a sentence: what was run
    questions: list[Question]
    picture: Callable[[], Figure]
    runs: list[Run] = field(default_factory=list)
    # By name, what can be watched on a stage: [{"label", "lists": [{"run", "requests"}, ...]}, ...].
    stages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)  # what the words of the page take from the run
    data: dict[str, Any] = field(default_factory=dict)  # what player.js takes beside runs and stages


@dataclass(frozen=True)
class Lesson:
    """A lesson: page/`name`.html holds its words. number: 0 for the page of a kernel file."""

    number: int
    name: str
    title: str
    one_thing: str
    made_from: str
    make: Callable[[Subject], Made]
    minutes: int = 0  # in a class of 90; 0: not in it
    counts: bool = False  # whether it shows the emulator's counts
    network: bool = True  # whether it shows the subject's network
    times: bool = False  # whether it shows the subject's times
