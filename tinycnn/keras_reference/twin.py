"""The same network in Keras 3 on JAX, with the same weights: its answers for compare.py, and their tolerances.

A tolerance says what rounding alone can do. Rounding a sum is like moving its terms a little and then summing exactly,
so Keras is asked again with every weight and pixel moved by MOVED roundings, up or down at random, and the largest
change of an array, times SAFETY, is its tolerance. That follows by itself how errors grow with the length of sums, the
depth, and the number of steps; how a gradient jumps where a relu or a maximum is decided by the last bit; and how
Adam, which divides a gradient by its own size, makes much of one that is all rounding. Weights after steps must
moreover be nearer than the share MOST of the way that the farthest of them went, or nothing would be shown.

    python -m tinycnn.keras_reference.twin tinycnn/keras_reference/values.safetensors    # writes them anew
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from os import PathLike
from typing import Any

import numpy as np
from safetensors.numpy import save as to_bytes

from tinycnn import activations, layers, session
from tinycnn.architectures.notation import parse
from tinycnn.devices import use_device
from tinycnn.fit.files import write_atomically
from tinycnn.fit.places import parameters, places
from tinycnn.keras_reference.compare import (
    GRADIENT,
    INFERENCE,
    LOSS,
    MOVING,
    RIGHT,
    STORED_STEPS,
    TRAINING,
    WITH_ANSWERS,
    Answers,
    Trial,
    Values,
    after,
    distance,
    prepare,
    trial_for,
)
from tinycnn.keras_reference.translation import keras_layer, keras_optimizer
from tinycnn.models import Model
from tinycnn.optimizers import Optimizer

Weights = dict[str, np.ndarray]  # {name, as conv2d_1.kernel: array}

MOVED, DRAWS, MOST = 16, 3, 0.1
SAFETY = {"float32": 8, "float64": 100}  # float64 has digits to spare


class KerasMissing(ValueError):
    """Keras or JAX is not installed: says how to install them."""


def keras_on_jax() -> tuple[Any, Any]:
    """(keras, jax), imported to compute on the CPU. Raises KerasMissing, or ValueError where Keras has another backend.

    Sets KERAS_BACKEND and JAX_PLATFORMS for this process, unless they are set.
    """
    missing = [name for name in ("keras", "jax") if name not in sys.modules and not importlib.util.find_spec(name)]
    if missing:
        raise KerasMissing(f"comparing needs {' and '.join(missing)}: pip install 'tinycnn[keras]'")
    os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # JAX would take most of a GPU's memory for itself
    import jax
    import keras

    backend = keras.backend.backend()
    if backend != "jax":
        raise ValueError(f"Keras runs on {backend} here, and comparing needs it on JAX: set KERAS_BACKEND=jax")
    return keras, jax


@contextmanager
def precision(dtype: str) -> Iterator[None]:
    """Keras and JAX computing in `dtype` on the CPU for a while."""
    keras, jax = keras_on_jax()
    from keras.src.backend.common import dtypes

    before = keras.config.floatx(), keras.config.dtype_policy(), jax.config.jax_enable_x64
    # On JAX, Keras takes float64 for float32 wherever it promotes, as in batch-norm, even with floatx float64.
    promoted = dtypes.BIT64_TO_BIT32_DTYPE["float64"]
    try:
        jax.config.update("jax_enable_x64", dtype == "float64")
        keras.config.set_floatx(dtype)
        keras.config.set_dtype_policy(dtype)  # it does not follow floatx once a layer has been made
        dtypes.BIT64_TO_BIT32_DTYPE["float64"] = dtype
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            yield
    finally:
        dtypes.BIT64_TO_BIT32_DTYPE["float64"] = promoted
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])
        jax.config.update("jax_enable_x64", before[2])


# ---------------------------------------------------------------- the same network


def keras_layers(layer: layers.Layer) -> list:
    """The Keras layers that do what a layer of ours does. Softmax is one of its own, so that its logits are seen."""
    keras, _ = keras_on_jax()
    options = layer.options()
    if isinstance(own := getattr(layer, "activation", None), activations.Own):
        raise ValueError(f"{layer.name} has an activation of your own, {own}, of which Keras knows nothing")
    softmax = options.get("activation") == "softmax"
    if softmax and isinstance(layer, layers.Activation):
        return [keras.layers.Softmax()]
    replaced: dict[str, str | None] = {"activation": None} if softmax else {}
    if "kernel_initializer" in options:
        replaced["kernel_initializer"] = "zeros"  # it gets our weights anyway, and drawing them takes JAX seconds
    return [keras_layer(layer, **replaced), *([keras.layers.Softmax()] if softmax else [])]


class Twin:
    """The Keras model with the layers of a tinycnn model, giving every layer's output, and the logits.

    Make it and use it inside `precision`. Its functions take weights as {name: array}, named as `parameters` names
    them, and give Values.
    """

    def __init__(self, model: Model):
        self.keras, self.jax = keras_on_jax()
        made: dict[layers.Layer, list] = {}
        values = {model.input: self.keras.Input(model.input.extents)}
        for symbol in model.symbols[1:]:
            value = [values[i] for i in symbol.inputs]
            value = value if len(value) > 1 else value[0]
            if symbol.layer not in made:
                made[symbol.layer] = keras_layers(symbol.layer)
            for part in made[symbol.layer]:
                if isinstance(part, self.keras.layers.Softmax):
                    logits = value
                value = part(value)
            values[symbol] = value
        outputs = [values[symbol] for symbol in model.symbols[1:]]
        self.model = self.keras.Model(values[model.input], [*outputs, logits])
        self.outputs = [*places(model).values()]
        variables = [v for layer in made for v in made[layer][0].weights]  # in our order: Keras's is that of building
        names = {id(v): name for v, name in zip(variables, parameters(model), strict=True)}
        self.trainable = [names[id(v)] for v in self.model.trainable_variables]
        self.fixed = [names[id(v)] for v in self.model.non_trainable_variables]
        self.infer = self.compiled(self._infer)
        self.gradients = self.compiled(self.jax.value_and_grad(self._loss, has_aux=True))
        self.optimizers: dict[str, tuple[Callable, list]] = {}

    def compiled(self, function: Callable) -> Callable:
        # To compile takes longer than to run a few steps; only convolutions in float64 crawl without optimisation.
        quick = {"xla_backend_optimization_level": 0} if self.keras.config.floatx() == "float32" else None
        return self.jax.jit(function, compiler_options=quick)

    def _infer(self, trainable: list, fixed: list, x: np.ndarray) -> list:
        return self.model.stateless_call(trainable, fixed, x, training=False)[0][:-1]

    def _loss(self, trainable: list, fixed: list, x: np.ndarray, y: np.ndarray) -> tuple:
        outputs, moved, penalties = self.model.stateless_call(trainable, fixed, x, training=True, return_losses=True)
        right = (outputs[-1].argmax(axis=1) == y.argmax(axis=1)).sum()
        loss = self.keras.losses.categorical_crossentropy(y, outputs[-1], from_logits=True).mean()
        return sum(penalties, loss), (outputs[:-1], right, moved)

    def values(self, weights: Weights, x: np.ndarray, y: np.ndarray, trial: Trial) -> Values:
        """The Values for these weights and these batches of the trial."""
        trainable, fixed = [weights[n] for n in self.trainable], [weights[n] for n in self.fixed]
        (loss, (outputs, right, moved)), gradients = self.gradients(trainable, fixed, x[0], y[0])
        result = {(INFERENCE, n): o for n, o in zip(self.outputs, self.infer(trainable, fixed, x[0]), strict=True)}
        result.update({(TRAINING, n): o for n, o in zip(self.outputs, outputs, strict=True)})
        result.update({(LOSS, ""): loss.reshape(1), (RIGHT, ""): right.reshape(1)})
        result.update({(GRADIENT, n): g for n, g in zip(self.trainable, gradients, strict=True)})
        result.update({(MOVING, n): m for n, m in zip(self.fixed, moved, strict=True)})
        for label, make in trial.optimizers.items():
            if label not in self.optimizers:
                self.optimizers[label] = self.optimizer(make())
            for step, now in enumerate(self.train(trainable, fixed, x, y, *self.optimizers[label]), 1):
                if step in (1, trial.steps):
                    result.update({(after(step, label), n): w for n, w in now.items()})
        return {key: np.asarray(value) for key, value in result.items()}

    def optimizer(self, optimizer: Optimizer) -> tuple[Callable, list]:
        """(the compiled step, the state to begin with) of an optimiser of ours in Keras."""
        theirs = keras_optimizer(optimizer)
        theirs.build(self.model.trainable_variables)
        return self.compiled(theirs.stateless_apply), [v.value for v in theirs.variables]

    def train(
        self, trainable: list, fixed: list, x: np.ndarray, y: np.ndarray, apply: Callable, state: list
    ) -> Iterator[Weights]:
        """Yields {name: weight} after every step."""
        for x_now, y_now in zip(x, y, strict=True):
            (_, (_, _, fixed)), gradients = self.gradients(trainable, fixed, x_now, y_now)
            trainable, state = apply(state, gradients, trainable)
            yield dict(zip(self.trainable + self.fixed, [*trainable, *fixed], strict=True))


# ---------------------------------------------------------------- answers


def answers(model: Model, trial: Trial) -> Answers:
    """Keras's Answers for a prepared model, in the precision of its device."""
    dtype = model.device.dtype
    with precision(dtype):
        twin = Twin(model)
        epsilon = float(np.finfo(dtype).eps)
        weights = {name: w.numpy().astype(dtype) for name, w in parameters(model).items()}
        x, y = trial.x.astype(dtype), trial.y.astype(dtype)
        values = twin.values(weights, x, y, trial)
        change = {key: MOVED * epsilon * distance(key[0], value, 0) for key, value in values.items()}
        for draw in range(DRAWS):
            rng = np.random.default_rng(draw)
            moved = {name: moved_a_little(w, rng, epsilon) for name, w in weights.items()}
            other = twin.values(moved, moved_a_little(x, rng, epsilon), y, trial)
            change = {key: max(c, distance(key[0], other[key], values[key])) for key, c in change.items()}
    tolerances = {key: SAFETY[dtype] * c for key, c in change.items()}
    tolerances[RIGHT, ""] = 0.0
    for label in trial.optimizers:
        for step in {1, trial.steps}:
            what = after(step, label)
            most = max(distance(what, values[what, n], w) for n, w in weights.items()) * MOST
            tolerances.update({(what, n): min(tolerances[what, n], most) for n in weights})
    return Answers(values, tolerances, source())


