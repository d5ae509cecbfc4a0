"""The data of a training: what is let in, and how it lies on the device."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tinycnn import careful, losses, philox
from tinycnn.devices.base import Array, Device
from tinycnn.shapes import ShapeError
from tinycnn.tensor import Tensor

if TYPE_CHECKING:
    from tinycnn.fit.streams import Stream
    from tinycnn.models import Model

# ---------------------------------------------------------------- what is let in


def check_batch_size(size: Any) -> int:
    """A batch size as an int. Raises ValueError."""
    return careful.whole_number(size, "batch_size", 1)


def check_inputs(x: Any, model: Model, what: str) -> list[np.ndarray]:
    """The images of each input of the model: x, or for several inputs those in the list x, as many for one as for
    another. Raises ShapeError or ValueError."""
    if isinstance(x, Mapping):
        raise ValueError(f"{what} is a dict: give an array, or a list of arrays in the order of {model.name}'s inputs")
    count = len(model.inputs)
    if count < 2:
        return [check_images(alone(x), model, what)]
    if not isinstance(x, (list, tuple)) or len(x) != count:
        given = f"{len(x)} of them" if isinstance(x, (list, tuple)) else f"a {type(x).__name__}"
        raise ValueError(f"{what} must be a list of {count} arrays, one for each input of {model.name}, not {given}")
    parts = [check_images(part, model, f"{what}[{place}]", place) for place, part in enumerate(x)]
    counts = [len(part) for part in parts]
    if len(set(counts)) > 1:
        raise ShapeError(f"{what} has {' and '.join(map(str, counts))} images for the inputs of {model.name}")
    return parts


def alone(x: Any) -> Any:
    """The array in a list of one, as Keras takes it for a single input or output; anything else as it is."""
    is_list_of_one = isinstance(x, (list, tuple)) and len(x) == 1 and isinstance(x[0], (np.ndarray, Tensor))
    return x[0] if is_list_of_one else x


def count_of(x: Any, model: Model) -> int:
    """How many images x has, or each array of a list of them for several inputs."""
    first = x[0] if len(model.inputs) > 1 else alone(x)
    return int(np.shape(first)[0])


def rows_of(x: Any, model: Model, part: slice) -> Any:
    """Some rows of x, or of each array of a list of them for several inputs."""
    return [array[part] for array in x] if len(model.inputs) > 1 else alone(x)[part]


def check_images(x: Any, model: Model, what: str, place: int = 0) -> np.ndarray:
    """x as an array of numbers (M, H, W, C) that fits the model's input number `place`.

    Raises ShapeError or ValueError.
    """
    x = np.asarray(x.numpy() if isinstance(x, Tensor) else x)
    if x.dtype.kind not in "fiub":
        raise ValueError(f"{what} must be an array of numbers, not of {x.dtype}")
    if x.ndim == 0 or len(x) == 0:
        raise ValueError(f"{what} is empty: there is nothing to learn from or to predict")
    wanted = model.inputs[place].extents if model.inputs else None
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


def check_labels(y: Any, model: Model, count: int, what: str) -> np.ndarray:
    """y as what the model's loss takes: (count, numbers), one-hot (or soft) labels for cross-entropy with softmax, and
    (count, ...) for a loss of the user's own.

    Raises ShapeError or ValueError.
    """
    if model.loss is None and y is None:
        return np.zeros((count, 1), np.float32)  # which nobody reads: add_loss said what to train by
    if model.loss is None and not model.metrics:
        raise ValueError(
            f"{what} is given, but {model.name} is trained by add_loss() alone, and compares it with nothing"
        )
    if isinstance(y, Mapping):
        raise ValueError(f"{what} is a dict: give an array of the labels of {model.name}'s one output")
    y = alone(y)
    y = np.asarray(y.numpy() if isinstance(y, Tensor) else y)
    if y.dtype.kind not in "fiub":
        raise ValueError(f"{what} must be an array of numbers, not of {y.dtype}")
    if y.ndim == 0 or len(y) != count:
        raise ShapeError(f"{what} has {len(y) if y.ndim else 0} labels for {count} images")
    if model.loss in losses.OTHERS.values():
        return check_own_labels(check_targets(y[:, None] if y.ndim == 1 else y, model, what), model, what)
    if model.loss is None or losses.is_own(model.loss):
        return check_own_labels(y[:, None] if y.ndim == 1 else y, model, what)
    classes = model.output.extents[-1]
    if losses.takes_numbers(model.loss):
        return losses.one_hot(y, classes)
    if not (losses.needs_softmax(model.loss) or losses.takes_logits(model.loss)):
        return check_targets(y[:, None] if y.ndim == 1 and model.output.extents == (1,) else y, model, what)
    if y.shape[1:] != (classes,):
        raise ShapeError(
            f"{what} has shape {y.shape}, but {model.name} has {classes} classes and categorical_crossentropy takes "
            f"one-hot labels ({count}, {classes}): use to_categorical({what}, {classes}), "
            "or the loss 'sparse_categorical_crossentropy'"
        )
    if not (np.isfinite(y).all() and (y >= 0).all() and np.allclose(y.sum(axis=1), 1, atol=1e-4)):
        raise ValueError(f"{what}: the rows of one-hot labels must be at least 0 and sum to 1")
    return y


def check_targets(y: np.ndarray, model: Model, what: str) -> np.ndarray:
    """y if it has the outputs' shape and finite numbers, for binary_crossentropy in [0, 1]. Raises ValueError."""
    if y.shape[1:] != model.output.extents:
        wanted = ", ".join(map(str, ("N", *model.output.extents)))
        raise ShapeError(
            f"{what} has shape {y.shape}, but {model.name} gives ({wanted}), and the loss compares the two"
        )
    if not np.isfinite(y).all():
        raise ValueError(f"{what} holds NaN or infinity")
    if model.loss is losses.binary_crossentropy and not ((y >= 0) & (y <= 1)).all():
        raise ValueError(f"{what}: binary_crossentropy takes labels between 0 and 1")
    return y


