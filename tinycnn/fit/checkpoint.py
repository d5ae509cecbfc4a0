"""Networks in safetensors files: weights, configuration, optimiser state and history in one.

A safetensors file is a JSON header and raw numbers, so reading one never executes code. The tensors are
called `<layer number>.<weight>` and `optimizer.<slot>.<parameter number>`; everything else is JSON in the
header's `tinycnn` field, whose form checkpoint_schema.py has. Files are written beside their place and then
renamed onto it, so that a crash leaves the old file or the new one, never half of one.
"""

from __future__ import annotations

import json
import math
import numbers
import os
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from tinycnn import layers as all_layers
from tinycnn import losses, optimizers, session
from tinycnn.activations import own_of
from tinycnn.callbacks import History, Logs
from tinycnn.fit.checkpoint_schema import FORMAT, fault_of
from tinycnn.fit.files import json_text, write_atomically
from tinycnn.fit.own_losses import own_function
from tinycnn.layers import InputLayer, Layer
from tinycnn.tensor import Tensor

if TYPE_CHECKING:
    from tinycnn.models import Model

LAYERS: dict[str, type[Layer]] = {
    cls.__name__: cls
    for cls in vars(all_layers).values()
    if isinstance(cls, type) and issubclass(cls, all_layers.Layer) and cls is not all_layers.Layer
}


class CheckpointError(ValueError):
    """A file that is not a checkpoint, is damaged, or belongs to another network."""


# ---------------------------------------------------------------- writing


def unique_layers(model: Model) -> list[Layer]:
    """The layers in the order of the graph, the input's included."""
    return list(dict.fromkeys(symbol.layer for symbol in model.symbols))


def configuration(model: Model, weights_only: bool) -> dict[str, Any]:
    """Everything but the arrays, as plain data. Raises ValueError for two own activations of one name."""
    layers = unique_layers(model)
    if not weights_only:
        own_of(layers)
    place = {symbol: i for i, symbol in enumerate(model.symbols)}
    outputs = [place[o] for o in model.output] if isinstance(model.output, (list, tuple)) else place[model.output]
    history = History() if weights_only or model.history is None else model.history
    return {
        "format": FORMAT,
        "name": model.name,
        "class": "Sequential" if hasattr(model, "add") else "Model",
        "seed": model.seed,
        "layers": [
            {
                "type": layer.type,
                "name": layer.name,
                "seed": layer.seed,
                "stream": layer.stream,
                "options": layer.options(),
                "trainable": layer.trainable,
            }
            for layer in layers
        ],
        "graph": [
            {"layer": layers.index(s.layer), "inputs": [place[i] for i in s.inputs], "use": s.use}
            for s in model.symbols
        ],
        "outputs": outputs,  # a number, or a list of them
        "training": None if weights_only else training_configuration(model),
        "epoch": model.epoch,
        "epochs_trained": model.epochs_trained,
        "step": int(model.device.numpy(model.step)[0]),
        "device": model.device.name,
        "path": model.path_taken or model.device.path,
        "ranks": model.device.ranks,
        "history": [{"epoch": epoch, **numbers_in(logs)} for epoch, logs in history.rows()],
        "shown": list(history.history),  # of the figures of these rows, in History.history
        "recipe": model.recipe,
    }


def numbers_in(logs: Mapping[str, Any]) -> dict[str, float]:
    """The figures among what callbacks have put into an epoch's logs."""
    return {name: float(value) for name, value in logs.items() if isinstance(value, numbers.Real)}


def training_configuration(model: Model) -> dict[str, Any] | None:
    """How a compiled model is trained, and which of its weights."""
    optimizer = model.optimizer
    if optimizer is None:
        return None
    trained = None if model.trained is None else {id(weight) for weight in model.trained}
    names = weight_names(model)
    return {
        "optimizer": optimizer.name.lower(),
        "options": optimizer.options(),
        "iterations": optimizer.iterations,
        "loss": None if model.loss is None else losses.name_of(model.loss),
        "metrics": model.metrics,
        "trained": None if trained is None else [name for name, weight in names.items() if id(weight) in trained],
    }


def weight_names(model: Model) -> dict[str, Tensor]:
    """{name in the file: weight Tensor}"""
    return {f"{i}.{name}": w for i, layer in enumerate(unique_layers(model)) for name, w in layer.parameters.items()}


