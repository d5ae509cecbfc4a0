"""Data in files: folders, archives, tables, colours; what it is called, and how every bad file is refused."""

import gzip
import hashlib
import os

import numpy as np
import pytest
from small_sets import assert_same, flipped, refusal, small_set, write_folder

from tinycnn import datasets
from tinycnn.datasets import DataError, files, idx


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "kuzushiji", small_set())


def replaced(**changes):
    return small_set()._replace(**changes)


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
    "names alone": ({"change": lambda lines: lines[:1]}, "names its columns and has no rows"),
    "a row cut short": ({"change": lambda lines: [*lines[:-1], lines[-1][:9]]}, "number of columns changed.*row 20"),
    "short rows": ({"change": lambda lines: [lines[0], "1,2", "3,4"]}, "have 2 numbers for 10 columns"),
    "a fraction": ({"change": lambda lines: [*lines[:4], "1" + ",0.5" * 9]}, "'0.5'"),
    "a large number": ({"change": lambda lines: [lines[0], "1" + ",256" * 9]}, "'256'.*0 to 255"),
    "a number below 0": ({"change": lambda lines: [lines[0], "1" + ",-1" * 9]}, "'-1'.*0 to 255"),
    "no number": ({"change": lambda lines: [lines[0], "1" + ",nan" * 9]}, "'nan'.*0 to 255"),
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
