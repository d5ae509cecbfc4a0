"""Why a launch is as quick as it is, in words: what bounds it, how its blocks fill the card, what else there was."""

from __future__ import annotations

from tinycnn.devices.gpu.cards import Card
from tinycnn.devices.gpu.fast import cost
from tinycnn.devices.gpu.fast.instances import FORWARD, TURNED, FilterTile, GemmTile, SmallTile
from tinycnn.devices.gpu.fast.occupancy import WARP
from tinycnn.devices.gpu.fast.plan import PREDICTED, Candidate, flop


def occupancy_of(one: Candidate, card: Card) -> float:
    """The part of a multiprocessor's places for warps that are taken when it is full of this kernel's blocks."""
    return min(1.0, one.resident * one.counts.warps * WARP / card.threads)


def name_of(one: Candidate) -> str:
    """'conv_gemm 64x1x1 x 64 x 16, 8x8 a lane': the kernel file, what is a block's at a time, and what is a lane's."""
    tile = one.tile
    if isinstance(tile, GemmTile):
        text = f"{tile.IM}x{tile.TP}x{tile.TQ} x {tile.BN} x {tile.BL}, {tile.TM}x{tile.TN} a lane"
    elif isinstance(tile, FilterTile):
        text = f"{tile.BM} x {tile.BN} x {tile.BL}, {tile.TM}x{tile.TN} a lane"
    elif isinstance(tile, SmallTile):
        text = f"{tile.TP} rows, {tile.PX} x {tile.TK} a lane"
    else:
        text = f"{tile.TP} rows"
    return f"{one.plan.file.removeprefix('fast/')}{', turned,' if one.way == TURNED else ''} {text}"


def reasons(direction: str, card: Card, choices: tuple[Candidate, ...]) -> list[str]:
    """Sentences about the one that is taken, the first of `choices`."""
    best = choices[0]
    found = [bound(best, direction, card), waves(best, card), waste(best)]
    if best.source == PREDICTED and any(one.source != PREDICTED for one in choices):
        tried = min((one for one in choices if one.source != PREDICTED), key=lambda one: one.us)
        found.append(f"The best of those measured, {name_of(tried)}, took {tried.us:.1f} us.")
    others = {one.plan.file: one for one in reversed(choices) if one.plan.file != best.plan.file}
    found += [f"The best of the other kernels, {name_of(one)}: {one.us:.1f} us." for one in others.values()]
    return found


def bound(one: Candidate, direction: str, card: Card) -> str:
    """What a step spends its time on."""
    parts = cost.parts_of(
        one.counts, card, cost.coefficients(one.plan.file, FORWARD if one.plan.is_forward else direction)
    )
    waiting = parts.alone / one.resident
    needs = {
        "issuing instructions": parts.issue,
        "reading shared memory": parts.shared,
        "bringing data from L2": parts.l2,
        "waiting, for there are too few warps": waiting,
    }
    fmas = one.counts.warps * one.counts.fmas * WARP / card.lanes
    longest = max(needs, key=lambda need: needs[need])
    return f"Its steps are bound by {longest}; the multiply-adds alone would take {fmas / needs[longest]:.0%} of that."


def waves(one: Candidate, card: Card) -> str:
    """How its blocks fill the card."""
    places = card.multiprocessors * one.resident
    blocks, slices = one.counts.blocks, one.plan.slices
    cut = f", {slices} slices of the sum," if slices > 1 else ""
    even = "" if len(one.counts.steps) == 1 else "; they differ in length, for taps that see only padding are left out"
    held = f"{one.resident} on a multiprocessor ({occupancy_of(one, card):.0%} of its warps)"
    return f"{blocks:,} blocks{cut} are {blocks / places:.2f} times what the card holds at once, {held}{even}."


def waste(one: Candidate) -> str:
    """What it multiplies for nothing."""
    return (
        f"It multiplies {one.counts.fma_flop / flop(one.layer):.2f} times what the layer counts, its padding included."
    )