def check_own_labels(y: np.ndarray, model: Model, what: str) -> np.ndarray:
    """y, of finite numbers; for the accuracy beside a loss of the user's own it has the outputs' shape."""
    if not np.isfinite(y).all():
        raise ValueError(f"{what} holds NaN or infinity")
    if model.measures_accuracy and (y.shape[1:] != model.output.extents or y.ndim != 2):
        raise ShapeError(
            f"{what} has shape {y.shape}, {model.name} gives {('N', *model.output.extents)}, and the accuracy compares "
            "one-hot labels (N, classes) with as many outputs: measure it by a function of your own, metrics=[function]"
        )
    return y


def check_weights(weights: ArrayLike | None, count: int, what: str) -> np.ndarray | None:
    """A weight for each image as float64 (count,), or None. Raises ShapeError or ValueError."""
    if weights is None:
        return None
    array = np.asarray(weights)
    if array.dtype.kind not in "fiub" or array.shape != (count,):
        raise ShapeError(f"{what} must be one number an image, ({count},), not an array of shape {array.shape}")
    if not (np.isfinite(array).all() and (array >= 0).all()):
        raise ValueError(f"{what} must be finite and not negative")
    return array.astype(np.float64)


def class_weights(weights: Mapping[int, float], labels: np.ndarray) -> np.ndarray:
    """The weight of each image by its class, the largest of its labels (count, classes), or its single label's value.

    Raises TypeError for what is no dict; ValueError for a class without a weight, and for one that is not there.
    """
    if not isinstance(weights, Mapping):
        kind = type(weights).__name__
        raise TypeError(f"class_weight is a dict {{class: weight}}, not a {kind}: dict(enumerate(weights)) makes one")
    if labels.ndim != 2:
        raise ShapeError(f"class_weight is for labels (N, classes), not of shape {labels.shape}: give sample_weight")
    classes = labels.shape[1]
    unknown = [name for name in weights if name not in range(classes)] if classes > 1 else []
    if unknown:
        raise ValueError(f"class_weight names class {unknown[0]!r}; the classes are 0 to {classes - 1}")
    found, places = np.unique(labels.argmax(axis=1) if classes > 1 else labels[:, 0], return_inverse=True)
    missing = ", ".join(f"{name:g}" for name in found.tolist() if name not in weights)
    if missing:
        raise ValueError(f"class_weight must contain all classes in the data: it has no weight for {missing}")
    table = [careful.checked(weights[name], f"class_weight[{name:g}]", "[0, inf)") for name in found.tolist()]
    return np.array(table)[places]


