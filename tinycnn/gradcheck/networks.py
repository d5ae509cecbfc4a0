"""Checks the gradients of a whole network: from the loss to every parameter, in a training pass of three images.

Differences of each of 38 million parameters would take years, so a parameter tensor is moved as a whole, along a
random direction d: the slope of the loss along d must be <gradient, d>. One direction sees any wrong gradient but one
that happens to be perpendicular to it; a few of them leave no doubt. What lies before the parameter's layer does not
change, and is computed once.

A step along d moves every number behind it, and among so many ReLUs and pooling windows one may be so near its kink
that it tips over. So the step is small: the loss changes by about CHANGE, in the eighth of its sixteen digits, which
leaves eight for the slope. Where the slopes to the left and to the right still disagree, another direction is drawn,
with a smaller step.

As for single operations the oracle is float64 on `reference`, and another device's gradients are compared, number by
number, with those of `reference` that have just passed. What rounding may do to them follows from the network alone:
one operation loses what gradcheck.rounding says, with the longest sum in the network, and a gradient has come through
every operation twice, forward and back, so it may lose 2 * (number of operations) as much, of the largest gradient of
its tensor. In float32 that is 0.1 % to 0.7 % (models-10). To it comes one such rounding of the largest gradient of
all, for gradients that cancel to nothing, as those of a bias before batch normalisation do: what is left of them is the
rounding of what was summed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from tinycnn import functional as F
from tinycnn import session
from tinycnn.devices import get_device, use_device
from tinycnn.devices.base import Array, Device
from tinycnn.fit.places import parameters
from tinycnn.gradcheck.check import (
    KINK,
    OUTPUT,
    PASSED,
    WRONG,
    Report,
    Row,
    checked_device,
    compare,
    describe,
    rounding,
)
from tinycnn.layers import Symbol
from tinycnn.losses import logits_of
from tinycnn.models import Model
from tinycnn.tensor import Tensor, no_grad

CHANGE, LONGEST_STEP = 1e-8, 1e-6
RTOL, ATOL = 1e-4, 1e-7  # of a slope, in units of the gradient's length; and what differences cannot see
DRAWS = 5  # directions to try where kinks are in the way
Values = dict[Symbol, Tensor]  # of the connections of a network

IMAGES = 3  # batch normalisation of only two numbers gives 1 and -1, whatever they are, and hardly any gradient


def check_network(text: str, *, device: Device | str | None = None, directions: int = 2, seed: int = 0) -> Report:
    """The Report of a documented network, or of one in the notation: a row for every parameter tensor.

    directions: random directions to move each of them along. The row shows the one that came out worst.
    Raises UnknownNetwork or NotationError, both ValueErrors.
    """
    on, oracle = checked_device(device), get_device("reference", "float64")
    rng = np.random.default_rng(seed)
    model = make(text, oracle)
    fill(model, rng)
    x = rng.uniform(0, 1, (IMAGES, *model.input.extents)).astype(np.float32).astype(np.float64)
    y = np.eye(model.output.extents[0])[rng.integers(0, model.output.extents[0], IMAGES)]
    loss, exact = loss_and_gradients(model, x, y)
    rows = slopes(model, x, y, exact, directions, rng)
    if on is not oracle and all(row.verdict == PASSED for row in rows):
        twin = make(text, on)
        twin.set_weights([w.numpy() for w in model.weights])
        for layer, original in zip(twin.layers, model.layers, strict=True):
            layer.seed, layer.stream = original.seed, original.stream  # so that dropout draws the same masks
        got_loss, got = loss_and_gradients(twin, x, y)
        operations, length = len(model.symbols), longest_sum(model)
        of_all = max(float(np.abs(gradient).max()) for gradient in exact.values())
        rows = [compare(OUTPUT, (1,), got_loss, loss, rounding(on.dtype, length, operations * abs(loss.item())))]
        for name, gradient in exact.items():
            size = 2 * operations * float(np.abs(gradient).max()) + of_all
            rows.append(compare(name, gradient.shape, got[name], gradient, rounding(on.dtype, length, size)))
    return Report(text, describe(on), tuple(rows))


def longest_sum(model: Model) -> int:
    """How many numbers are added up, at most, for one: by a filter (forward, and back to its input), or over all pixels
    (the gradient of a filter, the statistics of batch normalisation)."""
    kernels = [layer.parameters["kernel"].shape for layer in model.layers if "kernel" in layer.parameters]
    by_filters = [n for *taps, C, K in kernels for n in (math.prod(taps) * C, math.prod(taps) * K)]
    return max(by_filters + [IMAGES * math.prod(symbol.extents[:-1]) for symbol in model.symbols])


def make(text: str, device: Device) -> Model:
    """The network on `device`, its weights zero."""
    from tinycnn import architectures
    from tinycnn.architectures import notation

    layers = text if "(" in text else architectures.get(text).layers
    with use_device(device.name, np.dtype(device.dtype).name), session.without_initial_weights():
        return notation.parse(layers)


def fill(model: Model, rng: np.random.Generator) -> None:
    """Random weights of the usual sizes, no bias at 0, all of which float32 holds exactly."""
    for layer in model.layers:
        for name, weight in layer.parameters.items():
            values: np.ndarray = rng.standard_normal(weight.shape, dtype=np.float32)
            if name == "kernel":
                values *= np.float32(math.sqrt(2 / math.prod(weight.shape[:-1])))
            elif name in ("gamma", "moving_variance"):
                values = np.abs(values) / 4 + 1
            else:
                values /= 4
            model.device.assign(weight.data, values)


def trained(model: Model) -> dict[str, Tensor]:
    """{name, as conv2d_1.kernel: Tensor} of everything that is trained."""
    return {name: weight for name, weight in parameters(model).items() if weight.requires_grad}


def forward(values: Values, symbols: Iterable[Symbol]) -> Values:
    """Compute these symbols of a training pass, what they need being in `values`."""
    for symbol in symbols:
        values[symbol] = symbol.compute(values, True)
    return values


def loss_of(model: Model, values: Values, labels: Tensor) -> Tensor:
    return F.softmax_crossentropy(logits_of(values[model.output]), labels)[0]


def loss_and_gradients(model: Model, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The loss (1,) and the gradient of every parameter, as NumPy arrays. Dropout stays at step 0."""
    values = forward({model.input: Tensor(x, device=model.device)}, model.symbols[1:])
    loss = loss_of(model, values, Tensor(y, device=model.device))
    loss.backward()
    gradients = {name: weight.grad for name, weight in trained(model).items()}
    return loss.numpy(), {name: gradient.numpy() for name, gradient in gradients.items() if gradient is not None}


