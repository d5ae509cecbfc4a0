"""What `tinycnn plan` tells of a training step as one kernel, as plain data: or why a network has none."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from tinycnn.devices.gpu import cards
from tinycnn.devices.gpu.cards import Card
from tinycnn.devices.gpu.step import generate
from tinycnn.devices.gpu.step.memory import WORD
from tinycnn.devices.gpu.step.plan import plan, resident_blocks, why_not_on
from tinycnn.devices.gpu.step.stages import STAGE, SYNC, WAIT, Plan, Stage
from tinycnn.devices.network import Network, Rule
from tinycnn.fit.description import describe, rule_of
from tinycnn.models import Model

LARGEST = max(card.shared_of_a_block for card in cards.all_cards().values())


def described(model: Model) -> tuple[Network, Rule] | str:
    """What a device would be asked; or, in a clause, why there is nothing to ask."""
    network = describe(model)
    assert model.optimizer is not None
    rule = rule_of(model.optimizer)
    if isinstance(network, str):
        return network
    return rule if isinstance(rule, str) else (network, rule)


def one_kernel(model: Model, batch: int, card: Card) -> dict[str, Any]:
    """{'why_not': in a clause} or the memory, the stages and the cards of a step of so many images.

    It is planned for the card, or, where that has too little room, for the one that has most.
    """
    found = described(model)
    if isinstance(found, str):
        return {"why_not": found}
    made = plan(found[0], batch, card.shared_of_a_block)
    if isinstance(made, str):
        made = plan(found[0], batch, LARGEST)
    if isinstance(made, str):
        return {"why_not": made}
    parts = stages_of(made, card)
    return {
        "why_not": why_not_on(made, card),
        "shared": made.shared,
        "again": list(made.again),
        "grid_barriers": made.grid_barriers,
        "block_barriers": made.block_barriers,
        "bytes_moved": made.bytes_moved,
        "us": sum(part["us"] for part in parts),
        "memory": memory_of(made),
        "stages": parts,
        "cards": cards_of(found[0], batch),
        "source": generate.source(made, found[1], "step/stages.cuh"),
    }


def memory_of(made: Plan) -> list[dict[str, Any]]:
    """Each array in shared memory, from the first byte on: where, what for, and between which segments' stages."""
    rows = []
    for place in sorted(made.places, key=lambda p: (p.begin, p.born)):
        alive = [stage for stage in made.stages if place in stage.reads + stage.writes]
        first, last = (f"{stage.part} {stage.of}" for stage in (alive[0], alive[-1]))
        row = {"name": place.name, "what": place.what, "begin": WORD * place.begin, "bytes": WORD * place.size}
        rows.append({**row, "from": first, "to": last})
    return rows


def stages_of(made: Plan, card: Card) -> list[dict[str, Any]]:
    """The stages in their order, joined by pass and segment, with the microseconds that they are predicted to take."""
    rows = []
    for (part, of), group in groupby(made.stages, key=lambda stage: (stage.part, stage.of)):
        stages = list(group)
        rows.append(
            {
                "part": part,
                "of": of,
                "calls": [name_of(stage) for stage in stages if stage.kind == STAGE],
                "block_barriers": sum(stage.kind == SYNC for stage in stages),
                "grid_barriers": sum(stage.kind == WAIT for stage in stages),
                "us": sum(stage.cycles for stage in stages) / card.clock * 1e6,
            }
        )
    return rows


def name_of(stage: Stage) -> str:
    """'convolve<3, 3, 8, 1> 28x28x1, 3x3 -> 12'"""
    call = stage.call.removeprefix("if (step + 1 < steps) ")
    return f"{call[: call.index('(')]} {stage.note}".strip()


def cards_of(network: Network, batch: int) -> list[dict[str, Any]]:
    """Every described card: whether a step of so many images fits it, or why not, and how many images it may have."""
    rows: list[dict[str, Any]] = []
    for card in cards.all_cards().values():
        made = plan(network, batch, card.shared_of_a_block)
        if isinstance(made, str):
            rows.append({"card": card.name, "why_not": made, "most_images": None})
        else:
            most = resident_blocks(card, made.shared)
            rows.append({"card": card.name, "why_not": why_not_on(made, card), "most_images": most})
    return rows
