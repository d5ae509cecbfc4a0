"""Images as rows of a table: a CSV file with a column `label` and a column a pixel, as Kaggle's digit recogniser has.

Its second file, test.csv, has no labels, so the last of the rows are taken for testing.
"""

from __future__ import annotations

import io
import math
import warnings
from os import PathLike

import numpy as np

from tinycnn.datasets.errors import DataError
from tinycnn.datasets.idx import MOST, opened

FOR_TESTING = 10  # one of so many rows, the last of the file
LABEL = "label"


def read_table(path: str | PathLike) -> tuple[np.ndarray, np.ndarray]:
    """(images, labels) of a CSV file, gzipped or not: uint8 (N, side, side) and (N,).

    Raises DataError, naming the file: where its first line does not name a label and a square of pixels, where a row
    has more or fewer numbers, or others than whole ones from 0 to 255, and where there are no rows.
    """
    with opened(path) as file:
        names = file.readline(2**20).decode("utf-8", "replace").strip().split(",")
        side = math.isqrt(max(len(names) - 1, 0))
        if names[0].strip('"\ufeff').lower() != LABEL or side < 1 or side**2 != len(names) - 1:
            raise DataError(
                f"{path}: its first line does not name the columns of images: {LABEL}, and a square of pixels, as "
                f"{LABEL},pixel0,...,pixel783. Name Kaggle's train.csv, or another table of this form."
            )
        rest = file.read(MOST)
    if not rest.strip():
        raise DataError(f"{path}: names its columns and has no rows. Copy or download it again.")
    with warnings.catch_warnings():
        # NumPy 1 takes what is no number of uint8 for a float, and makes anything of it: 0.5, -1, 300, nan.
        warnings.simplefilter("error", DeprecationWarning)
        try:
            rows = np.loadtxt(io.BytesIO(rest), np.uint8, delimiter=",", ndmin=2)
        except ValueError as error:
            raise DataError(
                f"{path}: {str(error).split(';')[0].rstrip('.')}, not counting the line of names. Pixels are whole "
                "numbers from 0 to 255. Copy or download the file again."
            ) from error
    if rows.shape[1] != len(names):
        raise DataError(f"{path}: its rows have {rows.shape[1]} numbers for {len(names)} columns. Copy it again.")
    return rows[:, 1:].reshape(-1, side, side), rows[:, 0]
