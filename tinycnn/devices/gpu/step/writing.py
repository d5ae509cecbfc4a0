"""How a plan is written down: arrays, constants and stages one after the other, and at last who lies where."""

from __future__ import annotations

from collections.abc import Sequence

from tinycnn.devices.gpu.step import predicted
from tinycnn.devices.gpu.step.memory import Place, lay_out
from tinycnn.devices.gpu.step.stages import ARRIVE, FORWARD, STAGE, SYNC, WAIT, Constant, Plan, Stage


class Writer:
    """Writes a plan. part, of: what the next stages are for."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.part, self.of = FORWARD, ""

    def place(self, name: str, size: int, what: str) -> Place:
        """A new array of so many words."""
        return self.known(Place(name, size, what=what))

    def known(self, place: Place) -> Place:
        self.plan.places.append(place)
        if place.shape:
            C, H, W = place.shape
            self.constant("Planes", place.name, f"{{@{place.name}, {C}, {H}, {W}, {place.pitch}, {place.plane}}}")
        else:
            self.constant("int", place.name, f"@{place.name}")
        return place

    def constant(self, type: str, name: str, value: str) -> None:
        self.plan.constants.append(Constant(type, name, value))

    def stage(
        self, call: str, note: str, reads: Sequence[Place | None] = (), writes: Sequence[Place | None] = (),
        cycles: float = 0.0, moved: int = 0,
    ) -> None:  # fmt: skip
        """The next stage. moved: numbers of global memory that a block reads or writes in it."""
        read, written = (tuple(p for p in places if p is not None) for places in (reads, writes))
        self.plan.stages.append(Stage(STAGE, call, note, read, written, cycles, self.part, self.of, moved))

    def barrier(self, kind: str) -> None:
        cycles = {ARRIVE: predicted.ARRIVE, WAIT: predicted.WAIT}[kind]
        self.plan.stages.append(Stage(kind, f"grid.{kind}();", part=self.part, of=self.of, cycles=cycles))

    def lay_out(self, image: Place) -> None:
        """Lifetimes, places, and the barriers of the block that follow from them."""
        made = self.plan
        for place in made.places:
            touching = [n for n, stage in enumerate(made.stages) if place in stage.reads + stage.writes]
            place.born, place.dies = touching[0], touching[-1]
        image.born, image.dies = 0, len(made.stages) - 1  # the next one is there before the step begins
        made.words = lay_out(made.places)
        stages: list[Stage] = []
        read: list[Place] = []
        written: list[Place] = []
        for stage in made.stages:
            if stage.kind != STAGE:
                read, written = [], []
            elif any(a.shares(b) for a in stage.reads + stage.writes for b in written) or any(
                a.shares(b) for a in stage.writes for b in read
            ):
                stages.append(Stage(SYNC, "__syncthreads();", part=stage.part, of=stage.of, cycles=predicted.SYNC))
                read, written = [], []
            read, written = [*read, *stage.reads], [*written, *stage.writes]
            stages.append(stage)
        made.stages = stages
