"""Times that were measured of kernels/fast's tiles, as benchmarks/fit_cost_model.py brings them into cost.json."""

from __future__ import annotations

from functools import cache

from tinycnn.devices.gpu.cards import Card
from tinycnn.devices.gpu.fast.cost import fitted
from tinycnn.devices.gpu.fast.instances import FilterTile, GemmTile, SmallFilterTile, SmallTile, Tile
from tinycnn.shapes import Geometry

TILES = {tile.__name__: tile for tile in (GemmTile, FilterTile, SmallTile, SmallFilterTile)}
Times = dict[tuple[Tile, int], float]  # (tile, slices): microseconds


@cache
def _by_layer() -> dict[tuple[Geometry, str], Times]:
    found: dict[tuple[Geometry, str], Times] = {}
    for row in fitted()["times"]:
        tile = TILES[row["tile"]](*row["numbers"])
        layer = Geometry(*row["layer"])
        found.setdefault((layer, row["direction"]), {})[tile, row["slices"]] = row["us"]
    return found


def times(card: Card, layer: Geometry, direction: str) -> Times:
    """What was measured of a layer's direction on this card, without the mask of a ReLU; float32."""
    return _by_layer().get((layer, direction), {}) if card.name == fitted()["measured"]["card"] else {}
