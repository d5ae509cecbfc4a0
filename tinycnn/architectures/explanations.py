"""What the documents leave open about their trainings, one thing at a time: what may explain a difference from them.

An Explanation changes one thing of the recipe, and `tinycnn reproduce NAME --explain` trains with it beside the recipe
as it is. explanation_report.py says which of them closes the gap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from tinycnn import optimizers, philox
from tinycnn.architectures.catalogue import Architecture, get
from tinycnn.callbacks import Callback
from tinycnn.datasets import Dataset
from tinycnn.initializers import INITIALIZERS
from tinycnn.layers import BatchNormalization, Conv2D, Dense
from tinycnn.models import Model

RECIPE = ""  # the name of no change at all
BATCH_SIZES = (32, 64, 128, 256)
NEIGHBOURS = ("vanilla-15k", "go-crazy", "models-1")  # SGD, Adam on a schedule, and Adadelta
IMAGES = ("x_train", "x_test")


@dataclass(frozen=True)
class Explanation:
    """One thing that is taken otherwise than the recipe takes it.

    name: as results.json has it. change: of the new model. data: what is trained on instead. batch_size, shuffle: of
    fit. times_epochs: how many times as long. epochs_ahead: of the learning-rate schedule. callbacks: how to make them.
    open_in: of which networks the document leaves it open. replaces: which choice of the recipe it is instead of.
    """

    name: str
    change: Callable[[Model], None] = lambda model: None
    data: Callable[[Dataset], Dataset] = lambda data: data
    batch_size: int | None = None
    shuffle: bool = True
    times_epochs: int = 1
    epochs_ahead: int = 0
    callbacks: tuple[Callable[[], Callback], ...] = ()
    open_in: Callable[[Architecture], bool] = lambda architecture: True
    replaces: Literal["", "optimizer", "batch_size", "epochs"] = ""


# ---------------------------------------------------------------- what they change


def draw_by(initializer: str, model: Model) -> None:
    """Draw the kernels anew, by another initialiser from the same random numbers."""
    for layer in model.layers:
        if isinstance(layer, (Conv2D, Dense)):
            layer.kernel_initializer = initializer
            stream = philox.stream_id(philox.WEIGHTS, layer.stream or 0)
            model.device.assign(layer.kernel.data, INITIALIZERS[initializer](layer.kernel.shape, layer.seed, stream))


def normalise_with(epsilon: float, model: Model) -> None:
    """Another epsilon in every batch normalisation."""
    for layer in model.layers:
        if isinstance(layer, BatchNormalization):
            layer.epsilon = epsilon


def divide_with(epsilon: float, model: Model) -> None:
    """Another epsilon in the optimiser."""
    model.optimizer.epsilon = epsilon  # type: ignore[union-attr]


def optimise_as(network: str, model: Model) -> None:
    """Another network's optimiser, learning rate and schedule."""
    recipe = get(network).recipe
    model.compile(optimizers.get(recipe.optimizer, learning_rate=recipe.learning_rate), model.loss, model.metrics)
    taken = {name: recipe.plain()[name] for name in ("optimizer", "learning_rate", "schedule")}
    model.recipe = {**(model.recipe or {}), **taken}


class UnbiasedVariance(Callback):
    """The moving variance follows the unbiased variance of the batch, as in Keras 2 on TensorFlow's fused kernel.

    Of M numbers it is M / (M - 1) times the biased one, which the moving variance has just taken in: what came to it
    in the last step, new - momentum * old, grows by that factor before the next step, or the validation, begins.
    """

    def on_train_begin(self, logs: Any = None) -> None:
        self.layers: list[tuple[BatchNormalization, int]] = [  # with the numbers of a channel in an image
            (symbol.layer, math.prod(symbol.extents[:-1]))
            for symbol in self.model.symbols
            if isinstance(symbol.layer, BatchNormalization)
        ]
        self.old: list[np.ndarray] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.correct()
        self.old = [layer.moving_variance.numpy().copy() for layer, _ in self.layers]
        self.images = min(self.params["batch_size"], self.params["samples"] - batch * self.params["batch_size"])

    def on_test_begin(self, logs: Any = None) -> None:
        self.correct()

    def correct(self) -> None:
        """Let the last step count as it should, if that has not been done."""
        for (layer, size), old in zip(self.layers, self.old, strict=bool(self.old)):
            new = layer.moving_variance.numpy()
            came = new - layer.momentum * old
            self.model.device.assign(
                layer.moving_variance.data, (new + came / (size * self.images - 1)).astype(new.dtype)
            )
        self.old = []