def check_built(model: Model) -> None:
    """Raises ValueError for a model that waits for its input's shape."""
    if model.output is None:
        raise ValueError(f"{model.name} has no weights yet: give its first layer input_shape=, or build() it")


def save(model: Model, path: str | os.PathLike, weights_only: bool = False) -> None:
    """Write `model` to `path`; weights_only: without the optimiser and the history.

    Raises OSError or ValueError where that cannot be written, and keeps the file that was there.
    """
    check_built(model)
    tensors = {name: w.numpy() for name, w in weight_names(model).items()}
    if not weights_only:
        tensors |= optimizer_state(model)
    try:
        metadata = {"tinycnn": json_text(configuration(model, weights_only))}
    except TypeError as error:
        raise ValueError(f"{model.name} has a layer whose options() cannot be written as JSON: {error}") from None
    write_atomically(path, to_bytes({n: np.ascontiguousarray(t) for n, t in tensors.items()}, metadata))


def optimizer_state(model: Model) -> dict[str, np.ndarray]:
    """{name in the file: array} of what the optimiser keeps of each weight; empty before the first step."""
    state = {} if model.optimizer is None or model.optimizer.state is None else model.optimizer.state
    return {
        f"optimizer.{slot}.{i}": model.device.numpy(array)
        for slot, arrays in state.items()
        for i, array in enumerate(arrays)
    }


# ---------------------------------------------------------------- reading


def read(path: str | os.PathLike) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(configuration, {name: NumPy array}) of a file. Raises CheckpointError, FileNotFoundError."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is not a safetensors file, or is damaged: {error}") from error
    if "tinycnn" not in metadata:
        raise CheckpointError(f"{path} was not written by tinycnn: its header has no 'tinycnn' field")
    config = checked(metadata["tinycnn"], path)
    for name, array in tensors.items():
        if array.dtype not in (np.float32, np.float64):
            raise CheckpointError(f"{path} is damaged: its weight {name!r} is of {array.dtype}, not of float32")
    return config, tensors


def checked(text: str, path: str | os.PathLike) -> dict[str, Any]:
    """The configuration that a file has as text. Raises CheckpointError where it is none."""
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: the 'tinycnn' field of its header is damaged: {error}") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise CheckpointError(f"{path} has another format than {FORMAT}, the one that this tinycnn reads")
    fault = fault_of(config)
    if fault:
        raise CheckpointError(f"{path}: the 'tinycnn' field of its header is damaged: {fault}")
    return config


def fill(weights: dict[str, Tensor], tensors: dict[str, np.ndarray], path: str | os.PathLike) -> None:
    """Copy `tensors` into `weights`, both by name, once all of them are there and of the right shapes."""
    for name, weight in weights.items():
        if name not in tensors:
            raise CheckpointError(f"{path} belongs to another network: it has no weight {name} of shape {weight.shape}")
        if tensors[name].shape != weight.shape:
            raise CheckpointError(
                f"{path} belongs to another network: its weight {name} has shape {tensors[name].shape}, "
                f"this network's {weight.shape}"
            )
    extra = [n for n in tensors if n not in weights and not n.startswith("optimizer.")]
    if extra:
        raise CheckpointError(
            f"{path} belongs to another network: its weight {extra[0]!r} of shape {tensors[extra[0]].shape} "
            "has no place in this one"
        )
    lost = [name for name in weights if not np.isfinite(tensors[name]).all()]
    if lost:
        warnings.warn(f"{path}: its weight {lost[0]} holds NaN or infinity; the network had diverged", stacklevel=4)
    for name, weight in weights.items():
        weight.device.assign(weight.data, tensors[name])


def load_weights(model: Model, path: str | os.PathLike) -> None:
    """The weights of a file into a model of the same network. Raises CheckpointError, naming both shapes."""
    fill(weight_names(model), read(path)[1], path)


def load(path: str | os.PathLike, sequential: type, functional: type, known: Mapping[str, type[Layer]]) -> Model:
    """The model of a file, ready to go on training. Raises CheckpointError, FileNotFoundError.

    sequential, functional: the classes of networks in a row and of graphs (models.py, which uses this file).
    known: the classes of layers, by name.
    """
    return model_of(*read(path), path, sequential, functional, known)


