"""Images changed a little at random, so that a network never sees the same ones twice. Keras's ImageDataGenerator.

How an image is changed is drawn by the counter-based generator from the seed, the pass and the image's number, so that
it does not depend on the batch the image comes in, nor on which thread makes it.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from tinycnn import session
from tinycnn.preprocessing.draws import DRAWN, drawn
from tinycnn.preprocessing.iterators import DirectoryIterator, NumpyArrayIterator
from tinycnn.preprocessing.pictures import channels_last, one_of

FILL_MODES = ("nearest", "constant", "reflect", "wrap")
ALL_AXES = (-3, -2, -1)  # of one image in a batch


def ndimage() -> Any:
    """SciPy's functions of images. Raises ValueError with the command that installs them."""
    try:
        from scipy import ndimage as module
    except ImportError:
        raise ValueError(
            "turning, shifting, shearing and zooming images needs SciPy: pip install 'tinycnn[augment]'"
        ) from None
    return module


class ImageDataGenerator:
    """Makes batches of images that are changed at random, then normalised. The arguments are Keras 2's.

    Args:
        featurewise_center, featurewise_std_normalization: subtract each channel's mean, divide by its standard
            deviation, over the data that `fit` is given. zca_whitening, zca_epsilon: and uncorrelate all pixels.
        samplewise_center, samplewise_std_normalization: the same over each image by itself.
        rotation_range: degrees, to both sides. shear_range: likewise, the angle of a shear.
        width_shift_range, height_shift_range: a share of the width or height below 1, else pixels, to both sides; a
            whole number n: one of 0 to n - 1 pixels; a list: one of these.
        zoom_range: the least and the largest, drawn for rows and columns; z for (1 - z, 1 + z). Above 1 shows more.
        channel_shift_range: how much is at most added to a channel. brightness_range: the least and largest factor, for
            images from 0 to 255, which is what they are before `rescale`.
        horizontal_flip, vertical_flip: mirror every other image, on average.
        fill_mode: what lies beyond the edge: 'nearest', 'constant' (which is `cval`), 'reflect' or 'wrap'.
        interpolation_order: 1, between pixels linearly, or 0, the nearest.
        rescale: a factor, applied after all changes. preprocessing_function: of one image (H, W, C), before `rescale`.
        validation_split: the share that flow(subset='validation') gives, and subset='training' leaves out.

    Shapes:
        images (N, H, W, C), in float32.

    Raises:
        ValueError: for what is none of these; where images are to be turned or moved and SciPy is missing.

    >>> batches = ImageDataGenerator(horizontal_flip=True).flow(np.zeros((5, 4, 4, 1)), np.arange(5), batch_size=2)
    >>> [len(y) for x, y in (next(batches), next(batches), next(batches), next(batches))]
    [2, 2, 1, 2]
    """

    def __init__(
        self, featurewise_center: bool = False, samplewise_center: bool = False,
        featurewise_std_normalization: bool = False, samplewise_std_normalization: bool = False,
        zca_whitening: bool = False, zca_epsilon: float = 1e-6, rotation_range: float = 0,
        width_shift_range: Any = 0.0, height_shift_range: Any = 0.0, brightness_range: Sequence[float] | None = None,
        shear_range: float = 0.0, zoom_range: Any = 0.0, channel_shift_range: float = 0.0,
        fill_mode: str = "nearest", cval: float = 0.0, horizontal_flip: bool = False, vertical_flip: bool = False,
        rescale: float | None = None, preprocessing_function: Callable[[np.ndarray], np.ndarray] | None = None,
        data_format: str | None = None, validation_split: float = 0.0, interpolation_order: int = 1,
        dtype: str | None = None,
    ):  # fmt: skip
        channels_last(data_format)
        if dtype not in (None, "float32"):
            raise ValueError(f"dtype={dtype!r} is not there: images are float32")
        self.zca_whitening, self.zca_epsilon = zca_whitening, zca_epsilon
        self.featurewise_std_normalization = featurewise_std_normalization and not zca_whitening
        self.featurewise_center = featurewise_center or featurewise_std_normalization or zca_whitening
        self.samplewise_center = samplewise_center or samplewise_std_normalization
        self.samplewise_std_normalization = samplewise_std_normalization
        self.rotation_range, self.shear_range = rotation_range, shear_range
        self.width_shift_range, self.height_shift_range = width_shift_range, height_shift_range
        self.zoom_range = pair_of(zoom_range, "zoom_range", around=1)
        self.brightness_range = None if brightness_range is None else pair_of(brightness_range, "brightness_range")
        self.channel_shift_range = channel_shift_range
        self.fill_mode, self.cval = one_of(fill_mode, FILL_MODES, "fill_mode"), cval
        self.horizontal_flip, self.vertical_flip = horizontal_flip, vertical_flip
        self.rescale, self.preprocessing_function = rescale, preprocessing_function
        self.interpolation_order = interpolation_order
        if not 0 <= validation_split < 1:
            raise ValueError(f"validation_split must be in [0, 1), not {validation_split!r}")
        self.validation_split = validation_split
        self.mean: np.ndarray | None = None  # (1, 1, C), from `fit`
        self.std: np.ndarray | None = None
        self.zca_whitening_matrix: np.ndarray | None = None  # (H * W * C, H * W * C)
        self.transforms = itertools.count()  # drawn one by one, by get_random_transform
        moves = rotation_range, shear_range, np.any(width_shift_range), np.any(height_shift_range)
        if any(moves) or self.zoom_range != (1, 1):
            ndimage()  # missing, it is said now and not after an epoch has begun

    # ---------------------------------------------------------------- batches

    def flow(
        self, x: ArrayLike, y: ArrayLike | None = None, batch_size: int = 32, shuffle: bool = True,
        sample_weight: ArrayLike | None = None, seed: int | None = None, save_to_dir: None = None,
        save_prefix: str = "", save_format: str = "png", subset: str | None = None,
    ) -> NumpyArrayIterator:  # fmt: skip
        """Batches of changed images without an end: x, (x, y) or (x, y, weights).

        Args:
            shuffle: whether every pass has an order of its own. seed: of the order and of the changes; that of
                set_random_seed if None.
            subset: 'training' or 'validation', the first `validation_split` of the images.
        """
        nothing_saved(save_to_dir)
        return NumpyArrayIterator(x, y, self, batch_size, shuffle, sample_weight, seed, subset=subset)

    def flow_from_directory(
        self, directory: str | PathLike, target_size: Sequence[int] = (256, 256), color_mode: str = "rgb",
        classes: Sequence[str] | None = None, class_mode: str | None = "categorical", batch_size: int = 32,
        shuffle: bool = True, seed: int | None = None, save_to_dir: None = None, save_prefix: str = "",
        save_format: str = "png", follow_links: bool = False, subset: str | None = None,
        interpolation: str = "nearest",
    ) -> DirectoryIterator:  # fmt: skip
        """The same of pictures in folders: one folder a class, in the order of their names.

        Args:
            target_size: (rows, columns) that pictures are scaled to. color_mode: 'rgb', 'rgba' or 'grayscale'.
            classes: the folders, if not all of them in the order of their names.
            class_mode: 'categorical' for one-hot labels, 'sparse' or 'binary' for numbers, 'input' for the images
                themselves, None for images alone.
        """
        nothing_saved(save_to_dir)
        return DirectoryIterator(
            directory, self, target_size, color_mode, classes, class_mode, batch_size, shuffle, seed,
            follow_links=follow_links, subset=subset, interpolation=interpolation,
        )  # fmt: skip

    def flow_from_dataframe(self, *_: Any, **__: Any) -> NoReturn:
        raise ValueError("flow_from_dataframe is not there: take flow_from_directory, flow, or a utils.Sequence")

    # ---------------------------------------------------------------- one image

    def get_random_transform(self, img_shape: Sequence[int], seed: int | None = None) -> dict[str, Any]:
        """How an image of shape (H, W, C) may be changed, as what `apply_transform` takes: another one each time, or
        always the same for a seed."""
        step, key = (next(self.transforms), session.seed()) if seed is None else (0, seed)
        return self.transform_of(drawn(key, np.array([step], np.uint64))[0], img_shape)

    def transform_of(self, numbers: np.ndarray, shape: Sequence[int]) -> dict[str, Any]:
        """The same from numbers drawn: see DRAWN."""
        u = dict(zip(DRAWN, numbers.tolist(), strict=True))
        low, high = self.zoom_range
        least, most = self.brightness_range or (1, 1)
        return {
            "theta": (2 * u["theta"] - 1) * self.rotation_range,
            "tx": shift(self.height_shift_range, shape[0], u["tx"], u["tx_sign"]),
            "ty": shift(self.width_shift_range, shape[1], u["ty"], u["ty_sign"]),
            "shear": (2 * u["shear"] - 1) * self.shear_range,
            "zx": low + (high - low) * u["zx"],
            "zy": low + (high - low) * u["zy"],
            "flip_horizontal": self.horizontal_flip and u["horizontal"] < 0.5,
            "flip_vertical": self.vertical_flip and u["vertical"] < 0.5,
            "channel_shift_intensity": (2 * u["channel"] - 1) * self.channel_shift_range or None,
            "brightness": None if self.brightness_range is None else least + (most - least) * u["brightness"],
        }

    def apply_transform(self, x: np.ndarray, transform_parameters: dict[str, Any]) -> np.ndarray:
        """An image (H, W, C), changed: 'theta' and 'shear' in degrees, 'tx' and 'ty' in rows and columns, the zooms
        'zx' and 'zy' of rows and columns, 'flip_horizontal', 'flip_vertical', 'channel_shift_intensity', 'brightness'.
        """
        wanted = transform_parameters
        x = self.moved(x, movement(*(wanted.get(name, usual) for name, usual in MOVEMENT.items())))
        if wanted.get("channel_shift_intensity") is not None:
            x = np.clip(x + np.float32(wanted["channel_shift_intensity"]), x.min(), x.max())
        if wanted.get("flip_horizontal"):
            x = x[:, ::-1]
        if wanted.get("flip_vertical"):
            x = x[::-1]
        return x if wanted.get("brightness") is None else brighter(x, wanted["brightness"])

    def moved(self, x: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """An image whose pixel at a place is what was at matrix @ place: (row, column, 1), counted from the middle."""
        if np.array_equal(matrix, np.eye(3)):
            return x
        middle = (np.array(x.shape[:2]) - 1) / 2
        offset = matrix[:2, 2] + middle - matrix[:2, :2] @ middle
        options = {"order": self.interpolation_order, "mode": self.fill_mode, "cval": self.cval}
        y, transform = np.empty_like(x), ndimage().affine_transform
        for channel in range(x.shape[2]):
            transform(x[..., channel], matrix[:2, :2], offset, output=y[..., channel], **options)
        return y

    def random_transform(self, x: np.ndarray, seed: int | None = None) -> np.ndarray:
        """An image (H, W, C), changed at random."""
        return self.apply_transform(x, self.get_random_transform(x.shape, seed))

    def standardize(self, x: np.ndarray) -> np.ndarray:
        """An image (H, W, C), or a batch of them, normalised. Warns where `fit` should have come first."""
        if self.preprocessing_function:
            x = self.preprocessing_function(x)
        if self.rescale:
            x = x * np.float32(self.rescale)
        if self.samplewise_center:
            x = x - x.mean(axis=ALL_AXES, keepdims=True)
        if self.samplewise_std_normalization:
            x = x / (x.std(axis=ALL_AXES, keepdims=True) + np.float32(1e-6))
        if self.featurewise_center:
            x = x - self.fitted(self.mean, 0)
        if self.featurewise_std_normalization:
            x = x / (self.fitted(self.std, 1) + np.float32(1e-6))
        if self.zca_whitening and self.zca_whitening_matrix is not None:
            x = (x.reshape(-1, math.prod(x.shape[-3:])) @ self.zca_whitening_matrix).reshape(x.shape)
        return x

    def fitted(self, value: np.ndarray | None, otherwise: float) -> np.ndarray:
        if value is not None:
            return value
        warnings.warn("this ImageDataGenerator normalises by data, and has seen none: call fit(x) first", stacklevel=4)
        return np.full((1, 1, 1), otherwise, np.float32)

    def fit(self, x: ArrayLike, augment: bool = False, rounds: int = 1, seed: int | None = None) -> None:
        """Measure the images (N, H, W, C) that featurewise arguments normalise by, after `rescale`.

        augment: measure changed images, `rounds` of each. seed: of the changes. Raises ValueError for other shapes.
        """
        images = np.array(x, np.float32)
        if images.ndim != 4:
            raise ValueError(f"fit takes images (N, H, W, C), not an array of shape {images.shape}")
        if self.rescale:
            images *= np.float32(self.rescale)
        if augment:
            numbers = drawn(session.seed() if seed is None else seed, np.arange(rounds * len(images), dtype=np.uint64))
            changes = [self.transform_of(one, images.shape[1:]) for one in numbers]
            images = np.stack([self.apply_transform(images[i % len(images)], c) for i, c in enumerate(changes)])
        if self.featurewise_center:
            self.mean = images.mean(axis=(0, 1, 2), dtype=np.float64).astype(np.float32).reshape(1, 1, -1)
            images -= self.mean
        if self.featurewise_std_normalization:
            self.std = images.std(axis=(0, 1, 2), dtype=np.float64).astype(np.float32).reshape(1, 1, -1)
        if self.zca_whitening:
            flat = images.reshape(len(images), -1)
            u, s, _ = np.linalg.svd(flat.T, full_matrices=False)
            self.zca_whitening_matrix = (u * (math.sqrt(len(flat)) / (s + self.zca_epsilon))) @ u.T


def nothing_saved(save_to_dir: Any) -> None:
    if save_to_dir is not None:
        raise ValueError("save_to_dir is not there: array_to_img(x).save(...) writes an image of a batch")


def pair_of(value: Any, what: str, around: float | None = None) -> tuple[float, float]:
    """Two numbers; around: or one, z, for (around - z, around + z). Raises ValueError."""
    if around is not None and isinstance(value, (int, float)):
        return around - value, around + value
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(n, (int, float)) for n in value):
        return value[0], value[1]
    raise ValueError(f"{what} is {'a number or ' if around is not None else ''}two numbers, not {value!r}")


