"""A training step as a row of stages, each a function of kernels/step: forward, back, and the update.

A block has one image, and everything that an image needs lies in its shared memory. Where blocks need what others have
found, for the statistics of a batch normalisation and for the sum of all gradients, they meet at a barrier of the whole
grid, and do between arriving and waiting what needs nobody else. Between two stages of which one reads what the other
writes, or that share a place, stands a barrier of the block.

The output of a batch normalisation, with its ReLU and its dropout, is needed twice: by the next layer, and for the
gradient of that layer's filter. Where there is no room to keep it until then, it is computed again.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod

from tinycnn.devices.gpu.cards import Card
from tinycnn.devices.gpu.step.builder import Builder
from tinycnn.devices.gpu.step.segments import segments
from tinycnn.devices.gpu.step.stages import REGISTERS, THREADS, Plan
from tinycnn.devices.network import Network, Norm


@lru_cache(maxsize=64)
def plan(network: Network, batch: int, room: int) -> Plan | str:
    """The Plan for so many images at a time and so many bytes of shared memory; or, in a clause, why there is none."""
    cut = segments(network)
    if isinstance(cut, str):
        return cut
    norms = sorted((s for s in cut if isinstance(s.layer, Norm)), key=lambda s: -prod(s.shape))
    best: Plan | None = None
    ways = [(count, padded) for padded in (True, False) for count in range(len(norms) + 1)]
    for count, padded in ways:
        made = Builder(network, cut, batch, tuple(s.name for s in norms[:count]), padded).built()
        if made.shared <= room:
            return made
        best = made if best is None or made.words < best.words else best
    assert best is not None
    return (
        f"an image needs {in_kb(best.shared)} of shared memory, {in_kb(best.shared - room)} more than the "
        f"{in_kb(room)} that a block can have"
    )


def in_kb(size: int) -> str:
    """'227 KB'"""
    return f"{size / 1024:.1f}".removesuffix(".0") + " KB"


def why_not_on(made: Plan, card: Card) -> str | None:
    """In a clause, why a plan cannot be launched on a card; None where it can."""
    if made.shared > card.shared_of_a_block:
        more = in_kb(made.shared - card.shared_of_a_block)
        return f"an image needs {in_kb(made.shared)} of shared memory, {more} more than a block can have on {card.name}"
    if made.batch > (most := resident_blocks(card, made.shared)):
        return f"{card.name} holds {most} blocks at once, of an image each, and a batch has {made.batch}"
    return None


def resident_blocks(card: Card, shared: int) -> int:
    """How many blocks of so many bytes of shared memory are on a card at once."""
    of_one = min(
        card.threads // THREADS, card.registers // (THREADS * REGISTERS), card.shared // (shared + card.reserved)
    )
    return card.multiprocessors * of_one
