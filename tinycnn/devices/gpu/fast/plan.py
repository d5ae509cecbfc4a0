"""Which kernel of kernels/fast computes a layer on a card, with which tile: the one that takes the least time.

What cost.py predicts decides, and where times of the layer were measured on the card, they do. Where a kernel took
longer than was predicted, so will its other tiles; one of them is taken instead of the best measured one where it
should be quicker by more than MARGIN. The same layer, card and times give the same launch, always: nothing is tried
out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from statistics import median
from typing import NamedTuple

from tinycnn.devices.gpu.cards import Card
from tinycnn.devices.gpu.fast import cost, measured, occupancy
from tinycnn.devices.gpu.fast.candidates import candidates, gemm_tiles
from tinycnn.devices.gpu.fast.counts import Counts, counts_of
from tinycnn.devices.gpu.fast.instances import (
    BACKWARD_DATA,
    FORWARD,
    TURNED,
    Plan,
    Tile,
    is_turnable,
    plan_of,
    simplified,
    turned,
)
from tinycnn.shapes import Geometry

PREDICTED, MEASURED = "predicted", "measured"
MARGIN = 1.15  # about twice the usual error of what is predicted: the least of many predictions is a lucky one


Launch = tuple[Geometry, str, Tile, int]  # a form of a layer, one of instances.WAYS, a tile, slices


class Candidate(NamedTuple):
    """One way to compute a layer, and what it takes."""

    layer: Geometry  # the form of it that is computed
    way: str  # one of instances.WAYS
    plan: Plan
    tile: Tile
    counts: Counts
    registers: int  # of a thread, about
    resident: int  # blocks on a multiprocessor
    us: float
    source: str  # of `us`

    @property
    def launch(self) -> Launch:
        """What tells it from others."""
        return self.layer, self.way, self.tile, self.plan.slices


def plan(
    layer: Geometry, direction: str, card: Card, masked: bool = False, itemsize: int = 4, full_batch: int = 0
) -> tuple[Geometry, Plan]:
    """(the form of a layer that is computed, the launch) for one direction.

    The form is the layer itself, or the same sums as a matrix product: its arrays are the same but for their shapes.
    masked: behind a ReLU whose output comes with dy. itemsize: bytes of a number. full_batch: images of a full batch;
    one with fewer takes its kernel and its tile, which know nothing of their number. Raises ValueError where no kernel
    of kernels/fast takes the layer.
    """
    full = layer._replace(N=max(layer.N, full_batch))
    best = choices(full, direction, card, masked, itemsize)[0]
    if full == layer:
        return best.layer, best.plan
    form = layer if best.layer == full else simplified(layer)
    return form, plan_of(form, best.way, best.tile, best.plan.slices, masked, itemsize)


@lru_cache(maxsize=512)
def choices(
    layer: Geometry, direction: str, card: Card, masked: bool = False, itemsize: int = 4
) -> tuple[Candidate, ...]:
    """All that were considered, the one to be taken first. Raises ValueError where there is none."""
    forms = dict.fromkeys((layer, simplified(layer)))
    ways = (direction, TURNED) if direction == BACKWARD_DATA else (direction,)

    def measured_with(mask: bool) -> dict[Launch, float]:
        return {
            (form, way, tile, slices): us
            for form in forms
            for way in ways
            if itemsize == 4
            for (tile, slices), us in measured.times(card, form, way, mask).items()
        }

    times, mask = measured_with(masked), masked
    if not times:  # those without a mask tell at least how much longer than predicted a kernel takes
        times, mask = measured_with(False), False
    able = [
        one
        for launch in dict.fromkeys([*times, *generated(forms, ways, card, masked, itemsize)])
        if (one := candidate(launch, card, masked, itemsize))
    ]
    if not able:
        raise ValueError(f"no kernel of kernels/fast takes {layer} {direction} on {card.name}")
    if not times:
        return tuple(sorted(able, key=lambda one: one.us))
    # How much longer than predicted a kernel was measured to take, if it did.
    longer: dict[tuple[str, str], list[float]] = {}
    for launch, us in times.items():
        if bare := candidate(launch, card, mask, itemsize):
            longer.setdefault((bare.plan.file, bare.way), []).append(us / bare.us)
    levels = {kernel: max(1.0, median(factors)) for kernel, factors in longer.items()}
    levelled = []
    for one in able:
        known = times.get(one.launch) if mask == masked else None
        us = known or one.us * levels.get((one.plan.file, one.way), 1)
        levelled.append(one._replace(us=us, source=MEASURED if known else PREDICTED))

    def order(one: Candidate) -> tuple[bool, float]:
        return (one.plan.file, one.way) not in levels, one.us if one.launch in times else one.us * MARGIN

    return tuple(sorted(levelled, key=order))


def generated(
    forms: Iterable[Geometry], ways: Iterable[str], card: Card, masked: bool, itemsize: int
) -> Iterator[Launch]:
    """What is worth considering."""
    for form in forms:
        for way in ways:
            if way != TURNED:
                found = candidates(form, way, card, masked, itemsize)
            elif is_turnable(form):
                found = gemm_tiles(turned(form), FORWARD, card, False, itemsize)
            else:
                continue
            yield from ((form, way, tile, slices) for tile, slices in found)


def candidate(launch: Launch, card: Card, masked: bool, itemsize: int) -> Candidate | None:
    """What this launch is predicted to take; None where it cannot be launched, or finds no room."""
    layer, way, tile, slices = launch
    try:
        plan = plan_of(layer, way, tile, slices, masked, itemsize)
    except ValueError:
        return None
    form, direction, mask = launched(layer, way, masked)
    registers = occupancy.guessed_registers(card, form, direction, tile, plan.block[0])
    if not (resident := occupancy.resident(card, plan.block[0], registers, plan.room)):
        return None
    counts = counts_of(form, direction, tile, slices, mask)
    of = cost.coefficients(plan.file, direction)
    us = cost.microseconds(counts, resident, card, least_bytes(layer, itemsize), of)
    if way == TURNED:
        us += preparation(layer, masked, card, itemsize)
    return Candidate(layer, way, plan, tile, counts, registers, resident, us, PREDICTED)


def launched(layer: Geometry, way: str, masked: bool) -> tuple[Geometry, str, bool]:
    """(the layer, the direction, whether masked) of the kernel that is launched: of TURNED, forward's."""
    return (turned(layer), FORWARD, False) if way == TURNED else (layer, way, masked)


def preparation(layer: Geometry, masked: bool, card: Card, itemsize: int) -> float:
    """Microseconds of what comes before a TURNED launch: filters are turned, and dz is made of dy and y."""
    N, _, _, C, K, R, S, P, Q, *_ = layer
    numbers = 2 * R * S * C * K + (3 * N * P * Q * K if masked else 0)
    return (2 if masked else 1) * cost.ANOTHER + itemsize * numbers / card.bandwidth * 1e6


def least_bytes(layer: Geometry, itemsize: int) -> int:
    """Images, filters and outputs, each once."""
    N, H, W, C, K, R, S, P, Q, *_ = layer
    return itemsize * (N * H * W * C + R * S * C * K + N * P * Q * K)


def flop(layer: Geometry) -> int:
    """Floating-point operations of one direction, padding included, as everybody counts them."""
    N, _, _, C, K, R, S, P, Q, *_ = layer
    return 2 * N * P * Q * K * R * S * C
