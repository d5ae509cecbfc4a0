"""Data: what loads, what it is called, and how every bad file is refused."""

import gzip
import hashlib
import http.server
import os
import subprocess
import sys
import threading
import tracemalloc
from functools import partial

import numpy as np
import pytest

from tinycnn import datasets
from tinycnn.datasets import DataError, DownloadError, download, files, idx, mnist, synthetic

REAL = os.environ.get("TINYCNN_DATA")
needs_mnist = pytest.mark.skipif(
    not REAL or REAL == "synthetic", reason="TINYCNN_DATA does not name a folder with MNIST"
)


@pytest.fixture(autouse=True)
def no_data_and_no_network(monkeypatch, tmp_path):
    """A machine with an empty cache, no TINYCNN_DATA, and mirrors that refuse the connection."""
    monkeypatch.delenv("TINYCNN_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "cache_folder", lambda: tmp_path / "cache")
    mirrors("http://127.0.0.1:1/one/", "http://127.0.0.1:1/two/", monkeypatch=monkeypatch)
    monkeypatch.setattr(synthetic, "TRAIN", 20)
    monkeypatch.setattr(synthetic, "TEST", 10)


def mirrors(*urls, monkeypatch, **more):
    """Both data sets are downloaded from here."""
    for name in ("MNIST", "FASHION_MNIST"):
        monkeypatch.setattr(download, name, getattr(download, name)._replace(mirrors=urls, **more))


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


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "kuzushiji", small_set())


def refusal(call, *arguments):
    """The message of the DataError that the call must raise."""
    with pytest.raises(DataError) as caught:
        call(*arguments)
    return str(caught.value)


# --- IDX files ---------------------------------------------------------------------------------------------------


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


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


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


# --- sets in folders and archives --------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("spelling", ["-idx", ".idx"])
def test_a_folder_loads_under_either_spelling_gzipped_or_not(tmp_path, suffix, spelling):
    arrays = small_set()
    names = [name.replace("-idx", spelling) for name in files.IDX_FILES]
    assert_same(files.read(write_folder(tmp_path / "set", arrays, names, suffix)), arrays)