def model_of(
    config: dict[str, Any], tensors: dict[str, np.ndarray], path: str | os.PathLike, sequential: type,
    functional: type, known: Mapping[str, type[Layer]],
) -> Model:  # fmt: skip
    """The same of what was read from a file."""
    unknown = [entry["type"] for entry in config["layers"] if entry["type"] not in known]
    if unknown:
        raise CheckpointError(
            f"{path} has a layer of a class {unknown[0]!r} that tinycnn does not know: name it with load_model(path, "
            f"custom_objects={{{unknown[0]!r}: ...}}), or build the network yourself and take load_weights(path)"
        )
    try:
        model = rebuild(config, sequential, functional, known)
        fill(weight_names(model), tensors, path)
        restore_training(model, config, tensors, known, path)
    except CheckpointError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{path}: its configuration does not describe a network: {error!r}") from error
    return model


def rebuild(config: dict[str, Any], sequential: type, functional: type, known: Mapping[str, type[Layer]]) -> Model:
    """The network that a configuration describes, its weights still zero."""
    symbols: list[all_layers.Symbol] = []
    layers: list[Layer] = []
    with session.without_initial_weights():
        for entry in config["layers"]:
            layer = known[entry["type"]](**entry["options"], name=entry["name"])
            layer.seed, layer.stream = entry["seed"], entry["stream"]
            layer.trainable = entry.get("trainable", True)
            layers.append(layer)
        for node in config["graph"]:
            layer, inputs = layers[node["layer"]], [symbols[i] for i in node["inputs"]]
            if isinstance(layer, InputLayer):
                symbols.append(layer.input)
            else:
                symbols.append(layer(inputs if len(inputs) > 1 else inputs[0]))
                symbols[-1].use = node.get("use", symbols[-1].use)
    if config["class"] == "Sequential":
        model = sequential(name=config["name"])
        model.layers = layers[1:]
        model._connect(symbols[:1], symbols[-1])
    else:
        outputs = config["outputs"]
        places = [symbols[i] for i in outputs] if isinstance(outputs, list) else symbols[outputs]
        starts = [symbol for symbol in symbols if isinstance(symbol.layer, InputLayer)]
        model = functional(starts, places, name=config["name"])
    model.seed, model.recipe, model.epoch = config["seed"], config["recipe"], config["epoch"]
    model.epochs_trained = config.get("epochs_trained", model.epoch)
    return model


def restore_training(
    model: Model, config: dict[str, Any], tensors: dict[str, np.ndarray], known: Mapping[str, Any],
    path: str | os.PathLike,
) -> None:  # fmt: skip
    """The optimiser, the counters and the history as they were. known: where losses of the user's own are found."""
    model.device.assign(model.step, np.array([config["step"]]))
    training = config["training"]
    if training and training["loss"] is None and not model.all_added:
        warnings.warn(f"{path}: what add_loss() added is not in it: add it and compile() again to train", stacklevel=5)
    elif training:
        optimizer = optimizers.get(training["optimizer"], **training["options"])
        optimizer.iterations = training["iterations"]
        try:
            loss = training["loss"] and own_function(training["loss"], known, path)
            metrics = [m if m in ("accuracy", "acc") else own_function(m, known, path) for m in training["metrics"]]
        except ValueError as error:
            raise CheckpointError(str(error)) from None
        model.compile(optimizer, loss, metrics)
        if training.get("trained") is not None:
            names = weight_names(model)
            model.trained = [names[name] for name in training["trained"]]
        if any(name.startswith("optimizer.") for name in tensors) or optimizer.iterations:
            optimizer.bind(model.trained or [])
            for slot, arrays in (optimizer.state or {}).items():
                for i, array in enumerate(arrays):
                    name = f"optimizer.{slot}.{i}"
                    if tensors[name].shape != array.shape:
                        raise ValueError(f"{name} has shape {tensors[name].shape}, its parameter {array.shape}")
                    model.device.assign(array, tensors[name])
    model.history = History()
    hidden = [name for name in ("lr", "seconds") if name not in config.get("shown", ())]
    for row in config["history"]:
        figures = {name: math.nan if value is None else value for name, value in row.items()}
        figures = {name: value for name, value in figures.items() if name not in ("epoch", "diverged")}
        beside = {name: figures.pop(name) for name in hidden if name in figures}
        model.history.append(row["epoch"], Logs(figures), beside)