# ---------------------------------------------------------------- on the device


class Resident:
    """A data set on the device, and the order in which its batches are gathered there.

    x (M, H, W, C) for each of the model's inputs, y (M, classes), weights: of the images in the loss (M,), or None
    where all are 1.
    """

    def __init__(self, device: Device, x: list[np.ndarray], y: np.ndarray, weights: np.ndarray | None = None):
        self.device, self.count = device, len(y)
        self.images, self.labels = [device.asarray(images) for images in x], device.asarray(y)
        self.weights = None if weights is None else device.asarray(weights[:, None])
        self.order = device.zeros((self.count,), "int64")
        self.start = device.zeros((1,), "int64")

    def rewind(self, order: np.ndarray) -> None:
        """Begin an epoch in this order."""
        self.device.assign(self.order, order)
        self.device.assign(self.start, np.zeros(1, np.int64))

    def next_batch(self, size: int) -> tuple[list[Array], Array, Array | None]:
        """(images for each input, labels, weights or None) of the next `size` rows in the order."""
        first, *others = self.images
        x, y = self._gathered(first, self.labels, size)
        images = [x, *(self._gathered(other, self.labels, size)[0] for other in others)]
        return images, y, None if self.weights is None else self._gathered(self.labels, self.weights, size)[1]

    def _gathered(self, images: Array, labels: Array, size: int) -> tuple[Array, Array]:
        return self.device.gather_batch(images, labels, self.order, self.start, size)

    def drawn(self, model: Model, shuffle: bool) -> np.ndarray:
        """The order of an epoch: that of the data, or one drawn by how many epochs the model has been trained in all,
        so that no two of them see the same one."""
        if not shuffle:
            return np.arange(self.count)
        return philox.permutation(self.count, model.seed, philox.stream_id(philox.SHUFFLE), model.epochs_trained)

    def batch_sizes(self, batch_size: int) -> list[int]:
        """The size of each batch; the last may be smaller."""
        full, rest = divmod(self.count, batch_size)
        return [batch_size] * full + [rest] * (rest > 0)

    def batches(self, batch_size: int) -> Generator[int]:
        """The size of each batch, one after the other."""
        yield from self.batch_sizes(batch_size)

    def steps_of(self, batch_size: int) -> int:
        """How many batches make an epoch."""
        return len(self.batch_sizes(batch_size))


def resident(
    model: Model, x: ArrayLike, y: ArrayLike, names: tuple[str, str], weights: ArrayLike | None = None,
    by_class: Mapping[int, float] | None = None,
) -> Resident:  # fmt: skip
    """Checked data as a Resident set. Builds a Sequential model that waited for its input's shape.

    names: what to call x and y in errors. weights: of the images, by_class: of the classes.
    """
    return Resident(model.device, *checked(model, x, y, names, weights, by_class))


def checked(
    model: Model, x: Any, y: Any, names: tuple[str, str], weights: Any, by_class: Mapping[int, float] | None
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray | None]:
    """(images for each input, labels, a weight for each image or None), fit for the model, or for a batch of it."""
    check_compiled(model)
    images = check_inputs(x, model, names[0])
    if model.output is None:
        model.build((None, *images[0].shape[1:]))  # type: ignore[attr-defined]  # a Sequential's
    check_trainable(model)
    labels = check_labels(y, model, len(images[0]), names[1])
    if model.loss is None and (weights is not None or by_class is not None):
        raise ValueError(f"{model.name} is trained by add_loss() alone: images weigh in a loss of labels")
    factors = check_weights(weights, len(images[0]), f"the weights of {names[0]}")
    if by_class is not None:
        of_class = class_weights(by_class, labels)
        factors = of_class if factors is None else factors * of_class
    return images, labels, factors


