"""The training loop: data resident on the device, one step recorded and run again, figures read when wanted."""

from __future__ import annotations

import difflib
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import closing, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinycnn import callbacks as cb
from tinycnn import losses
from tinycnn.careful import whole_number
from tinycnn.devices.base import Array
from tinycnn.fit.data import Resident, TrainingData, check_batch_size, resident
from tinycnn.fit.own_losses import OwnBatches, own_of
from tinycnn.fit.progress import Progress
from tinycnn.fit.whole_steps import ONE_KERNEL, WholeSteps, whole_steps
from tinycnn.layers import BatchNormalization
from tinycnn.layers.graph import as_list
from tinycnn.regularizers import penalties
from tinycnn.tensor import Tensor, no_grad

if TYPE_CHECKING:
    from tinycnn.fit.streams import Stream
    from tinycnn.models import Model
    from tinycnn.optimizers import Optimizer

# ---------------------------------------------------------------- steps


MOST_BATCHES = 2**24  # of an evaluation whose random numbers none after the next step of training draws again


class Steps:
    """What happens for one batch, in training and in inference, recorded once for each batch size."""

    def __init__(self, model: Model, data: Resident | Stream):
        self.model, self.data, self.device = model, data, model.device
        self.totals = self.device.zeros((2,), "float64")  # loss summed over images, right answers
        activation = getattr(model.output.layer, "activation", None)
        self.penalties = penalties(model)
        self.to_logits, self.loss = losses.for_training(model.loss, model.device, activation)
        own = own_of(model)
        self.own = None if own is None else OwnBatches(own, self.loss, self.to_logits, self.totals)
        self.recordings: dict[Any, Callable[[], None]] = {}
        self.full = 0  # images of a full batch, which comes first
        self.told = 0.0  # of totals[0], what callbacks have been told

    def forward(self, size: int, counters: Iterable[tuple[Array, int]], training: bool) -> tuple[Tensor, Array]:
        """The next batch through the network. counters: what moves on beside the place in the data.

        Returns (logits, the gradient of the mean loss at the logits), or of the outputs where the loss takes those:
        nothing is launched that a step does not need, no softmax beside the loss, and no multiplication by the gradient
        of the loss itself, which is 1. Where a function of the user's stands in it, (the loss, 1).
        """
        x, y, weights = self.data.next_batch(size)
        self.device.advance([(self.data.start, size), *counters])
        images = [Tensor.wrap(array, self.device) for array in x]
        if self.own is not None:
            return self.own.forward(images, y, weights, training)
        logits = self.model.forward(images, training, self.to_logits)
        assert self.loss is not None
        _, _, dlogits = self.loss(logits.data, y, weights, self.totals)
        return logits, dlogits

    def train(self, size: int) -> None:
        model, optimizer = self.model, self.model.optimizer
        assert optimizer is not None and model.trained is not None
        try:
            counters = (model.step, 1), (optimizer.step_on_device, 1)
            with self.device.batches_of(self.full):
                model.advance_other_steps()
                logits, dlogits = self.forward(size, counters, training=True)
                if model.trained:
                    logits.backward(Tensor.wrap(dlogits, self.device))
                self.penalize(size)
                if model.trained:
                    self.check_gradients()
                    optimizer.step(model.trained)
        finally:  # a step that could not be recorded is run again, and must not find half of its gradients
            for p in [*model.trained, *(self.own.own.strangers if self.own else [])]:
                p.zero_grad()

    def check_gradients(self) -> None:
        """Raises ValueError where the loss leaves a weight that is trained without a gradient."""
        trained = {id(weight) for weight in self.model.trained or []}
        for layer in dict.fromkeys(symbol.layer for symbol in self.model.symbols):
            found = {name: weight for name, weight in layer.parameters.items() if id(weight) in trained}
            without = [name for name, weight in found.items() if weight.gradient is None]
            if not without:
                continue
            what = f"the loss {losses.name_of(self.model.loss)}" if self.own is None else self.own.own.name
            if len(without) < len(found):
                raise ValueError(
                    f"{what} does not depend on {', '.join(without)} of {layer.name}: use it in the layer's call(), or "
                    "add_weight(..., trainable=False)"
                )
            raise ValueError(
                f"{what} does not depend on the weights of {layer.name}: freeze the layer (trainable = False, and "
                f"compile again), or leave it out of {self.model.name}"
            )

    def infer(self, size: int) -> None:
        with no_grad(), self.device.batches_of(self.full):
            self.forward(size, (), training=False)
            self.penalize(size)

    def penalize(self, size: int) -> None:
        """Add the regularizers' penalties to the loss of a batch, and their slopes to the gradients that are there."""
        for weight, regularizer in self.penalties:
            found = weight.gradient
            gradient = found.data if isinstance(found, Tensor) else found
            self.device.regularize(weight.data, gradient, regularizer.l1, regularizer.l2, size, self.totals)

    def recorded(self, kind: Callable[[int], None], size: int) -> tuple[Callable[[], None], bool]:
        """`train` or `infer` for batches of this size, recorded if the device does; and whether it is new."""
        key = kind, size
        is_new = key not in self.recordings
        if is_new:
            self.full = max(self.full, size)
            self.recordings[key] = self.device.record(partial(kind, size))
        return self.recordings[key], is_new

    def start(self, order: np.ndarray) -> None:
        """Begin an epoch in this order."""
        self.data.rewind(order)
        self.device.assign(self.totals, np.zeros(2))
        self.told = 0.0
        if self.own is not None:
            self.own.start()

    def means(self, images: int) -> tuple[float, ...]:
        """(loss, accuracy, metrics of the user's own) over the images since `start`. Waits for the device."""
        loss, correct = self.device.numpy(self.totals) / images
        return float(loss), *((float(correct),) if self.own is None else self.own.means(images))

    def tell_of_batch(self, listeners: Listeners, hook: str, logs: cb.Logs, images: int) -> None:
        """Tell who listens of the batch that has ended, as Keras does: its own loss, and the other figures over the
        `images` since `start`. Waits for the device."""
        if not listeners.hear(hook):
            return
        mean, *others = self.means(images)
        told, self.told = self.told, mean * images
        logs.update(listeners.logs((self.told - told) / logs["size"], *others))
        listeners.tell(hook, logs["batch"], logs)

    def evaluate(self, batch_size: int, listeners: Listeners) -> tuple[float, ...]:
        """(loss, accuracy, metrics of the user's own) over all data in inference mode. Random numbers that the network
        draws for it depend on how long it was trained, so that the same evaluation gives the same figures."""
        self.start(self.data.drawn(self.model, shuffle=False))
        self.device.assign(self.model.looks, self.device.numpy(self.model.step) * MOST_BATCHES)
        listeners.tell("on_test_begin", {})
        done = 0
        with closing(self.data.batches(batch_size)) as sizes:
            for batch, size in enumerate(sizes):
                logs = cb.Logs(batch=batch, size=size)
                listeners.tell("on_test_batch_begin", batch, logs)
                self.recorded(self.infer, size)[0]()
                done += size
                self.tell_of_batch(listeners, "on_test_batch_end", logs, done)
        figures = self.means(done)
        listeners.tell("on_test_end", listeners.logs(*figures))
        return figures


