"""Image sets in files of MNIST's form: four IDX files, or one .npz with four arrays; or a table (table.py)."""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinycnn.datasets.errors import DataError
from tinycnn.datasets.idx import MOST, idx_bytes, read_idx
from tinycnn.datasets.table import FOR_TESTING, read_table

CLASSES = 10


class Arrays(NamedTuple):
    """x: uint8 (N, H, W), or (N, H, W, 3) in colour; y: uint8 (N,), each label below CLASSES."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


# In the order of the Arrays.
IDX_FILES = "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
NPZ_FILE = "mnist.npz"

# sha256 of the four IDX files before gzip: what makes a set MNIST is its content, not its name.
MNIST_CONTENT = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)


def read(path: str | PathLike) -> Arrays:
    """The Arrays in a folder (four IDX files, else mnist.npz), in an .npz file, or in a .csv file.

    An IDX file may be gzipped or not, its name may end in .gz or not and have '.' for the '-' before "idx", and it may
    lie in a folder of its own name.
    Raises DataError, naming the file: missing or damaged files, what is no regular file, images that are not (N, H, W)
    or (N, H, W, 3) of one size, no images, different counts of images and labels, labels outside 0 to 9.
    """
    path = Path(path)
    if os.path.isfile(path):  # unlike Path.is_file, no PermissionError
        return _read_csv(path) if path.name.lower().endswith((".csv", ".csv.gz")) else _read_npz(path)
    if not os.path.isdir(path):
        fault = "neither a regular file nor a folder" if os.path.exists(path) else "no such file or folder"
        raise DataError(f"{path}: {fault}. Name {_WANTED}.")
    found = {name: file for name in IDX_FILES if (file := _find(path, name))}
    if len(found) == len(IDX_FILES):
        arrays = Arrays(*(read_idx(file) for file in found.values()))
        _check(arrays, [str(file) for file in found.values()])
        return arrays
    if os.path.isfile(path / NPZ_FILE):
        return _read_npz(path / NPZ_FILE)
    missing = [f"{name}[.gz]" for name in IDX_FILES if name not in found]
    raise DataError(f"{path}: missing {', '.join(missing)}. Name {_WANTED}.")


def name_of(arrays: Arrays, path: str | PathLike) -> str:
    """What the data is: "MNIST" if its content is MNIST's, else the name of its folder or file."""
    digests = tuple(hashlib.sha256(idx_bytes(array)).hexdigest() for array in arrays)
    if digests == MNIST_CONTENT:
        return "MNIST"
    path = Path(path).resolve()
    name = path.name if path.is_dir() else path.stem
    return f"{name} (not MNIST's content)" if name.lower() == "mnist" else name


_WANTED = (
    f"an .npz file, a .csv file, or a folder with {NPZ_FILE} or the four IDX files {', '.join(IDX_FILES)}, each "
    "gzipped (.gz) or not"
)


def _find(folder: Path, name: str) -> Path | None:
    """The path of an IDX file under any of its names, or None."""
    names = [spelling + suffix for spelling in (name, name.replace("-idx", ".idx")) for suffix in ("", ".gz")]
    files = [place / name for place in (folder, *(folder / name for name in names)) for name in names]
    return next((file for file in files if os.path.isfile(file)), None)


def _read_csv(path: Path) -> Arrays:
    images, labels = read_table(path)
    first = len(images) - len(images) // FOR_TESTING
    arrays = Arrays(images[:first], labels[:first], images[first:], labels[first:])
    _check(arrays, [f"{path}: {name}" for name in Arrays._fields])
    return arrays


def _read_npz(path: Path) -> Arrays:
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path}: not an .npz file, or one cut short. Name {_WANTED}.")
    try:
        with zipfile.ZipFile(path) as packed:
            large = [info.filename for info in packed.infolist() if info.file_size > MOST]
        with np.load(path, allow_pickle=False) as archive:  # pickles run code
            missing = [name for name in Arrays._fields if name not in archive]
            found = [] if large or missing else [np.asarray(archive[name]) for name in Arrays._fields]
    except (OSError, EOFError, ValueError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: not an intact .npz file of plain arrays: {error}. Copy or save it again.") from error
    if large:
        raise DataError(f"{path}: {large[0]} unpacks to more than {MOST:,} bytes. Take a smaller set.")
    if missing:
        raise DataError(f"{path}: has no array {', '.join(missing)}. Save x_train, y_train, x_test and y_test in it.")
    # As CIFAR-10 has them, labels may be (N, 1).
    arrays = Arrays(*(a[:, 0] if i % 2 and a.ndim == 2 and a.shape[1] == 1 else a for i, a in enumerate(found)))
    _check(arrays, [f"{path}: {name}" for name in Arrays._fields])
    return Arrays(*(array.astype(np.uint8, copy=False) for array in arrays))


def _check(arrays: Arrays, names: Sequence[str]) -> None:
    """Raise DataError unless the four arrays, known to the user as `names`, make a data set."""
    x_train, y_train, x_test, y_test = names
    for images, name in ((arrays.x_train, x_train), (arrays.x_test, x_test)):
        if images.dtype != np.uint8 or not (images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3))):
            raise DataError(
                f"{name}: is {images.dtype} of shape {images.shape}; images are uint8 of shape (N, H, W), "
                "magic number 0x00000803 in an IDX file, or (N, H, W, 3). Replace it with the images."
            )
        if 0 in images.shape:
            raise DataError(f"{name}: holds no pixels: its shape is {images.shape}. Replace it with the images.")
    if arrays.x_train.shape[1:] != arrays.x_test.shape[1:]:
        raise DataError(
            f"{x_test}: images of {arrays.x_test.shape[1:]} pixels, and {x_train} has "
            f"{arrays.x_train.shape[1:]}. Take both from one data set."
        )
    for labels, name, images, images_name in (
        (arrays.y_train, y_train, arrays.x_train, x_train),
        (arrays.y_test, y_test, arrays.x_test, x_test),
    ):
        if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 1:
            raise DataError(
                f"{name}: is {labels.dtype} of shape {labels.shape}; labels are integers of shape (N,), "
                "magic number 0x00000801 in an IDX file. Replace it with the labels."
            )
        if len(labels) != len(images):
            raise DataError(
                f"{name}: {len(labels)} labels for the {len(images)} images of {images_name}. "
                "Take both from one data set."
            )
        wrong = np.flatnonzero((labels < 0) | (labels >= CLASSES))
        if wrong.size:
            raise DataError(
                f"{name}: label number {wrong[0]} is {labels[wrong[0]]}; labels go from 0 to {CLASSES - 1}. "
                "Replace it with the labels of ten classes."
            )
