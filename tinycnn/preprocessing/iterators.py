"""What `flow` and `flow_from_directory` return: batches by number, and without an end by next()."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn import philox, refusals, session
from tinycnn.datasets.errors import DataError
from tinycnn.fit.data import check_batch_size
from tinycnn.preprocessing.draws import drawn
from tinycnn.preprocessing.pictures import CHANNELS, INTERPOLATIONS, img_to_array, load_img, one_of
from tinycnn.utils import data_utils, np_utils

if TYPE_CHECKING:
    from tinycnn.preprocessing.augmentation import ImageDataGenerator

SUBSETS = ("training", "validation")
CLASS_MODES = ("categorical", "sparse", "binary", "input")
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff", ".gif", ".webp")
PASS = np.uint64(2**32)  # numbers of images that one pass may have


class Iterator(data_utils.Sequence):
    """Batches of n changed images; passes go on without an end.

    seed: of the order of each pass and of how its images are changed.
    """

    def __init__(self, n: int, batch_size: int, shuffle: bool, seed: int | None):
        self.n, self.batch_size, self.shuffle = n, check_batch_size(batch_size), shuffle
        self.seed = session.seed() if seed is None else seed
        self.passes = 0  # finished
        self.batch_index = 0  # what next() gives
        self.ordered: tuple[int, np.ndarray] | None = None  # (a pass, its order)

    def __len__(self) -> int:
        return math.ceil(self.n / self.batch_size)

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"there are {len(self)} batches, 0 to {len(self) - 1}, and no batch {index}")
        return self.batch_of(self.order()[index * self.batch_size : (index + 1) * self.batch_size])

    def order(self) -> np.ndarray:
        """The images' numbers in the order of this pass."""
        if self.ordered is None or self.ordered[0] != self.passes:
            stream = philox.stream_id(philox.AUGMENTATION, 1)
            order = philox.permutation(self.n, self.seed, stream, self.passes) if self.shuffle else np.arange(self.n)
            self.ordered = self.passes, order
        return self.ordered[1]

    def on_epoch_end(self) -> None:
        self.passes += 1

    def reset(self) -> None:
        """Begin the pass again."""
        self.batch_index = 0

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        batch = self[self.batch_index]
        self.batch_index += 1
        if self.batch_index == len(self):
            self.on_epoch_end()
            self.reset()
        return batch

    next = __next__

    def batch_of(self, numbers: np.ndarray) -> Any:
        raise NotImplementedError

    def changed(self, images: Any, numbers: np.ndarray, generator: ImageDataGenerator) -> np.ndarray:
        """(B, H, W, C): images, one after the other, changed and normalised as those of these numbers."""
        steps = np.uint64(self.passes) * PASS + numbers.astype(np.uint64)
        result = []
        for image, numbers_drawn in zip(images, drawn(self.seed, steps), strict=True):
            changed = generator.apply_transform(image, generator.transform_of(numbers_drawn, image.shape))
            result.append(generator.standardize(changed))
        return np.stack(result).astype(np.float32, copy=False)


class NumpyArrayIterator(Iterator):
    """Batches of arrays: x, (x, y) or (x, y, weights). Raises ValueError for arrays that do not fit together."""

    @refusals.by_name
    def __init__(
        self, x: ArrayLike, y: ArrayLike | None, image_data_generator: ImageDataGenerator, batch_size: int = 32,
        shuffle: bool = False, sample_weight: ArrayLike | None = None, seed: int | None = None,
        *, subset: str | None = None,
    ):  # fmt: skip
        images = np.asarray(x, np.float32)
        if images.ndim != 4 or not len(images):
            raise ValueError(f"flow takes images (N, H, W, C), not an array of shape {images.shape}")
        part = slice(None) if subset is None else split(len(images), image_data_generator, subset)
        self.x = images[part]
        self.y, self.sample_weight = (
            None if given is None else beside(images, given, name)[part]
            for given, name in ((y, "y"), (sample_weight, "sample_weight"))
        )
        self.image_data_generator = image_data_generator
        super().__init__(len(self.x), batch_size, shuffle, seed)

    def batch_of(self, numbers: np.ndarray) -> Any:
        images = self.changed(self.x[numbers], numbers, self.image_data_generator)
        rest = [array[numbers] for array in (self.y, self.sample_weight) if array is not None]
        return (images, *rest) if rest else images