# ---------------------------------------------------------------- callbacks

HOOKS = [name for name in vars(cb.Callback) if name.startswith("on_")]
# A batch's hook is called where it, or the older one that it calls, is a callback's own.
OLDER = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}


class Listeners:
    """The callbacks of a training, an evaluation or a prediction.

    params: what Callback.params holds beside the names of the metrics; validation_data: Callback's. Raises TypeError
    for what is no callback, and ValueError for a method that is nearly called like one of Keras's, and would never be
    called.
    """

    def __init__(
        self, callbacks: list[Any], model: Model, params: dict[str, Any], validation_data: list[Any] | None = None
    ):
        self.callbacks, self.model = callbacks, model
        names = list(model.metrics_names)
        if params.get("do_validation"):
            names += [f"val_{name}" for name in names]
        self.params = {**params, "metrics": names}
        # Those in the logs that a callback is given; None where one of the user's ahead of it may add some.
        figures: list[str] | None = names
        for callback in callbacks:
            if not isinstance(callback, cb.Callback):
                raise TypeError(f"a callback is an object of callbacks.Callback's, not {type(callback).__name__}")
            for name in dir(callback):
                near = difflib.get_close_matches(name, HOOKS, 1, 0.85) if name.startswith("on_") else []
                if near and name not in HOOKS:
                    raise ValueError(f"{type(callback).__name__}.{name} is never called; did you mean {near[0]}?")
            callback.set_model(model)
            callback.validation_data = validation_data
            callback.set_params({**self.params, "figures": figures})
            if type(callback).__module__ != cb.__name__ or isinstance(callback, cb.LambdaCallback):
                figures = None
            elif figures is not None and isinstance(callback, (cb.LearningRateScheduler, cb.ReduceLROnPlateau)):
                figures = [*figures, "lr"]
        self.hears = {hook: [c for c in callbacks if self._listens(c, hook)] for hook in HOOKS}

    @staticmethod
    def _listens(callback: cb.Callback, hook: str) -> bool:
        methods = {name: getattr(callback, name) for name in (hook, OLDER.get(hook, hook))}
        return any(getattr(m, "__func__", m) is not getattr(cb.Callback, name) for name, m in methods.items())

    def hear(self, hook: str) -> bool:
        """Whether anybody listens to it."""
        return bool(self.hears[hook])

    def tell(self, hook: str, *arguments: Any) -> None:
        for callback in self.hears[hook]:
            getattr(callback, hook)(*arguments)

    def logs(self, *figures: float, prefix: str = "") -> cb.Logs:
        """Those that Steps.means gives under their names: those which `compile` was given."""
        return cb.Logs({f"{prefix}{name}": figure for name, figure in self.model.named(figures).items()})


