"""IDX, the file format of MNIST: a magic number, the shape, then the bytes.

The format as LeCun, Cortes and Burges describe it beside MNIST, all numbers big-endian:

    0  0  type  rank     the magic number; type 8 is the unsigned byte, the only one used here
    rank x uint32        the size of each dimension
    the elements         last dimension fastest

A file may be gzipped, whatever its name is: its first two bytes say so.
"""

from __future__ import annotations

import gzip
import math
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.datasets.errors import DataError

UNSIGNED_BYTE = 8
GZIP = b"\x1f\x8b"
PART = 2**20  # bytes read at a time
MOST = 2**32  # bytes that one array may take: a header that says more is no set of small images


def read_idx(path: str | PathLike) -> np.ndarray:
    """The array in an IDX file, gzipped or not. No more is read of the file than its header says.

    Shapes:
        any rank and shape -> uint8 of that shape.

    Raises:
        DataError: where the file is missing, unreadable or no regular file, is damaged gzip, does not begin with the
            magic number of unsigned bytes, or holds fewer or more bytes than its header says.
    """
    with opened(path) as file:
        return _array(file, path)


@contextmanager
def opened(path: str | PathLike) -> Iterator[IO[bytes]]:
    """The content of a regular file, unpacked if it is gzip. Reading it raises DataError where it is damaged."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe could wait for ever, and a device has no end
            what = "Is a directory" if os.path.isdir(path) else "not a regular file"
            raise DataError(f"{os.fspath(path)}: cannot be read: {what}. Check the path.")
        with open(path, "rb") as file:
            zipped = file.read(2) == GZIP
            file.seek(0)
            yield cast(IO[bytes], gzip.GzipFile(fileobj=file) if zipped else file)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{os.fspath(path)}: corrupt gzip: {error}. Copy or download it again.") from error
    except OSError as error:
        raise DataError(
            f"{os.fspath(path)}: cannot be read: {error.strerror}. Check the path and its permissions."
        ) from error


def _array(file: IO[bytes], path: str | PathLike) -> np.ndarray:
    magic = file.read(4)
    if not is_magic(magic):
        raise DataError(
            f"{path}: not an IDX file of unsigned bytes: its magic number is 0x{magic.hex() or '(nothing)'}, "
            "not 0x000008 and the rank. Replace it with the original file."
        )
    rank = magic[3]
    sizes = file.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise DataError(
            f"{path}: truncated: the header of an array of rank {rank} takes {4 + 4 * rank} bytes and the file has "
            f"{4 + len(sizes)}. Copy or download it again."
        )
    shape = tuple(int(n) for n in np.frombuffer(sizes, ">u4"))
    expected, content = math.prod(shape), bytearray()
    if expected > MOST:
        raise DataError(f"{path}: shape {shape} takes {expected:,} bytes, more than {MOST:,}. Take a smaller set.")
    while len(content) <= expected and (part := file.read(min(PART, expected + 1 - len(content)))):
        content += part
    if len(content) != expected:
        few = len(content) < expected
        raise DataError(
            f"{path}: {'truncated' if few else 'trailing bytes'}: shape {shape} takes {expected} bytes after the "
            f"header and {len(content) if few else 'more'} were found. Copy or download it again."
        )
    try:
        return np.frombuffer(content, np.uint8).reshape(shape)
    except ValueError as error:  # more dimensions, or larger, than NumPy has room for
        raise DataError(f"{path}: shape {shape}: {error}. Replace it with the original file.") from error


def is_magic(magic: bytes) -> bool:
    """Whether a file that begins with these four bytes is an IDX file of unsigned bytes."""
    return len(magic) == 4 and magic[:3] == bytes([0, 0, UNSIGNED_BYTE])


def write_idx(path: str | PathLike, array: ArrayLike) -> None:
    """Write an array to an IDX file.

    Args:
        path: gzipped if it ends in .gz. array: uint8, the one type that MNIST's files have, of any shape.

    Raises:
        DataError: for an array of another type.
    """
    path, array = Path(path), np.asarray(array)
    if array.dtype != np.uint8:
        raise DataError(f"{path}: an IDX file holds uint8 here, not {array.dtype}. Convert with array.astype('uint8').")
    content = idx_bytes(array)
    # Without a time stamp the same array always makes the same file.
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def idx_bytes(array: np.ndarray) -> bytes:
    """The content of the IDX file of a uint8 array, as bytes."""
    magic = bytes([0, 0, UNSIGNED_BYTE, array.ndim])
    return magic + np.array(array.shape, ">u4").tobytes() + array.tobytes()
