"""Checks gradients: what `backward` computes against what happens when the inputs are moved a little.

    from tinycnn.gradcheck import gradcheck

    gradcheck(lambda x, w: F.dense(x, w).exp(), [x, w])     # raises GradcheckError where a gradient is wrong

The oracle is float64 on the `reference` device: central differences (f(x + eps) - f(x - eps)) / 2 eps of every element
of every argument. Another device is compared with the gradients of `reference` that have just passed, to the digits
that its precision has: differences taken in float32 would prove nothing.

The upstream gradient is random. With all ones a softmax whose backward returns zero passes, and so does a
convolution whose filter gradient is reversed, because the sum of the outputs does not tell them apart.

At a kink (ReLU at 0, two equal maxima of a pooling window) there is no gradient to compare with. Such a point is told
by its slopes from the left and from the right, which differ however small the step, and it is named as what it is: a
badly chosen input, NotDifferentiable.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.devices import DEVICES, current_device, get_device
from tinycnn.devices.base import Array, Device
from tinycnn.shapes import Shape
from tinycnn.tensor import Tensor, no_grad

EPS, ATOL, RTOL = 1e-6, 1e-6, 1e-4
PASSED, WRONG, KINK = "passed", "wrong", "not differentiable"
Slopes = tuple[float, float, float]  # from the left, from the right, and from both
OUTPUT = "(output)"  # stands in the place of an argument where a device's result itself is compared


class GradcheckError(AssertionError):
    """A gradient that is wrong. `.report` says which, where and by how much."""

    def __init__(self, report: Report):
        super().__init__(str(report))
        self.report = report


class NotDifferentiable(GradcheckError):
    """Nothing is known to be wrong: the function has a kink at the inputs that were given. Move them."""


@dataclass(frozen=True)
class Row:
    """What was found for one argument: its worst element.

    index: of that element; None where a whole tensor was moved at once (networks.py).
    analytic: what backward computed; numeric: what the oracle says; tolerance: how far apart these two may be.
    """

    argument: str
    shape: Shape
    error: float = 0.0
    tolerance: float = 0.0
    index: Shape | None = None
    analytic: float = 0.0
    numeric: float = 0.0
    verdict: str = PASSED
    note: str = ""

    @property
    def place(self) -> str:
        """x[2,0], or x where it is all of x."""
        return f"{self.argument}[{','.join(map(str, self.index))}]" if self.index else self.argument

    def __str__(self) -> str:
        if self.verdict == KINK:
            return f"not differentiable at {self.place} ({self.note})"
        facts = f"{self.note or f'{self.analytic:.9g} instead of {self.numeric:.9g}'}"
        apart = f"apart by {self.error:.3g}, tolerance {self.tolerance:.3g}"
        return f"{self.argument} {self.shape}: {self.verdict}, at {self.place} {facts}, {apart}"


@dataclass(frozen=True)
class Report:
    """The rows of one check. True where all of them passed."""

    operation: str
    device: str
    rows: tuple[Row, ...]
    case: str = ""  # which attributes of the operation

    def __bool__(self) -> bool:
        return all(row.verdict == PASSED for row in self.rows)

    def __str__(self) -> str:
        lines = [str(row) for row in self.rows if row.verdict != PASSED] or [f"{len(self.rows)} gradients passed"]
        name = f"{self.operation} {self.case}".strip()
        return "\n".join([f"gradients of {name} on {self.device}:", *(f"  {line}" for line in lines)])

    def as_json(self) -> list[dict[str, Any]]:
        """A list of plain dicts, one a row. NaN, which JSON does not have, is None."""
        about = {"operation": self.operation, "case": self.case, "device": self.device}
        rows = [{**about, **asdict(row)} for row in self.rows]
        return [{k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in r.items()} for r in rows]

    def demand(self) -> None:
        """Raise GradcheckError unless everything passed."""
        if not self:
            failed = {row.verdict for row in self.rows} - {PASSED}
            raise NotDifferentiable(self) if failed == {KINK} else GradcheckError(self)


def gradcheck(
    function: Callable[..., Tensor], inputs: Sequence[ArrayLike | Tensor] | np.ndarray | Tensor, *, eps: float = EPS,
    atol: float = ATOL, rtol: float = RTOL, raise_exception: bool = True, device: Device | str | None = None,
    seed: int = 0,
) -> Report:  # fmt: skip
    """Check the gradient of every input of `function`.

    The names are those of torch.autograd.gradcheck, and `device` and `seed`, which it does not have.

    Args:
        function: takes Tensors and returns one Tensor; the same for the same inputs (hold a dropout's step fixed).
        inputs: floating-point arrays or Tensors, or one alone. They are rounded to the device's precision first.
        eps, atol, rtol: the step, and how far a gradient may be from the differences: atol + rtol * |difference|.
        raise_exception: raise where something is wrong, instead of returning a Report that is False.
        device: a Device, or the name of one, which is then taken in float64 where it can; the current one if None.
        seed: of the random upstream gradient.

    Shapes:
        inputs and result of any shapes; every element of every input is moved, so small ones will do.

    Returns:
        The Report, a Row for every input.

    Raises:
        GradcheckError: an AssertionError that says which gradient is wrong, where and by how much.
        NotDifferentiable: a GradcheckError, where the function has a kink at these inputs.
        ValueError: for inputs or results that cannot be checked, among them results so large that a step of eps
            drowns in their rounding.

    >>> print(gradcheck(lambda x, y: (x * y).exp(), [[0.5, -1.0], [2.0, 0.25]], device="reference"))
    gradients of the function on reference (float64):
      2 gradients passed
    """
    on, oracle = checked_device(device), get_device("reference", "float64")
    check_tolerances(eps, atol, rtol)
    arrays = as_inputs(inputs, on.dtype)
    names = argument_names(function, len(arrays))
    y, upstream, exact = backward(function, arrays, oracle, np.random.default_rng(seed))
    tensors = [Tensor(array.copy(), device=oracle) for array in arrays]

    def value() -> np.ndarray:
        with no_grad():
            return np.array(function(*tensors).numpy())  # a copy: the output may be a view of an input

    moved = {name: tensor.data for name, tensor in zip(names, tensors, strict=True)}
    rows = rows_of(title(function), value, moved, y, upstream, exact, eps, (atol, rtol))
    report = Report(title(function), describe(oracle), tuple(rows))
    if report and on is not oracle:
        # No sum behind one number of the result is longer than this.
        length = sum(array.size for array in arrays) + y.size
        got_y, _, got = backward(function, arrays, on, upstream)
        rows = [
            compare(name, want.shape, value, want, rounding(on.dtype, length, largest(want)))
            for name, value, want in zip([OUTPUT, *names], [got_y, *got], [y, *exact], strict=True)
        ]
        report = replace(report, device=describe(on), rows=tuple(rows))
    if raise_exception:
        report.demand()
    return report


def check_tolerances(eps: float, atol: float, rtol: float) -> None:
    """Raises ValueError for what cannot be meant."""
    if not (eps > 0 and atol >= 0 and rtol >= 0):
        raise ValueError(f"gradcheck needs eps above 0 and tolerances of at least 0, not {eps}, {atol} and {rtol}")


def rows_of(
    name: str, value: Callable[[], np.ndarray], moved: Mapping[str, np.ndarray], y: np.ndarray, upstream: np.ndarray,
    gradients: Sequence[np.ndarray], eps: float, tolerance: tuple[float, float],
) -> list[Row]:  # fmt: skip
    """A Row for every argument of the function `name`: its gradient beside the differences of value().

    moved: the arguments' names, and the float64 arrays that value() reads them from.
    """
    estimates = differences(name, value, moved, y, upstream, eps, tolerance)
    rows = []
    for argument, gradient, (numeric, kinks) in zip(moved, gradients, estimates, strict=True):
        allowed = tolerance[0] + tolerance[1] * abs(numeric)
        rows.append(kinks[0] if kinks else compare(argument, numeric.shape, gradient, numeric, allowed))
        refuse_noise(rows[-1], y, upstream, eps)
    return rows


def refuse_noise(row: Row, y: np.ndarray, upstream: np.ndarray, eps: float) -> None:
    """Raise ValueError where what speaks against a gradient may be the rounding of a large result over a small step."""
    noise = 4 * float(np.finfo(np.float64).eps * np.abs(y * upstream).sum() / eps)
    if row.verdict != PASSED and row.error <= noise:
        raise ValueError(
            f"the gradient of {row.place} cannot be checked: results as large as {np.abs(y).max():.2g} are rounded by "
            f"more than a step of {eps:g} changes them. Give smaller inputs, or a larger eps"
        )


def rounding(dtype: str, length: int, scale: float, factor: float = 8) -> float:
    """How far a result in `dtype` may be from the right one: `factor` roundings of numbers as large as `scale`, times
    the root of the length of the longest sum, since rounding errors add up like a random walk."""
    return factor * math.sqrt(length) * float(np.finfo(dtype).eps) * scale


def largest(want: np.ndarray) -> float:
    """The largest number of an array, at least 1: the scale of what rounding may do to it."""
    return max(1.0, float(np.abs(want).max(initial=0)))


# ---------------------------------------------------------------- what is checked


def checked_device(device: Device | str | None) -> Device:
    """The device that is meant: by name, or as the current one, in float64 where it computes in float64."""
    if device is not None and not isinstance(device, str):
        return device
    name = device or current_device().name
    able = DEVICES[name][2] if name in DEVICES else ("float64",)  # get_device says what names there are
    return get_device(name, "float64" if "float64" in able else able[0])


def describe(device: Device) -> str:
    return f"{device.name} ({np.dtype(device.dtype).name})"


def title(function: Callable) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    return "the function" if name == "<lambda>" else name


def as_inputs(inputs: Sequence[ArrayLike | Tensor] | np.ndarray | Tensor, dtype: str) -> list[np.ndarray]:
    """Each as `as_input` has it; one alone may stand for a list of one. Raises ValueError."""
    values = (inputs,) if isinstance(inputs, (np.ndarray, Tensor)) else inputs
    arrays = [as_input(value, i, dtype) for i, value in enumerate(values)]
    if not arrays:
        raise ValueError("gradcheck needs an input to move")
    return arrays


def as_input(value: ArrayLike | Tensor, i: int, dtype: str) -> np.ndarray:
    """A float64 copy of an input whose numbers `dtype` holds exactly. Raises ValueError."""
    array = np.asarray(value.numpy() if isinstance(value, Tensor) else value)
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(
            f"input {i} of gradcheck has dtype {array.dtype}; a gradient needs floating-point numbers. "
            "Give what is no real number to the function itself (functools.partial, or a lambda)."
        )
    if not np.isfinite(array).all():
        place = np.unravel_index(int(np.argmin(np.isfinite(array))), array.shape)
        raise ValueError(f"input {i} of gradcheck is {array[place]} at {list(map(int, place))}")
    return np.array(array.astype(dtype), dtype=np.float64, order="C")


def argument_names(function: Callable, count: int) -> list[str]:
    """The names in the function's signature: x, w, b; parts[0], parts[1] for *parts."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a function that was not written in Python
        parameters = []
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind == p.VAR_POSITIONAL), "input")
    names = positional[:count]
    return names + [f"{rest}[{i}]" for i in range(count - len(names))]