# ---------------------------------------------------------------- fit, evaluate and predict


class Plan(NamedTuple):
    """How long to train and how: see Model.fit."""

    batch_size: int
    epochs: int
    initial_epoch: int
    shuffle: bool
    verbose: int
    callbacks: list[Any]

    @classmethod
    def of(cls, batch_size: Any, epochs: Any, initial_epoch: Any, shuffle: bool, verbose: int, callbacks: Any) -> Plan:
        """Checked: raises ValueError for what is no number."""
        last, first = whole_number(epochs, "epochs", 0), whole_number(initial_epoch, "initial_epoch", 0)
        size = check_batch_size(32 if batch_size is None else batch_size)
        return cls(size, last, first, shuffle, verbose, listed(callbacks))


def listed(callbacks: Any) -> list[Any]:
    """What `callbacks=` was given, one or several or None, as a list."""
    return list(callbacks if isinstance(callbacks, Iterable) else [] if callbacks is None else [callbacks])


def evaluate(
    model: Model, x: Any, y: Any, batch_size: int, weights: Any = None, callbacks: Any = None
) -> tuple[float, ...]:
    """(loss, accuracy, metrics of the user's own) in inference mode. weights: of the images in the loss."""
    size = check_batch_size(batch_size)
    return measure(model, resident(model, x, y, ("x", "y"), weights), size, callbacks)


def measure(model: Model, data: Resident | Stream, batch_size: int, callbacks: Any) -> tuple[float, ...]:
    """The same of data that are ready; a stream has batches of its own sizes."""
    counted = {"batch_size": batch_size, "samples": data.count}
    facts = {"steps": data.steps_of(batch_size)} if data.count is None else counted
    return Steps(model, data).evaluate(batch_size, Listeners(listed(callbacks), model, facts))


def predict(model: Model, images: Iterable, facts: dict[str, Any], callbacks: Any) -> Any:
    """The outputs for batches of images (for each input), joined. facts: what callbacks are told in `params`."""
    listeners = Listeners(listed(callbacks), model, facts)
    batches = []
    listeners.tell("on_predict_begin", {})
    with no_grad():
        for batch, part in enumerate(images):
            logs = cb.Logs(batch=batch, size=len(part[0]))
            listeners.tell("on_predict_batch_begin", batch, logs)
            batches.append([output.numpy().copy() for output in as_list(model(part if len(part) > 1 else part[0]))])
            listeners.tell("on_predict_batch_end", batch, cb.Logs(logs, outputs=batches[-1]))
    listeners.tell("on_predict_end", {})
    outputs = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
    return outputs if isinstance(model.output, (list, tuple)) else outputs[0]


def ready(model: Model) -> Optimizer:
    """The optimiser of a compiled model, with state for what it trains."""
    optimizer = model.optimizer
    assert optimizer is not None
    if model.trained is None:
        model.trained = model.to_be_trained()
    elif {id(weight) for weight in model.trained} != {id(weight) for weight in model.trainable_weights}:
        warnings.warn(
            f"{model.name}: `trainable` was set after compile(), and takes effect when compile() is called again",
            stacklevel=4,
        )
    optimizer.bind(model.trained)
    return optimizer


def train_on_batch(model: Model, batch: Resident) -> tuple[float, ...]:
    """One step on all of these images; (loss, accuracy, metrics of the user's own) before it."""
    optimizer, steps = ready(model), Steps(model, batch)
    steps.start(np.arange(batch.count))
    with _as_compiled(model):
        optimizer.before_step()
        steps.train(batch.count)
    return steps.means(batch.count)


