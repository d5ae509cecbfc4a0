"""IDX, the file format of MNIST: a magic number, the shape, then the bytes.

The format as LeCun, Cortes and Burges describe it beside MNIST, all numbers big-endian:

    0  0  type  rank     the magic number; type 8 is the unsigned byte, the only one used here
    rank x uint32        the size of each dimension
    the elements         last dimension fastest

A file whose name ends in .gz is gzipped.
"""

from __future__ import annotations

import gzip
import math
import zlib
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.datasets.errors import DataError

UNSIGNED_BYTE = 8


def read_idx(path: str | PathLike) -> np.ndarray:
    """The uint8 array, of any rank and shape, in the IDX file at `path`.

    Raises DataError: the file is missing or unreadable, is named .gz and is not intact gzip, does not begin
    with the magic number of unsigned bytes, or holds fewer or more bytes than its header says.
    """
    content = _content(Path(path))
    magic, rank = content[:4], content[3] if len(content) > 3 else 0
    if magic[:3] != bytes([0, 0, UNSIGNED_BYTE]):
        raise DataError(
            f"{path}: not an IDX file of unsigned bytes: its magic number is 0x{magic.hex() or '(nothing)'}, "
            f"not 0x000008 and the rank. Replace it with the original file{_gzip_hint(magic)}."
        )
    header = 4 + 4 * rank
    if len(content) < header:
        raise DataError(
            f"{path}: truncated: the header of an array of rank {rank} takes {header} bytes and the file has "
            f"{len(content)}. Copy or download it again."
        )
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", rank, offset=4))
    expected, found = math.prod(shape), len(content) - header
    if found != expected:
        fault = "truncated" if found < expected else "trailing bytes"
        raise DataError(
            f"{path}: {fault}: shape {shape} takes {expected} bytes after the header and {found} were found. "
            "Copy or download it again."
        )
    try:
        return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()  # a copy can be written to
    except ValueError as error:  # more dimensions, or larger, than NumPy has room for
        raise DataError(f"{path}: shape {shape}: {error}. Replace it with the original file.") from error


def write_idx(path: str | PathLike, array: ArrayLike) -> None:
    """Write a uint8 array of any shape to `path`, gzipped if the name ends in .gz.

    Raises DataError if the array is not uint8, the one type that MNIST's files have.
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


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}. Check the path and its permissions.") from error
    if path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        fault = "corrupt gzip" if content.startswith(b"\x1f\x8b") else "named .gz and is not gzip"
        raise DataError(f"{path}: {fault}: {error}. Copy or download it again.") from error


def _gzip_hint(magic: bytes) -> str:
    return ", or end its name in .gz: it is gzipped" if magic.startswith(b"\x1f\x8b") else ""
