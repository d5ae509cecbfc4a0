"""Which kernel of kernels/fast computes a layer on a card, with which tile: the one that takes the least time.

What cost.py predicts decides, and where times of the layer were measured on the card, they do. Where a kernel took
longer than was predicted, so will its other tiles; one of them is taken instead of the best measured one where it
should be quicker by more than MARGIN. The same layer, card and times give the same launch, always: nothing is tried
out.
"""

from __future__ import annotations

from functools import lru_cache
from statistics import median
from typing import NamedTuple

from tinycnn.devices.gpu.cards import Card
from tinycnn.devices.gpu.fast import cost, measured, occupancy
from tinycnn.devices.gpu.fast.candidates import candidates
from tinycnn.devices.gpu.fast.counts import Counts, counts_of
from tinycnn.devices.gpu.fast.instances import Plan, Tile, plan_of, simplified
from tinycnn.shapes import Geometry

PREDICTED, MEASURED = "predicted", "measured"
MARGIN = 1.15  # about twice the usual error of what is predicted: the least of many predictions is a lucky one


class Candidate(NamedTuple):
    """One way to compute a layer, and what it takes."""

    layer: Geometry  # the form of it that is computed
    plan: Plan
    tile: Tile
    counts: Counts
    registers: int  # of a thread, about
    resident: int  # blocks on a multiprocessor
    us: float
    source: str  # of `us`


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
    return form, plan_of(form, direction, best.tile, best.plan.slices, masked, itemsize)


@lru_cache(maxsize=512)
def choices(
    layer: Geometry, direction: str, card: Card, masked: bool = False, itemsize: int = 4
) -> tuple[Candidate, ...]:
    """All that were considered, the one to be taken first. Raises ValueError where there is none."""
    forms = dict.fromkeys((layer, simplified(layer)))

    def measured_with(mask: bool) -> dict[tuple[Geometry, Tile, int], float]:
        return {
            (form, tile, slices): us
            for form in forms
            if itemsize == 4
            for (tile, slices), us in measured.times(card, form, direction, mask).items()
        }

    times, mask = measured_with(masked), masked
    if not times:  # those without a mask tell at least how much longer than predicted a kernel takes
        times, mask = measured_with(False), False
    generated = [
        (form, tile, slices) for form in forms for tile, slices in candidates(form, direction, card, masked, itemsize)
    ]
    able = [
        one
        for form, tile, slices in dict.fromkeys([*times, *generated])
        if (one := candidate(form, direction, card, tile, slices, masked, itemsize))
    ]
    if not able:
        raise ValueError(f"no kernel of kernels/fast takes {layer} {direction} on {card.name}")
    if not times:
        return tuple(sorted(able, key=lambda one: one.us))
    # How much longer than predicted a kernel was measured to take, if it did.
    longer: dict[str, list[float]] = {}
    for (form, tile, slices), us in times.items():
        if bare := candidate(form, direction, card, tile, slices, mask, itemsize):
            longer.setdefault(bare.plan.file, []).append(us / bare.us)
    levels = {file: max(1.0, median(factors)) for file, factors in longer.items()}
    levelled = []
    for one in able:
        known = times.get((one.layer, one.tile, one.plan.slices)) if mask == masked else None
        us = known or one.us * levels.get(one.plan.file, 1)
        levelled.append(one._replace(us=us, source=MEASURED if known else PREDICTED))

    def order(one: Candidate) -> tuple[bool, float]:
        tried = (one.layer, one.tile, one.plan.slices) in times
        return one.plan.file not in levels, one.us if tried else one.us * MARGIN

    return tuple(sorted(levelled, key=order))


def candidate(
    layer: Geometry, direction: str, card: Card, tile: Tile, slices: int, masked: bool, itemsize: int
) -> Candidate | None:
    """What this tile is predicted to take; None where it cannot be launched, or finds no room."""
    try:
        launch = plan_of(layer, direction, tile, slices, masked, itemsize)
    except ValueError:
        return None
    registers = occupancy.guessed_registers(card, layer, direction, tile, launch.block[0])
    if not (resident := occupancy.resident(card, launch.block[0], registers, launch.room)):
        return None
    counts = counts_of(layer, direction, tile, slices, masked)
    of = cost.coefficients(launch.file, direction)
    us = cost.microseconds(counts, resident, card, least_bytes(layer, itemsize), of)
    return Candidate(layer, launch, tile, counts, registers, resident, us, PREDICTED)


def least_bytes(layer: Geometry, itemsize: int) -> int:
    """Images, filters and outputs, each once."""
    N, H, W, C, K, R, S, P, Q, *_ = layer
    return itemsize * (N * H * W * C + R * S * C * K + N * P * Q * K)


def flop(layer: Geometry) -> int:
    """Floating-point operations of one direction, padding included, as everybody counts them."""
    N, _, _, C, K, R, S, P, Q, *_ = layer
    return 2 * N * P * Q * K * R * S * C