def fit(model: Model, data: TrainingData, plan: Plan) -> cb.History:
    """Train by the plan; the History of what happened. The model's goes on with the epochs before it."""
    optimizer = ready(model)
    steps = Steps(model, data.train)
    validation = None if data.validation is None else Steps(model, data.validation)
    count, batches = data.train.count, data.train.steps_of(plan.batch_size)
    facts: dict[str, Any] = {"verbose": plan.verbose, "epochs": plan.epochs, "steps": batches}
    facts |= {"do_validation": validation is not None}
    if count is not None:  # a generator does not say
        facts |= {"batch_size": plan.batch_size, "samples": count}
    history, model.history = cb.History(), cb.History(model.history, plan.initial_epoch)
    model.stop_training, model.epoch = False, plan.initial_epoch
    listeners = Listeners(plan.callbacks, model, facts, data.validation_arrays)
    history.set_model(model)
    history.set_params(listeners.params)
    whole = whole_steps(model, data.train, plan.batch_size, listeners)
    device = model.device
    with _as_compiled(model), nullcontext() if whole or device.path != ONE_KERNEL else device.taking(device.usual_path):
        model.path_taken = device.path
        listeners.tell("on_train_begin", {})
        for epoch in range(plan.initial_epoch, plan.epochs):
            if model.stop_training:
                break
            listeners.tell("on_epoch_begin", epoch, {})
            began = time.perf_counter()
            progress = Progress(plan.verbose, epoch, plan.epochs, count, batches)
            logs = run_epoch(model, steps, plan, progress, listeners, whole)
            seconds = time.perf_counter() - began
            if validation is not None:
                logs.update(listeners.logs(*validation.evaluate(plan.batch_size, listeners), prefix="val_"))
            beside = {"lr": float(optimizer.learning_rate), "seconds": seconds}
            model.epoch, model.epochs_trained = epoch + 1, model.epochs_trained + 1
            if plan.verbose:
                print(epoch_line(epoch, plan.epochs, {**logs, **beside}, progress.speed(seconds)), flush=True)
            for told in (history, model.history):  # before the callbacks, of which one may save it
                told.append(epoch, logs, beside)
            listeners.tell("on_epoch_end", epoch, logs)
            for told in (history, model.history):
                told.settle()
        listeners.tell("on_train_end", {})
    return history


class _as_compiled:
    """Inside, exactly those weights require gradients that the model was compiled to train."""

    def __init__(self, model: Model):
        trained = {id(weight) for weight in model.trained or []}
        self.wanted = [(weight, id(weight) in trained) for weight in model.weights]
        self.before = [(weight, weight.requires_grad) for weight in model.weights]
        layers = dict.fromkeys(symbol.layer for symbol in model.symbols)
        self.layers = [(layer, layer.trainable) for layer in layers]
        norms = [layer for layer in layers if isinstance(layer, BatchNormalization)]
        self.norms = [(layer, id(layer.gamma) in trained) for layer in norms]

    def __enter__(self) -> None:
        for weight, requires in self.wanted:
            weight.requires_grad = requires
        for layer, learns in self.norms:
            layer.compiled_to_learn = learns

    def __exit__(self, *error: Any) -> None:
        for weight, required in self.before:
            weight.requires_grad = required
        for norm, _ in self.norms:
            norm.compiled_to_learn = None
        for layer, was in self.layers:
            if layer.trainable != was:  # a callback has set it, from the next compile on
                layer.trainable = layer.trainable


def run_epoch(
    model: Model, steps: Steps, plan: Plan, progress: Progress, listeners: Listeners, whole: WholeSteps | None = None
) -> cb.Logs:
    """One pass over the data; the figures of the training, means over its batches."""
    assert model.optimizer is not None
    steps.start(steps.data.drawn(model, plan.shuffle))
    if whole is not None:
        with progress:
            return listeners.logs(*steps.means(whole.run_epoch(steps, plan.batch_size, progress)))
    done = 0
    with progress, closing(steps.data.batches(plan.batch_size)) as sizes:
        for batch, size in enumerate(sizes):
            logs = cb.Logs(batch=batch, size=size)
            listeners.tell("on_train_batch_begin", batch, logs)
            model.optimizer.before_step()
            step, is_new = steps.recorded(steps.train, size)
            with progress.compiling(size) if is_new else progress.nothing:
                step()
            done += size
            steps.tell_of_batch(listeners, "on_train_batch_end", logs, done)
            progress.advance(size, partial(steps.means, done))
            if model.stop_training:
                break
    return listeners.logs(*steps.means(done))


def epoch_line(epoch: int, epochs: int, logs: dict[str, Any], speed: float) -> str:
    figures = "  ".join(f"{name} {value:.4f}" for name, value in logs.items() if name not in ("lr", "seconds"))
    rate = f"lr {logs['lr']:.3g}  {logs['seconds']:.1f} s  {speed:,.0f} images/s"
    return f"Epoch {epoch + 1}/{epochs}  {figures}  {rate}"
