"""The documented networks: as data (catalogue.py), their notation, their documented logs, and their reproduction."""

from tinycnn.architectures.catalogue import (
    ARCHITECTURES,
    Architecture,
    Params,
    Recipe,
    UnknownNetwork,
    build,
    get,
    schedule_function,
)

__all__ = ["ARCHITECTURES", "Architecture", "Params", "Recipe", "UnknownNetwork", "build", "get", "schedule_function"]
