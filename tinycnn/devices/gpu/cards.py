"""What NVIDIA's GPUs have, by the names that the driver gives them; the figures stand in cards.json."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).with_name("cards.json")


class UnknownCard(ValueError):
    """A name that is not among the cards: says which are meant."""


class Card(NamedTuple):
    """A GPU: float32 and tf32 in FLOP/s (tf32 None without such tensor cores), bandwidth in bytes/s, sizes in bytes."""

    id: str
    name: str
    capability: tuple[int, int]
    multiprocessors: int
    clock: float  # in Hz, boosted
    float32: float
    tf32: float | None
    bandwidth: float
    l2: int
    memory: float
    lanes: int  # float32 operations that a multiprocessor begins each clock; an fma counts as one
    threads: int  # that a multiprocessor holds, as are the next three
    blocks: int
    registers: int
    shared: int
    shared_of_a_block: int  # at most, where a launch asks for it
    reserved: int  # of the shared memory, for each block
    source: str

    @property
    def arch(self) -> str:
        """As compilers call it: 'sm_90'."""
        return "sm_{}{}".format(*self.capability)


@cache
def _file() -> dict[str, Any]:
    return json.loads(FILE.read_text(encoding="utf-8"))


def _limits(capability: tuple[int, int]) -> dict[str, int]:
    """What a multiprocessor of a compute capability holds; one that is not listed is taken for the newest before it."""
    known = {tuple(map(int, text.split("."))): found for text, found in _file()["capabilities"].items()}
    found = known[max((c for c in known if c <= capability), default=min(known))]
    kb = {"shared": "shared_kb", "shared_of_a_block": "shared_of_a_block_kb", "reserved": "reserved_kb"}
    plain = {name: found[name] for name in ("lanes", "threads", "blocks", "registers")}
    return plain | {name: found[key] * 1024 for name, key in kb.items()}


@cache
def all_cards() -> Mapping[str, Card]:
    """{id: Card}, in the file's order."""
    found = {}
    for row in _file()["cards"]:
        major, minor = map(int, row["capability"].split("."))
        found[row["id"]] = Card(
            id=row["id"],
            name=row["name"],
            capability=(major, minor),
            multiprocessors=row["multiprocessors"],
            clock=row["clock_mhz"] * 1e6,
            float32=row["float32_tflops"] * 1e12,
            tf32=None if row["tf32_tflops"] is None else row["tf32_tflops"] * 1e12,
            bandwidth=row["bandwidth_gb_s"] * 1e9,
            l2=row["l2_mb"] * 1024**2,
            memory=row["memory_gb"] * 1e9,
            source=_file()["sources"][row["source"]],
            **_limits((major, minor)),
        )
    return found


def get(name: str) -> Card:
    """The card of an id ('h200') or of a driver's name ('NVIDIA H200'). Raises UnknownCard.

    >>> get("t4").multiprocessors
    40
    """
    found = all_cards().get(name.lower()) or called(name)
    if found is None:
        near = difflib.get_close_matches(name.lower(), all_cards(), 1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        raise UnknownCard(f"no card is called {name!r}; {meant}There are: {', '.join(all_cards())}")
    return found


def called(name: str) -> Card | None:
    """The card that the driver calls by this name; None where it is in no table, as a slice of a card never is.

    >>> called("NVIDIA A100-SXM4-40GB").id
    'a100-40gb'
    """
    if re.search(r"\bMIG\b", name):
        return None
    rows = _file()["cards"]  # the narrower patterns stand first
    return next((all_cards()[row["id"]] for row in rows if re.search(row["pattern"], name, re.IGNORECASE)), None)


def of_attributes(name: str, attributes: Mapping[str, int], capability: tuple[int, int]) -> Card:
    """A card that no table has, from what CUDA says of it; its TF32 is not among that.

    attributes, as CuPy's Device.attributes names them: MultiProcessorCount, ClockRate and MemoryClockRate in kHz,
    GlobalMemoryBusWidth in bits (memory moves data twice a clock), L2CacheSize in bytes.
    """
    limits = _limits(capability)
    clock = attributes["ClockRate"] * 1e3
    return Card(
        id=re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-"),
        name=name,
        capability=capability,
        multiprocessors=attributes["MultiProcessorCount"],
        clock=clock,
        float32=2 * limits["lanes"] * attributes["MultiProcessorCount"] * clock,
        tf32=None,
        bandwidth=2 * attributes["MemoryClockRate"] * 1e3 * attributes["GlobalMemoryBusWidth"] / 8,
        l2=attributes["L2CacheSize"],
        memory=0,
        source="the device's attributes",
        **limits,
    )
