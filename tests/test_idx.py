"""IDX files: what is read and written, and how every bad one is refused."""

import gzip
import os
import tracemalloc
from functools import partial

import numpy as np
import pytest
from small_sets import flipped, refusal, small_set, write_folder

from tinycnn import datasets
from tinycnn.datasets import files, idx


@pytest.mark.parametrize("name", ["a.idx", "a.gz"])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 4), (2, 3, 4), (2, 1, 3, 2)])
def test_idx_reads_back_what_it_wrote(tmp_path, name, shape):
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    idx.write_idx(tmp_path / name, array)
    back = idx.read_idx(tmp_path / name)
    assert back.dtype == np.uint8 and back.shape == shape
    np.testing.assert_array_equal(back, array)


def test_idx_content_is_the_published_format(tmp_path):
    idx.write_idx(tmp_path / "a", np.array([[1, 2, 255]], np.uint8))
    assert (tmp_path / "a").read_bytes() == b"\0\0\x08\x02\0\0\0\x01\0\0\0\x03\x01\x02\xff"


def test_the_same_array_makes_the_same_gzip_file(tmp_path, monkeypatch):
    idx.write_idx(tmp_path / "a.gz", np.zeros(5, np.uint8))
    monkeypatch.setattr("time.time", lambda: 1e9)
    idx.write_idx(tmp_path / "b.gz", np.zeros(5, np.uint8))
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_idx_arrays_can_be_written_to(tmp_path):
    idx.write_idx(tmp_path / "a", np.zeros(5, np.uint8))
    idx.read_idx(tmp_path / "a")[0] = 1


def test_idx_writes_only_bytes(tmp_path):
    assert "float32" in refusal(idx.write_idx, tmp_path / "a", np.zeros(5, np.float32))
    assert not (tmp_path / "a").exists()


GOOD = idx.idx_bytes(np.arange(30, dtype=np.uint8).reshape(5, 6))


@pytest.mark.parametrize(
    "name, content, fault",
    [
        ("a.gz", b"", "magic number is 0x(nothing)"),
        ("a.gz", b"<html>Not found</html>", "magic number is 0x3c68746d"),
        ("a.gz", gzip.compress(GOOD, mtime=0)[:-12], "corrupt gzip"),
        ("a.gz", flipped(gzip.compress(GOOD, mtime=0), -6), "corrupt gzip: CRC check failed"),
        ("a.gz", flipped(gzip.compress(GOOD, mtime=0), 12), "corrupt gzip"),
        ("a.gz", gzip.compress(GOOD, mtime=0) + b"more", "corrupt gzip"),
        ("a", gzip.compress(GOOD + b"xy", mtime=0), "trailing bytes"),
        ("a", gzip.compress(GOOD[:-1], mtime=0), "truncated"),
        ("a", b"", "magic number is 0x(nothing)"),
        ("a", b"<html>Not found</html>", "magic number is 0x3c68746d"),
        ("a", b"\0\0\x0d\x02" + GOOD[4:], "magic number is 0x00000d02"),
        ("a", GOOD[:7], "truncated: the header of an array of rank 2 takes 12 bytes and the file has 7"),
        ("a", GOOD[:-1], "truncated: shape (5, 6) takes 30 bytes after the header and 29 were found"),
        ("a", GOOD + b"xy", "trailing bytes: shape (5, 6) takes 30 bytes after the header and more were found"),
        ("a", b"\0\0\x08\xff" + b"\0\0\0\x01" * 255 + b"x", "Replace it with the original file"),
    ],
)
def test_a_damaged_idx_file_is_refused(tmp_path, name, content, fault):
    path = tmp_path / name
    path.write_bytes(content)
    message = refusal(idx.read_idx, path)
    assert str(path) in message and fault in message


@pytest.mark.parametrize("name", ["a", "a.gz"])
@pytest.mark.parametrize("content", [GOOD, gzip.compress(GOOD, mtime=0)])
def test_whether_a_file_is_gzip_is_told_by_its_content(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    np.testing.assert_array_equal(idx.read_idx(tmp_path / name), np.arange(30).reshape(5, 6))


@pytest.mark.parametrize("pack", [bytes, partial(gzip.compress, mtime=0)])
def test_no_more_is_kept_than_the_header_says(tmp_path, pack):
    (tmp_path / "a").write_bytes(pack(idx.idx_bytes(np.zeros(10, np.uint8)) + bytes(50_000_000)))
    tracemalloc.start()
    assert "trailing bytes" in refusal(idx.read_idx, tmp_path / "a")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 5_000_000


def test_arrays_larger_than_any_set_are_refused_before_they_are_read(tmp_path, monkeypatch):
    whole = idx.idx_bytes(np.zeros((2, 3), np.uint8))
    (tmp_path / "a").write_bytes(whole[:4] + b"\xff" * 8 + whole[12:])
    assert "takes 18,446,744,065,119,617,025 bytes, more than 4,294,967,296" in refusal(idx.read_idx, tmp_path / "a")
    np.savez_compressed(tmp_path / "set.npz", **small_set()._asdict())
    monkeypatch.setattr(files, "MOST", 9_000)
    assert "x_train.npy unpacks to more than 9,000 bytes" in refusal(datasets.load, tmp_path / "set.npz")


def test_what_has_no_end_or_no_beginning_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # to open it would wait for somebody who writes to it
    for path in (tmp_path / "pipe", "/dev/zero"):
        assert f"{path}: cannot be read: not a regular file" in refusal(idx.read_idx, path)
        assert f"{path}: neither a regular file nor a folder" in refusal(datasets.load, path)
    folder = write_folder(tmp_path / "set", small_set())
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    (folder / "t10k-labels-idx1-ubyte").symlink_to("/dev/zero")
    assert "missing t10k-labels-idx1-ubyte[.gz]" in refusal(datasets.load, folder)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    assert "No such file" in refusal(idx.read_idx, tmp_path / "none")
    assert str(tmp_path) in refusal(idx.read_idx, tmp_path)  # a folder
