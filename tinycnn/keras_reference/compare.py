"""One network computed by two programs: what is compared, tinycnn's side of it, and the verdict.

What is compared is a Values, {(what, where): array}: every layer's output in training and in inference, the loss, the
right answers, every gradient and moving statistic, and all weights after one and after several steps of optimisers.
`ours` computes them on the model's device; `tinycnn.keras_reference.twin` has Keras's answers, each with its tolerance.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from safetensors import safe_open

from tinycnn import functional as F
from tinycnn import optimizers
from tinycnn.datasets import synthetic
from tinycnn.fit.places import parameters, places
from tinycnn.layers import Dropout
from tinycnn.losses import logits_of, one_hot
from tinycnn.models import Model
from tinycnn.optimizers import Optimizer
from tinycnn.regularizers import penalties
from tinycnn.tensor import no_grad

SMALL, LARGE = 15_000, 100_000  # parameters: up to which with all optimisers, and above which in smaller steps
TRAINING, INFERENCE = "output in training", "output in inference"
LOSS, RIGHT, GRADIENT, MOVING, WEIGHTS = "loss", "right answers", "gradient", "moving statistic", "weights after"

Key = tuple[str, str]  # (what, where)
Values = dict[Key, np.ndarray]
Maker = Callable[[], Optimizer]

# The optimisers by what a table calls them. Momentum 0.9 goes ten times as far, and float32 would part from itself.
OPTIMIZERS: dict[str, Maker] = {
    "SGD": optimizers.SGD,
    "momentum": lambda: optimizers.SGD(0.001, momentum=0.9),
    "Nesterov": lambda: optimizers.SGD(0.001, momentum=0.9, nesterov=True),
    "Adam": optimizers.Adam,
    "Adadelta": optimizers.Adadelta,
    "RMSprop": optimizers.RMSprop,
}

# A network with layers of every kind.
EVERY_LAYER = (
    "CN(4,5,strides=4)->BN()->[CN(3,1)|CN(2,3,padding=same)->MP(3,3,strides=1,padding=same)]->MP(2,2)->DP(0.25)->"
    "ZP((1,0),(0,1))->[CN(5,3,padding=same,activation=tanh)+]->CN(4,(2,3),activation=none,bias=False)->AC(relu)->"
    "[GM()|AP(2,2,padding=same)->DN(6,softplus)->GA()|UP(1,2)->CT(3,(3,2),strides=(2,1),activation=tanh)->GA()|FL()]->"
    "DN(8,sigmoid)->BN()->EL(0.5)->DN(8,none)->LR(0.3)->DN(10)"
)
# A small one for the optimisers' rules. Layers that are many and batch-norms make rounding move weights more than a
# wrong epsilon would; here it shows, for the small slope makes gradients of the size of Adam's and RMSprop's epsilon.
EVERY_RULE = "AP(7,7)->FL()->DN(8,none)->LR(0.000001)->DN(10)"

# Those whose answers come with tinycnn. The command's `every-layer` compares both.
WITH_ANSWERS = {"every-layer": EVERY_LAYER, "every-rule": EVERY_RULE}
STORED, STORED_STEPS = Path(__file__).with_name("values.safetensors"), 20


# ---------------------------------------------------------------- what both sides are given


@dataclass(frozen=True)
class Trial:
    """A batch for each step, and the optimisers: {name: a function that makes one}.

    x (steps, N, H, W, C) and y (steps, N, classes), float32. The first batch gives the outputs and gradients too.
    """

    x: np.ndarray
    y: np.ndarray
    optimizers: dict[str, Maker]

    @property
    def steps(self) -> int:
        return len(self.x)


def trial_for(model: Model, steps: int) -> Trial:
    """The Trial of a compiled model: 4 images a step, and all optimisers for a small one.

    The model's own optimiser takes the place of the usual one of its kind. Learning rates are scaled to the batch, by
    the linear rule (Goyal et al., 2017), from the batch that they were chosen for: at the full rate so few images make
    a training so restless that rounding alone decides where it goes. A large network has 3 images (of 2, batch-norm
    would keep no more than the signs) and another tenth of the rate.
    """
    assert model.optimizer is not None  # a compiled model has one
    size = model.count_params()
    batch, share = (3, 0.1) if size > LARGE else (4, 1)
    count, shape, classes = steps * batch, model.input.extents, model.output.extents[-1]
    images, labels = synthetic.digits(count)
    x: np.ndarray = images[..., None].astype(np.float32) / 255
    if shape != x.shape[1:]:
        x = np.random.default_rng(0).random((count, *shape), np.float32)
    y = one_hot(labels % classes, classes)
    own, scale = model.optimizer, share * batch / (model.recipe or {"batch_size": 128})["batch_size"]
    makers = {**(OPTIMIZERS if size <= SMALL else {}), kind(own): lambda: type(own)(**own.options())}

    def scaled(make: Maker) -> Optimizer:
        optimizer = make()
        optimizer.learning_rate *= scale
        return optimizer

    makers = {name: partial(scaled, make) for name, make in makers.items()}
    return Trial(x.reshape(steps, batch, *shape), y.reshape(steps, batch, classes), makers)


def kind(optimizer: Optimizer) -> str:
    """What OPTIMIZERS calls an optimiser like this one."""
    if isinstance(optimizer, optimizers.SGD) and optimizer.momentum:
        return "Nesterov" if optimizer.nesterov else "momentum"
    return optimizer.name


def prepare(model: Model) -> None:
    """Switch a model's dropout off, and move off their starting values the weights that start all alike.

    Zero biases and unit variances would hide much of what can be wrong with them.
    """
    rng = np.random.default_rng(1)
    for layer in dict.fromkeys(symbol.layer for symbol in model.symbols):  # an order that stored answers rely on
        if isinstance(layer, Dropout):
            layer.rate = 0.0
        values = layer.get_weights()
        alike = [(w == w.flat[0]).all() for w in values]
        noise = [np.float32(0.2 * (rng.random(w.shape) - 0.5)) for w in values]
        layer.set_weights([w + n if a else w for w, n, a in zip(values, noise, alike, strict=True)])


# ---------------------------------------------------------------- names


def after(steps: int, optimizer: str) -> str:
    """What the weights are called after so many steps."""
    return f"{WEIGHTS} {steps} step{'s' * (steps != 1)} of {optimizer}"


# ---------------------------------------------------------------- tinycnn's side


def ours(model: Model, trial: Trial) -> Values:
    """The Values of a prepared model, computed by its device. Leaves its weights as they were."""
    start, names = model.get_weights(), [*places(model).values()]
    probe = Model(model.input, model.symbols[1:])  # the same layers, with every output
    with no_grad():
        values = {(INFERENCE, name): y.numpy().copy() for name, y in zip(names, probe(trial.x[0]), strict=True)}
    outputs = probe(trial.x[0], training=True)
    loss, right = F.softmax_crossentropy(logits_of(outputs[-1]), trial.y[0])
    for weight, regularizer in penalties(model):
        loss = loss + regularizer(weight)
    loss.backward()
    values.update({(TRAINING, name): y.numpy().copy() for name, y in zip(names, outputs, strict=True)})
    values.update({(LOSS, ""): loss.numpy().copy(), (RIGHT, ""): model.device.numpy(right).copy()})
    for name, weight in parameters(model).items():
        if weight.grad is not None:
            values[GRADIENT, name] = weight.grad.numpy().copy()
            weight.zero_grad()
        else:
            values[MOVING, name] = weight.numpy().copy()
    for label, make in trial.optimizers.items():
        model.set_weights(start)
        optimizer = make()
        model.compile(optimizer, "categorical_crossentropy")
        for steps in sorted({1, trial.steps}):
            done = optimizer.iterations
            take_steps(model, trial.x[done:steps], trial.y[done:steps])
            values.update({(after(steps, label), name): w.numpy().copy() for name, w in parameters(model).items()})
    model.set_weights(start)
    return values


def take_steps(model: Model, x: np.ndarray, y: np.ndarray) -> None:
    """One step of training for each batch, by `fit`. x (steps, N, H, W, C), y (steps, N, classes)."""
    size = x.shape[1]
    model.fit(x.reshape(-1, *x.shape[2:]), y.reshape(-1, y.shape[-1]), batch_size=size, verbose=0, shuffle=False)


# ---------------------------------------------------------------- the verdict


@dataclass(frozen=True)
class Answers:
    """What Keras says. tolerances: {key of values: how far off is still right}; source: whose words, for a table."""

    values: Values
    tolerances: dict[Key, float]
    source: str


def stored_answers(network: str, dtype: str) -> Answers:
    """The Answers for a network of WITH_ANSWERS, by its name. `python -m tinycnn.keras_reference.twin` writes them."""
    with safe_open(STORED, "numpy") as file:
        facts = json.loads(file.metadata()["answers"])
        tolerances = {}
        for name, tolerance in facts["tolerances"][network][dtype].items():
            what, where = name.split("|")
            tolerances[what, where] = tolerance
        values = {(what, where): file.get_tensor(f"{network}|{dtype}|{what}|{where}") for what, where in tolerances}
    return Answers(values, tolerances, f"stored answers of {facts['source']}")


@dataclass(frozen=True)
class Row:
    """One array: how far it is from Keras's, and how far it may be, by `distance`."""

    what: str
    where: str
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance  # never true of NaN

    @property
    def share(self) -> float:
        """The error as a share of the tolerance; infinite for NaN and for what should be equal."""
        if self.error == 0:
            return 0.0
        return self.error / self.tolerance if self.tolerance and not math.isnan(self.error) else math.inf


def distance(what: str, a: np.ndarray, b: np.ndarray | float) -> float:
    """How far apart two arrays are: the largest difference, or, for weights after steps, its root mean square.

    Adam moves a weight by its gradient's sign, about, so where a gradient is zero but for rounding, one weight may go
    the other way in two runs that are both right.
    """
    difference = np.asarray(a, np.float64) - b
    return float(np.sqrt(np.mean(difference**2)) if what.startswith(WEIGHTS) else np.abs(difference).max())


def rows(values: Values, answers: Answers) -> list[Row]:
    """A Row for each array. Raises ValueError where the two are not answers to the same question."""
    here = {key: array.shape for key, array in values.items()}
    there = {key: array.shape for key, array in answers.values.items()}
    if here != there:
        different = sorted(f"{what} {where}" for what, where in dict(here.items() ^ there.items()))
        raise ValueError(f"{answers.source} are of another network or trial: they differ in {different[0]}")
    return [
        Row(what, where, distance(what, array, answers.values[what, where]), answers.tolerances[what, where])
        for (what, where), array in values.items()
    ]
