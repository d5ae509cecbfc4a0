"""The form of what a checkpoint's header says in JSON, and what is wrong with a header that has another one."""

from __future__ import annotations

from typing import Any

from tinycnn.optimizers import OPTIMIZERS

FORMAT = 1

MOST = 2**63 - 1  # of a counter


def _number(most: int = MOST) -> dict[str, Any]:
    return {"type": "integer", "minimum": 0, "maximum": most}


def _list_of(items: dict[str, Any], longest: int = 100_000) -> dict[str, Any]:
    return {"type": "array", "items": items, "maxItems": longest}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


TEXT = {"type": "string", "maxLength": 10_000, "pattern": r"^[^\x00-\x1f\x7f-\x9f]*$"}  # no control characters
LAYER = _object(
    {
        "type": TEXT, "name": TEXT, "seed": _number(2**64 - 1), "options": {"type": "object"},
        "stream": {"anyOf": [{"type": "null"}, _number(2**24 - 1)]},
    },
    {"trainable": {"type": "boolean"}},
)  # fmt: skip
NODE = _object({"layer": _number(), "inputs": _list_of(_number())}, {"use": _number()})
TRAINING = _object(
    {
        "optimizer": {"enum": list(OPTIMIZERS)}, "options": {"type": "object"}, "iterations": _number(),
        "loss": {"anyOf": [{"type": "null"}, TEXT]}, "metrics": _list_of(TEXT),  # also functions of the user's
    },
    {"trained": {"anyOf": [{"type": "null"}, _list_of(TEXT)]}},
)  # fmt: skip
ROW = {
    "type": "object", "required": ["epoch"], "properties": {"epoch": _number(), "diverged": {"type": "boolean"}},
    "additionalProperties": {"type": ["number", "null"]},
}  # fmt: skip
SCHEMA = _object(
    {
        "format": {"const": FORMAT}, "name": TEXT, "class": {"enum": ["Sequential", "Model"]},
        "seed": _number(2**64 - 1), "layers": _list_of(LAYER), "graph": _list_of(NODE),
        "outputs": {"anyOf": [_number(), _list_of(_number())]},
        "training": {"anyOf": [{"type": "null"}, TRAINING]}, "epoch": _number(), "step": _number(),
        "history": _list_of(ROW), "recipe": {"type": ["object", "null"]},
    },
    {"epochs_trained": _number(), "device": TEXT, "path": TEXT, "ranks": _number(), "shown": _list_of(TEXT)},
)  # fmt: skip


def fault_of(config: Any, schema: dict[str, Any] = SCHEMA) -> str:
    """What is wrong with a header's configuration, or what has another schema, in one line; '' if nothing."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft202012Validator(schema).iter_errors(config))
    if error is None:
        return ""
    place = "/".join(str(step) for step in error.absolute_path) or "the whole of it"
    return f"{place}: {error.message[:200]}"
