"""What a network looks like: the table that Keras prints, with receptive fields and parameter formulas.

The receptive field of a layer is the square of input pixels that one of its outputs depends on. A window of
size k that moves by s on top of a layer with field f, whose neighbouring outputs are j input pixels apart,
has the field f + (k - 1) * j, and its outputs are j * s apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinycnn.layers import Dense, Symbol
from tinycnn.shapes import Shape

if TYPE_CHECKING:
    from tinycnn.models import Model


@dataclass(frozen=True)
class Row:
    """One line of a summary. Shapes are without the batch; the receptive field is (rows, columns) in pixels."""

    name: str
    type: str
    output_shape: tuple
    params: int
    receptive_field: tuple
    formula: str


def rows(model: Model) -> list[Row]:
    """A Row for each connection of the model, in order. Raises ValueError for a model without an input shape."""
    if model.output is None:
        raise ValueError(
            f"{model.name} does not know its input's shape yet: give its first layer input_shape=, or build() it"
        )
    whole: dict[Symbol, Shape] = {i: image_of(i.extents) for i in model.inputs}
    field: dict[Symbol, Shape] = dict.fromkeys(model.inputs, (1, 1))
    jump: dict[Symbol, Shape] = dict.fromkeys(model.inputs, (1, 1))
    ends = {symbol.owner: symbol for symbol in model.symbols}
    result = []
    for symbol in model.symbols:
        layer = symbol.layer
        if symbol.inputs:
            before = largest([field[i] for i in symbol.inputs])
            whole[symbol] = largest([whole[i] for i in symbol.inputs])
            step = jump[symbol.inputs[0]]
            field[symbol] = tuple(f + (k - 1) * j for f, k, j in zip(before, layer.window, step, strict=True))
            jump[symbol] = tuple(j * s for j, s in zip(step, layer.stride, strict=True))
            if isinstance(layer, Dense) and len(symbol.extents) == 1:  # every output sees the whole image
                field[symbol] = whole[symbol]
        if symbol.owner is not None and symbol is ends[symbol.owner]:  # a model within this one is one line
            owner = symbol.owner
            result.append(
                Row(owner.name, type(owner).__name__, symbol.extents, owner.count_params(), field[symbol], "")
            )
        elif symbol.owner is None and layer in model.layers:
            result.append(
                Row(layer.name, layer.type, symbol.extents, layer.count_params(), field[symbol], layer.formula())
            )
    return result


def image_of(extents: Shape) -> Shape:
    """(rows, columns) of an input; flat inputs are a row of pixels."""
    return extents[:2] if len(extents) == 3 else (1, math.prod(extents))


def largest(sides: list[Shape]) -> Shape:
    return tuple(max(pair) for pair in zip(*sides, strict=True))


def parameter_counts(model: Model) -> dict[str, int]:
    """{"total", "trainable", "non_trainable"}"""
    trainable = sum(w.size for w in model.trainable_weights)
    return {"total": model.count_params(), "trainable": trainable, "non_trainable": model.count_params() - trainable}


def as_json(model: Model) -> dict[str, Any]:
    """The summary as plain data: `receptive_field` is the side of a square field, else [rows, columns]."""
    layers = [
        {
            "type": row.type,
            "output_shape": list(row.output_shape),
            "params": row.params,
            "receptive_field": row.receptive_field[0]
            if len(set(row.receptive_field)) == 1
            else list(row.receptive_field),
        }
        for row in rows(model)
    ]
    return {"layers": layers, "params": parameter_counts(model)}


def summary_text(model: Model) -> str:
    """The table as one string."""
    header = ("Layer (type)", "Output Shape", "Param #", "Receptive field", "Formula")
    table = [header] + [
        (
            f"{row.name} ({row.type})",
            str((None, *row.output_shape)),
            f"{row.params}",
            "x".join(str(n) for n in row.receptive_field),
            row.formula,
        )
        for row in rows(model)
    ]
    widths = [max(len(line[i]) for line in table) + 3 for i in range(len(header))]
    lines = ["".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in table]
    thin, thick = "_" * sum(widths), "=" * sum(widths)
    counts = parameter_counts(model)
    return "\n".join(
        [
            f'Model: "{model.name}"',
            thin,
            lines[0],
            thick,
            f"\n{thin}\n".join(lines[1:]),
            thick,
            f"Total params: {counts['total']:,}",
            f"Trainable params: {counts['trainable']:,}",
            f"Non-trainable params: {counts['non_trainable']:,}",
            thin,
        ]
    )