# ---------------------------------------------------------------- slopes of the loss


def slopes(
    model: Model, x: np.ndarray, y: np.ndarray, exact: dict[str, np.ndarray], directions: int, rng: np.random.Generator
) -> list[Row]:
    """A Row for every parameter."""
    labels = Tensor(y, device=model.device)
    with no_grad():
        before = forward({model.input: Tensor(x, device=model.device)}, model.symbols[1:])
        start, rows = loss_of(model, before, labels).item(), []
        for name, weight in trained(model).items():
            after = behind(model, weight)

            def value(after: list[Symbol] = after) -> float:
                return loss_of(model, forward(dict(before), after), labels).item()

            found = [along_a_direction(name, value, start, weight.data, exact[name], rng) for _ in range(directions)]
            rows.append(max(found, key=lambda row: (row.verdict != PASSED, row.error / row.tolerance)))
    return rows


def behind(model: Model, weight: Tensor) -> list[Symbol]:
    """The symbols of the weight's layer and all that depend on them, in their order."""
    found: list[Symbol] = []
    for symbol in model.symbols:
        if any(w is weight for w in symbol.layer.weights) or any(i in found for i in symbol.inputs):
            found.append(symbol)
    return found


def along_a_direction(
    name: str, value: Callable[[], float], start: float, weight: Array, gradient: np.ndarray, rng: np.random.Generator
) -> Row:
    """The Row of one tensor. Other directions are tried while kinks are in the way. start: value() as it stands."""
    length = float(np.linalg.norm(gradient))
    tolerance, step = ATOL + RTOL * length, min(LONGEST_STEP, CHANGE / max(length, LONGEST_STEP))
    for _ in range(DRAWS):
        direction = rng.standard_normal(gradient.shape)
        left, right = one_sided_slopes(value, start, weight, direction, step)
        if abs(left - right) <= tolerance:
            break
        step /= 4
    else:
        note = f"left slope {left:.6g}, right slope {right:.6g}"
        return Row(name, gradient.shape, abs(left - right), tolerance, verdict=KINK, note=note)
    analytic, numeric = float(np.vdot(gradient, direction)), (left + right) / 2
    error = abs(analytic - numeric)
    verdict = PASSED if error <= tolerance else WRONG
    return Row(name, gradient.shape, error, tolerance, None, analytic, numeric, verdict)


def one_sided_slopes(
    value: Callable[[], float], start: float, weight: Array, direction: np.ndarray, step: float
) -> list[float]:
    """(left, right) slope of value() as weight moves along the direction, both ways. It is as before afterwards."""
    kept, found = weight.copy(), []
    for signed in (-step, step):
        np.multiply(direction, signed, out=weight)
        weight += kept
        found.append((value() - start) / signed)
    weight[...] = kept
    return found
