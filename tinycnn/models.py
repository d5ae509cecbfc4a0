"""Networks: layers in a row (Sequential) or in a graph (Model), with Keras's compile, fit, evaluate, predict."""

import numpy as np

from tinycnn import losses, optimizers, session
from tinycnn.devices import current_device, use_device
from tinycnn.fit import checkpoint, loop, summary
from tinycnn.layers import Dropout, Input, InputLayer, Layer, Symbol, Weighted
from tinycnn.shapes import ShapeError
from tinycnn.tensor import Tensor, no_grad


class Model(Weighted):
    """A network from the Symbol that `Input` returned to one that a layer returned (or a list of such).

    >>> from tinycnn.layers import Dense, Flatten, Input
    >>> x = Input(shape=(28, 28, 1))
    >>> model = Model(inputs=x, outputs=Dense(10, activation="softmax")(Flatten()(x)))
    """

    def __init__(self, inputs, outputs, name=None):
        if not isinstance(inputs, Symbol) or not isinstance(inputs.layer, InputLayer):
            raise TypeError("Model(inputs=...) takes what Input(shape=...) returned, and only one")
        self._prepare(name, "model")
        self._connect(inputs, outputs)
        self.layers = list(dict.fromkeys(symbol.layer for symbol in self.symbols))

    def _prepare(self, name, kind):
        self.name = name or session.next_name(kind)
        self.seed = session.seed()
        self.optimizer = self.loss = None
        self.metrics = []
        self.epoch = 0  # finished epochs of training
        self.history = None  # the History of the last fit
        self.recipe = None  # the documented training settings, where there are some
        self.device = current_device()
        self.step = self.device.zeros((1,), "int64")  # training passes so far: what dropout masks depend on

    def _connect(self, inputs, outputs):
        self.input, self.output = inputs, outputs
        self.symbols = symbols_between(inputs, outputs)
        dropouts = [symbol.layer for symbol in self.symbols if isinstance(symbol.layer, Dropout)]
        # Layers that are in another model too keep its counter, which then counts the passes of both.
        self.step = next((layer.step for layer in dropouts if layer.step is not None), self.step)
        for layer in dropouts:
            layer.step = self.step

    def __call__(self, x, training=False):
        """The network's output for images (N, H, W, C), a Tensor or an array; a list where it has several.

        training: batch-norm by the batch's statistics, dropout on.
        """
        x = x if isinstance(x, Tensor) else Tensor(x, device=self.device)
        if x.shape[1:] != self.input.shape:
            raise ShapeError(f"{self.name} takes images of shape {('N', *self.input.shape)}, not {x.shape}")
        if training:
            self.device.advance([(self.step, 1)])
        return self.forward(x, training)

    def forward(self, x, training, to_logits=False):
        """The output for a Tensor of images that fits; the counter of training passes has been moved on.

        to_logits: stop ahead of the last layer's softmax, which the loss takes in one with itself.
        """
        values = {self.input: x}
        for symbol in self.symbols[1:]:
            arguments = [values[i] for i in symbol.inputs]
            layer = symbol.layer.logits if to_logits and symbol is self.output else symbol.layer
            values[symbol] = layer(arguments if len(arguments) > 1 else arguments[0], training)
        return [values[o] for o in self.output] if isinstance(self.output, (list, tuple)) else values[self.output]

    # ---------------------------------------------------------------- weights

    @property
    def weights(self):
        return [w for layer in self.layers for w in layer.weights]

    def get_layer(self, name):
        """The layer called `name`. Raises ValueError."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(f"no layer is called {name!r}; there are: {', '.join(layer.name for layer in self.layers)}")

    # ---------------------------------------------------------------- training

    def compile(self, optimizer="sgd", loss="categorical_crossentropy", metrics=None):
        """Choose how to train: an optimiser or its name, a loss or its name, metrics=['accuracy'] or None."""
        self.optimizer, self.loss = optimizers.get(optimizer), losses.get(loss)
        for metric in metrics or []:
            if metric not in ("accuracy", "acc"):
                raise ValueError(f"no metric is called {metric!r}; there is: accuracy")
        self.metrics = list(metrics or [])

    def fit(self, x, y, batch_size=32, epochs=1, verbose=1, callbacks=None, validation_data=None,
            validation_split=0.0, shuffle=True, initial_epoch=0, nb_epoch=None):  # fmt: skip
        """Train, and return the History.

        x (M, H, W, C); y one-hot (M, classes), or whole numbers (M,) with the sparse loss.
        verbose: 0 nothing, 1 a progress bar (on a terminal) and a line an epoch, 2 a line an epoch.
        validation_data: (x, y), measured after every epoch; validation_split: the share of x, taken from its
        end, to use instead. initial_epoch: where a resumed training goes on. nb_epoch: Keras 1's `epochs`.
        Raises ValueError for data that do not fit, are empty or not finite, RuntimeError before compile().
        """
        return loop.fit(
            self, x, y, batch_size, nb_epoch or epochs, verbose, callbacks or [], validation_data,
            validation_split, shuffle, initial_epoch,
        )  # fmt: skip

    def evaluate(self, x, y, batch_size=128, verbose=1):
        """[loss, accuracy] in inference mode, or the loss alone without metrics."""
        loss, accuracy = loop.evaluate(self, x, y, batch_size)
        if verbose:
            print(f"loss {loss:.4f}" + (f"  acc {accuracy:.4f}" if self.metrics else ""))
        return [loss, accuracy] if self.metrics else loss

    def predict(self, x, batch_size=128, verbose=0):
        """The output for images (M, H, W, C) in inference mode, as a NumPy array (a list for several outputs)."""
        x = loop.check_images(x, self, "x")
        batches = []
        with no_grad():
            for start in range(0, len(x), loop.check_batch_size(batch_size)):
                y = self(x[start : start + batch_size])
                batches.append([o.numpy().copy() for o in (y if isinstance(y, list) else [y])])
        outputs = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
        return outputs if isinstance(self.output, (list, tuple)) else outputs[0]

    # ---------------------------------------------------------------- looking and keeping

    def summary(self, print_fn=print):
        """Print the layers as Keras does, with receptive fields and how each parameter count comes about."""
        print_fn(summary.summary_text(self))

    def save(self, path):
        """Write weights, configuration and optimiser state to a safetensors file; `load_model` reads it."""
        checkpoint.save(self, path)

    def load_weights(self, path):
        """Take the weights from a file that `save` wrote. Raises CheckpointError for another network's."""
        checkpoint.load_weights(self, path)

    def __repr__(self):
        return f"<{type(self).__name__} {self.name}: {len(self.layers)} layers, {self.count_params():,} parameters>"