def moved_a_little(array: np.ndarray, rng: np.random.Generator, epsilon: float) -> np.ndarray:
    return (array * (1 + MOVED * epsilon * rng.choice([-1, 1], array.shape))).astype(array.dtype)


def source() -> str:
    keras, jax = keras_on_jax()
    return f"Keras {keras.__version__} on JAX {jax.__version__}"


# ---------------------------------------------------------------- the stored answers


def store(path: str | PathLike) -> None:
    """Write the answers for the networks of WITH_ANSWERS, in float32 and float64, to a safetensors file."""
    tensors: dict[str, np.ndarray] = {}
    tolerances: dict[str, dict[str, dict[str, float]]] = {network: {} for network in WITH_ANSWERS}
    for network, dtype in product(WITH_ANSWERS, ("float32", "float64")):
        with use_device("reference", dtype):
            session.set_random_seed(0)
            model = parse(WITH_ANSWERS[network])
            model.compile("adam")
            trial = trial_for(model, STORED_STEPS)
            prepare(model)
            found = answers(model, trial)
        tensors.update({f"{network}|{dtype}|{what}|{where}": value for (what, where), value in found.values.items()})
        tolerances[network][dtype] = {f"{what}|{where}": value for (what, where), value in found.tolerances.items()}
    facts = {"source": source(), "tolerances": tolerances}
    write_atomically(path, to_bytes(tensors, {"answers": json.dumps(facts)}))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tinycnn.keras_reference.twin FILE.safetensors")
    store(sys.argv[1])
