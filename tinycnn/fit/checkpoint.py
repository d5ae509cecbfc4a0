"""Networks in safetensors files: weights, configuration, optimiser state and history in one.

A safetensors file is a JSON header and raw numbers, so reading one never executes code. The tensors are
called `<layer number>.<weight>` and `optimizer.<slot>.<parameter number>`; everything else is JSON in the
header's `tinycnn` field. Files are written beside their place and then renamed onto it, so that a crash
leaves the old file or the new one, never half of one.
"""

import json
import os
import tempfile
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from tinycnn import layers as all_layers
from tinycnn import losses, optimizers, session
from tinycnn.callbacks import History, Logs
from tinycnn.layers import InputLayer

FORMAT = 1
LAYERS = {
    cls.__name__: cls
    for cls in vars(all_layers).values()
    if isinstance(cls, type) and issubclass(cls, all_layers.Layer) and cls is not all_layers.Layer
}


class CheckpointError(ValueError):
    """A file that is not a checkpoint, is damaged, or belongs to another network."""


# ---------------------------------------------------------------- writing


def write_atomically(path, data):
    """Write bytes to `path` or, where that fails, leave what was there. Raises OSError that names `path`."""
    path, temporary = Path(path), None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~current_umask())
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def unique_layers(model):
    """The layers in the order of the graph, the input's included."""
    return list(dict.fromkeys(symbol.layer for symbol in model.symbols))


def configuration(model):
    """Everything but the arrays, as plain data."""
    layers = unique_layers(model)
    place = {symbol: i for i, symbol in enumerate(model.symbols)}
    outputs = [place[o] for o in model.output] if isinstance(model.output, (list, tuple)) else place[model.output]
    history = model.history.rows() if model.history else []
    optimizer = model.optimizer
    return {
        "format": FORMAT,
        "name": model.name,
        "class": type(model).__name__,
        "seed": model.seed,
        "layers": [
            {
                "type": layer.type,
                "name": layer.name,
                "seed": layer.seed,
                "stream": layer.stream,
                "options": layer.options(),
            }
            for layer in layers
        ],
        "graph": [{"layer": layers.index(s.layer), "inputs": [place[i] for i in s.inputs]} for s in model.symbols],
        "outputs": outputs,  # a number, or a list of them
        "training": optimizer
        and {
            "optimizer": optimizer.name.lower(),
            "options": optimizer.options(),
            "iterations": optimizer.iterations,
            "loss": model.loss.__name__,
            "metrics": model.metrics,
        },
        "epoch": model.epoch,
        "step": int(model.device.numpy(model.step)[0]),
        "history": [{"epoch": epoch, **logs} for epoch, logs in history],
        "recipe": model.recipe,
    }


def weight_names(model):
    """{name in the file: weight Tensor}"""
    return {f"{i}.{name}": w for i, layer in enumerate(unique_layers(model)) for name, w in layer.parameters.items()}


def save(model, path):
    """Write `model` to `path`. Raises OSError where that cannot be written, and keeps the file that was there."""
    if model.output is None:
        raise ValueError(f"{model.name} has no weights yet: give its first layer input_shape=, or build() it")
    tensors = {name: w.numpy() for name, w in weight_names(model).items()}
    if model.optimizer is not None and model.optimizer.state is not None:
        for slot, arrays in model.optimizer.state.items():
            for i, array in enumerate(arrays):
                tensors[f"optimizer.{slot}.{i}"] = model.device.numpy(array)
    metadata = {"tinycnn": json.dumps(configuration(model))}
    write_atomically(path, to_bytes({n: np.ascontiguousarray(t) for n, t in tensors.items()}, metadata))


# ---------------------------------------------------------------- reading


def read(path):
    """(configuration, {name: NumPy array}) of a file. Raises CheckpointError, FileNotFoundError."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a safetensors file, or is damaged: {error}") from error
    if "tinycnn" not in metadata:
        raise CheckpointError(f"{path} was not written by tinycnn: its header has no 'tinycnn' field")
    try:
        config = json.loads(metadata["tinycnn"])
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}: the 'tinycnn' field of its header is damaged: {error}") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise CheckpointError(f"{path} has another format than {FORMAT}, the one that this tinycnn reads")
    return config, tensors


def fill(weights, tensors, path):
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
            f"{path} belongs to another network: its weight {extra[0]} of shape {tensors[extra[0]].shape} "
            "has no place in this one"
        )
    for name, weight in weights.items():
        weight.device.assign(weight.data, tensors[name])


def load_weights(model, path):
    """The weights of a file into a model of the same network. Raises CheckpointError, naming both shapes."""
    fill(weight_names(model), read(path)[1], path)


def load(path, sequential, functional):
    """The model of a file, ready to go on training. Raises CheckpointError, FileNotFoundError.

    sequential, functional: the classes of networks in a row and of graphs (models.py, which uses this file).
    """
    config, tensors = read(path)
    try:
        model = rebuild(config, sequential, functional)
        fill(weight_names(model), tensors, path)
        restore_training(model, config, tensors)
    except CheckpointError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise CheckpointError(f"{path}: its configuration does not describe a network: {error!r}") from error
    return model


def rebuild(config, sequential, functional):
    """The network that a configuration describes, its weights still zero."""
    symbols, layers = [], []
    with session.without_initial_weights():
        for entry in config["layers"]:
            layer = LAYERS[entry["type"]](**entry["options"], name=entry["name"])
            layer.seed, layer.stream = entry["seed"], entry["stream"]
            layers.append(layer)
        for node in config["graph"]:
            layer, inputs = layers[node["layer"]], [symbols[i] for i in node["inputs"]]
            if isinstance(layer, InputLayer):
                symbols.append(all_layers.Symbol(layer.input_shape, layer))
            else:
                symbols.append(layer(inputs if len(inputs) > 1 else inputs[0]))
    if config["class"] == "Sequential":
        model = sequential(name=config["name"])
        model.layers = layers[1:]
        model._connect(symbols[0], symbols[-1])
    else:
        outputs = config["outputs"]
        outputs = [symbols[i] for i in outputs] if isinstance(outputs, list) else symbols[outputs]
        model = functional(symbols[0], outputs, name=config["name"])
    model.seed, model.recipe, model.epoch = config["seed"], config["recipe"], config["epoch"]
    return model


def restore_training(model, config, tensors):
    """The optimiser, the counters and the history as they were."""
    model.device.assign(model.step, np.array([config["step"]]))
    if config["training"]:
        training = config["training"]
        optimizer = optimizers.get(training["optimizer"], **training["options"])
        optimizer.iterations = training["iterations"]
        model.compile(optimizer, losses.get(training["loss"]), training["metrics"])
        if any(name.startswith("optimizer.") for name in tensors) or optimizer.iterations:
            optimizer.bind(model.trainable_weights)
            for slot, arrays in optimizer.state.items():
                for i, array in enumerate(arrays):
                    name = f"optimizer.{slot}.{i}"
                    if tensors[name].shape != array.shape:
                        raise ValueError(f"{name} has shape {tensors[name].shape}, its parameter {array.shape}")
                    model.device.assign(array, tensors[name])
    model.history = History()
    for row in config["history"]:
        model.history.append(row["epoch"], Logs({k: v for k, v in row.items() if k != "epoch"}))
