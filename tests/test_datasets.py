"""Where data is looked for: the environment, the cache, the mirrors; and the faces of Keras's data sets."""

import hashlib
import http.server
import os
import subprocess
import sys
import threading
from functools import partial

import numpy as np
import pytest
from small_sets import assert_same, refusal, small_set, write_folder

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


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "kuzushiji", small_set())


# --- where data is looked for ----------------------------------------------------------------------------------


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


# --- the face of keras.datasets.mnist --------------------------------------------------------------------------


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


# --- Fashion-MNIST ---------------------------------------------------------------------------------------------


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


# --- the package -----------------------------------------------------------------------------------------------


def test_importing_datasets_imports_nothing_heavy():
    heavy = {"pooch", "requests", "tqdm", "matplotlib", "scipy", "cupy", "numba"}
    code = f"import sys, tinycnn.datasets; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_a_limit_takes_the_first_images(folder):
    whole, part = datasets.load(folder), datasets.load(folder, limit=3)
    np.testing.assert_array_equal(part.x_train, whole.x_train[:3])
    np.testing.assert_array_equal(part.y_test, whole.y_test[:3])


def test_a_home_that_nobody_has_is_refused(monkeypatch):
    assert "~nosuchuser/mnist: Could not determine" in refusal(datasets.load, "~nosuchuser/mnist")
    monkeypatch.setenv("TINYCNN_DATA", "~nosuchuser/mnist")
    assert "TINYCNN_DATA" in refusal(datasets.load)


@pytest.mark.parametrize("limit", [-5, 0, 2.5, "3"])
@pytest.mark.parametrize("data", ["folder", "synthetic"])
def test_a_limit_that_leaves_no_images_is_refused(folder, data, limit):
    with pytest.raises(ValueError, match="limit is a whole number of at least 1"):
        datasets.load(folder if data == "folder" else data, limit=limit)


def test_a_limit_may_be_a_whole_number_of_numpy(folder):
    assert len(datasets.load(folder, limit=np.int64(3)).x_train) == 3


def test_there_is_no_end_of_synthetic_digits():
    assert len(datasets.load("synthetic", limit=25).x_train) == 25  # more than the usual set has here
