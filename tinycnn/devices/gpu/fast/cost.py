"""How long a launch of kernels/fast will take on a card: what is counted of it, and what its parts were found to take.

The model, in clocks of a multiprocessor. A step needs, of the whole of it,
    issue   warps * (fmas + load * loads + copy * copies + step) / 4 schedulers; the fmas alone no less than their lanes
    shared  wavefront * warps * wavefronts
    l2      sector * bytes / 32
and takes about the longest of them. With A blocks on a multiprocessor each step of a block takes A times that, but at
least what a lone warp takes for its own instructions, plus `latency`. Blocks start in their order wherever one has
ended: so whole waves, and a tail where a few multiprocessors work on. Coefficients: benchmarks/fit_cost_model.py.
"""

from __future__ import annotations

import heapq
import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tinycnn.devices.gpu.cards import Card
from tinycnn.devices.gpu.fast.counts import Counts
from tinycnn.devices.gpu.fast.occupancy import SCHEDULERS, WARP
from tinycnn.devices.gpu.grid import ceil_div

FILE = Path(__file__).with_name("cost.json")
SHARPNESS = 4  # of "about the longest": the exponent of a sum of powers
SECTOR = 32  # bytes
ANOTHER = 0.8  # microseconds that adding up the slices takes, besides reading them: a launch in a graph


class Coefficients(NamedTuple):
    """What the parts of a kernel take."""

    clock: float  # all of it, times this: the boost clock is not kept
    load: float  # issue slots of a load from shared memory
    copy: float  # ... of a copy with its address
    step: float  # ... of a step, for its loop and barrier
    wavefront: float  # clocks
    sector: float  # clocks of 32 bytes from L2
    latency: float  # clocks of a step that nothing hides
    fill: float  # clocks of a block before its first step and behind its last
    launch: float  # microseconds
    slices: float  # the part of the memory's bandwidth at which partial sums are written and added up
    overlap: float  # how sharply waiting gives way to work: an exponent


def slower(a: float, b: float, exponent: float = SHARPNESS) -> float:
    """A little more than the larger."""
    return (a**exponent + b**exponent) ** (1 / exponent)


class Parts(NamedTuple):
    """Clocks of a step of a block: of the whole multiprocessor, and of a lone warp."""

    issue: float
    shared: float
    l2: float
    alone: float

    @property
    def work(self) -> float:
        """What a step takes of a multiprocessor that is full."""
        return slower(slower(self.issue, self.shared), self.l2)


def parts_of(counts: Counts, card: Card, of: Coefficients) -> Parts:
    """The Parts of a launch's steps."""
    others = of.load * counts.loads + of.copy * counts.copies + of.step
    return Parts(
        issue=counts.warps * max((counts.fmas + others) / SCHEDULERS, counts.fmas * WARP / card.lanes),
        shared=of.wavefront * counts.warps * counts.wavefronts,
        l2=of.sector * counts.bytes / SECTOR,
        alone=counts.fmas + others + of.latency,
    )


def microseconds(counts: Counts, resident: int, card: Card, size: float, of: Coefficients) -> float:
    """The time of a launch whose blocks find so many of their kind on a multiprocessor (at least 1).

    size: the bytes that it reads and writes at least, which come from memory where the cache is smaller.
    """
    parts = parts_of(counts, card, of)
    work, alone = parts.work, parts.alone / parts.work
    once = counts.warps * of.copy * counts.once / SCHEDULERS + of.sector * counts.once_bytes / SECTOR
    # With A blocks together: clocks of a step, clocks besides.
    step = [0.0] + [work * slower(A, alone, of.overlap) for A in range(1, resident + 1)]
    besides = [0.0] + [counts.rounds * (of.fill + A * once) for A in range(1, resident + 1)]
    clocks = makespan(counts, card.multiprocessors, resident, step, besides)
    taken = slower(clocks * of.clock / card.clock, size / card.bandwidth if size > card.l2 else 0)
    if counts.sums:
        taken += ANOTHER / 1e6 + 2 * counts.sums / (of.slices * card.bandwidth)
    return taken * 1e6 + of.launch


def makespan(counts: Counts, processors: int, resident: int, step: list[float], besides: list[float]) -> float:
    """Clocks from the first block's start to the last one's end. step, besides: by the blocks on a multiprocessor."""
    blocks, places = counts.blocks, processors * resident
    longest = counts.steps[-1][0]
    if len(counts.steps) == 1:
        waves, rest = divmod(blocks, places)
        clocks = waves * (longest * step[resident] + besides[resident])
        if rest:
            together = ceil_div(rest, processors)
            clocks += longest * step[together] + besides[together]
        return clocks
    together = min(resident, ceil_div(blocks, processors))
    if blocks <= places:
        return longest * step[together] + besides[together]
    if counts.order is None or blocks > 6 * places:  # about even, and half of a long block at the end
        total = sum(steps * many for steps, many in counts.steps)
        half = max(1, resident // 2)
        return (total * step[resident] + blocks * besides[resident]) / places + longest * step[half] / 2
    ends = [0.0] * places
    for steps in counts.order:
        heapq.heapreplace(ends, ends[0] + steps * step[resident] + besides[resident])
    return max(ends)


# ---------------------------------------------------------------- the coefficients


@cache
def fitted() -> dict[str, Any]:
    """What cost.json has: 'measured', where its numbers come from, and 'coefficients'."""
    return json.loads(FILE.read_text(encoding="utf-8"))


@cache
def coefficients(kernel: str, direction: str) -> Coefficients:
    """Those of a kernel file, as 'fast/conv_gemm', in a direction."""
    return Coefficients(**fitted()["coefficients"][family(kernel, direction)])


def family(kernel: str, direction: str) -> str:
    """What has coefficients of its own: 'conv_gemm forward' and 'conv_gemm backward_data', else a kernel file."""
    name = kernel.removeprefix("fast/")
    return f"{name} {direction}" if name == "conv_gemm" else name