def random_upstream(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Random numbers of either sign between 0.5 and 1.5: none so small that it hides what it is multiplied with."""
    numbers = rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)
    return np.asarray(numbers, dtype=np.float32).astype(np.float64)


def backward(
    function: Callable[..., Tensor], arrays: Sequence[np.ndarray], device: Device,
    upstream: np.ndarray | np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:  # fmt: skip
    """(output, upstream, the gradient of every input) by one pass of autograd; `upstream` may be a generator."""
    tensors = [Tensor(array.copy(), requires_grad=True, device=device) for array in arrays]
    y = function(*tensors)
    if not isinstance(y, Tensor):
        raise ValueError(f"gradcheck needs a function that returns one Tensor; {title(function)} returned {type(y)}")
    values = np.array(y.numpy(), dtype=np.float64)
    if isinstance(upstream, np.random.Generator):
        if not np.isfinite(values).all():
            raise ValueError(f"{title(function)} is not finite at these inputs, so it has no gradient there")
        upstream = random_upstream(upstream, y.shape)
    if y.requires_grad:
        y.backward(upstream)
    gradients = [np.zeros(t.shape, device.dtype) if t.grad is None else t.grad.numpy() for t in tensors]
    return values, upstream, gradients


# ---------------------------------------------------------------- finite differences


def differences(
    name: str, value: Callable[[], np.ndarray], moved: Mapping[str, np.ndarray], y: np.ndarray, upstream: np.ndarray,
    eps: float, tolerance: tuple[float, float],
) -> list[tuple[np.ndarray, list[Row]]]:  # fmt: skip
    """For every argument: (its gradient by central differences, the Rows of the places without one).

    Raises ValueError for a function that gives two results for the same inputs.
    """
    if not np.array_equal(value(), y):
        raise ValueError(f"{name} gives two results for the same inputs; hold what is random in it fixed")
    found = []
    for argument, array in moved.items():
        gradient, kinks = np.zeros(array.shape), []
        for place in np.ndindex(array.shape):
            slopes = slopes_at(value, array, place, y, upstream, eps)
            if are_apart(slopes, *tolerance):
                closer = slopes_at(value, array, place, y, upstream, eps / 8)
                # Curvature brings the two slopes together as the step shrinks, a kink does not.
                if are_apart(closer, *tolerance) and not apart(closer) <= apart(slopes) / 2:
                    left, right, _ = closer
                    note = f"left slope {left:.6g}, right slope {right:.6g}"
                    kinks.append(Row(argument, array.shape, error=apart(closer), index=place, verdict=KINK, note=note))
                slopes = closer
            gradient[place] = slopes[2]
        found.append((gradient, kinks))
    return found


def slopes_at(
    value: Callable[[], np.ndarray], x: Array, place: Shape, y: np.ndarray, upstream: np.ndarray, eps: float
) -> Slopes:
    """(left, right, central) slope of value() . upstream as x[place] moves by eps. x is as before afterwards."""
    here = x[place]
    sides, steps = [], []
    with np.errstate(invalid="ignore", divide="ignore"):  # a log may have nothing on one side: NaN, and reported
        for step in (-eps, eps):
            x[place] = here + step
            steps.append(x[place] - here)  # what is left of the step after rounding
            sides.append(value())
        x[place] = here
        left, right = (float(((side - y) * upstream).sum() / step) for side, step in zip(sides, steps, strict=True))
        return left, right, float(((sides[1] - sides[0]) * upstream).sum() / (steps[1] - steps[0]))


def apart(slopes: Slopes) -> float:
    return abs(slopes[1] - slopes[0])


def are_apart(slopes: Slopes, atol: float, rtol: float) -> bool:
    """Whether the slopes from both sides differ by more than a gradient may be wrong by; NaN does."""
    return not apart(slopes) <= atol + rtol * max(abs(slopes[0]), abs(slopes[1]))


# ---------------------------------------------------------------- comparing


def compare(argument: str, shape: Shape, got: np.ndarray, want: np.ndarray, tolerance: float | np.ndarray) -> Row:
    """The Row of one gradient; tolerance: a number, or one for every element. NaN is the worst of all errors."""
    got = np.asarray(got, dtype=np.float64)
    if got.shape != want.shape:
        note = f"the gradient has shape {got.shape}"
        return Row(argument, tuple(shape), error=math.inf, verdict=WRONG, note=note)
    if not want.size:
        return Row(argument, tuple(shape), tolerance=float(np.max(tolerance, initial=0)))
    error, tolerance = np.abs(got - want), np.broadcast_to(tolerance, want.shape)
    badness = np.where(np.isnan(error), np.inf, error / tolerance)
    index = tuple(int(i) for i in np.unravel_index(int(badness.argmax()), badness.shape))
    worst, allowed = float(error[index]), float(tolerance[index])
    verdict = PASSED if worst <= allowed else WRONG  # so that NaN is wrong
    return Row(argument, tuple(shape), worst, allowed, index, float(got[index]), float(want[index]), verdict)
