"""Keras's description of a network as plain data: what `to_json` writes, and what its HDF5 files hold.

Written in Keras 2's form, which Keras 3 reads too; read in both. The weights are not part of it.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tinycnn.activations import own_of
from tinycnn.layers import Input, InputLayer, Layer, Symbol, configs
from tinycnn.layers.graph import in_keras_order

if TYPE_CHECKING:
    from tinycnn.models import Model

FORM = "2.3.1"  # the Keras whose form is written


# ---------------------------------------------------------------- written


def model_config(model: Model) -> dict[str, Any]:
    """{"class_name", "config"} of a network. Raises ValueError for two layers, or two own activations, of one name."""
    check_names(model)
    own_of(keras_order(model))
    if is_a_row(model):
        return {"class_name": "Sequential", "config": in_a_row(model)}
    return {"class_name": "Model", "config": as_a_graph(model)}


def check_names(model: Model) -> None:
    """Raises ValueError where two layers have one name."""
    twice = [name for name, count in Counter(layer.name for layer in keras_order(model)).items() if count > 1]
    if twice:
        raise ValueError(f"{model.name} has two layers called {twice[0]!r}, and Keras tells layers by their names")


def in_a_row(model: Model) -> dict[str, Any]:
    """The config of a Sequential. The input has an entry of its own: Keras 3 takes its shape from nowhere else."""
    layers = [*([] if model.input is None else [model.input.layer]), *keras_order(model)]
    return {"name": model.name, "layers": [{"class_name": layer.type, "config": config_of(layer)} for layer in layers]}


def as_a_graph(model: Model) -> dict[str, Any]:
    """The config of a Model: each layer with the places (layer, number of use, output) that each of its uses reads."""
    places: dict[Symbol, tuple[str, int, int]] = {}
    nodes: dict[Layer, list] = {}
    for symbol in model.symbols:
        uses = nodes.setdefault(symbol.layer, [])
        places[symbol] = (symbol.layer.name, len(uses), 0)
        uses.append([[*places[source], {}] for source in symbol.inputs])
    entries = []
    for layer in keras_order(model):
        read = [] if isinstance(layer, InputLayer) else nodes[layer]
        described = {"class_name": layer.type, "config": config_of(layer)}
        entries.append({"name": layer.name, **described, "inbound_nodes": read})
    outputs = model.output if isinstance(model.output, (list, tuple)) else [model.output]
    return {
        "name": model.name,
        "layers": entries,
        "input_layers": [places[i] for i in model.inputs],
        "output_layers": [places[output] for output in outputs],
    }


def config_of(layer: Layer) -> dict[str, Any]:
    """The config of a layer; that of an input says the shape of a batch."""
    if isinstance(layer, InputLayer):
        return {"name": layer.name, "batch_input_shape": (None, *(layer.given_shape or ())), "dtype": "float32"}
    return layer.get_config()


def keras_order(model: Model) -> list[Layer]:
    """The layers as Keras orders them in `model.layers`, which its files of weights go by; those of models within it
    stand where the models do."""
    if is_a_row(model):
        symbols = [] if model.output is None else model.symbols
        return [s.layer for s in symbols if s.inputs] or list(model.layers)
    return in_keras_order(model.symbols, model.output, lambda symbol: symbol.layer)


def is_a_row(model: Model) -> bool:
    """Whether it is a Sequential in which each layer reads the one before, those of models within it too."""
    if not hasattr(model, "add"):
        return False
    symbols = [] if model.output is None else model.symbols
    uses = [symbol.layer for symbol in symbols]
    in_turn = all(symbol.inputs == (before,) for before, symbol in itertools.pairwise(symbols))
    return in_turn and len(set(uses)) == len(uses)


# ---------------------------------------------------------------- read


class Kinds(NamedTuple):
    """What networks are made of: the classes of rows and of graphs, which models.py has, and those of layers."""

    sequential: type
    functional: type
    layers: Mapping[str, type[Layer]]


def model_from(config: Any, kinds: Kinds, weights_follow: bool = False) -> Model:
    """The network of a {"class_name", "config"} that Keras 2 or 3 wrote.

    weights_follow: whether weights are about to be loaded. Raises ValueError, which names what is not there.
    """
    if not isinstance(config, dict) or not {"class_name", "config"} <= config.keys():
        raise ValueError("a network's description is an object with class_name and config")
    kind, body = config["class_name"], config["config"]
    if kind == "Sequential":
        return row_from(body, kinds, weights_follow)
    if kind in ("Model", "Functional"):
        return graph_from(body, kinds, weights_follow)
    raise ValueError(f"a network is a Sequential or a Model, not a {kind!r}")


def row_from(body: Any, kinds: Kinds, weights_follow: bool = False) -> Model:
    """A Sequential from its config; before Keras 2.2.3 that was the list of its layers."""
    entries, name = (body, None) if isinstance(body, list) else (body["layers"], body.get("name"))
    model = kinds.sequential(name=name)
    shape = None if isinstance(body, list) else body.get("build_input_shape")
    shapes = [entry["config"].get(key) for entry in entries[:1] for key in ("batch_input_shape", "batch_shape")]
    shape = next((known for known in (*shapes, shape) if known), None)
    if shape:
        model.add(Input(tuple(shape[1:])))
    for entry in entries:
        if entry["class_name"] != "InputLayer":
            rank = None if model.output is None else len(model.output.shape)
            model.add(layer_from(entry, kinds, rank, weights_follow))
    return model


def graph_from(body: dict[str, Any], kinds: Kinds, weights_follow: bool = False) -> Model:
    """A Model from its config: layers are made, and used, as soon as what they read is there."""
    layers: dict[str, Layer] = {}
    places: dict[tuple[str, int], Symbol] = {}
    waiting = []
    for entry in body["layers"]:
        if entry["class_name"] == "InputLayer":
            shape = entry["config"].get("batch_input_shape") or entry["config"]["batch_shape"]
            places[entry["name"], 0] = Input(tuple(shape[1:]), name=entry["name"])
        waiting += [(entry, use, list(sources(node))) for use, node in enumerate(entry["inbound_nodes"])]
    while waiting:
        ready = [job for job in waiting if all(source in places for source in job[2])]
        if not ready:
            raise ValueError(f"{waiting[0][0]['name']} reads from a layer that is not there")
        for entry, use, read in ready:
            inputs = [places[source] for source in read]
            name = entry["name"]
            if name not in layers:
                layers[name] = layer_from(entry, kinds, len(inputs[0].shape), weights_follow)
            places[name, use] = layers[name](inputs if len(inputs) > 1 else inputs[0])
        waiting = [job for job in waiting if job not in ready]
    inputs, outputs = ([places[end[0], end[1]] for end in ends(body[key])] for key in ("input_layers", "output_layers"))
    return kinds.functional(
        inputs if len(inputs) > 1 else inputs[0], outputs if len(outputs) > 1 else outputs[0], name=body.get("name")
    )


def sources(node: Any) -> Iterator[tuple[str, int]]:
    """The places (layer, number of use) that a node reads: Keras 2's lists, or the tensors in Keras 3's arguments."""
    if isinstance(node, dict) and "keras_history" in node.get("config", {}):
        name, use, _ = node["config"]["keras_history"]
        yield name, use
    elif isinstance(node, dict):
        asked = {k: v for k, v in node.get("kwargs", {}).items() if v is not None and k != "training"}
        if asked:
            raise ValueError(f"a layer is called with {asked}, which is not there")
        yield from sources(node.get("args", []))
    elif isinstance(node, (list, tuple)) and node and isinstance(node[0], str):
        yield node[0], node[1]
    elif isinstance(node, (list, tuple)):
        for part in node:
            yield from sources(part)


def ends(written: list) -> list:
    """[[layer, use, output], ...] from that, or from Keras 3's form of a single one, without the outer list."""
    return [written] if isinstance(written[0], str) else written