def standardised(data: Dataset) -> Dataset:
    """Pixels less their mean over the training images, in units of their standard deviation."""
    mean, deviation = data.x_train.mean(dtype=np.float64), data.x_train.std(dtype=np.float64)
    return replace(data, **{name: ((getattr(data, name) - mean) / deviation).astype(np.float32) for name in IMAGES})


def undivided(data: Dataset) -> Dataset:
    """Pixels from 0 to 255."""
    return replace(data, **{name: getattr(data, name) * np.float32(255) for name in IMAGES})


# ---------------------------------------------------------------- all of them


def leaves_the_initialisers_open(architecture: Architecture) -> bool:
    return "init=" not in architecture.layers


def has_batchnorm(architecture: Architecture) -> bool:
    return "BN(" in architecture.layers


def has_schedule(architecture: Architecture) -> bool:
    return architecture.recipe.schedule is not None


def has_epsilon(architecture: Architecture) -> bool:
    return architecture.recipe.optimizer != "sgd"


def leaves_the_optimizer_open(architecture: Architecture) -> bool:
    return not architecture.recipe.optimizer_documented


def leaves_the_epochs_open(architecture: Architecture) -> bool:
    return not architecture.recipe.epochs_documented


def may_have_batches_of(size: int, architecture: Architecture) -> bool:
    return not architecture.recipe.batch_size_documented and architecture.recipe.batch_size != size


EXPLANATIONS = {
    explanation.name: explanation
    for explanation in (
        Explanation(RECIPE),
        *(
            Explanation(f"initialiser {name}", change=partial(draw_by, name), open_in=leaves_the_initialisers_open)
            for name in ("glorot_normal", "he_uniform", "he_normal")
        ),
        Explanation("unbiased moving variance", callbacks=(UnbiasedVariance,), open_in=has_batchnorm),
        Explanation("epsilon 1e-5 in batch normalisation", change=partial(normalise_with, 1e-5), open_in=has_batchnorm),
        Explanation("epsilon 1e-8 in the optimiser", change=partial(divide_with, 1e-8), open_in=has_epsilon),
        Explanation("schedule an epoch ahead", epochs_ahead=1, open_in=has_schedule),
        Explanation("schedule an epoch behind", epochs_ahead=-1, open_in=has_schedule),
        Explanation("no shuffling", shuffle=False),
        *(
            Explanation(
                f"batches of {size}",
                batch_size=size,
                open_in=partial(may_have_batches_of, size),
                replaces="batch_size",
            )
            for size in BATCH_SIZES
        ),
        *(
            Explanation(
                f"the optimiser of {network}",
                change=partial(optimise_as, network),
                open_in=leaves_the_optimizer_open,
                replaces="optimizer",
            )
            for network in NEIGHBOURS
        ),
        Explanation("twice as many epochs", times_epochs=2, open_in=leaves_the_epochs_open, replaces="epochs"),
        Explanation("pixels standardised", data=standardised),
        Explanation("pixels from 0 to 255", data=undivided),
    )
}


def explanations_of(network: str) -> Sequence[str]:
    """The names of what may be tried for a network, the recipe as it is first. Raises UnknownNetwork."""
    return [name for name, explanation in EXPLANATIONS.items() if explanation.open_in(get(network))]
