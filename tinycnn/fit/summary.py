"""What a network looks like: the table that Keras prints, with receptive fields and parameter formulas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinycnn.fit.receptive_field import receptive_field

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
    ends = {symbol.owner: symbol for symbol in model.symbols}
    result = []
    for symbol in model.symbols:
        layer, owner = symbol.layer, symbol.owner
        if owner is not None and symbol is ends[owner]:  # a model within this one is one line
            kind = type(owner).__name__
            result.append(
                Row(owner.name, kind, symbol.extents, owner.count_params(), receptive_field(model, symbol), "")
            )
        elif owner is None and layer in model.layers:
            seen = receptive_field(model, symbol)
            result.append(Row(layer.name, layer.type, symbol.extents, layer.count_params(), seen, layer.formula()))
    return result


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
