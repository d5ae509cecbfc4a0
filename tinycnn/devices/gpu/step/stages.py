"""What a plan of a training step consists of: stages, each a function of kernels/step, and what they work on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from tinycnn.devices.gpu.step.memory import WORD, Place
from tinycnn.devices.gpu.step.segments import Segment
from tinycnn.devices.network import Network

THREADS = 512  # of a block, as in planes.cuh
WARPS = THREADS // 32
REGISTERS = 65536 // THREADS  # that a thread may have
BEHIND = 4  # numbers behind the gradients in a block's row: loss, right answers, two unused

STAGE, SYNC, ARRIVE, WAIT, STOP = "stage", "sync", "arrive", "wait", "stop"
FORWARD, BACKWARD, UPDATE = "forward", "backward", "update"


@dataclass
class Stage:
    """One line of the step.

    kind: STAGE is a call, ARRIVE and WAIT are the grid's barrier, SYNC is the block's, STOP ends a step in vain.
    part: FORWARD, BACKWARD or UPDATE; of: the segment that it is for. moved: numbers of global memory that a block
    reads or writes; of the optimiser's state nothing.
    """

    kind: str
    call: str = ""
    note: str = ""
    reads: tuple[Place, ...] = ()
    writes: tuple[Place, ...] = ()
    cycles: float = 0.0  # that it is predicted to take
    part: str = ""
    of: str = ""
    moved: int = 0


class Constant(NamedTuple):
    """A constant of the generated file."""

    type: str
    name: str
    value: str


@dataclass
class Plan:
    """What `generate` writes down. offsets: of each learnt weight in a row, row: its numbers, with the BEHIND last.

    moving: where a batch normalisation's moving mean and variance begin, behind the row.
    """

    network: Network
    segments: list[Segment]
    batch: int
    stages: list[Stage] = field(default_factory=list)
    before: list[Stage] = field(default_factory=list)  # what is done once in a launch
    places: list[Place] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)
    offsets: dict[str, tuple[int, ...]] = field(default_factory=dict)
    moving: dict[str, tuple[int, int]] = field(default_factory=dict)
    row: int = 0
    parameters: int = 0  # numbers of a row with the moving statistics
    exchange: int = 0  # numbers that a block leaves for the others, at most
    words: int = 0
    again: tuple[str, ...] = ()  # whose output is computed again

    @property
    def shared(self) -> int:
        """Bytes of shared memory."""
        return self.words * WORD

    @property
    def grid_barriers(self) -> int:
        return sum(stage.kind == WAIT for stage in self.stages)

    @property
    def block_barriers(self) -> int:
        return sum(stage.kind == SYNC for stage in self.stages)

    @property
    def bytes_moved(self) -> int:
        """Of global memory, read and written by all blocks in a step; most of it stays in L2."""
        return self.batch * sum(stage.moved for stage in self.stages) * WORD