def shift(wanted: Any, extent: int, number: float, sign: float) -> float:
    """Pixels to move by, from a range as width_shift_range has it and two numbers in [0, 1)."""
    if isinstance(wanted, (float, np.floating)):
        pixels = (2 * number - 1) * float(wanted)
    else:
        choices = wanted if isinstance(wanted, (list, tuple, np.ndarray)) else range(int(wanted))
        pixels = float(choices[int(number * len(choices))]) * (1 if sign < 0.5 else -1) if len(choices) else 0.0
    return pixels * extent if np.max(wanted) < 1 else pixels


# What moves an image, in the order of `movement`, and the values that leave it where it is.
MOVEMENT = {"theta": 0.0, "tx": 0.0, "ty": 0.0, "shear": 0.0, "zx": 1.0, "zy": 1.0}


def movement(theta: float, tx: float, ty: float, shear: float, zx: float, zy: float) -> np.ndarray:
    """(3, 3): rotation @ shift @ shear @ zoom, of places (row, column, 1) from the middle, in Keras 2's order."""
    turn, lean = math.radians(theta), math.radians(shear)
    rotation = np.array([[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0], [0, 0, 1]])
    shifted = np.array([[1, 0, tx], [0, 1, ty], [0, 0, 1]])
    sheared = np.array([[1, -math.sin(lean), 0], [0, math.cos(lean), 0], [0, 0, 1]])
    return rotation @ shifted @ sheared @ np.diag([zx, zy, 1])


def brighter(x: np.ndarray, factor: float) -> np.ndarray:
    """Brightness times a factor. Black is 0 and white 255, or where x goes beyond, its least and its most."""
    low, high = float(x.min()), float(x.max())
    if low >= 0 and high <= 255:
        low, high = 0, 255
    return np.clip((x - low) * factor, 0, high - low).astype(np.float32) + np.float32(low)