def beside(images: np.ndarray, given: ArrayLike, name: str) -> np.ndarray:
    """`given` as an array, an element an image. Raises ValueError."""
    array = np.asarray(given)
    if array.ndim == 0 or len(array) != len(images):
        raise ValueError(f"{name} of shape {array.shape} does not go with {len(images)} images")
    return array


def split(count: int, generator: ImageDataGenerator, subset: str) -> slice:
    """Which of so many images are in a subset: the first are for validation. Raises ValueError where none are."""
    one_of(subset, SUBSETS, "subset")
    first = int(count * generator.validation_split)
    part = slice(0, first) if subset == "validation" else slice(first, count)
    if part.start == part.stop:
        raise ValueError(f"subset={subset!r} has no images: validation_split is {generator.validation_split}")
    return part


class DirectoryIterator(Iterator):
    """Batches of pictures in folders, a folder a class, and any folders in these.

    Has Keras's attributes: class_indices {name: number}, classes (n,), filenames, samples, image_shape. Raises
    DataError where a folder is missing or there are no pictures; a picture that cannot be read is named when its batch
    is made.
    """

    @refusals.by_name
    def __init__(
        self, directory: str | PathLike, image_data_generator: ImageDataGenerator,
        target_size: Sequence[int] = (256, 256), color_mode: str = "rgb", classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical", batch_size: int = 32, shuffle: bool = True, seed: int | None = None,
        *, follow_links: bool = False, subset: str | None = None, interpolation: str = "nearest",
    ):  # fmt: skip
        if class_mode is not None:
            one_of(class_mode, CLASS_MODES, "class_mode")
        self.directory, self.class_mode = Path(directory), class_mode
        self.color_mode = one_of(color_mode, list(CHANNELS), "color_mode")
        self.interpolation = one_of(interpolation, INTERPOLATIONS, "interpolation")
        self.target_size = tuple(target_size)
        self.image_shape = (*self.target_size, CHANNELS[color_mode])
        self.image_data_generator = image_data_generator
        names = list(classes or folders_in(self.directory))
        self.class_indices = {name: number for number, name in enumerate(names)}
        self.num_classes = len(names)
        self.filenames: list[str] = []
        numbers: list[int] = []
        for name, number in self.class_indices.items():
            found = pictures_in(self.directory, name, follow_links)
            part = slice(None) if subset is None else split(len(found), image_data_generator, subset)
            self.filenames += found[part]
            numbers += [number] * len(found[part])
        if not numbers:
            raise DataError(
                f"{directory}: no pictures in folders of their classes. Put {', '.join(ENDINGS)} files into "
                f"{directory}/<class>/."
            )
        if class_mode == "binary" and self.num_classes != 2:
            raise DataError(f"{directory}: class_mode='binary' takes two classes, and there are {self.num_classes}.")
        self.classes, self.samples = np.array(numbers, np.int64), len(numbers)
        print(f"Found {self.samples} images belonging to {self.num_classes} classes.")
        super().__init__(self.samples, batch_size, shuffle, seed)

    def batch_of(self, numbers: np.ndarray) -> Any:
        images = self.changed((self.picture(number) for number in numbers), numbers, self.image_data_generator)
        if self.class_mode is None:
            return images
        if self.class_mode == "input":
            return images, images.copy()
        classes = self.classes[numbers]
        if self.class_mode == "categorical":
            return images, np_utils.to_categorical(classes, self.num_classes)
        return images, classes

    def picture(self, number: int) -> np.ndarray:
        """Picture number so many, (H, W, C)."""
        path = self.directory / self.filenames[number]
        options = {"color_mode": self.color_mode, "target_size": self.target_size, "interpolation": self.interpolation}
        try:
            return img_to_array(load_img(path, **options))  # type: ignore[arg-type]  # a dict of the three
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}.") from error


def folders_in(directory: Path) -> list[str]:
    """The names of the folders in a folder, sorted. Raises DataError where it cannot be read."""
    try:
        return sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
    except OSError as error:
        raise DataError(f"{directory}: cannot be read: {error.strerror}. Name a folder of folders.") from error


def pictures_in(directory: Path, name: str, follow_links: bool) -> list[str]:
    """The pictures in the folder `name` and the folders in it, sorted, as paths from `directory`."""
    folder = directory / name
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no folder of this class.")
    found = []
    for place, _, files in sorted(os.walk(folder, followlinks=follow_links)):
        pictures = sorted(file for file in files if file.lower().endswith(ENDINGS))
        found += [str(Path(place, file).relative_to(directory)) for file in pictures]
    return found
