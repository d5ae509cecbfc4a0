"""Networks in HDF5 files, as Keras writes and reads them. h5py is an extra: pip install 'tinycnn[hdf5]'.

A file of `save` and one of `save_weights` have the form of Keras 2, which Keras 3 reads as well:

    model_config, training_config      attributes of the file: JSON
    model_weights/<layer>/<weight>     the arrays; the attributes layer_names and weight_names say in which order.
                                       A file of weights alone has these groups at its root

and in a file of `save` tinycnn keeps the rest of a training for itself, where Keras does not look: the attribute
`tinycnn`, the JSON of a safetensors file's header, and the group `tinycnn` with the optimiser's state.

A `.weights.h5`, the form of Keras 3's `save_weights`, has layers/<kind>_<number>/vars/<number>. It is written and read.
"""

from __future__ import annotations

import io
import json
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tinycnn import losses, optimizers, session
from tinycnn.fit import checkpoint, keras_config
from tinycnn.fit.checkpoint import CheckpointError
from tinycnn.fit.files import KERAS_3_WEIGHTS, check_network_file, h5py, json_text, write_atomically
from tinycnn.fit.own_losses import own_function
from tinycnn.layers import Layer
from tinycnn.metrics import BY_NAME

if TYPE_CHECKING:
    from tinycnn.models import Model

SIGNATURE = b"\x89HDF\r\n\x1a\n"  # what every HDF5 file begins with
MOST_NAMES = 64_000  # bytes of one attribute, so that it fits into an object's header; longer lists are cut in pieces


# ---------------------------------------------------------------- written


def save(model: Model, path: str | os.PathLike, weights_only: bool = False) -> None:
    """Write `model` to `path`; weights_only: without its description, the optimiser and the history.

    Raises OSError or ValueError where that cannot be written, and keeps the file that was there.
    """
    check_network_file(path, weights_only=weights_only)
    checkpoint.check_built(model)
    content = io.BytesIO()
    with h5py().File(content, "w") as file:
        if os.fspath(path).endswith(KERAS_3_WEIGHTS):
            write_keras_3(model, file)
        elif weights_only:
            write_weights(model, file)
        else:
            write_model(model, file)
    write_atomically(path, content.getvalue())


def write_model(model: Model, file: Any) -> None:
    """All of a model: for Keras its description, how it is trained, and weights; for tinycnn the rest."""
    file.attrs["keras_version"], file.attrs["backend"] = keras_config.FORM, "tinycnn"
    file.attrs["model_config"] = json.dumps(keras_config.model_config(model))
    if training := training_config(model):
        file.attrs["training_config"] = json.dumps(training)
    write_weights(model, file.create_group("model_weights"))
    file.attrs["tinycnn"] = json_text(checkpoint.configuration(model, weights_only=False))
    state = file.create_group("tinycnn")
    for name, array in checkpoint.optimizer_state(model).items():
        state[name] = array


def write_weights(model: Model, group: Any) -> None:
    """layer_names, and a group a layer with weight_names and the weights."""
    layers = keras_config.keras_order(model)
    keras_config.check_names(model)
    group.attrs["keras_version"], group.attrs["backend"] = keras_config.FORM, "tinycnn"
    write_names(group, "layer_names", [layer.name for layer in layers])
    for layer in layers:
        part = group.create_group(layer.name)
        weights = {f"{layer.name}/{name}:0": weight for name, weight in layer.parameters.items()}
        write_names(part, "weight_names", list(weights))
        for name, weight in weights.items():
            part[name] = weight.numpy()


