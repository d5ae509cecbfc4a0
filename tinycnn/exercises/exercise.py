"""What an exercise consists of: what is launched, on which shapes, what is right there, and what is counted."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinycnn.emulator import Launch, Trace

FOLDER = Path(__file__).parent
LARGEST = 2**17  # size: more than 16 bits can count, and still judged in a second
EPS = float(np.finfo(np.float32).eps)

Sizes = Mapping[str, int]


class Shape(NamedTuple):
    """The sizes that a submission is run on, and what only they reveal: 'the stride is above 1'."""

    sizes: dict[str, int]
    suspicion: str = ""

    def __str__(self) -> str:
        return " ".join(f"{name}={size}" for name, size in self.sizes.items())


@dataclass(frozen=True)
class Output:
    """An array that the kernel has to write: its place among the arguments, and how far it may be from what is right.

    want, bound: float64, of its shape. It begins as NaN, so that what is never written shows.
    """

    name: str
    argument: int
    want: np.ndarray
    bound: np.ndarray


@dataclass(frozen=True)
class Case:
    """A launch, and what it has to give."""

    launch: Launch
    outputs: tuple[Output, ...]


@dataclass(frozen=True)
class GradientCase:
    """Inputs of a function, float64, and what it has to give, in NumPy: its gradient is compared with differences."""

    inputs: list[np.ndarray]
    function: Callable[..., np.ndarray]

    @property
    def want(self) -> np.ndarray:
        return self.function(*self.inputs)


@dataclass(frozen=True)
class Goal:
    """A count that is asked for: at most so many `what`."""

    what: str
    most: float
    counted: Callable[[Trace, Sizes], float]


class Mutant(NamedTuple):
    """A solution with a fault, and the stage that it has to be rejected at."""

    name: str
    stage: str
    text: str


@dataclass(frozen=True)
class Exercise:
    """An exercise.

    function: the kernel's name, or that of the function in Python.
    signature: how it is called, as the task says it.
    sizes: the names of a shape's numbers, each with the least that it may be.
    case: from sizes and a random generator to what is run. Raises ValueError for sizes that do not go together.
    visible, hidden: shapes that the feedback may show, and that it may not. A teacher has hidden ones of their own.
    counted: the sizes that the goals are counted on.
    """

    name: str
    title: str
    function: str
    signature: str
    sizes: dict[str, int]
    case: Callable[[Sizes, np.random.Generator], Case | GradientCase]
    visible: tuple[Shape, ...]
    hidden: tuple[Shape, ...]
    goals: tuple[Goal, ...] = ()
    counted: Shape | None = None
    kind: str = "cuda"  # or "numba", a kernel in Python, or "gradient", a function with its way back

    @property
    def suffix(self) -> str:
        """Of the files: .cu or .py."""
        return ".cu" if self.kind == "cuda" else ".py"

    @property
    def parameters(self) -> list[str]:
        """The names in the signature."""
        return re.findall(r"(\w+)[,)]", self.signature.partition("(")[2])

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    def file(self, name: str) -> Path:
        """A file of its folder: 'task.md', or 'start' and 'solution', whose suffix the language has."""
        return self.folder / (name if "." in name else name + self.suffix)

    def text(self, name: str) -> str:
        """What stands in a file of its folder."""
        return self.file(name).read_text(encoding="utf-8")

    def mutants(self) -> list[Mutant]:
        """What the judge has to reject: the solution, changed as mutants.diff says. Its lines stand there once."""
        found = []
        for part in re.split(r"^@@ ", self.text("mutants.diff"), flags=re.MULTILINE)[1:]:
            head, *lines = part.splitlines()
            old, new = ("".join(f"{line[1:]}\n" for line in lines if line[:1] == sign) for sign in "-+")
            solution = self.text("solution")
            if solution.count(old) != 1:
                raise ValueError(
                    f"{self.name}: the lines of {head!r} stand {solution.count(old)} times in the solution"
                )
            name, stage = head.split(": ")
            found.append(Mutant(name, stage, solution.replace(old, new)))
        return found

    def checked(self, numbers: Mapping[str, Any], what: str) -> dict[str, int]:
        """The sizes of a shape that somebody wrote. Raises ValueError, which begins with `what`."""
        for name, value in numbers.items():
            if name not in self.sizes:
                raise ValueError(f"{what} has {name}; the sizes of {self.name} are {', '.join(self.sizes)}")
            if isinstance(value, bool) or not isinstance(value, int) or not self.sizes[name] <= value <= LARGEST:
                raise ValueError(
                    f"{what}: {name} is a whole number from {self.sizes[name]} to {LARGEST}, not {value!r}"
                )
        if missing := [name for name in self.sizes if name not in numbers]:
            raise ValueError(f"{what} has no {' and no '.join(missing)}")
        sizes = {name: numbers[name] for name in self.sizes}
        try:
            self.at(sizes)
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from None
        return sizes

    def at(self, sizes: Sizes) -> Case | GradientCase:
        """What is run on these sizes: the same numbers every time."""
        return self.case(sizes, np.random.default_rng([sizes[name] for name in self.sizes]))


def shapes(names: Sequence[str], *rows: tuple[str, tuple[int, ...]]) -> tuple[Shape, ...]:
    """Shapes from rows (suspicion, sizes)."""
    return tuple(Shape(dict(zip(names, sizes, strict=True)), suspicion) for suspicion, sizes in rows)


def rounded(terms: int, magnitude: np.ndarray) -> np.ndarray:
    """How far a sum of so many products in float32 may be from the right one, in whatever order it was added up.

    magnitude: the sum of the products' absolute values. The standard bound is terms * eps / 2 times that.
    """
    return (terms + 4) * EPS * magnitude


def normal(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Standard normal numbers in float32."""
    return random.standard_normal(shape).astype(np.float32)


def unwritten(*shape: int) -> np.ndarray:
    """An output before the launch."""
    return np.full(shape, np.nan, np.float32)


def ints(*numbers: int) -> list[np.int32]:
    """Numbers as a kernel's int parameters take them."""
    return [np.int32(number) for number in numbers]


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)
