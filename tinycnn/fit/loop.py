"""The training loop: data resident on the device, one step recorded and run again, figures read when wanted."""

import time
from functools import partial

import numpy as np

from tinycnn import callbacks as cb
from tinycnn import losses, philox
from tinycnn.fit.progress import Progress
from tinycnn.shapes import ShapeError
from tinycnn.tensor import Tensor, no_grad

# ---------------------------------------------------------------- what is let in


def check_batch_size(size):
    if not isinstance(size, (int, np.integer)) or size < 1:
        raise ValueError(f"batch_size must be a whole number of at least 1, not {size!r}")
    return int(size)


def check_images(x, model, what):
    """x as an array of numbers (M, H, W, C) that fits the model. Raises ShapeError or ValueError."""
    x = np.asarray(x.numpy() if isinstance(x, Tensor) else x)
    if x.dtype.kind not in "fiub":
        raise ValueError(f"{what} must be an array of numbers, not of {x.dtype}")
    if x.ndim == 0 or len(x) == 0:
        raise ValueError(f"{what} is empty: there is nothing to learn from or to predict")
    wanted = None if model.input is None else model.input.shape
    if wanted is not None and x.shape[1:] != wanted:
        hint = ""
        if (*x.shape[1:], 1) == wanted:
            hint = f"; reshape it with {what}.reshape(-1, {', '.join(map(str, wanted))})"
        takes = ", ".join(map(str, ("N", *wanted)))
        raise ShapeError(f"{what} has shape {x.shape}, but {model.name} takes ({takes}){hint}")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        bad = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
        raise ValueError(f"{what} holds NaN or infinity, first at {bad}; mend or drop those images")
    return x


def check_labels(y, model, count, what):
    """y as one-hot (or soft) labels (count, classes). Raises ShapeError or ValueError."""
    y = np.asarray(y.numpy() if isinstance(y, Tensor) else y)
    if y.dtype.kind not in "fiub":
        raise ValueError(f"{what} must be an array of numbers, not of {y.dtype}")
    if y.ndim == 0 or len(y) != count:
        raise ShapeError(f"{what} has {len(y) if y.ndim else 0} labels for {count} images")
    (classes,) = model.output.shape
    if model.loss is losses.sparse_categorical_crossentropy:
        return losses.one_hot(y, classes)
    if y.shape[1:] != (classes,):
        raise ShapeError(
            f"{what} has shape {y.shape}, but {model.name} has {classes} classes and categorical_crossentropy takes "
            f"one-hot labels ({count}, {classes}): use to_categorical({what}, {classes}), "
            "or the loss 'sparse_categorical_crossentropy'"
        )
    if not (np.isfinite(y).all() and (y >= 0).all() and np.allclose(y.sum(axis=1), 1, atol=1e-4)):
        raise ValueError(f"{what}: the rows of one-hot labels must be at least 0 and sum to 1")
    return y


# ---------------------------------------------------------------- data and steps


class Resident:
    """A data set on the device, and the order in which its batches are gathered there."""

    def __init__(self, device, x, y):
        self.device, self.count = device, len(x)
        self.images, self.labels = device.asarray(x), device.asarray(y)
        self.order = device.zeros((self.count,), "int64")
        self.start = device.zeros((1,), "int64")

    def rewind(self, order):
        self.device.assign(self.order, order)
        self.device.assign(self.start, np.zeros(1, np.int64))

    def next_batch(self, size):
        return self.device.gather_batch(self.images, self.labels, self.order, self.start, size)

    def batch_sizes(self, batch_size):
        """The size of each batch; the last may be smaller."""
        full, rest = divmod(self.count, batch_size)
        return [batch_size] * full + [rest] * (rest > 0)


class Steps:
    """What happens for one batch, in training and in inference, recorded once for each batch size."""

    def __init__(self, model, data):
        self.model, self.data, self.device = model, data, model.device
        self.totals = self.device.zeros((2,), "float64")  # loss summed over images, right answers
        self.recordings = {}

    def forward(self, size, counters, training):
        """The next batch through the network. counters: what moves on beside the place in the data.

        Returns (logits, the gradient of the mean loss at the logits): nothing is launched that a step does not need, no
        softmax beside the loss, and no multiplication by the gradient of the loss itself, which is 1.
        """
        x, y = self.data.next_batch(size)
        self.device.advance([(self.data.start, size), *counters])
        logits = self.model.forward(Tensor.wrap(x, self.device), training, to_logits=True)
        loss, correct, dlogits = self.device.softmax_crossentropy(logits.data, y)
        self.device.accumulate(self.totals, loss, correct, size)
        return logits, dlogits

    def train(self, size):
        model, parameters = self.model, self.model.trainable_weights
        try:
            counters = (model.step, 1), (model.optimizer.step_on_device, 1)
            logits, dlogits = self.forward(size, counters, training=True)
            logits.backward(Tensor.wrap(dlogits, self.device))
            model.optimizer.step(parameters)
        finally:  # a step that could not be recorded is run again, and must not find half of its gradients
            for p in parameters:
                p.zero_grad()

    def infer(self, size):
        with no_grad():
            self.forward(size, (), training=False)

    def recorded(self, kind, size):
        """`train` or `infer` for batches of this size, recorded if the device does: a function without arguments."""
        key = kind, size
        if key not in self.recordings:
            self.recordings[key] = self.device.record(partial(kind, size))
        return self.recordings[key]

    def start(self, order):
        self.data.rewind(order)
        self.device.assign(self.totals, np.zeros(2))

    def means(self, images):
        """(loss, accuracy) over the images since `start`. Waits for the device."""
        loss, correct = self.device.numpy(self.totals) / images
        return float(loss), float(correct)

    def evaluate(self, batch_size):
        self.start(np.arange(self.data.count))
        for size in self.data.batch_sizes(batch_size):
            self.recorded(self.infer, size)()
        return self.means(self.data.count)