def write_names(group: Any, attribute: str, names: list[str]) -> None:
    """A list of names as an attribute, or where it is too long as several, numbered from 0."""
    array = np.array([name.encode() for name in names] or [b""])[: len(names)]
    pieces = np.array_split(array, max(1, -(-array.nbytes // MOST_NAMES)))
    for number, piece in enumerate(pieces):
        group.attrs[attribute if len(pieces) == 1 else f"{attribute}{number}"] = piece


def write_keras_3(model: Model, file: Any) -> None:
    """The weights as Keras 3 has them, by kinds of layers and numbers."""
    file.create_group("vars")
    for place, layer in numbered(model):
        variables = file.create_group(f"layers/{place}/vars")
        variables.attrs["name"] = layer.name
        for number, weight in enumerate(layer.weights):
            variables[str(number)] = weight.numpy()


def numbered(model: Model) -> Iterator[tuple[str, Layer]]:
    """(conv2d, a layer), (conv2d_1, the next of this kind), ...: Keras 3's names in a .weights.h5."""
    kinds: Counter[str] = Counter()
    for layer in keras_config.keras_order(model):
        yield layer.kind + (f"_{kinds[layer.kind]}" if kinds[layer.kind] else ""), layer
        kinds[layer.kind] += 1


def training_config(model: Model) -> dict[str, Any] | None:
    """Keras 2's training_config of a compiled model, or None."""
    if model.optimizer is None:
        return None
    options = {name: value for name, value in model.optimizer.options().items() if name != "decay" or value}
    return {
        "optimizer_config": {"class_name": model.optimizer.name, "config": options},
        "loss": loss_written(model.loss),
        "metrics": model.metrics,
        "weighted_metrics": None,
        "sample_weight_mode": None,
        "loss_weights": None,
    }


# ---------------------------------------------------------------- read


class Opened:
    """An HDF5 file that is read: `with Opened(path) as file`. What goes wrong inside is a CheckpointError."""

    def __init__(self, path: str | os.PathLike):
        self.path = path

    def __enter__(self) -> Any:
        module = h5py()
        try:
            self.file = module.File(self.path, "r")
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.path}: there is no such file") from None
        except OSError as error:
            raise CheckpointError(f"{self.path} is not an HDF5 file, or is damaged: {error}") from error
        return self.file

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.file.close()
        if isinstance(error, (KeyError, OSError, RuntimeError, TypeError, AttributeError, IndexError, RecursionError)):
            raise CheckpointError(f"{self.path} is damaged, or no network of Keras's: {error!r}") from error
        if isinstance(error, ValueError) and not isinstance(error, CheckpointError):
            raise CheckpointError(f"{self.path}: {error}") from error


def load_weights(model: Model, path: str | os.PathLike, by_name: bool = False) -> None:
    """The weights of a file into a model: layer by layer in Keras's order, or by_name those of layers named alike.

    Raises CheckpointError, naming both shapes, and then changes nothing.
    """
    checkpoint.check_built(model)
    with Opened(path) as file:
        pairs: list[tuple[Layer | None, list[Any], str]]
        if "layers" in file and "layer_names" not in file.attrs and "model_weights" not in file:
            if by_name:
                raise ValueError(f"a {KERAS_3_WEIGHTS} file does not have the names of layers, for by_name")
            found = {place: arrays_of(inside(file, f"layers/{place}/vars")) for place in file["layers"]}
            pairs = [(layer, found.pop(place, []), place) for place, layer in numbered(model)]
            pairs += [(None, arrays, place) for place, arrays in found.items()]
        else:
            stored = layers_of(weights_group(file))
            wanted = [layer for layer in keras_config.keras_order(model) if layer.weights]
            if by_name:
                known = {layer.name: layer for layer in wanted}
                pairs = [(known[name], arrays, name) for name, arrays in stored.items() if name in known]
            elif len(wanted) != len(stored):
                raise ValueError(
                    f"it belongs to another network: it has {len(stored)} layers with weights, {model.name} has "
                    f"{len(wanted)}"
                )
            else:
                pairs = [(layer, *item[::-1]) for layer, item in zip(wanted, stored.items(), strict=True)]
        fill(pairs)


def fill(pairs: list[tuple[Layer | None, list[Any], str]]) -> None:
    """Copy into each layer the arrays (h5py's, not read yet) of a place in the file, once all of them fit."""
    for layer, arrays, place in pairs:
        have = [] if layer is None else [weight.shape for weight in layer.weights]
        got = [tuple(array.shape) for array in arrays]
        if have != got:
            whose = "a layer that is not there" if layer is None else f"{layer.name} of this one {have}"
            raise ValueError(f"it belongs to another network: its layer {place} has weights of shapes {got}, {whose}")
        for array in arrays:
            if array.dtype.kind != "f":
                raise ValueError(f"its weight {array.name} is of {array.dtype}, not of float32")
    values = [np.asarray(array[()]) for _, arrays, _ in pairs for array in arrays]
    weights = [weight for layer, _, _ in pairs if layer is not None for weight in layer.weights]
    for weight, value in zip(weights, values, strict=True):
        weight.device.assign(weight.data, value)


def load(path: str | os.PathLike, kinds: keras_config.Kinds) -> Model:
    """The model of a file of `save`, tinycnn's or Keras 2's or 3's, compiled as it says.

    From Keras's own files the optimiser's state does not come. Raises CheckpointError, FileNotFoundError.
    """
    with Opened(path) as file:
        if "tinycnn" in file.attrs:
            return our_own(file, path, kinds)
        if "model_config" not in file.attrs:
            raise ValueError("it holds weights alone: build the network, and take its load_weights")
        stored = layers_of(weights_group(file))
        with session.without_initial_weights():
            config = json.loads(text_of(file.attrs["model_config"]))
            model = keras_config.model_from(config, kinds, weights_follow=True)
        if model.output is None:
            raise ValueError("it does not say the shape of the images: build the network, and take its load_weights")
        layers = {layer.name: layer for layer in model.layers if layer.weights}
        lost = [name for name in layers if name not in stored]
        if lost:
            raise ValueError(f"it has no weights of the layer {lost[0]}")
        fill([(layers.get(name), arrays, name) for name, arrays in stored.items()])
        compile_as(model, text_of(file.attrs.get("training_config", "null")), kinds.layers, path)
    return model


def our_own(file: Any, path: str | os.PathLike, kinds: keras_config.Kinds) -> Model:
    """The model of a file that tinycnn wrote, with its optimiser's state and its history."""
    config = checkpoint.checked(text_of(file.attrs["tinycnn"]), path)
    layers, state = layers_of(weights_group(file)), inside(file, "tinycnn")
    tensors = {name: np.asarray(dataset(state, name)[()]) for name in state}
    for number, entry in enumerate(config["layers"]):
        for array in layers.get(entry["name"], []):
            tensors[f"{number}.{array.name.rsplit('/', 1)[-1].removesuffix(':0')}"] = np.asarray(array[()])
    return checkpoint.model_of(config, tensors, path, *kinds)


def compile_as(model: Model, text: str, known: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Compile the model as a training_config says; warn, and leave it uncompiled, where that is not there.

    known: where losses and metrics of the user's own are found by their names.
    """
    training = json.loads(text)
    if training is None:
        return
    try:
        made = optimizer_from(training["optimizer_config"])
        metrics = [
            name if name in ("accuracy", "acc") else own_function(name, known, path)
            for name in flat(training.get("metrics"))
            if name in ("accuracy", "acc", *BY_NAME, *known)
        ]
        model.compile(made, loss_read(training["loss"], known, path), metrics)
    except (ValueError, TypeError, KeyError) as error:
        warnings.warn(f"{path}: its way of training is not there ({error}): compile the model yourself", stacklevel=5)
        return
    if made.slots:
        warnings.warn(f"{path}: the optimiser's state stays in Keras's file: it begins anew", stacklevel=5)


def optimizer_from(config: dict[str, Any]) -> optimizers.Optimizer:
    """The optimiser of a Keras config, Keras 3's among them, which has more options. Raises ValueError."""
    name = config["class_name"].rsplit(">", 1)[-1].lower()
    made = optimizers.get(name)
    options = {"learning_rate" if key == "lr" else key: value for key, value in config["config"].items()}
    known = {key: options[key] for key in made.options() if key in options}
    if not isinstance(known.get("learning_rate", 0.0), (int, float)):
        raise ValueError("its learning rate is a schedule")
    for key in ("amsgrad", "centered", "clipnorm", "clipvalue", "global_clipnorm", "weight_decay", "use_ema"):
        if key not in known and options.get(key):
            raise ValueError(f"{made.name}'s {key}={options[key]!r}")
    return optimizers.get(name, **known)


def loss_written(loss: Any) -> Any:
    """Its name; of one that takes logits the class and its config, as Keras 2.3 writes it and Keras 3 reads it."""
    if loss is None or not losses.takes_logits(loss):
        return None if loss is None else losses.name_of(loss)
    name = loss.__name__.removesuffix("_from_logits")
    config = {"from_logits": True, "reduction": "sum_over_batch_size", "name": name}
    return {"class_name": name.title().replace("_", ""), "config": config}


def loss_read(written: Any, known: Mapping[str, Any], path: Any) -> Any:
    """The loss of a training_config, in any of its forms. Raises ValueError for one that is not there."""
    (name,) = flat(written)
    config = written.get("config") if isinstance(written, dict) else None
    if isinstance(config, dict) and config.get("from_logits"):
        name += "_from_logits"
    return own_function(name, known, path)


def flat(names: Any) -> Iterator[str]:
    """The names in what a training_config says of losses or metrics, in any of its forms."""
    if isinstance(names, str):
        yield names
    elif isinstance(names, dict):
        config = names.get("config")
        yield config if isinstance(config, str) else config["name"]  # type: ignore[index]  # KeyError, TypeError: see above
    else:
        for part in names or []:
            yield from flat(part)


def weights_group(file: Any) -> Any:
    """Where layer_names stands: at the root, or in model_weights. Raises ValueError where the filters are others."""
    group = inside(file, "model_weights") if "model_weights" in file else file
    if text_of(group.attrs.get("backend", "")) in ("theano", "cntk"):
        raise ValueError(f"Keras wrote it on {text_of(group.attrs['backend'])}, which is not read: convert it in Keras")
    if "layer_names" not in group.attrs and "layer_names0" not in group.attrs:
        raise ValueError("it has no layer_names: it is no file of Keras's")
    return group


def layers_of(group: Any) -> dict[str, list[Any]]:
    """{name: its weights, h5py's arrays} of the layers that have weights, in the order of the file."""
    found = {}
    for name in names(group, "layer_names"):
        layer = inside(group, name)
        weights = [dataset(layer, weight) for weight in names(layer, "weight_names")]
        if weights:
            found[name] = weights
    return found


def names(group: Any, attribute: str) -> list[str]:
    """What `write_names` wrote."""
    if attribute in group.attrs:
        return [text_of(name) for name in group.attrs[attribute]]
    result, number = [], 0
    while f"{attribute}{number}" in group.attrs:
        result += [text_of(name) for name in group.attrs[f"{attribute}{number}"]]
        number += 1
    return result


def inside(group: Any, name: str) -> Any:
    """What lies in a group under this name. Raises ValueError for a link, which may lead to any file."""
    module = h5py()
    for part in name.split("/"):
        if not isinstance(group.get(part, getlink=True), module.HardLink):
            raise ValueError(f"its part {name} is missing, or lies in another file")
        group = group[part]
    return group


def dataset(group: Any, name: str) -> Any:
    """An array that lies in this file, not read yet. Raises ValueError for anything else."""
    found = inside(group, name)
    if not isinstance(found, h5py().Dataset) or found.external or found.is_virtual:
        raise ValueError(f"its weight {name} is no array of this file")
    return found


def arrays_of(group: Any) -> list[Any]:
    """Those called 0, 1, 2, ..."""
    return [dataset(group, str(number)) for number in range(len(group))]


def text_of(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
