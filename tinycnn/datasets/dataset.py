"""A data set as a network takes it, and the search for one."""

from __future__ import annotations

import operator
import os
import sys
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from tinycnn.datasets import download, files, synthetic
from tinycnn.datasets.errors import DataError, DownloadError

SYNTHETIC_NAME = "synthetic digits"
FASHION_NAMES = ("fashion-mnist", "fashion_mnist")


@dataclass(frozen=True)
class Dataset:
    """Images and labels for training and testing.

    x_train, x_test: float32 (N, H, W, 1), or (N, H, W, 3) in colour, from 0 to 1.
    y_train, y_test: int64 (N,), below `classes`.
    name: what the data is ("MNIST" only if its content is MNIST's, "Fashion-MNIST" likewise).
    source: where it came from.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: int
    name: str
    source: str


def load(
    data: str | PathLike | None = None, seed: int = 0, synthetic_fallback: bool = False, limit: int | None = None
) -> Dataset:
    """The Dataset that `data` names.

    Args:
        data: a folder with four IDX files or mnist.npz, an .npz file, a .csv file of Kaggle's digit recogniser,
            "fashion-mnist", or "synthetic". None takes what the environment variable TINYCNN_DATA names, else MNIST
            from the cache, else downloads MNIST into the cache.
        seed: of the synthetic digits.
        synthetic_fallback: warn and draw synthetic digits where MNIST cannot be had. A file or folder that was named
            is never replaced so.
        limit: only the first so many training images and the first so many test images. Of synthetic digits there is
            no end: `limit` training images are drawn, however many.

    Raises:
        DataError: if what was named is missing, damaged or of another form.
        DownloadError: a DataError, if nothing was named and MNIST cannot be had.
        ValueError: for a limit that is no whole number of at least 1.

    >>> data = load("synthetic", seed=1, limit=100)
    >>> data.x_train.shape, data.y_train[:3].tolist(), data.name
    ((100, 28, 28, 1), [9, 4, 9], 'synthetic digits')
    """
    limit = _checked(limit)
    try:
        arrays, name, source = find(data, seed, limit)
    except DownloadError as error:
        if not synthetic_fallback or data is not None:
            raise
        _warn(error)
        arrays, name, source = find("synthetic", seed, limit)
    return Dataset(
        x_train=_pixels(arrays.x_train[:limit]),
        y_train=arrays.y_train[:limit].astype(np.int64),
        x_test=_pixels(arrays.x_test[:limit]),
        y_test=arrays.y_test[:limit].astype(np.int64),
        classes=files.CLASSES,
        name=name,
        source=source,
    )


def find(data: str | PathLike | None = None, seed: int = 0, limit: int | None = None) -> tuple[files.Arrays, str, str]:
    """(files.Arrays, name, source) of what `data` names, as in `load`; files are read whole whatever the limit."""
    if data is None and os.environ.get("TINYCNN_DATA"):
        try:
            return find(os.environ["TINYCNN_DATA"], seed, limit)
        except DataError as error:
            raise DataError(f"TINYCNN_DATA names data that cannot be used: {error}") from error
    if data == "synthetic":
        train, test = (synthetic.TRAIN, synthetic.TEST) if limit is None else (limit, min(limit, synthetic.TEST))
        (x_train, y_train), (x_test, y_test) = synthetic.load(train, test, seed)
        return files.Arrays(x_train, y_train, x_test, y_test), SYNTHETIC_NAME, f"drawn by tinycnn with seed {seed}"
    if data in FASHION_NAMES and not os.path.exists(data):
        path = download.fetch(download.FASHION_MNIST)
        return files.read(path), download.FASHION_MNIST.name, str(path)
    path = download.fetch(download.MNIST) if data is None else _expanded(data)
    arrays = files.read(path)
    known = download.is_published(download.FASHION_MNIST, path)
    return arrays, download.FASHION_MNIST.name if known else files.name_of(arrays, path), str(path)


def _checked(limit: int | None) -> int | None:
    if limit is None:
        return None
    try:
        number = operator.index(limit)
    except TypeError:
        number = 0
    if number < 1:
        raise ValueError(f"limit is a whole number of at least 1, or None for all images, not {limit!r}")
    return number


def _expanded(data: str | PathLike) -> Path:
    try:
        return Path(data).expanduser()
    except RuntimeError as error:
        raise DataError(f"{os.fspath(data)}: {error} Write the folder out, without the ~.") from error


def _pixels(images: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W) or (N, H, W, C) from 0 to 255 as float32 (N, H, W, C) from 0 to 1."""
    return np.divide(images[..., None] if images.ndim == 3 else images, 255, dtype=np.float32)


def _warn(error: DownloadError) -> None:
    bar = "*" * 78
    headline = "WARNING: these are SYNTHETIC digits, drawn by tinycnn. Accuracies on them are not MNIST's."
    print(f"{bar}\n{headline}\n{error}\n{bar}", file=sys.stderr)