def check_compiled(model: Model) -> None:
    if model.optimizer is None:
        raise RuntimeError(f"compile {model.name} before training or evaluating it: model.compile(optimizer='adam')")


def check_trainable(model: Model) -> None:
    """Raises RuntimeError where a built model was not compiled, ValueError where its output has no loss."""
    check_compiled(model)
    if isinstance(model.output, (list, tuple)):
        raise ValueError(f"{model.name} has {len(model.output)} outputs; one is trained: Model(inputs, one of them)")
    ends_in = f"{model.name} ends with shape {model.output.extents}"
    if len(model.output.extents) != 1 and (losses.needs_softmax(model.loss) or losses.takes_logits(model.loss)):
        raise ShapeError(f"{ends_in}, not (classes,): add Flatten()")
    if len(model.output.extents) != 1 and model.loss is losses.mean_squared_error and model.measures_accuracy:
        raise ValueError(f"{ends_in}, which under mean_squared_error has no accuracy: compile it without metrics")
    if losses.needs_softmax(model.loss) and getattr(model.output.layer, "activation", None) != "softmax":
        raise ValueError(losses.NO_SOFTMAX)
    if losses.takes_logits(model.loss) and getattr(model.output.layer, "activation", None) == "softmax":
        raise ValueError(
            f"{model.name} ends in softmax, and its loss has from_logits=True, which adds one: leave one of them out"
        )


class TrainingData(NamedTuple):
    """What an epoch trains on, and what is measured after it, or None."""

    train: Resident | Stream
    validation: Resident | Stream | None
    validation_arrays: list[Any] | None = None  # [x for each input, y (N, ...), weights (N,)], as callbacks see them

    @classmethod
    def of(
        cls, model: Model, x: Any, y: Any, sample_weight: Any, class_weight: Mapping[int, float] | None,
        validation_data: Sequence | None, validation_split: float,
    ) -> TrainingData:  # fmt: skip
        """From the arguments of Model.fit. Raises ValueError for what does not fit together."""
        of_validation = None  # classes have weights in a part of x, as in Keras, and not in validation_data
        if validation_data is None and validation_split:
            if not 0 < validation_split < 1:
                raise ValueError(f"validation_split must be between 0 and 1, not {validation_split!r}")
            y = alone(y)
            first = int(count_of(x, model) * (1 - validation_split))
            rest = () if sample_weight is None else (sample_weight[first:],)
            validation_data = (rows_of(x, model, slice(first, None)), None if y is None else y[first:], *rest)
            x, y = rows_of(x, model, slice(first)), None if y is None else y[:first]
            sample_weight = None if sample_weight is None else sample_weight[:first]
            of_validation = class_weight
        check_validation(validation_data)
        train = resident(model, x, y, ("x", "y"), sample_weight, class_weight)
        return cls(train, validation_set(model, validation_data, of_validation), as_arrays(model, validation_data))


def as_arrays(model: Model, given: Any) -> list[Any] | None:
    """Model.fit's validation_data, once it is checked, as Keras gives it to callbacks: a list, with weights of 1 and
    whole numbers as a column."""
    if given is None:
        return None
    x, y, *weights = given
    images = [np.asarray(part) for part in (x if len(model.inputs) > 1 else [alone(x)])]
    labels = [] if y is None else [np.asarray(alone(y))]
    columns = [array[:, None] if array.ndim == 1 else array for array in labels]
    return [*images, *columns, np.asarray(weights[0]) if weights else np.ones(len(images[0]), np.float32)]


def check_validation(given: Any) -> None:
    if given is not None and (not isinstance(given, (tuple, list)) or len(given) not in (2, 3)):
        raise ValueError("validation_data is (x, y) or (x, y, sample weights)")


def validation_set(model: Model, given: Any, by_class: Mapping[int, float] | None = None) -> Resident | None:
    """What is measured after an epoch, from Model.fit's validation_data. Raises ValueError."""
    check_validation(given)
    if given is None:
        return None
    x, y, *weights = given
    return resident(model, x, y, ("the validation x", "the validation y"), weights[0] if weights else None, by_class)
