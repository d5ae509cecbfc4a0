"""A picture of a network's graph, by Graphviz."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tinycnn import refusals

if TYPE_CHECKING:
    from tinycnn.models import Model

INSTALL = "apt install graphviz, brew install graphviz, or winget install graphviz"


@refusals.by_name
def plot_model(
    model: Model, to_file: str | os.PathLike = "model.png", show_shapes: bool = False, show_layer_names: bool = True,
    rankdir: str = "TB", *, dpi: int = 96,
) -> None:  # fmt: skip
    """Draw the layers and what flows between them into a file, whose ending says its kind: .png, .svg, .pdf or .dot.

    Args:
        rankdir: 'TB' from top to bottom, 'LR' from left to right. dpi: dots an inch of a .png.

    Raises:
        OSError: where Graphviz is missing, which .dot does not need; the message has the command to install it.
    """
    path = Path(to_file)
    text = as_dot(model, show_shapes, show_layer_names, rankdir, dpi)
    if path.suffix == ".dot":
        path.write_text(text, encoding="utf-8")
        return
    program = shutil.which("dot")
    if program is None:
        raise OSError(f"plot_model needs Graphviz's program `dot`: {INSTALL}; or write to_file='model.dot'")
    subprocess.run([program, f"-T{path.suffix[1:] or 'png'}", "-o", str(path)], input=text, text=True, check=True)


def as_dot(model: Model, show_shapes: bool, show_layer_names: bool, rankdir: str, dpi: int) -> str:
    """The graph in Graphviz's language."""
    places = {symbol: f"n{i}" for i, symbol in enumerate(model.symbols)}
    lines = ["digraph {", f"rankdir={rankdir}; dpi={dpi}; node [shape=box];"]
    for symbol, place in places.items():
        layer = symbol.layer
        label = f"{layer.name}: {layer.type}" if show_layer_names else layer.type
        if show_shapes:
            label += f"\\n{symbol.shape}"
        lines.append(f'{place} [label="{label}"];')
        lines += [f"{places[source]} -> {place};" for source in symbol.inputs]
    return "\n".join([*lines, "}"]) + "\n"
