"""What the tests of data share: a small set of MNIST's form, its files, and how a bad one is refused."""

import numpy as np
import pytest

from tinycnn.datasets import DataError, files, idx


def small_set(side=28):
    rng = np.random.default_rng(0)
    return files.Arrays(
        rng.integers(0, 256, (12, side, side), dtype=np.uint8),
        np.arange(12, dtype=np.uint8) % 10,
        rng.integers(0, 256, (10, side, side), dtype=np.uint8),
        np.arange(10, dtype=np.uint8),
    )


def assert_same(arrays, expected):
    for array, wanted in zip(arrays, expected, strict=True):
        assert array.dtype == np.uint8
        np.testing.assert_array_equal(array, wanted)


def write_folder(folder, arrays, names=files.IDX_FILES, suffix=".gz"):
    folder.mkdir()
    for name, array in zip(names, arrays, strict=True):
        idx.write_idx(folder / (name + suffix), array)
    return folder


def refusal(call, *arguments):
    """The message of the DataError that the call must raise."""
    with pytest.raises(DataError) as caught:
        call(*arguments)
    return str(caught.value)


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]