@pytest.mark.parametrize("inside", ["-idx", ".idx"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_folder_loads_whose_files_lie_in_folders_of_their_names(tmp_path, inside, suffix):
    arrays = small_set()
    (tmp_path / "set").mkdir()
    for name, array in zip(files.IDX_FILES, arrays, strict=True):
        (tmp_path / "set" / name).mkdir()
        idx.write_idx(tmp_path / "set" / name / (name.replace("-idx", inside) + suffix), array)
    assert_same(files.read(tmp_path / "set"), arrays)


def test_a_file_is_taken_before_a_folder_of_its_name(tmp_path):
    arrays = small_set()
    folder = write_folder(tmp_path / "set", arrays, suffix=".gz")
    for name in files.IDX_FILES:
        (folder / name).mkdir()
        idx.write_idx(folder / name / name, np.zeros((3, 2, 2), np.uint8))
    assert_same(files.read(folder), arrays)


def test_the_dataset_is_floats_from_0_to_1_with_a_channel(folder):
    arrays, data = small_set(), datasets.load(folder)
    assert data.x_train.dtype == np.float32 and data.x_train.shape == (12, 28, 28, 1)
    assert data.x_test.dtype == np.float32 and data.x_test.shape == (10, 28, 28, 1)
    assert data.y_train.dtype == data.y_test.dtype == np.int64
    np.testing.assert_array_equal(data.x_train[..., 0], arrays.x_train.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(data.y_test, arrays.y_test)
    assert data.x_train.min() == 0 and data.x_train.max() == 1
    assert (data.classes, data.name, data.source) == (10, "kuzushiji", str(folder))


def test_images_need_not_be_28_by_28(tmp_path):
    assert datasets.load(write_folder(tmp_path / "tiny", small_set(side=9))).x_test.shape == (10, 9, 9, 1)


@pytest.mark.parametrize("where", ["folder", "file"])
def test_an_npz_file_loads_by_its_own_path_or_its_folders(tmp_path, where):
    folder = tmp_path / "archive"
    folder.mkdir()
    arrays = small_set()
    np.savez_compressed(folder / "mnist.npz", **arrays._asdict())
    assert_same(files.read(folder if where == "folder" else folder / "mnist.npz"), arrays)


def test_only_mnists_content_is_called_mnist(tmp_path, monkeypatch):
    arrays = small_set()
    folder = write_folder(tmp_path / "MNIST", arrays)
    assert datasets.load(folder).name == "MNIST (not MNIST's content)"
    np.savez(tmp_path / "mnist.npz", **arrays._asdict())
    assert datasets.load(tmp_path / "mnist.npz").name == "mnist (not MNIST's content)"
    # Were these arrays MNIST's, every form of them would be.
    digests = [hashlib.sha256(idx.idx_bytes(array)).hexdigest() for array in arrays]
    monkeypatch.setattr(files, "MNIST_CONTENT", tuple(digests))
    assert datasets.load(folder).name == datasets.load(tmp_path / "mnist.npz").name == "MNIST"
    # Were one number of any file different, it would not.
    for name, array in arrays._asdict().items():
        array.flat[3] ^= 1
        assert datasets.load(write_folder(tmp_path / name, arrays)).name == name
        array.flat[3] ^= 1


def replaced(**changes):
    return small_set()._replace(**changes)


@pytest.mark.parametrize(
    "arrays, file, fault",
    [
        (replaced(y_train=np.zeros(11, np.uint8)), "train-labels", "11 labels for the 12 images of"),
        (replaced(y_test=np.zeros(11, np.uint8)), "t10k-labels", "11 labels for the 10 images of"),
        (replaced(x_train=np.zeros((0, 28, 28), np.uint8), y_train=np.zeros(0, np.uint8)), "train-images", "no pixels"),
        (replaced(x_test=np.zeros((10, 28, 0), np.uint8)), "t10k-images", "no pixels"),
        (replaced(x_test=np.zeros((10, 28, 27), np.uint8)), "t10k-images", "images of (28, 27) pixels"),
        (replaced(x_train=small_set().y_train), "train-images", "magic number 0x00000803"),
        (replaced(y_test=small_set().x_test), "t10k-labels", "magic number 0x00000801"),
        (
            replaced(y_train=np.arange(12, dtype=np.uint8)),
            "train-labels",
            "label number 10 is 10; labels go from 0 to 9",
        ),
    ],
)
def test_idx_files_that_make_no_set_are_refused(tmp_path, arrays, file, fault):
    message = refusal(datasets.load, write_folder(tmp_path / "set", arrays))
    assert f"{file}-idx" in message.split(": ")[0] and fault in message


def test_missing_files_are_named(folder):
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    (folder / "t10k-images-idx3-ubyte.gz").unlink()
    message = refusal(datasets.load, folder)
    assert f"{folder}: missing train-labels-idx1-ubyte[.gz], t10k-images-idx3-ubyte[.gz]." in message


def test_a_path_that_is_not_there_is_refused(tmp_path):
    assert "no such file or folder" in refusal(datasets.load, tmp_path / "none")


@pytest.mark.parametrize(
    "changes, fault",
    [
        ({"x_test": None, "y_test": None}, "has no array x_test, y_test"),
        ({"x_train": small_set().x_train / 255}, "x_train: is float64 of shape (12, 28, 28)"),
        ({"y_test": np.zeros(10)}, "y_test: is float64 of shape (10,)"),
        ({"y_test": np.eye(10, dtype=np.int64)}, "y_test: is int64 of shape (10, 10)"),
        ({"y_test": np.full(10, -1)}, "y_test: label number 0 is -1"),
        ({"y_test": np.full(10, 256)}, "y_test: label number 0 is 256"),
        ({"y_test": np.array([None] * 10)}, "allow_pickle=False"),
    ],
)
def test_an_npz_file_of_other_arrays_is_refused(tmp_path, changes, fault):
    arrays = {name: array for name, array in {**small_set()._asdict(), **changes}.items() if array is not None}
    np.savez(tmp_path / "set.npz", **arrays)
    message = refusal(datasets.load, tmp_path / "set.npz")
    assert str(tmp_path / "set.npz") in message and fault in message


def test_a_damaged_npz_file_is_refused(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, **small_set()._asdict())
    good = path.read_bytes()
    for content in (b"", b"PK\3\4 and no more", good[:-100], flipped(good, 700), gzip.compress(good, mtime=0)):
        path.write_bytes(content)
        message = refusal(datasets.load, path)
        assert str(path) in message and ("not an .npz file" in message or "not an intact .npz file" in message)
    np.save(tmp_path / "array.npy", small_set().x_train)
    assert "not an .npz file" in refusal(datasets.load, tmp_path / "array.npy")


def test_int64_labels_in_an_npz_file_are_welcome(tmp_path):
    np.savez(tmp_path / "set.npz", **replaced(y_test=np.arange(10))._asdict())
    np.testing.assert_array_equal(datasets.load(tmp_path / "set.npz").y_test, np.arange(10))


# --- where data is looked for ------------------------------------------------------------------------------------


def test_the_environment_names_the_data(folder, monkeypatch):
    monkeypatch.setenv("TINYCNN_DATA", str(folder))
    assert datasets.load().name == "kuzushiji"
    assert datasets.load("synthetic").name == "synthetic digits"  # what is asked for by name goes first


def test_an_error_says_that_the_environment_named_the_data(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYCNN_DATA", str(tmp_path / "none"))
    assert "TINYCNN_DATA" in refusal(datasets.load)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror on this machine, with a small set in MNIST's place: (its URL, its folder, the paths asked of it)."""
    folder = write_folder(tmp_path / "mirror", small_set())
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    mirrors("http://127.0.0.1:1/", monkeypatch=monkeypatch, sha256=digests)
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", folder, asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_mnist_is_downloaded_once_from_the_first_mirror_that_answers(mirror, monkeypatch):
    url, _, asked = mirror
    mirrors("http://127.0.0.1:1/", url, "http://127.0.0.1:1/", monkeypatch=monkeypatch)
    np.testing.assert_array_equal(datasets.load().y_test, np.arange(10))
    assert len(asked) == 4
    datasets.load()
    assert len(asked) == 4


def test_a_damaged_file_in_the_cache_is_downloaded_again(mirror, monkeypatch):
    url, _, asked = mirror
    mirrors(url, monkeypatch=monkeypatch)
    datasets.load()
    (download.cache_folder() / "mnist" / "t10k-labels-idx1-ubyte.gz").write_bytes(b"half a fi")
    np.testing.assert_array_equal(datasets.load().y_test, np.arange(10))
    assert len(asked) == 5


def test_a_download_with_other_content_is_not_kept(mirror, monkeypatch):
    url, folder, _ = mirror
    mirrors(url, monkeypatch=monkeypatch)
    idx.write_idx(folder / "train-images-idx3-ubyte.gz", np.zeros((12, 28, 28), np.uint8))
    message = refusal(datasets.load)
    assert url in message and "hash" in message
    kept = {file.name for file in (download.cache_folder() / "mnist").iterdir()}
    assert kept <= set(download.MNIST.sha256) - {"train-images-idx3-ubyte.gz"}


def test_a_failed_download_lists_every_mirror_and_the_remedies(mirror, monkeypatch):
    url, folder, _ = mirror
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    mirrors("http://127.0.0.1:1/", url, monkeypatch=monkeypatch)
    with pytest.raises(DownloadError) as caught:
        datasets.load()
    message = str(caught.value)
    for expected in ("http://127.0.0.1:1/: ", f"{url}: 404", "--data DIR", "TINYCNN_DATA", "--data synthetic"):
        assert expected in message


def test_the_fallback_is_loud_and_says_what_it_is(capsys):
    data = datasets.load(synthetic_fallback=True, seed=3)
    assert data.name == "synthetic digits" and "seed 3" in data.source
    np.testing.assert_array_equal(data.y_train, synthetic.load(20, 10, seed=3)[0][1])
    warning = capsys.readouterr().err
    for expected in ("WARNING", "SYNTHETIC", "not MNIST's", *download.MNIST.mirrors, "--data DIR", "TINYCNN_DATA"):
        assert expected in warning
    assert warning.count("\n") > 5


def test_the_fallback_never_replaces_data_that_was_named(folder, monkeypatch):
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"broken")
    with pytest.raises(DataError):
        datasets.load(folder, synthetic_fallback=True)
    monkeypatch.setenv("TINYCNN_DATA", str(folder))
    with pytest.raises(DataError):
        datasets.load(synthetic_fallback=True)


# --- the face of keras.datasets.mnist ----------------------------------------------------------------------------


def test_load_data_gives_what_keras_gives(folder):
    with pytest.warns(UserWarning, match="kuzushiji, not MNIST"):
        (x_train, y_train), (x_test, y_test) = mnist.load_data(path=folder)
    assert_same((x_train, y_train, x_test, y_test), small_set())


def test_the_name_of_keras_cached_file_means_the_usual_search(folder, monkeypatch):
    monkeypatch.setenv("TINYCNN_DATA", str(folder))
    with pytest.warns(UserWarning, match="kuzushiji"):
        assert len(mnist.load_data("mnist.npz")[0][0]) == 12


@needs_mnist
def test_mnist_is_mnist(monkeypatch, recwarn):
    monkeypatch.setenv("TINYCNN_DATA", REAL)
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    assert not recwarn.list
    assert x_train.shape == (60000, 28, 28) and x_test.shape == (10000, 28, 28)
    assert y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert datasets.load().name == "MNIST"


# --- Fashion-MNIST -----------------------------------------------------------------------------------------------


def test_the_sums_of_the_published_files_are_those_that_others_check():
    """As TensorFlow Datasets' and others' lists of checksums have them, by their first digits."""
    first = [digest[:8] for digest in download.FASHION_MNIST.sha256.values()]
    assert first == ["3aede38d", "a04f1713", "346e55b9", "67da17c7"]
    assert all(len(digest) == 64 for digest in download.FASHION_MNIST.sha256.values())


def test_fashion_mnist_is_downloaded_into_a_folder_of_its_own(mirror, monkeypatch, recwarn):
    url, _, asked = mirror
    mirrors(url, monkeypatch=monkeypatch)
    (x_train, y_train), (x_test, y_test) = datasets.fashion_mnist.load_data()
    assert_same((x_train, y_train, x_test, y_test), small_set())
    assert len(asked) == 4 and not recwarn.list
    for name in ("fashion-mnist", "fashion_mnist"):
        assert datasets.load(name).name == "Fashion-MNIST"
    assert len(asked) == 4 and len(list((download.cache_folder() / "fashion-mnist").iterdir())) == 4
    datasets.load()
    assert len(asked) == 8  # MNIST is another set


def test_a_failed_download_of_fashion_mnist_is_no_reason_for_digits():
    for call in (datasets.fashion_mnist.load_data, lambda: datasets.load("fashion-mnist", synthetic_fallback=True)):
        with pytest.raises(DownloadError, match="Fashion-MNIST is not in .*fashion-mnist"):
            call()


@pytest.mark.parametrize("inside", ["", "fashion-mnist", "fashion_mnist"])
def test_the_environment_names_fashion_mnist_or_a_folder_with_it(folder, tmp_path, monkeypatch, inside, recwarn):
    """Known by the sums of its files; else there is a warning that says what it is."""
    place = folder
    if inside:
        (tmp_path / "data").mkdir()
        place = folder.rename(tmp_path / "data" / inside)
    monkeypatch.setenv("TINYCNN_DATA", str(place.parent if inside else place))
    with pytest.warns(UserWarning, match="not Fashion-MNIST"):
        datasets.fashion_mnist.load_data()
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in place.iterdir()}
    monkeypatch.setattr(download, "FASHION_MNIST", download.FASHION_MNIST._replace(sha256=digests))
    recwarn.clear()
    assert_same(sum(datasets.fashion_mnist.load_data(), ()), small_set())
    assert not recwarn.list and datasets.load(place).name == "Fashion-MNIST"


def test_mnist_is_never_given_as_fashion_mnist(folder, mirror, monkeypatch, recwarn):
    content = tuple(hashlib.sha256(idx.idx_bytes(array)).hexdigest() for array in small_set())
    monkeypatch.setattr(files, "MNIST_CONTENT", content)
    monkeypatch.setenv("TINYCNN_DATA", str(folder))
    with pytest.raises(DownloadError, match="Fashion-MNIST"):
        mirrors("http://127.0.0.1:1/", monkeypatch=monkeypatch, sha256={"a.gz": "0"})
        datasets.fashion_mnist.load_data()


# --- tables ------------------------------------------------------------------------------------------------------


def write_table(path, rows=20, side=3, first="label", change=lambda lines: lines):
    """A table of random images, the label of row i being i % 10."""
    pixels = np.random.default_rng(0).integers(0, 256, (rows, side * side))
    lines = [",".join([first, *(f"pixel{i}" for i in range(side * side))])]
    lines += [",".join(map(str, [i % 10, *row])) for i, row in enumerate(pixels.tolist())]
    content = "\n".join(change(lines)).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return pixels.reshape(-1, side, side)


@pytest.mark.parametrize("name", ["train.csv", "train.csv.gz"])
def test_a_table_gives_its_last_rows_for_testing(tmp_path, name):
    pixels = write_table(tmp_path / name)
    data = datasets.load(tmp_path / name)
    assert data.x_train.shape == (18, 3, 3, 1) and data.x_test.shape == (2, 3, 3, 1)
    np.testing.assert_allclose(np.concatenate([data.x_train, data.x_test])[..., 0], pixels / 255, rtol=1e-6)
    assert data.y_train.tolist() == [*range(10), *range(8)] and data.y_test.tolist() == [8, 9]
    assert data.name == os.path.splitext(name)[0]


TABLES = {
    "no label": ({"first": "id"}, "does not name the columns of images"),
    "no square": ({"change": lambda lines: [line.rsplit(",", 1)[0] for line in lines]}, "does not name the columns"),
    "no names": ({"change": lambda lines: lines[1:]}, "does not name the columns"),
    "nothing": ({"change": lambda lines: []}, "does not name the columns"),
    "names alone": ({"change": lambda lines: lines[:1]}, "its rows have"),
    "a row cut short": ({"change": lambda lines: [*lines[:-1], lines[-1][:9]]}, "number of columns changed.*row 20"),
    "short rows": ({"change": lambda lines: [lines[0], "1,2", "3,4"]}, "have 2 numbers for 10 columns"),
    "a fraction": ({"change": lambda lines: [*lines[:4], "1" + ",0.5" * 9]}, "'0.5'"),
    "a large number": ({"change": lambda lines: [lines[0], "1" + ",256" * 9]}, "'256'.*0 to 255"),
    "a label": ({"change": lambda lines: [*lines[:3], "10" + lines[3][1:], *lines[4:]]}, "label number 2 is 10"),
    "one row": ({"rows": 1}, "holds no pixels"),
}


@pytest.mark.parametrize("case", TABLES)
def test_what_is_no_table_of_images_is_refused(tmp_path, case):
    options, fault = TABLES[case]
    write_table(tmp_path / "train.csv", **options)
    with pytest.raises(DataError, match=f"train.csv.*{fault}"):
        datasets.load(tmp_path / "train.csv")


# --- colours -----------------------------------------------------------------------------------------------------


def test_images_in_colour_are_taken_with_labels_as_cifar_10_has_them(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8), np.arange(12)[:, None] % 10
    np.savez(tmp_path / "cifar.npz", x_train=x, y_train=y, x_test=x[:10], y_test=y[:10])
    data = datasets.load(tmp_path / "cifar.npz")
    assert data.x_train.shape == (12, 32, 32, 3) and data.y_train.tolist() == y[:, 0].tolist()
    np.testing.assert_allclose(data.x_train, x / 255, rtol=1e-6)


# --- the package -------------------------------------------------------------------------------------------------


def test_importing_datasets_imports_nothing_heavy():
    heavy = {"pooch", "requests", "tqdm", "matplotlib", "scipy", "cupy", "numba"}
    code = f"import sys, tinycnn.datasets; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_a_limit_takes_the_first_images(folder):
    whole, part = datasets.load(folder), datasets.load(folder, limit=3)
    np.testing.assert_array_equal(part.x_train, whole.x_train[:3])
    np.testing.assert_array_equal(part.y_test, whole.y_test[:3])


@pytest.mark.parametrize("limit", [-5, 0, 2.5, "3"])
@pytest.mark.parametrize("data", ["folder", "synthetic"])
def test_a_limit_that_leaves_no_images_is_refused(folder, data, limit):
    with pytest.raises(ValueError, match="limit is a whole number of at least 1"):
        datasets.load(folder if data == "folder" else data, limit=limit)


def test_a_limit_may_be_a_whole_number_of_numpy(folder):
    assert len(datasets.load(folder, limit=np.int64(3)).x_train) == 3


def test_there_is_no_end_of_synthetic_digits():
    assert len(datasets.load("synthetic", limit=25).x_train) == 25  # more than the usual set has here