def layer_from(entry: dict[str, Any], kinds: Kinds, rank: int | None, weights_follow: bool) -> Layer:
    """A layer from {"class_name", "config"}. Raises ValueError where it is of no known class."""
    kind = entry["class_name"]
    if kind in ("Sequential", "Model", "Functional"):
        raise ValueError(f"{entry['config'].get('name', kind)} is a network within a network, which is not read")
    if kind not in kinds.layers:
        raise ValueError(f"there is no layer {kind!r}: name its class in custom_objects={{{kind!r}: ...}}")
    cls = kinds.layers[kind]
    if cls.from_config.__func__ is not Layer.from_config.__func__:  # type: ignore[attr-defined]  # of a layer of one's own
        return cls.from_config(entry["config"])
    return configs.made_from(cls, entry["config"], rank, weights_follow)


# ---------------------------------------------------------------- JSON


def to_json(model: Model, **options: Any) -> str:
    """The network without its weights, as Keras 2's `to_json` has it. options: json.dumps's."""
    return json.dumps({**model_config(model), "keras_version": FORM, "backend": "tinycnn"}, **options)


def from_json(text: str, kinds: Kinds) -> Model:
    """The network of such a text. Raises ValueError for another text."""
    try:
        config = json.loads(text)
        return model_from(config, kinds)
    except (KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise ValueError(f"this JSON does not describe a network: {error!r}") from error
