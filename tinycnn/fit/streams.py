"""Batches that come from a generator or a Sequence: fetched ahead by a thread, and uploaded one by one.

They go through the same recorded step as data that lie on the device: the step reads a batch from where it always
lies, and what is new is copied there before.
"""

from __future__ import annotations

import contextvars
import itertools
import math
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from queue import Empty, Queue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from tinycnn import philox
from tinycnn.careful import whole_number
from tinycnn.devices.base import Array
from tinycnn.fit import data
from tinycnn.utils.data_utils import Sequence

if TYPE_CHECKING:
    from tinycnn.models import Model


def is_source(x: Any) -> bool:
    """Whether x gives batches, a Sequence or a generator, and is not the data themselves."""
    return isinstance(x, Sequence) or hasattr(x, "__next__")


def count_steps(source: Any, steps: Any, what: str) -> int:
    """How many batches of `source` make an epoch: `steps` rounded up, or all of a Sequence. Raises ValueError."""
    if steps is None:
        if not isinstance(source, Sequence):
            raise ValueError(f"a generator has no length: say how many batches make an epoch, {what}=")
        steps = len(source)
    if isinstance(steps, bool) or not isinstance(steps, (int, float, np.number)) or not 0 < steps < math.inf:
        raise ValueError(f"{what} must be a number of batches, at least 1, not {steps!r}")
    return math.ceil(steps)


def refuse_apart(arguments: Mapping[str, Any]) -> None:
    """Raises ValueError for what a batch of a generator brings itself."""
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(f"{name} is not given beside a generator, whose batches are (x, y) or (x, y, weights)")


def refuse_steps(steps: Any) -> None:
    """Raises ValueError for a number of batches where the data are arrays."""
    if steps is not None:
        raise ValueError("steps counts the batches of a generator: give the part of the arrays that is meant")


# ---------------------------------------------------------------- fetched


class Source:
    """Where batches come from, without an end: a Sequence is gone through again and again, a generator goes on.

    shuffle: whether each pass through a Sequence asks for its batches in an order of its own, drawn by `seed` and by
    the epoch in which it begins. ahead: how many batches a thread may be ahead of the one that is computed; 0 for no
    thread.
    """

    def __init__(self, batches: Any, shuffle: bool = False, seed: int = 0, ahead: int = 10):
        if not is_source(batches):
            raise TypeError(f"batches come from a generator or a utils.Sequence, not from a {type(batches).__name__}")
        self.sequence = batches if isinstance(batches, Sequence) else None
        self.batches: Iterator[Any] = iter(batches) if self.sequence is None else iter(())
        self.shuffle, self.seed = shuffle, seed
        self.left = 0  # batches of a pass through a Sequence
        self.begun = (-1, 0)  # the epoch of the last pass, and the passes that had begun in it before
        self.ahead = whole_number(ahead, "max_queue_size", 0)

    def begin(self, epoch: int) -> None:
        """Another pass through a Sequence, unless one is under way."""
        if self.sequence is None or self.left:
            return
        self.left = len(self.sequence)
        if not self.left:
            raise ValueError(f"{type(self.sequence).__name__} has no batches: its __len__ is 0")
        before = self.begun[1] + 1 if self.begun[0] == epoch else 0
        self.begun = epoch, before
        stream = philox.stream_id(philox.SHUFFLE, 1 + before)
        drawn = philox.permutation(self.left, self.seed, stream, epoch).tolist() if self.shuffle else range(self.left)
        self.batches = map(self.sequence.__getitem__, drawn)

    def look(self) -> Any:
        """The next batch, which is not taken."""
        self.begin(0)
        first = next(self.batches, None)
        if first is None:
            raise ValueError("the generator gave no batch")
        self.batches = itertools.chain([first], self.batches)
        return first

    def take(self, count: int, epoch: int = 0) -> Generator[Any]:
        """The next `count` batches, for an epoch of this number; no more are fetched. A Sequence hears of the end of a
        pass when all of its batches have been computed. Raises ValueError where there are fewer.
        """
        taken = 0
        while taken < count:
            self.begin(epoch)
            end = count if self.sequence is None else min(count, taken + self.left)
            with closing(fetched(self.batches, end - taken, self.ahead)) as batches:
                for batch in batches:
                    taken, self.left = taken + 1, self.left - 1
                    yield batch
            if taken < end:
                raise ValueError(f"the generator ended after {taken} of {count} batches: it has to go on, while True")
            if self.sequence is not None and not self.left:
                self.sequence.on_epoch_end()