class Sequential(Model):
    """Layers in a row. The first has `input_shape=`, or the shape is taken from the first data.

    >>> from tinycnn.layers import Dense, Flatten
    >>> model = Sequential([Flatten(input_shape=(28, 28, 1)), Dense(10, activation="softmax")])
    """

    def __init__(self, layers=None, name=None):
        self._prepare(name, "sequential")
        self.input = self.output = None  # until the input's shape is known
        self.layers = []
        for layer in layers or []:
            self.add(layer)

    def add(self, layer):
        """Append a layer. Raises ShapeError where it does not fit the one before it."""
        if isinstance(layer, Symbol):  # what Input(shape=...) returns
            layer = layer.layer
        if not isinstance(layer, Layer):
            raise TypeError(f"add() takes a layer, not {type(layer).__name__}")
        if self.layers and isinstance(layer, InputLayer):
            raise ValueError("an input can only be the first layer")
        if not self.layers and layer.input_shape is not None:
            self.input = self.output = Input(layer.input_shape)
        if isinstance(layer, InputLayer):
            return
        if self.output is not None:
            with use_device(self.device.name, self.device.dtype):
                self._connect(self.input, layer(self.output))
        self.layers.append(layer)

    def build(self, input_shape):
        """Make the weights for images of `input_shape` (H, W, C)."""
        symbol = inputs = Input(input_shape)
        with use_device(self.device.name, self.device.dtype):  # it may no longer be the current one
            for layer in self.layers:
                symbol = layer(symbol)
        self._connect(inputs, symbol)

    def __call__(self, x, training=False):
        if self.output is None:
            self.build(x.shape[1:])
        return super().__call__(x, training)


def symbols_between(inputs, outputs):
    """Every Symbol that `outputs` depends on, each after its inputs. Raises ValueError where `inputs` is not one."""
    order = {}
    # Depth first without recursion: a network may be deeper than Python's stack.
    stack = [(o, False) for o in reversed(outputs if isinstance(outputs, (list, tuple)) else [outputs])]
    while stack:
        symbol, inputs_done = stack.pop()
        if not isinstance(symbol, Symbol):
            raise TypeError(f"Model(outputs=...) takes what a layer returned for an Input, not {type(symbol).__name__}")
        if inputs_done:
            order[symbol] = True
        elif symbol not in order:
            stack.append((symbol, True))
            stack.extend((before, False) for before in reversed(symbol.inputs))
    starts = [symbol for symbol in order if not symbol.inputs]
    if starts != [inputs]:
        raise ValueError("the outputs do not depend on the given input alone")
    return list(order)


def load_model(path):
    """The compiled model that `save` or ModelCheckpoint wrote to `path`, with its optimiser and its history.

    `model.fit(..., initial_epoch=model.epoch)` goes on where it stopped. Raises CheckpointError.
    """
    return checkpoint.load(path, Sequential, Model)
