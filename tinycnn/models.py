"""Networks: layers in a row (Sequential) or in a graph (Model), with Keras's compile, fit, evaluate, predict."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn import drawing, losses, optimizers, refusals, session
from tinycnn.callbacks import Callback, History
from tinycnn.custom_objects import all_custom_objects, custom_object_scope
from tinycnn.devices import current_device, use_device
from tinycnn.devices.base import Array
from tinycnn.expressions import Expression, in_order
from tinycnn.fit import checkpoint, data, formats, keras_config, loop, streams, summary
from tinycnn.fit.own_losses import Own, own_of
from tinycnn.layers import Dropout, Input, InputLayer, Layer, Symbol, Weighted
from tinycnn.layers.graph import as_list, compute_dropped, dropped_at_once, in_keras_order, symbols_between
from tinycnn.metrics import BY_NAME
from tinycnn.shapes import ShapeError
from tinycnn.tensor import Tensor

METRICS = ("accuracy", "acc")


class Model(Weighted):
    """A network from the Symbol that `Input` returned to one that a layer returned (or a list of such).

    Called on Symbols it is a layer of another network, with which it shares its weights.

    >>> from tinycnn.layers import Dense, Flatten
    >>> x = Input(shape=(28, 28, 1))
    >>> model = Model(inputs=x, outputs=Dense(10, activation="softmax")(Flatten()(x)))
    >>> model.count_params(), model.predict(np.zeros((2, 28, 28, 1))).shape
    (7850, (2, 10))
    """

    settable: tuple[str, ...] = ("trainable", "stop_training")
    group = "Model"

    def __init__(
        self, inputs: Symbol | Sequence[Symbol] | None = None, outputs: Symbol | Sequence[Symbol] | None = None,
        name: str | None = None, *, input: Any = None, output: Any = None,
    ):  # fmt: skip
        """input, output: Keras 1's names of inputs, outputs."""
        inputs, outputs = inputs if input is None else input, outputs if output is None else output
        for symbol in as_list(inputs):
            if not isinstance(symbol, Symbol) or not isinstance(symbol.layer, InputLayer):
                raise TypeError("Model(inputs=...) takes what Input(shape=...) returned")
        self._prepare(name, "model")
        self._connect(as_list(inputs), outputs)
        self.layers: list[Any] = in_keras_order(self.symbols, outputs, lambda symbol: symbol.owner or symbol.layer)

    def _prepare(self, name: str | None, kind: str) -> None:
        self.name = name or session.next_name(kind)
        self.seed = session.seed()
        self.optimizer: optimizers.Optimizer | None = None
        self.loss: Callable | None = None
        self.metrics: list[str] = []  # their names
        self.own_metrics: dict[str, Callable] = {}  # by their names, those that are functions of the user's
        self.added_losses: list[Expression] = []
        self.own: Own | None = None  # what of these is the user's own, once the network is built
        self.trained: list[Tensor] | None = None  # what training changes, from `compile` or the first `fit` on
        self.epoch = 0  # where the last fit stood: its initial_epoch and the epochs it finished
        self.epochs_trained = 0  # by all fits: what shuffling depends on
        self.stop_training = False
        self.history: History | None = None  # of the last fit, and of the epochs before its initial_epoch
        self.recipe: dict | None = None  # the documented training settings, where there are some
        self.device = current_device()
        self.path_taken: str | None = None  # by the last fit: of what its device's path cannot do, another does
        self.step: Array = self.device.zeros((1,), "int64")  # training passes so far: dropout masks depend on it
        self.looks: Array = self.device.zeros((1,), "int64")  # other passes, where they draw random numbers

    def _connect(self, inputs: list[Symbol], outputs: Any) -> None:
        outputs = outputs[0] if isinstance(outputs, (list, tuple)) and len(outputs) == 1 else outputs
        # One of each, or a list of several. Of a Sequential whose input's shape is not known yet both are None.
        self.input: Any = inputs if len(inputs) > 1 else inputs[0]
        self.output: Any = outputs
        self.symbols = symbols_between(inputs, outputs)
        self.dropped = dropped_at_once(self.symbols, outputs)
        self.trained = self.own = None  # a layer that came after `compile` is trained too
        dropouts = [symbol.layer for symbol in self.symbols if isinstance(symbol.layer, Dropout)]
        # Layers that are in another model too keep its counter, which then counts the passes of both.
        self.step = next((layer.step for layer in dropouts if layer.step is not None), self.step)
        for layer in dropouts:
            if layer.step is None:
                layer.step = self.step
        steps = {id(layer.step): layer.step for layer in dropouts if layer.step is not self.step}
        self.other_steps: list[Array] = list(steps.values())  # those of layers that came from several other models

    def __call__(self, x: Tensor | ArrayLike, training: bool = False) -> Any:
        """The network's output for images (N, H, W, C), a Tensor or an array; a list where it has several.

        training: batch-norm by the batch's statistics, dropout on. Raises ShapeError for images of another shape.
        """
        given = as_list(x)
        if given and isinstance(given[0], Symbol):
            return self.connected(given)
        many = isinstance(self.input, list)
        tensors = [v if isinstance(v, Tensor) else Tensor(v, device=self.device) for v in (given if many else [x])]
        if [t.shape[1:] for t in tensors] != [i.extents for i in self.inputs]:
            takes = " and ".join(str(("N", *i.extents)) for i in self.inputs) or "nothing yet"
            raise ShapeError(
                f"{self.name} takes images of shape {takes}, not {' and '.join(str(t.shape) for t in tensors)}"
            )
        if training:
            self.device.advance([(self.step, 1)])
            self.advance_other_steps()
        return self.forward(tensors if many else tensors[0], training)

    def advance_other_steps(self) -> None:
        """Count a training pass for the models that some of the layers came from."""
        for step in self.other_steps:
            self.device.advance([(step, 1)])

    def connected(self, inputs: list[Symbol]) -> Any:
        """The outputs of a copy of the network on other inputs: its layers and their weights are in both."""
        if [i.extents for i in inputs] != [i.extents for i in self.inputs]:
            raise ShapeError(f"{self.name} takes {self.input_shape}, not {[i.shape for i in inputs]}")
        copies = dict(zip(self.inputs, inputs, strict=True))
        for symbol in self.symbols[len(inputs) :]:
            before = [copies[i] for i in symbol.inputs]
            copies[symbol] = symbol.layer(before if len(before) > 1 else before[0])
            copies[symbol].owner = self
        outputs = [copies[symbol] for symbol in self.outputs]
        return outputs if isinstance(self.output, (list, tuple)) else outputs[0]

    def forward(self, x: Tensor | Sequence[Tensor], training: bool, to_logits: bool = False) -> Any:
        """The output for a Tensor of images that fits (a list of such for several inputs); the counter of training
        passes has been moved on.

        to_logits: stop ahead of the last layer's softmax, which the loss takes in one with itself.
        """
        inputs = self.inputs
        values = dict(zip(inputs, as_list(x), strict=True))
        with self.drawing(training):
            for symbol in self.symbols[len(inputs) :]:
                if training and symbol in self.dropped:
                    values[self.dropped[symbol]] = compute_dropped(symbol, values, self.dropped[symbol])
                elif symbol not in values:
                    values[symbol] = symbol.compute(values, training, to_logits and symbol is self.output)
        return [values[o] for o in self.output] if isinstance(self.output, (list, tuple)) else values[self.output]

    @contextmanager
    def drawing(self, training: bool) -> Iterator[None]:
        """Inside, tinycnn.backend draws the random numbers of one pass of this network."""
        first, counter = (0, self.step) if training else (drawing.INFERENCE, self.looks)
        with drawing.by(drawing.Drawing(self.device, self.seed, counter, first)) as drawn:
            yield
        if drawn.has_drawn and not training:
            self.device.advance([(self.looks, 1)])

    @property
    def inputs(self) -> list[Symbol]:
        """The Symbols that the network begins with."""
        return [] if self.input is None else as_list(self.input)

    @property
    def outputs(self) -> list[Symbol]:
        """The Symbols that it ends with."""
        return [] if self.output is None else as_list(self.output)

    @property
    def input_shape(self) -> Any:
        """(None, H, W, C); a list of such for several inputs; None where it is not known yet."""
        shapes = [symbol.shape for symbol in self.inputs]
        return shapes if len(shapes) > 1 else shapes[0] if shapes else None

    @property
    def output_shape(self) -> Any:
        """(None, classes); a list of such for several outputs; None where it is not known yet."""
        shapes = [symbol.shape for symbol in self.outputs]
        return shapes if isinstance(self.output, (list, tuple)) else shapes[0] if shapes else None

    # ---------------------------------------------------------------- weights

    @property
    def weights(self) -> list[Tensor]:
        return list({id(w): w for layer in self.layers for w in layer.weights}.values())  # a layer may be in two models

    def to_be_trained(self) -> list[Tensor]:
        """The trainable weights in the order of the graph, by which files number the optimiser's state."""
        layers = dict.fromkeys(symbol.layer for symbol in ([] if self.output is None else self.symbols))
        return [w for layer in layers for w in layer.weights if w.requires_grad]

    @property
    def trainable(self) -> bool:
        """Whether any layer is trained. Setting it sets it for every layer, from the next `compile` on."""
        return any(layer.trainable for layer in self.layers)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self.layers:
            layer.trainable = value

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """The layer called `name`, or that at place `index`, from the end where it is negative. Raises ValueError."""
        if index is not None:
            if not -len(self.layers) <= index < len(self.layers):
                raise ValueError(f"{self.name} has {len(self.layers)} layers, and none at {index}")
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(f"no layer is called {name!r}; there are: {', '.join(layer.name for layer in self.layers)}")

    # ---------------------------------------------------------------- training

    @refusals.by_name
    def compile(
        self, optimizer: str | optimizers.Optimizer = "sgd", loss: str | Callable | None = None,
        metrics: str | Callable | Sequence[str | Callable] | None = None,
    ) -> None:  # fmt: skip
        """Choose how to train. What is frozen then (`trainable = False`) stays frozen until the next compile.

        Args:
            optimizer: one of tinycnn.optimizers, or its name.
            loss: one of tinycnn.losses, its name, or a function of your own: of y_true and y_pred, which are not
                computed yet, it returns what it makes of them by the operators and by tinycnn.backend, a number or one
                for each image, whose mean is the loss. None: what add_loss() has added, and where it has added nothing
                'categorical_crossentropy'.
            metrics: 'accuracy', 'acc' (the name that logs and the history bear), the name of a loss, or such a
                function; a list of these, or None.

        Raises:
            ValueError: for what is none of these. TypeError: for what Keras has and tinycnn has not, and for a
                function that returns something else.
        """
        names, own = measured(metrics)
        if loss is None and not self.all_added:
            loss = losses.categorical_crossentropy
        self.optimizer, self.loss = optimizers.get(optimizer), None if loss is None else losses.get(loss)
        self.metrics, self.own_metrics, self.own = names, own, None
        self.trained = self.to_be_trained() if self.weights else None
        if self.output is not None and not isinstance(self.output, (list, tuple)):
            own_of(self)

    def add_loss(self, losses: Any, inputs: Any = None) -> None:
        """Add to what the network is trained by: an expression of its places, made by the operators and the functions
        of tinycnn.backend, or a list of such. The mean of its values over a batch counts, whatever images weigh.

        With compile(loss=None) it is all of the loss, and fit() takes no labels. It is not written to files.

        >>> from tinycnn import backend as K
        >>> from tinycnn.layers import Dense
        >>> x = Input((2,))
        >>> model = Model(x, Dense(2)(x))
        >>> model.add_loss(K.mean(K.square(model.output - x), axis=-1))
        >>> model.compile("sgd", loss=None)
        >>> history = model.fit(np.ones((8, 2)), epochs=2, verbose=0)
        >>> history.history["loss"][0] > history.history["loss"][1]
        True

        Args:
            inputs: nothing that is looked at.

        Raises:
            TypeError: for what is no expression.
        """
        added = as_list(losses)
        for expression in added:
            if not isinstance(expression, Expression):
                raise TypeError(f"add_loss() takes an expression of the network's places, not {expression!r}")
        self.added_losses += added
        self.own = None

    @property
    def all_added(self) -> list[Expression]:
        """What add_loss() added: of the network, and of its layers for what comes from its inputs."""
        symbols = [] if self.output is None else self.symbols
        of_layers = dict.fromkeys(loss for symbol in symbols for loss in symbol.layer.added_losses)
        starts = set(self.inputs)
        return self.added_losses + [
            loss
            for loss in of_layers
            if starts.issuperset(p for p in in_order([loss]) if isinstance(p, Symbol) and not p.inputs)
        ]

    @property
    def measures_accuracy(self) -> bool:
        """Whether 'accuracy' is among the metrics."""
        return any(name in METRICS and name not in self.own_metrics for name in self.metrics)

    @property
    def metrics_names(self) -> list[str]:
        """The names of what `evaluate` returns: ['loss', 'accuracy']."""
        accuracy = [name for name in self.metrics if name not in self.own_metrics][:1]  # once, by its first name
        return ["loss", *(name for name in self.metrics if name in (*accuracy, *self.own_metrics))]

    def named(self, figures: Sequence[float]) -> dict[str, float]:
        """(loss, accuracy, metrics of the user's own), as they are measured, by their names in metrics_names."""
        loss, accuracy, *others = figures
        known = {"loss": loss, **dict(zip(self.own_metrics, others, strict=True))}
        return {name: known.get(name, accuracy) for name in self.metrics_names}

    def fit(
        self, x: Any, y: ArrayLike | None = None, batch_size: int | None = None, epochs: int = 1, verbose: int = 1,
        callbacks: Iterable[Callback] | None = None, validation_split: float = 0.0,
        validation_data: Any = None, shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None, sample_weight: ArrayLike | None = None,
        initial_epoch: int = 0, *, nb_epoch: int | None = None, **others: Any,
    ) -> History:  # fmt: skip
        """Train, and return the History of these epochs; `history` has those before initial_epoch too.

        Args:
            x: images, a list of them for several inputs; or a generator or Sequence of batches, for which
                `fit_generator` tells the arguments.
            y: one-hot labels, or whole numbers with the sparse loss; None where add_loss() is all of the loss.
            batch_size: 32 if None. epochs: the epoch to end with; nb_epoch: Keras 1's name of it.
            verbose: 0 nothing, 1 a progress bar (on a terminal) and a line an epoch, 2 a line an epoch.
            callbacks: of tinycnn.callbacks, or your own.
            validation_data: (x, y) or (x, y, weights), measured after every epoch; validation_split: the share of x,
                taken from its end, to use instead.
            shuffle: whether each epoch sees the images in an order of its own.
            class_weight: {class: weight of its images in the loss}, with every class of y; also of those that
                validation_split takes. sample_weight: a weight for each image.
            initial_epoch: where a resumed training goes on.

        Shapes:
            x (M, H, W, C); y (M, classes) or (M,); sample_weight (M,).

        Raises:
            ValueError: for data that do not fit, are empty or not finite. RuntimeError: before compile().
            TypeError: for an argument of Keras's that is not here; it names what does its work.
        """
        if streams.is_source(x):
            apart = {"y": y, "batch_size": batch_size, "sample_weight": sample_weight}
            streams.refuse_apart({**apart, "validation_split": validation_split or None})
            return self.fit_generator(
                x, epochs=nb_epoch or epochs, verbose=verbose, callbacks=callbacks, validation_data=validation_data,
                class_weight=class_weight, shuffle=shuffle, initial_epoch=initial_epoch, **others,
            )  # fmt: skip
        for argument, value in others.items():
            refusals.argument("fit", argument, value, list(inspect.signature(Model.fit).parameters))
        if shuffle not in (True, False):
            raise ValueError(f"shuffle is True or False here, not {shuffle!r}: every epoch has an order of its own")
        sets = data.TrainingData.of(self, x, y, sample_weight, class_weight, validation_data, validation_split)
        plan = loop.Plan.of(batch_size, nb_epoch or epochs, initial_epoch, shuffle, verbose, callbacks)
        return loop.fit(self, sets, plan)

    @refusals.by_name
    def fit_generator(
        self, generator: Any, steps_per_epoch: float | None = None, epochs: int = 1, verbose: int = 1,
        callbacks: Iterable[Callback] | None = None, validation_data: Any = None,
        validation_steps: float | None = None, *, class_weight: Mapping[int, float] | None = None,
        max_queue_size: int = 10, workers: int = 1, use_multiprocessing: bool = False, shuffle: bool = True,
        initial_epoch: int = 0,
    ) -> History:  # fmt: skip
        """Train on the batches that a generator or a utils.Sequence gives, and return the History.

        Args:
            generator: gives (x, y) or (x, y, weights) a batch, without an end; a Sequence is gone through again and
                again.
            steps_per_epoch: how many batches make an epoch, rounded up; all of a Sequence if None.
            validation_data: (x, y), (x, y, weights), or a generator or Sequence, of which validation_steps batches are
                measured.
            max_queue_size: how many batches one thread may fetch ahead. workers: 0 for no thread; more than one, and
                use_multiprocessing, make no difference.
            shuffle: whether the batches of a Sequence come in an order of its own in each pass.

        Raises:
            ValueError: for batches that do not fit, or a generator that ends too early. What it raises is raised here.
        """
        ahead = max_queue_size if workers else 0
        sets = streams.training_data(
            self, generator, steps_per_epoch, validation_data, validation_steps, class_weight, shuffle, ahead
        )
        return loop.fit(self, sets, loop.Plan.of(None, epochs, initial_epoch, shuffle, verbose, callbacks))

    @refusals.by_name
    def evaluate_generator(
        self, generator: Any, steps: float | None = None, callbacks: Iterable[Callback] | None = None,
        max_queue_size: int = 10, workers: int = 1, use_multiprocessing: bool = False, verbose: int = 0,
    ) -> float | list[float]:  # fmt: skip
        """The same as `evaluate`, of `steps` batches that a generator gives, or of all of a Sequence."""
        count = streams.count_steps(generator, steps, "steps")
        source = streams.Source(generator, ahead=max_queue_size if workers else 0)
        figures = loop.measure(self, streams.Stream(self, source, count, ("x", "y")), 0, callbacks)
        return self._as_evaluated(figures, verbose)

    @refusals.by_name
    def predict_generator(
        self, generator: Any, steps: float | None = None, callbacks: Iterable[Callback] | None = None,
        max_queue_size: int = 10, workers: int = 1, use_multiprocessing: bool = False, verbose: int = 0,
    ) -> Any:  # fmt: skip
        """The same as `predict`, of `steps` batches that a generator gives: x, or (x, y), whose y is passed over."""
        count = streams.count_steps(generator, steps, "steps")
        source = streams.Source(generator, ahead=max_queue_size if workers else 0)
        return loop.predict(self, streams.images(self, source, count), {"steps": count}, callbacks)

    @refusals.by_name
    def evaluate(
        self, x: Any, y: ArrayLike | None = None, batch_size: int | None = None, verbose: int = 1,
        sample_weight: ArrayLike | None = None, steps: float | None = None,
        callbacks: Iterable[Callback] | None = None,
    ) -> float | list[float]:  # fmt: skip
        """[loss, accuracy] in inference mode, or what metrics there are, or the loss alone without any. The batch size
        is 128 if None.

        x may be a generator or a Sequence of batches, of which `steps` are measured.
        """
        if streams.is_source(x):
            streams.refuse_apart({"y": y, "batch_size": batch_size, "sample_weight": sample_weight})
            return self.evaluate_generator(x, steps, callbacks, verbose=verbose)
        streams.refuse_steps(steps)
        figures = loop.evaluate(self, x, y, 128 if batch_size is None else batch_size, sample_weight, callbacks)
        return self._as_evaluated(figures, verbose)

    @refusals.by_name
    def train_on_batch(
        self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None,
        class_weight: Mapping[int, float] | None = None,
    ) -> float | list[float]:  # fmt: skip
        """One step of training on these images: the loss and the accuracy before it, as `evaluate` returns them.

        Its arguments are those of `fit`. Raises as `fit` does.
        """
        batch = data.resident(self, x, y, ("x", "y"), sample_weight, class_weight)
        return self._as_evaluated(loop.train_on_batch(self, batch), verbose=0)

    @refusals.by_name
    def test_on_batch(self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float | list[float]:
        """The loss and the accuracy of these images, as `evaluate` returns them."""
        return self.evaluate(x, y, batch_size=max(1, data.count_of(x, self)), verbose=0, sample_weight=sample_weight)

    def predict_on_batch(self, x: ArrayLike) -> Any:
        """The output for these images, as `predict` returns it."""
        return self.predict(x, batch_size=max(1, data.count_of(x, self)))

    def _as_evaluated(self, figures: Sequence[float], verbose: int) -> float | list[float]:
        named = self.named(figures)
        if verbose:
            print("  ".join(f"{'acc' if name == 'accuracy' else name} {figure:.4f}" for name, figure in named.items()))
        return list(named.values()) if self.metrics else figures[0]

    @refusals.by_name
    def predict(
        self, x: Any, batch_size: int | None = None, verbose: int = 0,
        steps: float | None = None, callbacks: Iterable[Callback] | None = None,
    ) -> Any:  # fmt: skip
        """The output for images (M, H, W, C) in inference mode, as a NumPy array (a list for several outputs).

        x may be a generator or a Sequence of batches, of which `steps` are looked at.
        """
        if streams.is_source(x):
            streams.refuse_apart({"batch_size": batch_size})
            return self.predict_generator(x, steps, callbacks)
        streams.refuse_steps(steps)
        size = data.check_batch_size(128 if batch_size is None else batch_size)
        images = data.check_inputs(x, self, "x")
        count = len(images[0])
        parts = ([array[start : start + size] for array in images] for start in range(0, count, size))
        with self.device.batches_of(min(size, count)):
            return loop.predict(self, parts, {"batch_size": size, "samples": count}, callbacks)

    # ---------------------------------------------------------------- looking and keeping

    @refusals.by_name
    def summary(self, *, print_fn: Callable[[str], Any] = print) -> None:
        """Print the layers as Keras does, with receptive fields and how each parameter count comes about."""
        print_fn(summary.summary_text(self))

    @refusals.by_name
    def save(self, filepath: str | os.PathLike) -> None:
        """Write weights, configuration and optimiser state to a safetensors file; `load_model` reads it.

        A name that ends in .h5 or .hdf5 makes it an HDF5 file, which Keras reads too. A symbolic link is followed.
        Raises OSError where the file cannot be written, ValueError where what stands there is no regular file, or where
        a layer of your own has no options() that could be written.
        """
        formats.save(self, filepath)

    @refusals.by_name
    def save_weights(self, filepath: str | os.PathLike) -> None:
        """The same without the optimiser and the history."""
        formats.save(self, filepath, weights_only=True)

    @refusals.by_name
    def load_weights(self, filepath: str | os.PathLike, by_name: bool = False) -> None:
        """Take the weights from a file of tinycnn's, or from an HDF5 file of Keras's: `.h5` or `.weights.h5`.

        by_name: of an HDF5 file only the layers that are called as some here. Raises CheckpointError for another
        network's.
        """
        formats.load_weights(self, filepath, by_name)

    def get_config(self) -> dict[str, Any]:
        """The network without its weights as plain data, in Keras 2's form."""
        return keras_config.model_config(self)["config"]

    @classmethod
    def from_config(cls, config: Any, custom_objects: Mapping[str, type[Layer]] | None = None) -> Model:
        """A network, with new weights, from what `get_config` gave, here or in Keras. Raises ValueError."""
        kind = "Model" if isinstance(config, Mapping) and "input_layers" in config else "Sequential"
        with custom_object_scope(custom_objects or {}):
            return keras_config.model_from({"class_name": kind, "config": config}, kinds())

    def to_json(self, **options: Any) -> str:
        """The network without its weights as JSON, in Keras 2's form; options: json.dumps's."""
        return keras_config.to_json(self, **options)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {len(self.layers)} layers, {self.count_params():,} parameters>"


class Sequential(Model):
    """Layers in a row. The first has `input_shape=`, or the shape is taken from the first data.

    >>> from tinycnn.layers import Dense, Flatten
    >>> model = Sequential([Flatten(input_shape=(28, 28, 1)), Dense(10, activation="softmax")])
    >>> model.output.shape
    (None, 10)
    """

    group = "Sequential"

    def __init__(self, layers: Iterable[Layer | Symbol] | None = None, name: str | None = None):
        self._prepare(name, "sequential")
        self.input = self.output = None  # until the input's shape is known
        self.layers = []
        for layer in layers or []:
            self.add(layer)

    def add(self, layer: Layer | Symbol) -> None:
        """Append a layer. Raises ShapeError where it does not fit the one before it."""
        if isinstance(layer, Symbol):  # what Input(shape=...) returns
            layer = layer.layer
        if not isinstance(layer, (Layer, Model)):
            raise TypeError(f"add() takes a layer, not {type(layer).__name__}")
        if self.layers and isinstance(layer, InputLayer):
            raise ValueError("an input can only be the first layer")
        if not self.layers and (first := first_shape(layer)) is not None:
            self.input = self.output = Input(first)
        if isinstance(layer, InputLayer):
            return
        if self.output is not None and self.input is not None:
            with use_device(self.device):
                self._connect([self.input], layer(self.output))
        self.layers.append(layer)

    def pop(self) -> None:
        """Take the last layer away. Raises TypeError where there is none."""
        if not self.layers:
            raise TypeError(f"{self.name} has no layers")
        self.layers.pop()
        if self.input is not None:
            self._connect_again(self.input)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the weights for images of `input_shape` (None, H, W, C)."""
        if not input_shape or input_shape[0] is not None:
            raise ValueError(f"build() takes the shape of a batch, (None, H, W, C), not {tuple(input_shape)}")
        self._connect_again(Input(batch_shape=input_shape))

    def _connect_again(self, inputs: Symbol) -> None:
        symbol = inputs
        with use_device(self.device):  # it may no longer be the current one
            for layer in self.layers:
                symbol = layer(symbol)
        self._connect([inputs], symbol)

    def __call__(self, x: Any, training: bool = False) -> Any:
        if self.output is None:
            self.build(x.shape if isinstance(x, Symbol) else (None, *np.shape(x)[1:]))
        return super().__call__(x, training)

    def predict_proba(self, x: ArrayLike, batch_size: int | None = None, verbose: int = 0) -> Any:
        """What `predict` gives."""
        return self.predict(x, batch_size, verbose)

    def predict_classes(self, x: ArrayLike, batch_size: int | None = None, verbose: int = 0) -> np.ndarray:
        """The class of each image (M,), that of the largest output; (M, 1), whether it is over 0.5, of a single one."""
        answers = self.predict(x, batch_size, verbose)
        return (answers > 0.5).astype("int32") if answers.shape[-1] == 1 else answers.argmax(axis=-1)


def measured(metrics: Any) -> tuple[list[str], dict[str, Callable]]:
    """(their names, {name: function} of those that are none of METRICS) from compile's metrics. Raises ValueError."""
    names: list[str] = []
    own: dict[str, Callable] = {}
    for metric in metrics if isinstance(metrics, (list, tuple)) else [] if metrics is None else [metrics]:
        if isinstance(metric, refusals.NotHere):
            metric()
        if isinstance(metric, str) and metric in METRICS:
            names.append(metric)
            continue
        function = {**BY_NAME, **all_custom_objects()}.get(metric) if isinstance(metric, str) else metric
        if not callable(function):
            raise ValueError(
                f"{metric!r} is not measured; there are: 'accuracy', {', '.join(BY_NAME)}, and functions of your own, "
                "of y_true and y_pred"
            )
        name = metric if isinstance(metric, str) else losses.name_of(metric)
        taken = ["loss", *names]
        free = (f"{name}_{number}" for number in range(1, len(taken) + 1))
        names.append(name if name not in taken else next(other for other in free if other not in taken))
        own[names[-1]] = function
    return names, own


def first_shape(layer: Layer | Model) -> Sequence[int] | None:
    """The shape of the images, without the batch, where a network's first layer, or model, says it."""
    if isinstance(layer, Model):
        return layer.input.extents if layer.inputs else None
    return layer.given_shape


@refusals.by_name
def load_model(filepath: str | os.PathLike, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """The compiled model that `save` or ModelCheckpoint wrote to `filepath`, with its optimiser and its history.

    Of an HDF5 file that Keras 2 or 3 wrote, the network, its weights, and how it is trained.

    `model.fit(..., initial_epoch=model.epoch)` goes on where it stopped.

    Args:
        custom_objects: {name: class or function} of the layers, activations, losses and metrics of your own that are in
            it, beside those of utils.get_custom_objects().

    Raises:
        CheckpointError: for what is no such file, is damaged, or has a layer that is not known.
    """
    with custom_object_scope(custom_objects or {}):
        return formats.load(filepath, kinds())


@refusals.by_name
def model_from_json(json_string: str, custom_objects: Mapping[str, type[Layer]] | None = None) -> Model:
    """A network, with new weights, from what `to_json` wrote, here or in Keras 2 or 3. Raises ValueError.

    >>> from tinycnn.layers import Dense
    >>> model_from_json(Sequential([Dense(10, input_shape=(784,))], name="small").to_json())
    <Sequential small: 1 layers, 7,850 parameters>
    """
    with custom_object_scope(custom_objects or {}):
        return keras_config.from_json(json_string, kinds())


def kinds() -> keras_config.Kinds:
    """What networks are made of, with layers of one's own."""
    return keras_config.Kinds(Sequential, Model, {**checkpoint.LAYERS, **all_custom_objects()})


def __getattr__(name: str) -> Any:
    return refusals.attribute(sys.modules[__name__], name)