def fetched(items: Iterator[Any], count: int, ahead: int) -> Generator[Any]:
    """The next `count` of `items`, fetched by a thread. What it raises is raised here.

    When this generator is closed, the thread ends with the item that it is at.
    """
    if not ahead:
        yield from itertools.islice(items, count)
        return
    queue: Queue[tuple[Any, BaseException | None]] = Queue(ahead)
    closed = Event()

    def fetch() -> None:
        error: BaseException | None = StopIteration()
        try:
            for item in itertools.islice(items, count):
                if closed.is_set():
                    return
                queue.put((item, None))
        except BaseException as raised:
            error = raised
        if not closed.is_set():
            queue.put((None, error))

    thread = Thread(target=contextvars.copy_context().run, args=(fetch,), daemon=True)
    thread.start()
    try:
        while True:
            item, error = queue.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        closed.set()
        try:
            while True:  # a thread that waits for room goes on, and sees that nobody reads
                queue.get_nowait()
        except Empty:
            thread.join()


# ---------------------------------------------------------------- on the device


class Stream:
    """Batches of a Source as the data of a training or an evaluation: see data.Resident, whose methods it has.

    steps: how many batches make an epoch. names: what to call x and y in errors.
    """

    def __init__(
        self, model: Model, source: Source, steps: int, names: tuple[str, str],
        class_weight: Mapping[int, float] | None = None,
    ):  # fmt: skip
        self.model, self.device, self.source, self.steps, self.names = model, model.device, source, steps, names
        self.class_weight = class_weight
        self.count: int | None = None  # of the images: not known
        self.start = self.device.zeros((1,), "int64")
        self.held: dict[int, tuple[list[Array], Array, Array | None]] = {}  # for each size of batches: a step reads it
        self.weighted: bool | None = None  # whether the images have weights in the loss: as the first batch has them
        if model.output is None:
            model.build((None, *np.shape(split(source.look(), names[0])[0])[1:]))  # type: ignore[attr-defined]  # a Sequential's
        data.check_trainable(model)

    def drawn(self, model: Model, shuffle: bool) -> np.ndarray:
        """No order of images: the batches come as they come."""
        return np.empty(0, np.int64)

    def rewind(self, order: np.ndarray) -> None:
        """Nothing: a stream goes on where it is."""

    def batches(self, batch_size: int) -> Generator[int]:
        """The size of each batch, which is on the device when it is told."""
        with closing(self.source.take(self.steps, self.model.epochs_trained)) as batches:
            for batch in batches:
                yield self.upload(batch)

    def steps_of(self, batch_size: int) -> int:
        return self.steps

    def upload(self, batch: Any) -> int:
        x, y, weights = split(batch, self.names[0])
        images, labels, factors = data.checked(self.model, x, y, self.names, weights, self.class_weight)
        if self.weighted is None:
            self.weighted = factors is not None
        if self.weighted != (factors is not None):
            raise ValueError("the generator gives weights with some batches, and with others none")
        size, column = len(labels), None if factors is None else factors[:, None]
        if size not in self.held:
            place = self.device.zeros  # not asarray, which may be the user's own array
            weights = None if column is None else place(column.shape)
            self.held[size] = [place(x.shape) for x in images], place(labels.shape), weights
        held, *beside = self.held[size]
        for array, new in zip([*held, *beside], [*images, labels, column], strict=True):
            if array is not None:
                self.device.assign(array, new)
        return size

    def next_batch(self, size: int) -> tuple[list[Array], Array, Array | None]:
        """(images for each input, labels, weights or None) of the batch of this size that was uploaded last."""
        return self.held[size]


def split(batch: Any, what: str) -> tuple[Any, Any, Any]:
    """(x, y, weights or None) of what a generator gave. Raises ValueError for anything else."""
    if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
        kind = f"{len(batch)} parts" if isinstance(batch, (tuple, list)) else f"a {type(batch).__name__}"
        raise ValueError(f"a generator gives (x, y) or (x, y, weights) a batch, and {what} came as {kind}")
    return batch[0], batch[1], batch[2] if len(batch) == 3 else None


def images(model: Model, source: Source, steps: int) -> Generator[list[np.ndarray]]:
    """The images for each input of `steps` batches, fit for the model; labels beside them are passed over: of a tuple,
    as in Keras, for a list is of inputs."""
    with closing(source.take(steps)) as batches:
        for batch in batches:
            yield data.check_inputs(batch[0] if isinstance(batch, tuple) else batch, model, "x")


def training_data(
    model: Model, generator: Any, steps: float | None, validation: Any, validation_steps: float | None,
    class_weight: Mapping[int, float] | None, shuffle: bool, ahead: int,
) -> data.TrainingData:  # fmt: skip
    """From the arguments of Model.fit_generator. Raises ValueError for what does not fit together."""
    source = Source(generator, shuffle, model.seed, ahead)
    count = count_steps(generator, steps, "steps_per_epoch")
    train = Stream(model, source, count, ("the x of a batch", "the y of a batch"), class_weight)
    if is_source(validation):
        count = count_steps(validation, validation_steps, "validation_steps")
        names = "the validation x of a batch", "the validation y of a batch"
        return data.TrainingData(train, Stream(model, Source(validation, ahead=ahead), count, names))
    return data.TrainingData(train, data.validation_set(model, validation), data.as_arrays(model, validation))