# ---------------------------------------------------------------- fit and evaluate


def prepare(model, x, y, x_name, y_name):
    """Checked data as a Resident set. Builds a Sequential model that waited for its input's shape."""
    if model.loss is None:
        raise RuntimeError(f"compile {model.name} before training or evaluating it: model.compile(optimizer='adam')")
    x = check_images(x, model, x_name)
    if model.output is None:
        model.build(x.shape[1:])
    if isinstance(model.output, (list, tuple)):
        raise ValueError(f"{model.name} has {len(model.output)} outputs; it takes one to train or evaluate")
    if len(model.output.shape) != 1:
        raise ShapeError(f"{model.name} ends with shape {model.output.shape}, not (classes,): add Flatten()")
    if getattr(model.output.layer, "activation", None) != "softmax":
        raise ValueError(losses.NO_SOFTMAX)
    return Resident(model.device, x, check_labels(y, model, len(x), y_name))


def evaluate(model, x, y, batch_size):
    """(loss, accuracy) in inference mode."""
    return Steps(model, prepare(model, x, y, "x", "y")).evaluate(check_batch_size(batch_size))


def fit(model, x, y, batch_size, epochs, verbose, callbacks, validation_data, validation_split, shuffle, initial_epoch):
    """Model.fit, its arguments in its order."""
    batch_size = check_batch_size(batch_size)
    if validation_split:
        if not 0 < validation_split < 1:
            raise ValueError(f"validation_split must be between 0 and 1, not {validation_split!r}")
        first = int(len(x) * (1 - validation_split))
        validation_data, x, y = (x[first:], y[first:]), x[:first], y[:first]
    data = prepare(model, x, y, "x", "y")
    validation = None
    if validation_data is not None:
        validation = Steps(model, prepare(model, *validation_data[:2], "the validation x", "the validation y"))
    model.optimizer.bind(model.trainable_weights)
    steps = Steps(model, data)

    history = cb.History(model.history, initial_epoch)
    model.history, model.stop_training, model.epoch = history, False, initial_epoch
    for listener in callbacks:
        listener.set_model(model)
        listener.on_train_begin()
    for epoch in range(initial_epoch, epochs):
        if model.stop_training:
            break
        for listener in callbacks:
            listener.on_epoch_begin(epoch)
        order = np.arange(data.count)
        if shuffle:
            order = philox.permutation(data.count, model.seed, philox.stream_id(philox.SHUFFLE), epoch)
        began = time.perf_counter()
        logs = run_epoch(model, steps, order, batch_size, Progress(verbose, epoch, epochs, data.count), callbacks)
        seconds = time.perf_counter() - began
        if validation is not None:
            logs["val_loss"], logs["val_acc"] = validation.evaluate(batch_size)
        logs.update(lr=model.optimizer.learning_rate, seconds=seconds)
        if not model.metrics:
            logs = cb.Logs({name: value for name, value in logs.items() if not name.endswith("acc")})
        model.epoch = epoch + 1
        if verbose:
            print(epoch_line(epoch, epochs, logs, data.count), flush=True)
        history.append(epoch, logs)
        for listener in callbacks:
            listener.on_epoch_end(epoch, logs)
    for listener in callbacks:
        listener.on_train_end()
    return history


def run_epoch(model, steps, order, batch_size, progress, callbacks):
    """One pass over the data in this order; returns the Logs of the training, means over its batches."""
    watching = [c for c in callbacks if type(c).on_train_batch_end is not cb.Callback.on_train_batch_end]
    steps.start(order)
    done = 0
    with progress:
        for batch, size in enumerate(steps.data.batch_sizes(batch_size)):
            model.optimizer.before_step()
            steps.recorded(steps.train, size)()
            done += size
            if watching:
                loss, accuracy = steps.means(done)
                for listener in watching:
                    listener.on_train_batch_end(batch, cb.Logs(loss=loss, acc=accuracy))
            progress.advance(size, lambda: steps.means(done))  # noqa: B023 (called at once)
    loss, accuracy = steps.means(done)
    return cb.Logs(loss=loss, acc=accuracy)


def epoch_line(epoch, epochs, logs, count):
    figures = "  ".join(f"{name} {logs[name]:.4f}" for name in ("loss", "acc", "val_loss", "val_acc") if name in logs)
    speed = f"{count / logs['seconds']:,.0f} images/s"
    return f"Epoch {epoch + 1}/{epochs}  {figures}  lr {logs['lr']:.3g}  {logs['seconds']:.1f} s  {speed}"
