"""Losses and metrics of the user's own: functions of the labels and the output, and what `Model.add_loss` adds; and the
penalties on what layers give.

As in Keras such a function is called once, with what is not computed yet (expressions.py), and says what is to be
computed for a batch. It may speak of any place of the network beside its two arguments. A batch is then evaluated as
one graph of the network's layers and of these functions, each computed by the device, and the gradient flows back
through them by the tape. The losses of tinycnn/losses.py come this way only where such a function stands beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tinycnn import functional as F
from tinycnn import losses
from tinycnn.devices.base import Array
from tinycnn.expressions import Applied, Derivatives, Expression, Values, in_order, weights_behind
from tinycnn.layers.base import Symbol
from tinycnn.metrics import BY_NAME
from tinycnn.shapes import Shape, ShapeError
from tinycnn.tensor import Tensor, output_of

if TYPE_CHECKING:
    from tinycnn.models import Model


WRITTEN = "It is to return what it makes of y_true and y_pred by the operators and the functions of tinycnn.backend"


class Labels(Expression):
    """The place of a batch's labels, (N, ...): in shape like the output, which they mostly are compared with, or (N, 1)
    where the loss takes numbers of classes."""

    def __init__(self, extents: Shape):
        self.extents = extents

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (None, *self.extents)

    def __repr__(self) -> str:
        return "<the labels>"


class Own:
    """What a built network's loss and metrics have of the user's own, as expressions of its places.

    loss: that of the user's loss, None where tinycnn computes it, or where there is none; added: those of add_loss;
    metrics: {name: one for each metric of the user's}.

    Raises TypeError for a function that returns no expression, ValueError for one that cannot be computed here.
    """

    def __init__(self, model: Model):
        if model.device.ranks > 1:
            raise ValueError(
                f"{model.name} has a loss, a metric or a penalty on outputs that an expression computes, as one of "
                "your own, and ranks do not share those: train in one process"
            )
        self.model = model
        self.labels = Labels((1,) if losses.takes_numbers(model.loss) else model.output.extents)
        self.output: Symbol = model.output
        self.whose: dict[Expression, str] = {}  # the function that an expression comes from
        self.loss = self.made("loss", model.loss) if losses.is_own(model.loss) else None
        self.added = [self.checked(expression, "add_loss()") for expression in model.all_added] + activities(model)
        self.metrics = {name: self.made("metric", function) for name, function in model.own_metrics.items()}
        self.name = "the added loss" if self.loss is None else f"the loss {losses.name_of(model.loss)}"
        trained_by = [*self.added, *([] if self.loss is None else [self.loss])]
        self.order = in_order([model.output, *trained_by, *self.metrics.values()], [*model.inputs, self.labels])
        known = {id(weight) for weight in model.weights}
        # Weights of other networks that the loss goes through, and variables: they are not trained.
        met = [*weights_behind(trained_by), *(tensor for place in self.order for tensor in place.constants)]
        self.strangers = [tensor for tensor in met if tensor.requires_grad and id(tensor) not in known]

    def made(self, kind: str, function: Any) -> Expression:
        """What a function of the labels and the output returns."""
        name = f"the {kind} {losses.name_of(function)}"
        try:
            expression = function(self.labels, self.model.output)
        except TypeError as error:  # NumPy's, of what is not computed yet, among them
            raise TypeError(f"{name}: {error}. {WRITTEN}") from error
        if not isinstance(expression, Expression):
            raise TypeError(f"{name} returned {expression!r}. {WRITTEN}")
        return self.checked(expression, name)

    def checked(self, expression: Expression, name: str) -> Expression:
        for place in in_order([expression], [*self.model.inputs, self.labels]):
            self.whose.setdefault(place, name)
            if isinstance(place, (Symbol, Labels)) and not place.inputs:
                raise ValueError(f"{name} needs {place!r}, which is none of the inputs of {self.model.name}")
            if isinstance(place, Derivatives):
                raise ValueError(f"{name} has gradients() in it, and gradients of gradients are not there")
        return expression


def own_function(name: Any, custom_objects: Mapping[str, Any], path: Any) -> Any:
    """The loss or metric that a file calls so: a function among the custom objects, or one of tinycnn's, by its name.

    Raises ValueError for another.
    """
    function = custom_objects.get(name)
    if name in BY_NAME and function is None:
        return name
    if function is None or isinstance(function, type):
        raise ValueError(
            f"{path}: {name!r}, by which it was trained or measured, is a function of your own: name it with "
            f"load_model(path, custom_objects={{{name!r}: ...}}), or build the network, load_weights() and compile()"
        )
    return function


def activities(model: Model) -> list[Expression]:
    """The penalties on the outputs of a network's layers, each at every place where the layer stands."""
    regularizers = ((symbol, symbol.layer.regularizers.get("activity")) for symbol in model.symbols)
    return [Applied(regularizer, symbol) for symbol, regularizer in regularizers if regularizer is not None]


def own_of(model: Model) -> Own | None:
    """Those of a compiled and built network, made once; None where its loss and its metrics are tinycnn's."""
    is_own = losses.is_own(model.loss) or model.all_added or model.own_metrics
    if model.own is None and (is_own or activities(model)):
        model.own = Own(model)
    return model.own


class OwnBatches:
    """How fit/loop.py's Steps compute a batch with such functions.

    known: the loss of tinycnn's, where the network is trained by one, as Steps has it; to_logits: whether that takes
    the output ahead of its activation. totals: of Steps.
    """

    def __init__(self, own: Own, known: Any, to_logits: bool, totals: Array):
        self.own, self.model, self.device = own, own.model, own.model.device
        self.known, self.to_logits, self.totals = known, to_logits, totals
        zeros = self.device.zeros
        self.of_metrics = {name: zeros((2,), "float64") for name in own.metrics}
        self.right = zeros((2,), "float64")  # of an accuracy beside a loss of the user's: its second is their number
        self.one, self.zero = self.device.asarray([[1.0]]), self.device.asarray([[0.0]])
        self.numbers: Tensor | None = None  # of classes, (classes, 1), where the labels on the device are one-hot
        if losses.takes_numbers(self.model.loss):
            self.numbers = Tensor(np.arange(self.model.output.extents[-1])[:, None], device=self.device)

    def start(self) -> None:
        """Begin an epoch."""
        for totals in (self.right, *self.of_metrics.values()):
            self.device.assign(totals, np.zeros(2))

    def forward(self, images: list[Tensor], y: Array, weights: Array | None, training: bool) -> tuple[Tensor, Array]:
        """(the loss of a batch, 1): what backward begins with, and the gradient there. The figures go to the totals."""
        own, output = self.own, self.own.output
        labels = Tensor.wrap(y, self.device)
        if self.numbers is not None:
            labels = labels @ self.numbers
        values = Values({**dict(zip(self.model.inputs, images, strict=True)), own.labels: labels})
        ahead: Tensor | None = None  # of the output's activation, where the known loss takes that
        with self.model.drawing(training):
            for place in own.order:
                if place is output and self.to_logits:
                    ahead = output.compute(values, training, True)
                    values[place] = F.ACTIVATIONS[output.layer.activation](ahead)
                else:
                    values[place] = self.value(place, values, training)
        size = y.shape[0]
        parts = [self.mean(values[expression], None, size, "add_loss()") for expression in own.added]
        if own.loss is not None:
            parts.append(self.mean(values[own.loss], weights, size, own.name))
        for part in parts:
            self.count(part, size, self.totals)
        if self.known is not None:
            parts.append(self.known_loss(values[output] if ahead is None else ahead, y, weights))
        elif self.model.measures_accuracy:
            self.device.mean_squared_error(values[output].data, y, None, self.right)
        for name, expression in own.metrics.items():
            self.count(self.mean(values[expression], None, size, f"the metric {name}"), size, self.of_metrics[name])
        loss = parts[0]
        for part in parts[1:]:
            loss = loss + part
        if training and self.model.trained and loss.creator is None:
            raise ValueError(
                f"{own.name} does not depend on the weights of {self.model.name}, or only by comparisons, through "
                "which no gradient flows: compute it from y_pred, or from another place of the network"
            )
        return loss, self.one.reshape(())

    def value(self, place: Expression, values: Values, training: bool) -> Any:
        """The value of a place. What a function of the user's cannot compute bears its name."""
        try:
            return place.compute(values, training)
        except (ValueError, TypeError, IndexError) as error:
            if isinstance(place, Symbol):
                raise
            raise type(error)(f"{self.own.whose[place]}, of labels {values[self.own.labels].shape}: {error}") from error

    def known_loss(self, outputs: Tensor, y: Array, weights: Array | None) -> Tensor:
        """A loss of tinycnn's as a Tensor (), whose gradient is known as soon as it is."""
        loss, _, gradient = self.known(outputs.data, y, weights, self.totals)
        backward = lambda dy: (self.device.elementwise("multiply", gradient, dy),)  # noqa: E731
        return output_of("loss", (outputs,), loss.reshape(()), backward)

    def mean(self, scores: Any, weights: Array | None, size: int, name: str) -> Tensor:
        """The mean over the batch of what a function gave, a number or (N, ...), each image by its weight (N,1).

        As in Keras 2 the sum of weighted scores is divided by their number, and not by the weights' sum.
        """
        if not isinstance(scores, Tensor):
            raise TypeError(f"{name} gave {scores!r}, which is no tensor: compute it from y_true and y_pred")
        if weights is None:
            return scores.mean()
        factors = Tensor.wrap(weights.reshape(size), self.device)
        if scores.size == 1:
            return scores.reshape(()) * factors.mean()
        if scores.shape[0] != size:
            raise ShapeError(
                f"{name} gave a tensor of shape {scores.shape} for {size} images with weights: it has to give one "
                f"number, or ({size}, ...)"
            )
        of_image = scores.mean(tuple(range(1, scores.ndim))) if scores.ndim > 1 else scores
        return (of_image * factors).mean()

    def count(self, mean: Tensor, size: int, totals: Array) -> None:
        """Add the mean of so many images to totals[0], times their number, in float64.

        That of a batch is added up by the device's losses alone: here as the weight of one number that is 1 off.
        """
        weight = self.device.elementwise("multiply", mean.data, float(size)).reshape(1, 1)
        self.device.mean_squared_error(self.one, self.zero, weight, totals)

    def means(self, images: int) -> tuple[float, ...]:
        """(accuracy or NaN where it is not measured, and the user's metrics in their order) over the images since
        `start`. Waits for the device."""
        right = self.device.numpy(self.right if self.known is None else self.totals)[1]
        is_measured = self.known is not None or self.model.measures_accuracy
        sums = [right if is_measured else np.nan, *(self.device.numpy(t)[0] for t in self.of_metrics.values())]
        return tuple(float(one / images) for one in sums)
