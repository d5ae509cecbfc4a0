"""Times that were measured of kernels/fast's tiles: those that come with tinycnn, and those of this machine's GPU.

The first are in cost.json, where benchmarks/fit_cost_model.py brings them. The others `tinycnn plan --measure` keeps: a
file for each card, in a folder beside the compiled kernels. A file that is not what was written counts for nothing, nor
does a time of a kernel whose source has changed since.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import tinycnn.kernels as kernels
from tinycnn.devices.gpu.cards import Card
from tinycnn.devices.gpu.fast import cubins
from tinycnn.devices.gpu.fast.cost import fitted
from tinycnn.devices.gpu.fast.instances import WAYS, FilterTile, GemmTile, SmallFilterTile, SmallTile, Tile
from tinycnn.shapes import Geometry

TILES = {tile.__name__: tile for tile in (GemmTile, FilterTile, SmallTile, SmallFilterTile)}
FILES = {
    "GemmTile": "fast/conv_gemm",
    "FilterTile": "fast/conv_gemm_filter",
    "SmallTile": "fast/conv_small",
    "SmallFilterTile": "fast/conv_small_filter",
}
Times = dict[tuple[Tile, int], float]  # (tile, slices): microseconds
Layers = dict[tuple[Geometry, str, bool], Times]  # by layer, direction and mask


class Time(NamedTuple):
    """How long a tile took."""

    layer: Geometry
    direction: str  # one of WAYS
    masked: bool  # behind a ReLU whose output comes with dy
    tile: Tile
    slices: int
    us: float

    def row(self) -> dict[str, Any]:
        """As it stands in a file."""
        tile = type(self.tile).__name__
        row: dict[str, Any] = {"layer": self.layer, "direction": self.direction, "masked": self.masked, "tile": tile}
        return row | {"numbers": self.tile, "slices": self.slices, "us": self.us, "source": source_of(tile)}

    @classmethod
    def of(cls, row: dict[str, Any]) -> Time:
        """From a row of a file. Raises ValueError, TypeError or KeyError for what is none."""
        layer, tile, us = Geometry(*row["layer"]), TILES[row["tile"]](*row["numbers"]), row["us"]
        numbers = (*layer, *tile, row["slices"])
        if row["direction"] not in WAYS or not all(type(n) is int for n in numbers) or not 0 < us < math.inf:
            raise ValueError(f"no time: {row}")
        return cls(layer, row["direction"], bool(row["masked"]), tile, row["slices"], float(us))


@cache
def source_of(tile: str) -> str:
    """Tells apart the versions of the kernel file that takes tiles of this type."""
    return hashlib.sha256(kernels.source(FILES[tile]).encode()).hexdigest()[:16]


def times(card: Card, layer: Geometry, direction: str, masked: bool = False) -> Times:
    """What was measured of a layer's direction on this card, in float32. This machine's times are before the others."""
    key = layer, direction, masked
    if found := read(file_of(card)).get(key):
        return found
    return by_layer().get(key, {}) if card.name == fitted()["measured"]["card"] else {}


def layers_of(found: Iterable[Time]) -> Layers:
    """By layer, direction and mask."""
    layers: Layers = {}
    for time in found:
        layers.setdefault((time.layer, time.direction, time.masked), {})[time.tile, time.slices] = time.us
    return layers


@cache
def by_layer() -> Layers:
    """Those of cost.json."""
    return layers_of(map(Time.of, fitted()["times"]))


# ---------------------------------------------------------------- this machine's


def folder() -> Path:
    """Where the files are."""
    return cubins.chosen_folder() / "times"


def file_of(card: Card) -> Path:
    """The file of a card."""
    return folder() / f"{card.id}.json"


@cache
def read(path: Path) -> Layers:
    """The times in a file, of kernels as they are now; none where there is no file, or with a warning a damaged one."""
    try:
        content = path.read_bytes()
    except OSError:
        return {}
    try:
        facts = json.loads(content)
        if digest(facts["rows"]) != facts["sha256"]:
            raise ValueError("its digest is another")
        return layers_of(Time.of(row) for row in facts["rows"] if row["source"] == source_of(row["tile"]))
    except (ValueError, TypeError, KeyError):
        warnings.warn(f"{path} is damaged, its times count for nothing: tinycnn plan --measure", stacklevel=2)
        return {}


def digest(rows: Any) -> str:
    """Of rows as a file has them."""
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def keep(card: Card, found: Iterable[Time]) -> None:
    """Write these times into the card's file, in place of older ones of the same layers. Raises OSError."""
    layers = read(file_of(card)) | layers_of(found)
    rows = [Time(*key, *way, us).row() for key, of_layer in layers.items() for way, us in of_layer.items()]
    text = json.dumps({"card": card.name, "sha256": digest(rows), "rows": rows})
    cubins.replace(folder(), file_of(card).name, text.encode())
    read.cache_clear()
